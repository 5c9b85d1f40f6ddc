"""The command as it is typed, and cases in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from operando.benchmarks import __main__ as command
from operando.benchmarks import bench_fbp
from operando.benchmarks.catalogue import ENTRIES, Entry, case_of, entry
from operando.benchmarks.harness import Absent

ROOT = Path(__file__).resolve().parents[2]


def test_every_entry_names_a_function_that_says_what_it_does():
    for each in ENTRIES:
        assert (case_of(each).__doc__ or "").strip(), each.name


def test_names_are_different_and_an_unknown_one_is_answered_with_those_there_are():
    assert len({each.name for each in ENTRIES}) == len(ENTRIES)
    with pytest.raises(KeyError, match="trimmed"):
        entry("triimmed")


def test_the_list_is_printed_from_the_repository_root():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == len(ENTRIES)


def test_an_unknown_name_ends_the_command_before_anything_runs(capsys):
    assert command.main(["--only", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_case_that_crashes_is_a_row_that_says_so():
    rows, sections = command.run_apart(Entry("nonsense", "nowhere.nothing"), True)
    assert sections == []
    assert rows[0].verdict() == "failed"
    assert "nonsense" in rows[0].note


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Traceback\nsome.TypingError: no\n\x1b[1mDuring: a pass\x1b[0m\n", "some.TypingError: no"),
        ("a warning\nthe end\n", "the end"),
        ("", "exit 3"),
    ],
)
def test_a_failure_is_told_by_its_exception_and_else_by_its_last_line(said, words):
    assert command.last_words(said, 3) == words


def test_a_case_that_takes_too_long_is_ended_and_says_so():
    slow = Entry(ENTRIES[0].name, ENTRIES[0].place, timeout_s=0.05)
    rows, _ = command.run_apart(slow, True)
    assert rows[0].note.startswith("failed: ended after")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("astra", "astra FBP, CPU linear"),
        ("skimage.transform", "scikit-image iradon, linear"),
        ("algotom.rec.reconstruction", "algotom fbp, CPU"),
    ],
)
def test_a_reconstruction_that_is_not_installed_is_absent(module, name, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    phantom = bench_fbp.phantom(1, translations=21, angles=5)
    peers = bench_fbp.peers_of(phantom, 1, {}, 1.0, "")
    assert name in [peer.name for peer in peers if isinstance(peer, Absent)]

"""What runs leave behind, and the pages that quote it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from operando.benchmarks import __main__ as command
from operando.benchmarks import pages, store, table
from operando.benchmarks.catalogue import ENTRIES
from operando.benchmarks.machine import Machine
from operando.benchmarks.rows import Row
from operando.benchmarks.sections import Section
from operando.benchmarks.store import Measured

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
MACHINE = Machine("A processor", 2, 24.0, "Linux", "3.11", 0.1, "abc")
MEAN = Row("mean, a frame", "pyFAI", "2026.9", 1e-3, 2e-2, 20.0, 9.0, True, (9e-4, 2e-3))
FIT = Row("fit, a peak", "scipy", "1.17", 1e-5, 4e-4, 40.0, 80.0, True)
HELD = Section("The chain", "held 80 Hz", {"rate": 80.0, "lag": math.nan})


def found(name: str, *rows: Row, when: str = "2026-01-02T03:04+00:00") -> Measured:
    return Measured(name, when, "python -m benchmarks", MACHINE, list(rows), [])


def test_what_is_written_comes_back_with_its_page_and_its_picture(tmp_path):
    chain = dataclasses.replace(found("chain"), sections=[HELD])
    store.write(tmp_path, [found("mean", MEAN), chain])
    mean, back = store.read(tmp_path)
    assert mean == found("mean", MEAN)
    assert back.sections[0].data == {"rate": 80.0, "lag": None}
    assert "held 80 Hz" in (tmp_path / "latest.md").read_text()
    assert (tmp_path / "latest.png").read_bytes().startswith(b"\x89PNG")
    assert store.read(tmp_path / "nowhere") == []


def test_an_entry_that_is_measured_again_takes_its_old_place_and_says_when():
    old = [found("mean", MEAN), found("peak-fit", FIT)]
    faster = dataclasses.replace(FIT, ratio=99.0)
    again = found("peak-fit", faster, when="2026-02-03T04:05+00:00")
    both = store.merged(old, [again], [entry.name for entry in ENTRIES])
    assert [each.name for each in both] == ["mean", "peak-fit"]
    assert store.rows_of(both) == [MEAN, faster]
    first, second = table.provenance(both)
    assert "2026-01-02" in first
    assert "2026-02-03" in second
    assert "(peak-fit again)" in second


def test_an_entry_that_is_in_the_catalogue_no_more_goes():
    assert store.merged([found("long-gone", MEAN)], [], [entry.name for entry in ENTRIES]) == []


def test_update_asks_for_names_and_full_measurements(capsys):
    assert command.main(["--update"]) == 2
    assert command.main(["--update", "--quick", "--only", "mean"]) == 2
    assert "--only" in capsys.readouterr().err


def test_update_keeps_what_it_does_not_measure(tmp_path, monkeypatch):
    store.write(tmp_path, [found("mean", MEAN), found("peak-fit", FIT)])
    monkeypatch.setattr(command, "run_apart", lambda each, quick: ([FIT, FIT], [HELD]))
    assert command.main(["--only", "peak-fit", "--update", "--out", str(tmp_path)]) == 0
    mean, fit = store.read(tmp_path)
    assert mean == found("mean", MEAN)
    assert list(fit.rows) == [FIT, FIT]
    assert fit.when != mean.when


def test_pages_are_filled_between_their_marks_and_nowhere_else(tmp_path):
    for name in pages.PAGES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    pages.fill(tmp_path, [found("mean", MEAN)])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"before\n{pages.BEGIN}\n")
    assert text.endswith(f"{pages.END}\nafter\n")
    assert "old" not in text
    assert "| mean, a frame | pyFAI | 1 ms | 20 ms | 20 | 9 | met |" in text
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(pages.NoMarks, match=r"README\.md"):
        pages.fill(tmp_path, [found("mean", MEAN)])


@pytest.mark.parametrize("name", pages.PAGES)
def test_every_number_in_a_page_is_what_the_stored_run_measured(name):
    inside = pages.between((ROOT / name).read_text(encoding="utf-8"), name)[1]
    assert inside == pages.PAGES[name](store.read(RESULTS)) + "\n"


def test_the_stored_page_is_made_of_the_stored_rows_of_entries_there_are():
    measured = store.read(RESULTS)
    assert (RESULTS / "latest.md").read_text(encoding="utf-8") == table.markdown(measured)
    assert (RESULTS / "latest.png").is_file()
    names = [each["name"] for each in json.loads((RESULTS / "latest.json").read_text())["entries"]]
    assert names  # a new entry is not among them until it has been measured
    assert names == [entry.name for entry in ENTRIES if entry.name in names]

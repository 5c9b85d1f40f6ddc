"""`operando account`: the ledger of a run in words."""

from __future__ import annotations

import json
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from operando.cli.account import account_lines, say_accounts
from operando.cli.main import app
from operando.stream.account_words import account_sums, by_reason, ranges
from operando.stream.compression import checksum
from operando.stream.ledger import ScanLedger
from operando.stream.messages import (
    Account,
    Axis,
    Detector,
    Frame,
    GroupAccount,
    ScanStart,
    ScanStop,
    Trajectory,
)
from operando.stream.nexus import account_of, account_text, stop_of, stop_text
from operando.stream.recorder import Recorder
from typer.testing import CliRunner


def test_ranges_are_short_and_whole():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == ""


def test_every_reason_stands_once_with_its_frames():
    reasons = {4: "never arrived", 9: "damaged", 5: "never arrived", 6: "never arrived"}
    assert by_reason(reasons) == ["9: damaged", "4-6: never arrived"]


def test_an_account_with_losses_names_them_all():
    account = Account(
        "run", "scan", 2, 100, 98, 3, {7: "never arrived", 8: "never arrived"},
        (GroupAccount("record", 97, {50: "disk full"}), GroupAccount("process", 96, {51: "cut"})),
        False,
    )  # fmt: skip
    lines = account_lines(account, 96)
    assert lines[0] == (
        "scan 2: announced 100 = recorded 97 + lost 3; "
        "received 98 = in results 96 + failed 1 + pending 1   NOT CLOSED"
    )
    assert "  the file holds 96 frames, the account says 97" in lines
    assert "  3 frames came again and were dropped" in lines
    assert "  lost: 7-8: never arrived" in lines
    assert "  not recorded: 50: disk full" in lines
    assert "  failed: 51: cut" in lines


def test_what_the_source_has_dropped_is_named_from_its_last_word_to_the_file():
    conflict = "1 x image that came again with other content, the first is kept: 3"
    ledger = ScanLedger("run", "scan", 1, 0, ("record", "process"))
    stop = ScanStop("scan", 0, "complete", {}, (conflict,))
    ledger.stop(stop)
    account = ledger.account()
    assert account_lines(account, 0)[1:] == [f"  dropped: {conflict}"]
    assert account_of(account_text(account)) == account
    assert stop_of(stop_text(stop)) == stop
    before = json.loads(account_text(account))
    del before["dropped"]  # of a file from before there was such a thing
    assert account_of(json.dumps(before)).dropped == ()


@given(st.data())
def test_both_sums_close_whatever_became_of_the_frames(data):
    announced = data.draw(st.integers(1, 200))
    received = data.draw(st.integers(0, announced))
    lost = data.draw(st.integers(0, announced - received))
    done, failed = [], []
    for _ in ("record", "process"):
        done.append(data.draw(st.integers(0, received)))
        failed.append(data.draw(st.integers(0, received - done[-1])))
    account = Account(
        "run", "scan", 1, announced, received, 0, dict.fromkeys(range(lost), "x"),
        (
            GroupAccount("record", done[0], dict.fromkeys(range(failed[0]), "y")),
            GroupAccount("process", done[1], dict.fromkeys(range(failed[1]), "z")),
        ),
        False,
    )  # fmt: skip
    first, second = account_sums(account).split("; ")
    total, *parts = [int(n) for n in re.findall(r"\d+", first)]
    assert total == sum(parts) == announced
    came, *parts = [int(n) for n in re.findall(r"\d+", second.replace("recorded", str(done[0])))]
    assert came == sum(parts) == received


def record(path, frames, *messages):
    """A file of one scan of 3 frames that holds these of them, and whatever else is recorded."""
    axes = (Axis("frame", "", np.arange(3.0)),)
    start = ScanStart(
        "run", "scan", 1, "frames", 3, Detector("d", (4, 4), "uint16", (1e-4, 1e-4), 9),
        Trajectory((3,), axes), "", 5e4, 0.1, None, 0.0,
    )  # fmt: skip
    data = np.arange(16, dtype=np.uint16).tobytes()
    recorder = Recorder(path)
    for message in (
        start,
        *(Frame("scan", i, (4, 4), "uint16", "raw", data, checksum(data), 0.0) for i in frames),
        *messages,
    ):
        recorder.take(message)
    recorder.close()


def closed_account(lost=()):
    done = 3 - len(lost)
    groups = (GroupAccount("record", done, {}), GroupAccount("process", done, {}))
    return Account("run", "scan", 1, 3, done, 0, dict.fromkeys(lost, "gap"), groups, True)


def test_a_scan_without_an_account_is_said_to_be_open(tmp_path):
    path = tmp_path / "run.nxs"
    record(path, ())
    said: list[str] = []
    assert not say_accounts(path, said.append)
    assert "3 announced, 0 in the file" in said[0]


def test_a_file_that_holds_what_its_account_says_is_in_order(tmp_path):
    path = tmp_path / "run.nxs"
    record(path, (0, 2), closed_account(lost=(1,)))
    result = CliRunner().invoke(app, ["account", str(path)])
    assert result.exit_code == 0, result.output
    assert "announced 3 = recorded 2 + lost 1" in result.output


def test_a_file_that_holds_fewer_frames_than_its_account_says_is_exit_1_and_a_remedy(tmp_path):
    path = tmp_path / "run.nxs"
    record(path, (1,), closed_account())
    result = CliRunner().invoke(app, ["account", str(path)])
    assert result.exit_code == 1
    *_, numbers, remedy = result.output.strip().splitlines()
    assert numbers == "  the file holds 1 frames, the account says 3"
    assert remedy == (
        "  missing are 0, 2: fetch the file again where it is a copy; "
        f"else `operando recover {tmp_path}` while the run's spool is there"
    )

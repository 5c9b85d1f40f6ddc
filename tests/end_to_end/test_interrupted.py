"""Ctrl-C and killed processes: nobody left behind, the file readable, the cell at open circuit."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import psutil
import pytest
from operando.stream.run_file import open_run
from whole_run import command, environment, left_running

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]


class Running:
    """The small demo while it runs."""

    def __init__(self, folder):
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command("demo", "--quick", "--offscreen", "--out", folder),
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def until(self, *words: str) -> str:
        """Read what it says until a line holds one of words."""
        for line in self.process.stdout:
            self.lines.append(line)
            if any(word in line for word in words):
                return line
        raise AssertionError(f"ended before it said {words}: {''.join(self.lines)}")

    def interrupt(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        self.lines += self.process.stdout.readlines()
        return self.process.wait(60)

    def part(self, word: str) -> psutil.Process:
        """The process of a part, by a word of its command line."""
        for process in psutil.Process(self.process.pid).children():
            if word in process.cmdline():
                return process
        raise AssertionError(f"no process {word!r}")

    def summary(self) -> dict:
        return json.loads((self.folder / "summary.json").read_text())


@pytest.fixture
def running(tmp_path):
    demo = Running(tmp_path / "run")
    yield demo
    if demo.process.poll() is None:
        demo.process.kill()
    demo.process.wait()
    demo.process.stdout.close()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("starting:", signal.SIGINT),
        ("discharging", signal.SIGTERM),
        ("scanning", signal.SIGINT),
    ],
    ids=["start-up", "discharge", "scan"],
)
def test_a_signal_ends_the_run_in_order(running, moment, number):
    running.until(moment)
    assert running.interrupt(number) == 130, "".join(running.lines)
    assert left_running(running.folder) == []
    summary = running.summary()
    assert summary["interrupted"]
    if moment != "starting:":
        assert summary["cell_state"] == "HOLD_OCV"
    assert summary["closed"]
    if moment == "starting:":
        return  # it may have been before there was anything to record
    with open_run(running.folder / "run.nxs") as recorded:
        scans = recorded.scans()
        for start in scans:
            kept = len(list(recorded.frames(start.scan)))
            assert kept == recorded.accounts(start.scan)[-1].group("record").done
        if moment == "scanning":
            assert len(scans) >= 1
            assert recorded.samples(scans[0].run).current_a[-1] == 0


def test_a_killed_reducer_and_a_killed_absorber_cost_nothing(running):
    running.until("frames in the results")
    running.part("reducer-0").kill()
    running.until("reducer-0 ended")
    running.part("absorb").kill()
    running.until("account:")
    running.lines += running.process.stdout.readlines()
    assert running.process.wait(60) == 0, "".join(running.lines)
    summary = running.summary()
    assert summary["account"]["in_results"] == summary["account"]["announced"]
    for part in ("reducer-0", "absorber"):
        assert any(part in note for note in summary["notes"])
    assert summary["lattice_error_median_A"] < 0.0015


def test_a_killed_detector_costs_the_frames_of_its_scan_which_is_taken_again(running):
    running.until("scanning")
    running.part("detector").kill()
    running.until("account:")
    running.lines += running.process.stdout.readlines()
    assert running.process.wait(60) == 0, "".join(running.lines)
    summary = running.summary()
    assert summary["cell_state"] == "HOLD_OCV"
    assert any("detector" in note for note in summary["notes"])
    with open_run(running.folder / "run.nxs") as recorded:
        accounts = recorded.accounts()
        assert len(recorded.scans()) == 3  # of two marks
    whole = [account for account in accounts if not account.lost]
    assert len(whole) == 2
    (short,) = (account for account in accounts if account.lost)
    assert short.closed
    assert set(short.lost.values()) == {"aborted: the next series began"}


def test_parts_do_not_outlive_a_killed_supervisor(running):
    running.until("scanning")
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 40
    while left_running(running.folder) and time.monotonic() < deadline:
        psutil.cpu_percent(interval=0.2)
    assert left_running(running.folder) == []
    with open_run(running.folder / "run.nxs") as recorded:
        samples = recorded.samples(recorded.scans()[0].run)
        assert samples.states[-1] == "HOLD_OCV"
        assert samples.current_a[-1] == 0

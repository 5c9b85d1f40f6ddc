"""Faults after which a run cannot go on, and full disks: named, nothing lost, cell open."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import operando.cli
import pytest
from fault_lab import FRAMES, Lab, frame, put, scan_start, take_scan
from operando.cli.experiment_file import load
from operando.cli.folder import RunFolder
from operando.cli.recover import recover_run
from operando.cli.soak import one_run, outcome_problems, prepared
from operando.cli.soak_clock import WallClock
from operando.cli.soak_faults import limit_files
from operando.cli.soak_laboratory import Laboratory
from operando.cli.soak_schedule import KILL_PLAN, Deck
from operando.cli.soak_verdict import left_behind
from operando.stream.members import Producer
from operando.stream.messages import ScanStop
from operando.stream.run_file import open_run

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(170)]


def test_a_killed_plan_ends_the_run_and_the_lease_opens_the_cell(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    experiment = load(Path(operando.cli.__file__).with_name("quick.yaml"))
    slow = experiment.simulation.model_copy(update={"clock": 60.0})  # its mark comes after 50 s
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    laboratory = Laboratory(
        folder, WallClock(tmp_path / "clock"), print, Deck((KILL_PLAN,), 0), every_s=0.0
    )
    record = one_run(
        prepared(experiment.model_copy(update={"simulation": slow}), {}), folder, laboratory, print
    )
    assert [str(struck.fault) for struck in record.struck] == ["kill plan"]
    assert record.struck[0].phase == "discharging"
    assert record.cell == "DISCONNECTED"  # the instrument's own word: no client, circuit opened
    assert outcome_problems(record.outcome, record.struck) == []
    assert "plan ended with exit -9" in record.outcome.trouble[0]
    assert left_behind(folder.path) == []


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "r")
    yield made
    made.end()


def test_a_full_disk_of_the_hub_holds_frames_back_until_there_is_room(lab):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        take_scan(lab, producer, "before", 1)
        lab.until_settled(["before"])
        mend = limit_files(lab.part("hub").process.pid, 0)
        producer.put(scan_start("amid", 2))
        lab.until(lambda: lab.held)
        assert "no room in" in lab.held
        mend()
        for index in range(FRAMES):
            put(lab, producer, frame("amid", index))
        put(lab, producer, ScanStop("amid", FRAMES, "complete"))
        lab.until_settled(["before", "amid"])
        assert producer.refused == 0
    for scan in ("before", "amid"):
        account = lab.accounts[scan]
        assert (account.received, account.lost) == (FRAMES, {})
        assert [(g.done, g.failed) for g in account.groups] == [(FRAMES, {})] * 2


def test_a_disk_that_refuses_the_record_costs_nothing_when_there_is_room_again(lab):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:

        def fill(index):
            if index == 20:
                fill.mend = limit_files(lab.part("recorder").process.pid, 0)
            if index == 50:
                lab.until(lambda: "File too large" in lab.record_held)
                fill.mend()

        take_scan(lab, producer, "amid", 1, fill)
        lab.until_settled(["amid"])
    account = lab.accounts["amid"]
    assert (account.received, account.lost) == (FRAMES, {})
    assert [(g.done, g.failed) for g in account.groups] == [(FRAMES, {})] * 2
    lab.end()
    assert whole(lab.folder.file, "amid")


def test_what_the_disk_refuses_to_the_end_is_named_and_recovered(lab, tmp_path):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        take_scan(lab, producer, "before", 1)
        lab.until_settled(["before"])

        def fill(index):
            if index == 20:
                limit_files(lab.part("recorder").process.pid, 0)

        take_scan(lab, producer, "amid", 2, fill)
        lab.until(lambda: "File too large" in lab.record_held)
    lab.end()
    part = lab.folder.path / "run.nxs.part"
    assert part.exists()
    assert whole(part, "before")
    assert not whole(part, "amid")
    said: list[str] = []
    recover_run(lab.folder.path, tmp_path / "whole.nxs", said.append)
    assert whole(tmp_path / "whole.nxs", "before"), said
    assert whole(tmp_path / "whole.nxs", "amid"), said


def whole(file: Path, scan: str) -> bool:
    """Whether all frames of a scan are in a file, as they were sent."""
    with open_run(file) as run:
        found = [bytes(f.data) for f in run.frames(scan)]
        assert run.damaged == {}
    return found == [frame(scan, index).data for index in range(FRAMES)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_small_disk_that_fills_up_loses_nothing_when_there_is_room_again(tmp_path):
    """The same with a real one: spool and record on a tmpfs that other data fill up."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        lab = Lab(disk / "r")
        try:
            lab.until_ready()
            with Producer(lab.items, "source", window=8) as producer:
                ballast = disk / "ballast"
                put(lab, producer, scan_start("amid", 1))
                with ballast.open("wb") as file:
                    file.write(bytes(shutil.disk_usage(disk).free - (1 << 16)))
                    file.flush()
                    lab.until(lambda: lab.free < 1 << 20)  # the hub has seen it
                producer.put(frame("amid", 0))
                lab.until(lambda: lab.held)
                assert "0 MB free under" in lab.held
                ballast.unlink()
                for index in range(1, FRAMES):
                    put(lab, producer, frame("amid", index))
                put(lab, producer, ScanStop("amid", FRAMES, "complete"))
                lab.until_settled(["amid"])
            account = lab.accounts["amid"]
            assert [(g.done, g.failed) for g in account.groups] == [(FRAMES, {})] * 2
        finally:
            lab.end()
        with open_run(lab.folder.file) as run:
            assert run.frame_indices("amid") == list(range(FRAMES))
    finally:
        subprocess.run(["umount", str(disk)], check=True)

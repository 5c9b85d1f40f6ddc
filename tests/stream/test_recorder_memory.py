"""What HDF5 keeps in memory for the recorder does not grow with the run, and still never evicts
between two flushes."""

from __future__ import annotations

import hashlib
import itertools
import shutil

import numpy as np
import pytest
from operando.stream import hdf5_cache
from operando.stream.compression import checksum
from operando.stream.frame_table import FrameTable
from operando.stream.messages import (
    Account,
    Axis,
    Detector,
    Frame,
    GroupAccount,
    Result,
    ScanStart,
    ScanStop,
    Trajectory,
)
from operando.stream.recorder import Recorder
from operando.stream.redo_file import log_of
from operando.stream.run_file import open_run

FRAMES = 200
MAPS = 8
KEPT_BYTES = 64 << 10


def scan_start(number: int) -> ScanStart:
    axis = Axis("x", "um", np.arange(FRAMES, dtype=np.float64))
    detector = Detector("d", (4, 6), "uint16", (75e-6, 75e-6), 65000)
    return ScanStart(
        "run", f"s{number}", number, "frames", FRAMES, detector, Trajectory((FRAMES,), (axis,)),
        "", 5e4, 0.01, None, float(number),
    )  # fmt: skip


def frame(number: int, index: int) -> Frame:
    data = np.full((4, 6), number * FRAMES + index, "u2").tobytes()
    return Frame(f"s{number}", index, (4, 6), "uint16", "raw", data, checksum(data), 0.1)


def one_map(number: int, name: int, revision: int) -> Result:
    axis, values = np.arange(9.0), np.full((9, 9), float(revision))
    return Result(
        "run", f"s{number}", number, "xrdct", f"map{name}", ("y", "x"), {"y": axis, "x": axis},
        {"y": "um", "x": "um"}, "Å", values, values, revision / 60, revision, revision == 60,
    )  # fmt: skip


def written(recorder: Recorder) -> str:
    files = (recorder.part, log_of(recorder.part))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def account(number: int) -> Account:
    groups = (GroupAccount("record", 1, {}), GroupAccount("process", 1, {}))
    return Account("run", f"s{number}", number, FRAMES, 1, 0, {}, groups, True)


def held_by(table: FrameTable) -> int:
    """What a table holds in memory [bytes]."""
    return sum(values.nbytes for values in table._tables.values())


@pytest.fixture
def kept(monkeypatch) -> list[int]:
    """Sizes of the bookkeeping in memory after each flush [bytes]."""
    monkeypatch.setattr(hdf5_cache, "KEPT_BYTES", KEPT_BYTES)
    return []


def test_bookkeeping_in_memory_does_not_grow_with_the_run(tmp_path, kept):
    with Recorder(tmp_path / "run.nxs") as recorder:
        for number in (1, 2, 3):
            assert recorder.take(scan_start(number)) == ""
            for revision in range(1, 61):
                for index in range(FRAMES * (revision - 1) // 60, FRAMES * revision // 60):
                    assert recorder.take(frame(number, index)) == ""
                for name in range(MAPS):
                    assert recorder.take(one_map(number, name, revision)) == ""
                assert recorder.flush() == ""
                kept.append(recorder._file.id.get_mdc_size()[2])
    assert max(kept) <= KEPT_BYTES
    assert sum(after < before for before, after in itertools.pairwise(kept)) > 10
    with open_run(tmp_path / "run.nxs") as run:
        for start in run.scans():
            assert [f.data for f in run.frames(start.scan)] == [
                frame(start.number, index).data for index in range(FRAMES)
            ]
            results = run.results(start.scan)
            assert {r.name for r in results} == {f"map{name}" for name in range(MAPS)}
            assert all((r.values == 60).all() and r.final for r in results)
        assert run.damaged == {}


def test_nothing_reaches_the_disk_but_in_a_flush(tmp_path, kept):
    """A kill between two flushes finds the file as the last one left it, however full the cache."""
    recorder = Recorder(tmp_path / "run.nxs")
    recorder.take(scan_start(1))
    for revision in range(1, 20):
        assert recorder.flush() == ""
        flushed = written(recorder)
        hdf5_cache.forget_bookkeeping(recorder._file, 0)
        assert written(recorder) == flushed
        for name in range(MAPS):
            recorder.take(one_map(1, name, revision))
        assert recorder._file.id.get_mdc_size()[2] > 4096
        left = tmp_path / "left.nxs"  # what a kill would leave at this moment
        shutil.copyfile(recorder.part, left)
        shutil.copyfile(log_of(recorder.part), log_of(left))
        with open_run(left) as run:
            assert {r.revision for r in run.results("s1")} <= {revision - 1}
    recorder.close()


def test_masks_and_tables_of_finished_scans_are_not_kept(tmp_path):
    recorder = Recorder(tmp_path / "run.nxs")
    for number in (1, 2):
        recorder.take(scan_start(number))
        recorder.take(frame(number, 0))
        assert recorder.flush() == ""
        before = held_by(recorder._tables[f"s{number}"])
        recorder.take(ScanStop(f"s{number}", 1, "complete"))
        recorder.take(account(number))
        assert recorder.flush() == ""
        assert held_by(recorder._tables[f"s{number}"]) < before - 15 * FRAMES
    assert recorder.take(frame(1, 1)) == ""  # late, and still at its place
    assert recorder.frames == 3
    recorder.close()
    with open_run(tmp_path / "run.nxs") as run:
        assert run.frame_indices("s1") == [0, 1]

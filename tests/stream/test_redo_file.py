"""Whenever a kill or a power failure comes, file and log are as the last commit left them."""

from __future__ import annotations

import os
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
from operando.stream import redo_file
from operando.stream.compression import checksum
from operando.stream.messages import Axis, Detector, Frame, Result, ScanStart, ScanStop, Trajectory
from operando.stream.recorder import Recorder
from operando.stream.redo_file import RedoFile, log_of
from operando.stream.run_file import RunFileError, open_run

FRAMES = 32
SHAPE = (8, 12)


@dataclass
class Disk:
    """What was done to the files, in order: each is (file, operation, arguments).

    marks: how many operations had been done when something was promised, and what
    """

    done: list[tuple[str, str, tuple]] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)

    def module(self) -> types.SimpleNamespace:
        """os as redo_file uses it, writing everything down."""

        def opened(path, flags, *mode) -> int:
            descriptor = os.open(path, flags, *mode)
            self._names[descriptor] = Path(path).name
            return descriptor

        def told(name: str) -> Callable:
            def call(descriptor, *arguments):
                kept = tuple(bytes(a) if isinstance(a, memoryview) else a for a in arguments)
                self.done.append((self._names[descriptor], name, kept))
                return getattr(os, name)(descriptor, *arguments)

            return call

        spied = {name: told(name) for name in ("pwrite", "ftruncate", "fsync")}
        return types.SimpleNamespace(**{**vars(os), "open": opened, **spied})


def apply(files: dict[str, bytearray], name: str, what: str, arguments: tuple) -> None:
    content = files.setdefault(name, bytearray())
    if what == "pwrite":
        data, at = arguments
        content.extend(bytes(max(at + len(data) - len(content), 0)))
        content[at : at + len(data)] = data
    elif what == "ftruncate":
        (size,) = arguments
        content.extend(bytes(max(size - len(content), 0)))
        del content[size:]


def lay_down(folder: Path, files: dict[str, bytearray]) -> Path:
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "run.nxs.part"


def scan_start(number: int) -> ScanStart:
    axis = Axis("x", "um", np.arange(FRAMES, dtype=np.float64))
    detector = Detector("d", SHAPE, "uint16", (75e-6, 75e-6), 65000)
    return ScanStart(
        "run", f"s{number}", number, "frames", FRAMES, detector, Trajectory((FRAMES,), (axis,)),
        "", 5e4, 0.01, None, float(number),
    )  # fmt: skip


def frame(number: int, index: int) -> Frame:
    data = np.full(SHAPE, number * FRAMES + index, "u2").tobytes()
    return Frame(f"s{number}", index, SHAPE, "uint16", "raw", data, checksum(data), 0.1)


def one_map(number: int, revision: int) -> Result:
    axis, values = np.arange(9.0), np.full((9, 9), float(revision))
    return Result(
        "run", f"s{number}", number, "xrdct", f"map{revision % 5}", ("y", "x"),
        {"y": axis, "x": axis}, {"y": "um", "x": "um"}, "Å", values, values, 1.0, revision, True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Disk:
    """A run of two scans, flushed every few frames, with maps that replace each other.

    Its marks: how many frames were flushed; negative: and on the disk.
    """
    disk = Disk()
    patch = pytest.MonkeyPatch()
    patch.setattr(redo_file, "os", disk.module())
    patch.setattr(redo_file, "LOG_BYTES", 60_000)  # so that one falls into a scan, too
    folder = tmp_path_factory.mktemp("recorded")
    recorder = Recorder(folder / "run.nxs")
    for number in (1, 2):
        recorder.take(scan_start(number))
        for index in range(FRAMES):
            recorder.take(frame(number, index))
            if index % 3 == 0:
                recorder.take(one_map(number, index))
            if index % 4 == 3:
                assert recorder.flush() == ""
                disk.marks.append((len(disk.done), (number - 1) * FRAMES + index + 1))
        recorder.take(ScanStop(f"s{number}", FRAMES, "complete"))
        assert recorder.flush() == ""
        disk.marks.append((len(disk.done), -number * FRAMES))
    patch.undo()
    recorder.close()
    return disk


def promised(disk: Disk, done: int, on_disk: bool = False) -> int:
    """How many frames were promised after so many operations."""
    counts = [abs(n) for when, n in disk.marks if when <= done and (n < 0 or not on_disk)]
    return max(counts, default=0)


def frames_in(part: Path) -> int:
    """How many frames are there, all of them as they were sent, and none missing between them."""
    with open_run(part) as run:
        found = [
            (start.number, each.index)
            for start in run.scans()
            for each in run.frames(start.scan)
            if each.data == frame(start.number, each.index).data
        ]
        run.results()
        assert run.damaged == {}
    assert found == [divmod(n, FRAMES) for n in range(FRAMES, FRAMES + len(found))]
    return len(found)


def test_a_kill_at_any_write_costs_nothing_that_was_flushed(recorded, tmp_path):
    """Between two writes, and in every second one in its middle."""
    files: dict[str, bytearray] = {}
    first = recorded.marks[0][0]
    for done, (name, what, arguments) in enumerate(recorded.done):
        if done >= first and what == "pwrite":
            left = {each: bytearray(content) for each, content in files.items()}
            if done % 2:
                data, at = arguments
                apply(left, name, what, (data[: len(data) // 2], at))
            assert frames_in(lay_down(tmp_path, left)) >= promised(recorded, done)
        apply(files, name, what, arguments)
    assert frames_in(lay_down(tmp_path, files)) == 2 * FRAMES


def test_the_file_alone_is_that_of_the_last_checkpoint_except_while_one_is_made(recorded, tmp_path):
    files: dict[str, bytearray] = {}
    making = False
    counted = 0
    for done, (name, what, arguments) in enumerate(recorded.done):
        apply(files, name, what, arguments)
        if name.endswith(redo_file.SUFFIX):
            making = files[name][16:24] != bytes(8)
        if not making and done % 3 == 0 and promised(recorded, done, on_disk=True):
            alone = {n: c for n, c in files.items() if not n.endswith(redo_file.SUFFIX)}
            assert frames_in(lay_down(tmp_path, alone)) >= promised(recorded, done, on_disk=True)
            counted += 1
    assert counted > 30


def test_a_power_failure_costs_nothing_from_before_the_last_scans_end(
    recorded, tmp_path, monkeypatch
):
    """Of what was not forced to the disk, any part may be there and any other not."""
    monkeypatch.setattr(redo_file, "_session", lambda: bytes(range(16)))
    chosen = random.Random(3)
    first = recorded.marks[0][0]
    for _ in range(100):
        until = chosen.randrange(first, len(recorded.done))
        synced: dict[str, bytearray] = {}
        waiting: dict[str, list[tuple[str, tuple]]] = {}
        for name, what, arguments in recorded.done[:until]:
            if what == "fsync":
                for each in waiting.pop(name, []):
                    apply(synced, name, *each)
            else:
                waiting.setdefault(name, []).append((what, arguments))
        for name, each in waiting.items():
            for what, arguments in each:
                if chosen.random() < 0.5:
                    apply(synced, name, what, arguments)
        part = lay_down(tmp_path, synced)
        assert frames_in(part) >= promised(recorded, until, on_disk=True)


def test_it_is_a_file_like_any_other_and_goes_back_to_its_last_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(redo_file, "LOG_BYTES", 40_000)
    chosen = random.Random(5)
    path = tmp_path / "a"
    file, now, kept = RedoFile(path, "x"), bytearray(), b""
    for step in range(1500):
        at = chosen.randrange(len(now) + 1)
        data = chosen.randbytes(chosen.choice((1, 8, 200, 9000)))
        now.extend(bytes(max(at + len(data) - len(now), 0)))
        now[at : at + len(data)] = data
        file.seek(at)
        assert file.write(data) == len(data)
        if step % 7 == 0:
            file.commit(to_disk=step % 21 == 0)
            kept = bytes(now)
        if step % 50 == 0:
            file.seek(0)
            assert file.read() == now
            reader = RedoFile(path, "r")
            assert reader.read() == kept
            reader.close()
        if step % 211 == 0:  # a kill
            file.close()
            file, now = RedoFile(path, "r+"), bytearray(kept)
        if step % 333 == 0:
            del now[len(now) // 2 :]
            file.truncate(len(now))
    file.commit()
    file.finish()
    file.close()
    assert path.read_bytes() == now
    assert not log_of(path).exists()


def test_a_run_can_be_read_while_it_grows(tmp_path):
    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(scan_start(1))
        recorder.flush()
        for index in range(FRAMES):
            recorder.take(frame(1, index))
        recorder.take(one_map(1, 7))
        recorder.flush()
        assert frames_in(recorder.part) == FRAMES
        with open_run(recorder.part) as early:
            recorder.take(ScanStop("s1", FRAMES, "complete"))
            recorder.flush()
            with pytest.raises(RunFileError, match="open it again"):
                early.results()
        with h5py.File(recorder.part, "r") as plain:  # the scan has ended: any program's eyes
            assert plain["entry/scan_0001/instrument/detector/written"][()].sum() == FRAMES


def test_nobody_else_writes_meanwhile_and_a_strangers_file_stays_as_it_is(tmp_path):
    file = RedoFile(tmp_path / "a", "x")
    file.write(b"mine")
    file.commit()
    with pytest.raises(OSError, match="being written by another process"):
        RedoFile(tmp_path / "a", "r+")
    file.close()
    stranger = tmp_path / "b"
    stranger.write_bytes(b"something else")
    RedoFile(stranger, "r+").abandon()
    assert stranger.read_bytes() == b"something else"
    assert not log_of(stranger).exists()


def test_what_was_begun_and_never_committed_is_begun_anew(tmp_path):
    file = RedoFile(tmp_path / "a", "x")
    file.write(b"half")
    file.close()
    again = RedoFile(tmp_path / "a", "r+")
    assert again.empty
    again.close()


def test_a_commit_for_which_there_is_no_room_is_none_and_can_be_tried_again(tmp_path, monkeypatch):
    file = RedoFile(tmp_path / "a", "x")
    file.write(b"before")
    file.commit()

    def full(*_):
        raise OSError(28, "No space left on device")

    file.seek(0)
    file.write(b"BEFORE")
    with monkeypatch.context() as patch:
        patch.setattr(redo_file.os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            file.commit()
    reader = RedoFile(tmp_path / "a", "r")
    assert reader.read() == b"before"
    reader.close()
    file.commit()
    reader = RedoFile(tmp_path / "a", "r")
    assert reader.read() == b"BEFORE"
    reader.close()
    file.close()

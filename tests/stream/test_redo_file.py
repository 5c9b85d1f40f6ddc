"""Whenever a kill or a power failure comes, file and log are as the last commit left them."""

from __future__ import annotations

import contextlib
import os
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
from operando.stream import redo_file, redo_log
from operando.stream.compression import checksum
from operando.stream.messages import Axis, Detector, Frame, Result, ScanStart, ScanStop, Trajectory
from operando.stream.recorder import Recorder, RecorderError
from operando.stream.redo_file import RedoFile
from operando.stream.redo_log import SUFFIX, log_of
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
    part = folder / "run.nxs.part"
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if log_of(part).exists() and part.exists():  # a kill copies nothing: it is the same file
        with log_of(part).open("r+b") as file:
            file.seek(48)
            file.write(part.stat().st_ino.to_bytes(8, "little"))
    return part


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
    spy = disk.module()
    patch.setattr(redo_file, "os", spy)
    patch.setattr(redo_log, "os", spy)
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
        if name.endswith(SUFFIX):
            making = files[name][16:24] != bytes(8)
        if not making and done % 3 == 0 and promised(recorded, done, on_disk=True):
            alone = {n: c for n, c in files.items() if not n.endswith(SUFFIX)}
            assert frames_in(lay_down(tmp_path, alone)) >= promised(recorded, done, on_disk=True)
            counted += 1
    assert counted > 30


def test_a_power_failure_costs_nothing_from_before_the_last_scans_end(
    recorded, tmp_path, monkeypatch
):
    """Of what was not forced to the disk, any part may be there and any other not."""
    monkeypatch.setattr(redo_file, "session", lambda: bytes(range(16)))
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
    file, now, kept = RedoFile(path, "w"), bytearray(), b""
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
            file, now = RedoFile(path, "w"), bytearray(kept)
        if step % 333 == 0:
            del now[len(now) // 2 :]
            file.truncate(len(now))
    file.finish(tmp_path / "b")
    file.close()
    assert (tmp_path / "b").read_bytes() == now
    assert not path.exists()
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
    file = RedoFile(tmp_path / "a", "w")
    file.write(b"mine")
    file.commit()
    with pytest.raises(OSError, match="being written by another process"):
        RedoFile(tmp_path / "a", "w")
    file.close()
    for name, log_text in (("b", None), ("c", log_of(tmp_path / "a").read_bytes())):
        stranger = tmp_path / name
        stranger.write_bytes(b"something else")
        if log_text is not None:
            log_of(stranger).write_bytes(log_text)
        with pytest.raises(OSError, match=r"has no log|another file's"):
            RedoFile(stranger, "w")
        assert stranger.read_bytes() == b"something else"
        assert log_of(stranger).exists() == (log_text is not None)


def test_what_was_begun_and_never_committed_is_begun_anew(tmp_path):
    file = RedoFile(tmp_path / "a", "w")
    file.write(b"half")
    file.close()
    again = RedoFile(tmp_path / "a", "w")
    assert again.empty
    again.abandon()
    assert list(tmp_path.iterdir()) == []
    log_of(tmp_path / "a").write_bytes(b"x" * 200)  # left by a file that is gone
    again = RedoFile(tmp_path / "a", "w")
    again.write(b"new")
    again.commit()
    again.close()
    assert content(tmp_path / "a") == b"new"


def content(path: Path) -> bytes:
    """What a reader sees."""
    reader = RedoFile(path, "r")
    found = reader.read()
    reader.close()
    return found


def refuse(*_) -> None:
    raise OSError(28, "No space left on device")


def test_a_commit_for_which_there_is_no_room_is_none_and_can_be_tried_again(tmp_path, monkeypatch):
    file = RedoFile(tmp_path / "a", "w")
    file.write(b"before")
    file.commit()
    file.seek(0)
    file.write(b"BEFORE and more")
    with monkeypatch.context() as patch:
        patch.setattr(redo_log.os, "pwrite", refuse)
        with pytest.raises(OSError, match="No space"):
            file.commit()
    assert content(tmp_path / "a") == b"before"
    file.commit()
    assert content(tmp_path / "a") == b"BEFORE and more"
    file.close()


@pytest.mark.parametrize("works_for", range(0, 24, 3))
def test_a_disk_that_refuses_writes_of_hdf5_is_named_and_with_room_again_nothing_is_missing(
    tmp_path, monkeypatch, works_for
):
    recorder = Recorder(tmp_path / "run.nxs")
    recorder.take(scan_start(1))
    assert recorder.flush() == ""
    left = [works_for]

    def sometimes(*arguments) -> int:
        left[0] -= 1
        return os.pwrite(*arguments) if left[0] >= 0 else refuse()

    with monkeypatch.context() as patch:
        patch.setattr(redo_log, "os", types.SimpleNamespace(**{**vars(os), "pwrite": sometimes}))
        for index in range(FRAMES // 2):
            recorder.take(frame(1, index))
        recorder.take(one_map(1, 3))
        assert "No space" in recorder.flush()
        assert "No space" in recorder.flush()
    for index in range(FRAMES // 2, FRAMES):
        assert recorder.take(frame(1, index)) == ""
    assert recorder.flush() == ""
    assert frames_in(recorder.part) == FRAMES
    recorder.close()
    assert frames_in(tmp_path / "run.nxs") == FRAMES


def test_more_than_fits_into_memory_is_refused_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(redo_file, "WAITING_BYTES", 1000)
    file = RedoFile(tmp_path / "a", "w")
    monkeypatch.setattr(redo_log.os, "pwrite", refuse)
    file.write(bytes(900))
    with pytest.raises(OSError, match="wait for room"):
        file.write(bytes(900))


def test_a_run_that_could_not_begin_for_want_of_room_begins_with_room(tmp_path, monkeypatch):
    for works_for in (0, 1, 2):
        left = [works_for]

        def sometimes(*arguments, left=left) -> int:
            left[0] -= 1
            return os.pwrite(*arguments) if left[0] >= 0 else refuse()

        with monkeypatch.context() as patch:
            shim = types.SimpleNamespace(**{**vars(os), "pwrite": sometimes})
            patch.setattr(redo_log, "os", shim)
            with pytest.raises(RecorderError, match="cannot be written"):
                Recorder(tmp_path / "run.nxs")
    with Recorder(tmp_path / "run.nxs") as recorder:
        assert recorder.take(scan_start(1)) == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert len(run.scans()) == 1


def test_what_a_power_failure_made_doubtful_is_not_believed_after_another_kill(
    tmp_path, monkeypatch
):
    path = tmp_path / "run.nxs.part"
    file = RedoFile(path, "w")
    file.write(bytes(9000))
    file.commit(to_disk=True)
    file.seek(100)
    file.write(b"never forced to the disk")
    file.commit()
    file.close()
    files = {each.name: bytearray(each.read_bytes()) for each in tmp_path.iterdir()}
    monkeypatch.setattr(redo_file, "session", lambda: bytes(range(16)))
    disk = Disk()
    with monkeypatch.context() as patch:
        spy = disk.module()
        patch.setattr(redo_file, "os", spy)
        patch.setattr(redo_log, "os", spy)
        RedoFile(path, "w").close()
    assert disk.done
    for done in disk.done:
        apply(files, *done)
        assert content(lay_down(tmp_path, files)) == bytes(9000)


@pytest.mark.parametrize("fails", ["fsync", "ftruncate"])
def test_a_checkpoint_that_failed_makes_nothing_doubtful_believed_and_hides_nothing(
    tmp_path, monkeypatch, fails
):
    path = tmp_path / "a"
    file = RedoFile(path, "w")
    file.write(bytes(5000))
    file.commit(to_disk=True)
    for number, calls in enumerate((1, 2, 3, 4, 5)):
        file.seek(10)
        file.write(b"%d" % number)
        file.commit()
        left = [calls]

        def sometimes(*arguments, left=left) -> None:
            left[0] -= 1
            return getattr(os, fails)(*arguments) if left[0] > 0 else refuse()

        with monkeypatch.context() as patch:
            patch.setattr(redo_file, "os", types.SimpleNamespace(**{**vars(os), fails: sometimes}))
            with contextlib.suppress(OSError):
                file.commit(to_disk=True)
        file.seek(11)
        file.write(b"%d" % number)
        file.commit()
        assert content(path)[10:12] == b"%d%d" % (number, number)
        with monkeypatch.context() as patch:  # a power failure: the last commit was not forced
            patch.setattr(redo_file, "session", lambda: bytes(range(16)))
            assert content(path)[10:11] in (b"%d" % number, b"%d" % (number - 1), bytes(1))
            assert content(path)[11:12] != b"%d" % number
    file.close()


def test_a_reader_of_frames_that_is_overtaken_is_told_so_and_calls_none_damaged(tmp_path):
    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(scan_start(1))
        for index in range(FRAMES):
            recorder.take(frame(1, index))
        recorder.flush()
        with open_run(recorder.part) as early:
            frames = early.frames("s1")
            next(frames)
            recorder.take(ScanStop("s1", FRAMES, "complete"))
            recorder.flush()
            with pytest.raises(RunFileError, match="open it again"):
                list(frames)
            assert early.damaged == {}


def test_a_successor_goes_on_from_any_kill(recorded, tmp_path):
    files: dict[str, bytearray] = {}
    first = recorded.marks[0][0]
    for done, (name, what, arguments) in enumerate(recorded.done):
        apply(files, name, what, arguments)
        if done < first or done % 17:
            continue
        part = lay_down(tmp_path, files)
        had = frames_in(part)
        with Recorder(tmp_path / "run.nxs") as recorder:
            for n in range(FRAMES, 3 * FRAMES):
                number, index = divmod(n, FRAMES)
                recorder.take(scan_start(number))
                assert recorder.take(frame(number, index)) == ""
        assert frames_in(tmp_path / "run.nxs") == 2 * FRAMES >= had

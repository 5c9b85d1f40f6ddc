"""An append-only log of records in segment files, every byte of it under a checksum.

A record is a few buffers under one number. What append() has returned is in the kernel's hands:
it survives kill -9 of this and every other process. What `synced` has reached has been forced to
the disk and survives a power failure; a thread of its own does that every SYNC_S, so append()
never waits for a disk that is only slow.

The checksum covers number and lengths as well as the payload (without them one flipped bit in
nine went unseen), and its seed stands in the file's name: a record that lies inside the payload of
another one is not mistaken for a record.

Reading believes nothing: a record that does not match its checksum is named, with its place, and
reading goes on at the next sound one. Only where none follows is it the torn end that a kill
leaves behind. Files are never repaired in place: a log opened again goes on in a new segment.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

SYNC_S = 0.1
SEGMENT_BYTES = 64 << 20
MAX_PARTS = 256
SUFFIX = ".seg"
_MAGIC = b"OpR1"
_HEAD = struct.Struct("<4sIQQQ")  # magic, parts, number, bytes of the parts, checksum
_COUNTS = struct.Struct("<IQQ")  # what of the head is under the checksum
_OPEN_FILES = 4
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk, of a user, of a process

Buffer = bytes | memoryview


class LogFull(OSError):
    """The disk has no room for a record; nothing of it is left in the log."""


class Damaged(ValueError):
    """A record that does not match its checksum; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: its segment's first number, and offset and length there [B]."""

    segment: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Record:
    """number: ascending within a log; parts: as they were appended, views of the file"""

    number: int
    parts: list[memoryview]
    place: Place


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that holds no sound record; torn: nothing sound follows in that file."""

    path: Path
    offset: int
    length: int
    torn: bool

    def __str__(self) -> str:
        what = "ends in a torn record" if self.torn else "is damaged"
        return f"{self.path.name} {what}: {self.length} bytes at {self.offset}"


@dataclass(slots=True)
class Segment:
    """One file of a log.

    first: lower bound of the numbers in it; seed: of its checksums
    began: here, or when it was found [s, monotonic]
    """

    path: Path
    first: int
    seed: int
    length: int
    began: float


class SegmentLog:
    """The log in folder, written by one thread.

    segment_bytes: a file that has reached this is followed by a new one
    sync_s: how often what was written is forced to the disk; 0 leaves that to sync()
    """

    def __init__(
        self, folder: Path, segment_bytes: int = SEGMENT_BYTES, sync_s: float = SYNC_S
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.segments: dict[int, Segment] = {s.first: s for s in segments_of(self.folder)}
        self.synced = 0
        self.sync_took_s = 0.0
        self.sync_error = ""
        self._segment_bytes = segment_bytes
        self._last = 0
        self._current: Segment | None = None
        self._file = -1
        self._full_files: list[int] = []  # written to their end, not yet synced and closed
        self._readers: dict[int, int] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if sync_s > 0:
            self._thread = threading.Thread(
                target=self._sync_often,
                args=(sync_s,),
                name=f"sync-{self.folder.name}",
                daemon=True,
            )
            self._thread.start()

    @property
    def bytes(self) -> int:
        """Length of all segments [B]."""
        return sum(s.length for s in self.segments.values())

    @property
    def current(self) -> int:
        """First number of the segment that is being written; 0 where there is none."""
        return self._current.first if self._current is not None else 0

    def append(self, number: int, parts: Sequence[Buffer]) -> Place:
        """Write one record. Raises LogFull, OSError, and ValueError for a number not ascending."""
        if number <= self._last or not 1 <= len(parts) <= MAX_PARTS:
            raise ValueError(f"record {number} of {len(parts)} parts after record {self._last}")
        if self._current is None or self._current.length >= self._segment_bytes:
            self._current = self._next_segment(number)
        segment = self._current
        lengths = [len(p) for p in parts]
        body = sum(lengths)
        table = struct.pack(f"<{len(parts)}Q", *lengths)
        check = _check(segment.seed, _COUNTS.pack(len(parts), number, body), table, parts)
        head = _HEAD.pack(_MAGIC, len(parts), number, body, check) + table
        length = len(head) + body
        self._write(segment, [head, *parts], length)
        place = Place(segment.first, segment.length, length)
        with self._lock:
            segment.length += length
            self._last = number
        return place

    def read(self, place: Place) -> list[memoryview]:
        """The parts of a record. Raises Damaged, and OSError where its segment was let go."""
        segment = self.segments.get(place.segment)
        if segment is None:
            raise FileNotFoundError(f"segment {place.segment} of {self.folder} has been let go")
        file = self._readers.get(place.segment, -1)
        if file < 0:
            while len(self._readers) >= _OPEN_FILES:
                os.close(self._readers.pop(next(iter(self._readers))))
            file = self._readers[place.segment] = os.open(segment.path, os.O_RDONLY)
        view = memoryview(os.pread(file, place.length, place.offset))
        found = _parse(view, 0, segment.seed)
        if found is None:
            raise Damaged(f"{segment.path}: the record at {place.offset} is damaged")
        return found[1]

    def let_go(self, first: int) -> None:
        """Delete a segment. Raises ValueError for the one that is being written."""
        if first == self.current:
            raise ValueError(f"segment {first} of {self.folder} is being written")
        segment = self.segments.pop(first, None)
        if segment is not None:
            reader = self._readers.pop(first, -1)
            if reader >= 0:
                os.close(reader)
            segment.path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Force what has been written to the disk. Raises OSError."""
        with self._lock:
            last, full = self._last, self._full_files
            self._full_files = []
            current = os.dup(self._file) if self._file >= 0 and last > self.synced else -1
        began = time.monotonic()
        files = [*full, current] if current >= 0 else full
        try:
            for file in files:
                os.fdatasync(file)
            if full:
                sync_folder(self.folder)
            self.synced = last
        finally:
            for file in files:
                os.close(file)
        if files:
            self.sync_took_s = time.monotonic() - began

    def close(self) -> None:
        """Sync and close; the files stay."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.sync()
        finally:
            for file in (self._file, *self._readers.values()):
                if file >= 0:
                    os.close(file)
            self._file, self._current = -1, None
            self._readers.clear()

    def _next_segment(self, first: int) -> Segment:
        seed = secrets.randbits(63)
        path = self.folder / f"{first:019d}-{seed:016x}{SUFFIX}"
        file = -1
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            sync_folder(self.folder)
        except OSError as error:
            if file >= 0:  # it will be tried again, perhaps for hours
                os.close(file)
                with contextlib.suppress(OSError):
                    path.unlink()
            if error.errno in _NO_ROOM:
                raise LogFull(error.errno, f"no room for {path}") from None
            raise
        with self._lock:
            if self._file >= 0:
                self._full_files.append(self._file)
            self._file = file
        segment = self.segments[first] = Segment(path, first, seed, 0, time.monotonic())
        return segment

    def _write(self, segment: Segment, buffers: list[Buffer], length: int) -> None:
        left = list(buffers)
        try:
            written = os.writev(self._file, left)
            while written < length:  # nearly full disk, or a signal: go on where it stopped
                length -= written
                left = _rest(left, written)
                written = os.writev(self._file, left)
        except OSError as error:
            try:
                os.ftruncate(self._file, segment.length)
                os.lseek(self._file, segment.length, os.SEEK_SET)
            except OSError:  # what stands behind its last record stays; the next begins a segment
                self._current = None
            if error.errno in _NO_ROOM:
                raise LogFull(error.errno, f"no room in {segment.path}") from None
            raise

    def _sync_often(self, every_s: float) -> None:
        while not self._closing.wait(every_s):
            try:
                self.sync()
                self.sync_error = ""
            except OSError as error:
                self.sync_error = str(error)


def segments_of(folder: Path) -> list[Segment]:
    """The segments in folder, in the order of their numbers; files of other names are left out."""
    found = []
    for path in Path(folder).glob(f"*{SUFFIX}"):
        first, _, seed = path.stem.partition("-")
        if first.isdecimal() and len(seed) == 16:
            try:
                size = path.stat().st_size
                known = Segment(path, int(first), int(seed, 16), size, time.monotonic())
            except (ValueError, OSError):
                continue
            found.append(known)
    return sorted(found, key=lambda s: s.first)


def read_log(folder: Path) -> Iterator[Record | Damage]:
    """Everything sound in the log in folder, in order, and what is not, by its place."""
    for segment in segments_of(folder):
        yield from read_segment(segment)


def read_segment(segment: Segment) -> Iterator[Record | Damage]:
    """The records of one file. The views stay valid when the file is deleted."""
    if segment.path.stat().st_size == 0:
        return
    with segment.path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = memoryview(mapped)
    offset = last = 0
    while offset < len(view):
        found = _parse(view, offset, segment.seed)
        if found is None or found[0] <= last:
            sound = _next_sound(mapped, view, offset + 1, segment.seed, last)
            end = len(view) if sound < 0 else sound
            yield Damage(segment.path, offset, end - offset, torn=sound < 0)
            offset = end
            continue
        last, parts, length = found
        yield Record(last, parts, Place(segment.first, offset, length))
        offset += length


def _next_sound(mapped: mmap.mmap, view: memoryview, start: int, seed: int, last: int) -> int:
    place = mapped.find(_MAGIC, start)
    while place >= 0:
        found = _parse(view, place, seed)
        if found is not None and found[0] > last:
            return place
        place = mapped.find(_MAGIC, place + 1)
    return -1


def _parse(view: memoryview, offset: int, seed: int) -> tuple[int, list[memoryview], int] | None:
    """Number, parts and length of the record at offset; None where there is no sound one."""
    if len(view) - offset < _HEAD.size:
        return None
    magic, count, number, body, check = _HEAD.unpack_from(view, offset)
    if magic != _MAGIC or not 1 <= count <= MAX_PARTS:
        return None
    start = offset + _HEAD.size + 8 * count
    if start + body > len(view):
        return None
    lengths = struct.unpack_from(f"<{count}Q", view, offset + _HEAD.size)
    if sum(lengths) != body:
        return None
    parts = []
    end = start
    for length in lengths:
        parts.append(view[end : end + length])
        end += length
    table = view[offset + _HEAD.size : start]
    if _check(seed, _COUNTS.pack(count, number, body), table, parts) != check:
        return None
    return number, parts, end - offset


def _check(seed: int, counts: Buffer, table: Buffer, parts: Sequence[Buffer]) -> int:
    state = xxhash.xxh3_64(counts, seed=seed)
    state.update(table)
    for part in parts:
        state.update(part)
    return int(state.intdigest())


def _rest(buffers: list[Buffer], written: int) -> list[Buffer]:
    """What of buffers is still to be written."""
    left: list[Buffer] = []
    for buffer in buffers:
        if written >= len(buffer):
            written -= len(buffer)
            continue
        left.append(memoryview(buffer)[written:])
        written = 0
    return left


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

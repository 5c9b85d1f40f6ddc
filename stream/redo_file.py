"""A file that a kill or a power failure at any moment leaves as its last commit left it.

h5py writes a run's file through one of these. What HDF5 writes falls in two. Beyond the end that
the last commit knew nothing refers to anything yet: that goes to the file at once (frames). What
would change bytes that the last commit spoke of (HDF5's bookkeeping, tables) is kept in memory,
and commit() appends all of it, as one record under a checksum, to a log beside the file. From time
to time, and when asked, checkpoint() brings the file up to date: the log is forced to the disk, its
changes are written into the file, that is forced to the disk, and the log begins anew.

So the file itself is at every moment that of its last checkpoint, and file and log together are
that of the last commit. Any HDF5 program may open the file while it grows; one that reads it
through this class sees the last commit too, until a checkpoint passes under it (then a read says
so). A record that a kill has cut off was not committed, and is left out.

What the log has since the last checkpoint is believed until the machine is started again: after a
power failure nobody knows which of it, and of the frames it speaks of, had reached the disk.

The log, NAME.redo: magic, number of checkpoints, whether one is under way, the start of the machine
(its boot id), size of the file at the checkpoint; then records of a head (magic, number of
checkpoints, size of the file, bytes that follow, xxh3_64 of these) and writes, each with its offset
and length. An empty log: nothing was committed, the file holds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import xxhash

PAGE = 4096
LOG_BYTES = 16 << 20  # a log that has grown beyond is worked off
SUFFIX = ".redo"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BEGIN = struct.Struct("<8sQQ16sQ")
_HEAD = struct.Struct("<4sQQQQ")
_WRITE = struct.Struct("<QQ")
_MAGIC, _RECORD = b"operedo1", b"oRec"

Mode = Literal["r", "r+", "x"]

log = logging.getLogger(__name__)


class _Begin(NamedTuple):
    """The beginning of a log: checkpoints, whether one is under way, session, size of the file."""

    rounds: int
    busy: int
    session: bytes
    size: int


def log_of(path: Path) -> Path:
    """Where the log of a file is."""
    return path.with_name(path.name + SUFFIX)


class RedoFile:
    """An open file as h5py wants one: seek, read, write, truncate, flush.

    mode: "r" changes nothing on the disk; "r+" goes on from the last commit; "x" begins a new file
    Raises OSError: no such file, exists already ("x"), or another process writes it.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._writes = mode != "r"
        self._place = 0
        self._pages: dict[int, bytearray] = {}  # that differ from the file
        self._pending: list[tuple[int, bytes]] = []  # since the last commit
        self._begin = _Begin(0, 0, b"", 0)
        self._log_end = 0
        # sizes: with all that was written; at the last commit; of which log or file speak
        self._size = self._committed = self._known = 0
        flags = {"r": os.O_RDONLY, "r+": os.O_RDWR, "x": os.O_RDWR | os.O_CREAT | os.O_EXCL}[mode]
        self._file = os.open(path, flags | os.O_CLOEXEC, 0o666)
        self._log = -1
        try:
            self._log, self._log_is_new = _open_log(path, mode)
            self._size = self._committed = self._known = os.fstat(self._file).st_size
            self._load()
        except BaseException:
            self.close()
            raise

    @property
    def empty(self) -> bool:
        """Whether nothing has ever been committed."""
        return not self._size

    # -- what h5py calls --------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; the new one."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def read(self, size: int = -1) -> bytes:
        """As many bytes, or all that follow."""
        left = max(self._size - self._place, 0)
        found = bytearray(left if size < 0 else min(size, left))
        self.readinto(found)
        return bytes(found)

    def readinto(self, into: bytearray | memoryview) -> int:
        """Fill a buffer; beyond the end with zeros. Raises OSError where a checkpoint passed."""
        view = memoryview(into).cast("B")
        count = 0
        while count < len(view):
            got = os.preadv(self._file, [view[count:]], self._place + count)
            if not got:
                view[count:] = bytes(len(view) - count)
                break
            count += got
        for at, start, stop, page in self._overlaid(self._place, len(view)):
            view[at : at + stop - start] = page[start:stop]
        if not self._writes and self._log >= 0 and _begin_of(self._log) != self._begin:
            raise OSError(errno.ESTALE, f"{self.path} was brought up to date: open it again")
        self._place += len(view)
        return len(view)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write; into what the last commit spoke of, only in memory until the next one."""
        view = memoryview(data).cast("B")
        at, size = self._place, len(view)
        known = min(max(self._known - at, 0), size)
        if known:
            self._lay_over(at, view[:known])
            self._pending.append((at, bytes(view[:known])))
        if known < size:
            _write_all(self._file, view[known:], at + known)
            # a page at the old end is in memory, too
            for place, start, stop, page in self._overlaid(at + known, min(size - known, PAGE)):
                page[start:stop] = view[known + place : known + place + stop - start]
        self._place += size
        self._size = max(self._size, self._place)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Let the file end here; what lay beyond may come back where it grows without a write."""
        self._size = self._place if size is None else size
        return self._size

    def flush(self) -> None:
        """Nothing: commit() says when what has been written belongs together."""

    # -- what its owner calls ---------------------------------------------------------------------

    def commit(self, to_disk: bool = False) -> None:
        """All that was written so far belongs together. Raises OSError, and then it does not yet.

        It survives kill -9 from here on. to_disk: and a power failure, and any reader sees it.
        """
        if not self._begin.rounds and not self._pending:  # the first one: nothing to go back to
            self._set_committed()
            self._checkpoint()
        elif self._pending or self._size != self._committed:
            if not self._begin.rounds:  # a file that had no log
                self._set_begin(1, 0)
            self._append()
        if to_disk:
            self._checkpoint()
        elif self._log_end > LOG_BYTES:
            try:
                self._checkpoint()
            except OSError as error:  # file and log still make a whole; the next commit tries again
                log.warning("%s is not brought up to date: %s", self.path, error)

    def finish(self) -> None:
        """After the last write: the file as it shall stay, without a log. Raises OSError."""
        self.commit(to_disk=True)
        os.ftruncate(self._file, self._committed)
        os.fsync(self._file)
        self._known = 0  # what HDF5 still writes when it closes goes straight to the file
        log_of(self.path).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close, and leave nothing behind that was not there before."""
        if self._log_is_new and not self._begin.rounds:
            log_of(self.path).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of file and log; what was not committed is forgotten."""
        for descriptor in (self._file, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._log = -1

    # -- inside -----------------------------------------------------------------------------------

    def _load(self) -> None:
        """What the log says; a file that was never committed begins anew."""
        if self._log < 0 or (self._log_is_new and self._size):  # finished, or not one of ours yet
            return
        text = _read_all(self._log)
        if len(text) < _BEGIN.size:
            self._size = self._committed = self._known = 0
            if self._writes:
                os.ftruncate(self._file, 0)
            return
        self._begin = _begin_of(self._log)
        self._log_end = _BEGIN.size
        self._size = self._committed = self._known = self._begin.size
        if self._begin.busy or self._begin.session == _session():
            for size, writes, end in _records(text, self._begin.rounds):
                for at, data in writes:
                    self._lay_over(at, data)
                self._size = size
                self._set_committed()
                self._log_end = end
        if self._writes:
            self._checkpoint()

    def _append(self) -> None:
        """One record with all that is pending."""
        payload = b"".join(_WRITE.pack(at, len(data)) + data for at, data in self._pending)
        check = xxhash.xxh3_64_intdigest(payload)
        head = _HEAD.pack(_RECORD, self._begin.rounds, self._size, len(payload), check)
        _write_all(self._log, memoryview(head + payload), self._log_end)
        self._log_end += len(head) + len(payload)
        self._pending = []
        self._set_committed()

    def _checkpoint(self) -> None:
        """Bring the file up to the last commit, after which nothing must have been written."""
        rounds = self._begin.rounds
        os.fsync(self._file)
        if rounds:
            os.fsync(self._log)  # first the records, then the word that they can be believed
            self._set_begin(rounds, 1)
            os.fsync(self._log)
        for number, page in self._pages.items():
            start = number * PAGE
            _write_all(self._file, memoryview(page)[: max(self._committed - start, 0)], start)
        if os.fstat(self._file).st_size < self._committed:
            os.ftruncate(self._file, self._committed)
        os.fsync(self._file)
        self._pages = {}
        self._known = self._committed
        self._set_begin(rounds + 1, 0)
        os.ftruncate(self._log, _BEGIN.size)
        self._log_end = _BEGIN.size
        os.fsync(self._log)

    def _set_committed(self) -> None:
        self._committed = self._size
        self._known = max(self._known, self._size)  # of a longer file the log may speak of more

    def _set_begin(self, rounds: int, busy: int) -> None:
        begin = _Begin(rounds, busy, _session(), self._committed)
        _write_all(self._log, memoryview(_BEGIN.pack(_MAGIC, *begin)), 0)
        self._begin = begin

    def _lay_over(self, at: int, data: bytes | memoryview) -> None:
        for number in range(at // PAGE, (at + len(data) - 1) // PAGE + 1):
            if number not in self._pages:
                page = bytearray(PAGE)
                os.preadv(self._file, [page], number * PAGE)
                self._pages[number] = page
        for place, start, stop, page in self._overlaid(at, len(data)):
            page[start:stop] = data[place : place + stop - start]

    def _overlaid(self, at: int, size: int) -> Iterator[tuple[int, int, int, bytearray]]:
        """Pages in memory over a range: place in the range, start and stop in the page, page."""
        if not self._pages or not size:
            return
        for number in range(at // PAGE, (at + size - 1) // PAGE + 1):
            page = self._pages.get(number)
            if page is not None:
                start, stop = max(at - number * PAGE, 0), min(at + size - number * PAGE, PAGE)
                yield number * PAGE + start - at, start, stop, page


def _open_log(path: Path, mode: Mode) -> tuple[int, bool]:
    """The log beside a file, and whether it was not there; -1 where a reader finds none."""
    where = log_of(path)
    if mode == "r":
        try:
            return os.open(where, os.O_RDONLY | os.O_CLOEXEC), False
        except FileNotFoundError:
            return -1, False
    new = not where.exists()
    found = os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if mode == "x":
            os.ftruncate(found, 0)
    except OSError:
        os.close(found)
        raise OSError(errno.EAGAIN, f"{path} is being written by another process") from None
    return found, new


@functools.cache
def _session() -> bytes:
    """What is another one after every start of the machine; nothing where the system has none."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def _begin_of(log_file: int) -> _Begin:
    """Raises OSError where the log is none of ours."""
    text = os.pread(log_file, _BEGIN.size, 0)
    if len(text) < _BEGIN.size or not text.startswith(_MAGIC):
        raise OSError(errno.EINVAL, "the log beside the file is none of operando's")
    return _Begin(*_BEGIN.unpack(text)[1:])


def _records(text: bytes, rounds: int) -> Iterator[tuple[int, list[tuple[int, memoryview]], int]]:
    """Whole records after the beginning: size of the file, writes, end of the record."""
    at = _BEGIN.size
    while at + _HEAD.size <= len(text):
        magic, of, size, length, check = _HEAD.unpack_from(text, at)
        payload = memoryview(text)[at + _HEAD.size : at + _HEAD.size + length]
        if magic != _RECORD or of != rounds or len(payload) != length:
            return
        if xxhash.xxh3_64_intdigest(payload) != check:
            return
        at += _HEAD.size + length
        yield size, list(_writes(payload)), at


def _writes(payload: memoryview) -> Iterator[tuple[int, memoryview]]:
    place = 0
    while place < len(payload):
        at, length = _WRITE.unpack_from(payload, place)
        place += _WRITE.size
        yield at, payload[place : place + length]
        place += length


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return b"".join(iter(lambda: os.read(descriptor, max(size, PAGE)), b""))


def _write_all(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, at)
        data, at = data[count:], at + count

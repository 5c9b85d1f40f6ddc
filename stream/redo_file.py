"""A file that a kill or a power failure at any moment leaves as its last commit left it.

h5py writes a run's file through one of these. What HDF5 writes falls in two. Beyond the end that
the last commit knew nothing refers to anything yet: that goes to the file at once (frames). What
would change bytes that the last commit spoke of (HDF5's bookkeeping, tables) is kept in memory, and
commit() appends all of it, as one record under a checksum, to a log beside the file (redo_log.py).
At times, and when asked, a checkpoint brings the file up to date: the log is forced to the disk,
its changes are written into the file, that is forced to the disk, and the log begins anew.

So the file itself is at every moment that of its last checkpoint, and file and log together are
that of the last commit. Any HDF5 program may open the file while it grows; one that reads it
through this class sees the last commit too, until a checkpoint passes under it (then a read says
so). A record that a kill has cut off was not committed, and is left out.

What the log has since the last checkpoint is believed until the machine is started again: after a
power failure nobody knows which of it, and of the frames it speaks of, had reached the disk.

HDF5 does not get over a write that fails. So one that the disk refuses is kept in memory like the
others, and it is commit() that fails, as often as it is tried, until there is room.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .redo_log import (
    BEGIN_BYTES,
    Begin,
    Mode,
    begin_bytes,
    begin_of,
    log_of,
    open_log,
    read_all,
    record,
    records,
    session,
    write_all,
)
from .segment_log import sync_folder

PAGE = 4096
LOG_BYTES = 16 << 20  # a log that has grown beyond is worked off
WAITING_BYTES = 256 << 20  # refused by the disk and kept in memory, at most

log = logging.getLogger(__name__)


class RedoFile:
    """An open file as h5py wants one: seek, read, write, truncate, flush.

    mode: "r" changes nothing on the disk; "w" goes on from the last commit, or begins a new file
    Raises OSError: no such file, one that is not ours, or another process writes it.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._writes = mode == "w"
        self._place = 0
        self._pages: dict[int, bytearray] = {}  # that differ from the file
        self._pending: list[tuple[int, bytes]] = []  # since the last commit
        self._waiting = 0  # bytes of these that the disk refused
        self._begin = Begin(0, 0, b"", 0, 0)
        self._log_end = 0
        # sizes: with all that was written; at the last commit; of which log or file speak
        self._size = self._committed = self._known = 0
        self._file = self._log = -1
        try:
            self._log = open_log(path, mode)
            new = self._writes and not path.exists()
            flags = os.O_RDWR | os.O_CREAT if self._writes else os.O_RDONLY
            self._file = os.open(path, flags | os.O_CLOEXEC, 0o666)
            self._load(new)
        except BaseException:
            self.close()
            raise

    @property
    def refused(self) -> bool:
        """Whether something waits in memory that the disk has refused."""
        return self._waiting > 0

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
        if not self._writes and self._log >= 0 and begin_of(self._log) != self._begin:
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
            self._put(at + known, view[known:])
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
        if self._pending or self._size != self._committed:
            if self._begin.rounds:
                self._append()
            else:  # the first one: there is nothing to go back to
                self._set_committed()
                self._checkpoint()
                self._pending = []
        if to_disk:
            self._checkpoint()
        elif self._log_end > LOG_BYTES or self._waiting:
            try:
                self._checkpoint()
            except OSError as error:  # file and log still make a whole; the next commit tries again
                log.warning("%s is not brought up to date: %s", self.path, error)

    def finish(self, name: Path) -> None:
        """After the last write: the file as it shall stay, under its name, without a log.

        Raises OSError.
        """
        self.commit(to_disk=True)
        os.ftruncate(self._file, self._committed)
        os.fsync(self._file)
        os.replace(self.path, name)
        self.leave()
        sync_folder(name.parent)
        log_of(self.path).unlink(missing_ok=True)

    def leave(self) -> None:
        """Whatever is still written, by HDF5 when it closes, reaches no disk."""
        self._known = sys.maxsize

    def abandon(self) -> None:
        """Close; of a file that was begun and never committed nothing stays."""
        if self._writes and not self._begin.rounds:
            self.path.unlink(missing_ok=True)
            log_of(self.path).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of file and log; what was not committed is forgotten."""
        for descriptor in (self._file, self._log):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._log = -1

    # -- inside -----------------------------------------------------------------------------------

    def _load(self, new: bool) -> None:
        """What the log says, if it is this file's; a file that was never committed begins anew."""
        if new:  # whatever its name's log may say
            os.ftruncate(self._log, 0)
        found = os.fstat(self._file)
        if self._log < 0:  # finished
            self._size = self._committed = self._known = found.st_size
            return
        text = read_all(self._log)
        if self._writes and len(text) < BEGIN_BYTES:
            if found.st_size:
                log_of(self.path).unlink(missing_ok=True)
                raise OSError(errno.EEXIST, f"{self.path} is no unfinished run: it has no log")
            self._set_begin(0, 0)
            sync_folder(self.path.parent)
            return
        self._begin = begin_of(self._log)
        if self._writes and self._begin.inode != found.st_ino:
            raise OSError(errno.EEXIST, f"the log beside {self.path} is another file's")
        self._log_end = BEGIN_BYTES
        self._size = self._committed = self._known = self._begin.size
        if self._begin.session != session():
            text = text[: self._begin.forced]
        for size, writes, end in records(text, self._begin.rounds):
            for at, data in writes:
                self._lay_over(at, data)
            self._size = size
            self._set_committed()
            self._log_end = end
        if self._writes:
            os.ftruncate(self._log, self._log_end)  # what is not believed now never will be
            if self._begin.rounds:
                self._checkpoint()
            else:
                os.ftruncate(self._file, 0)

    def _put(self, at: int, data: memoryview) -> None:
        """Write into the file, or, where the disk refuses, into memory. OSError: it is too much."""
        try:
            if self._waiting:  # what comes later must not be laid under what waits
                raise OSError(errno.ENOSPC, "earlier writes wait for room")
            write_all(self._file, data, at)
        except OSError:
            self._waiting += len(data)
            if self._waiting > WAITING_BYTES:
                raise
            self._lay_over(at, data)
            self._pending.append((at, bytes(data)))
            return
        # the page at the old end may be in memory, too
        for place, start, stop, page in self._overlaid(at, min(len(data), PAGE)):
            page[start:stop] = data[place : place + stop - start]

    def _append(self) -> None:
        """One record with all that is pending."""
        data = record(self._begin.rounds, self._size, self._pending)
        write_all(self._log, memoryview(data), self._log_end)
        self._log_end += len(data)
        self._pending = []
        self._set_committed()

    def _checkpoint(self) -> None:
        """Bring the file up to the last commit, after which nothing must have been written."""
        rounds = self._begin.rounds
        os.fsync(self._file)
        if rounds:
            os.fsync(self._log)  # first the records, then the word that they can be believed
            self._set_begin(rounds, self._log_end)
            os.fsync(self._log)
        for number, page in self._pages.items():
            start = number * PAGE
            write_all(self._file, memoryview(page)[: max(self._committed - start, 0)], start)
        if os.fstat(self._file).st_size < self._committed:
            os.ftruncate(self._file, self._committed)
        os.fsync(self._file)
        self._set_begin(rounds + 1, 0)
        self._pages = {}
        self._known = self._committed
        self._waiting = 0
        self._log_end = BEGIN_BYTES
        os.ftruncate(self._log, BEGIN_BYTES)
        os.fsync(self._log)

    def _set_committed(self) -> None:
        self._committed = self._size
        self._known = max(self._known, self._size)  # of a longer file the log may speak of more

    def _set_begin(self, rounds: int, forced: int) -> None:
        inode = os.fstat(self._file).st_ino
        begin = Begin(rounds, forced, session(), self._committed, inode)
        write_all(self._log, memoryview(begin_bytes(begin)), 0)
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

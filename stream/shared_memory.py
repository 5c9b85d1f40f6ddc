"""Payloads that processes of one machine share instead of sending them to each other.

Who has something to say writes it once into an Arena; what travels is where it lies. Readers map
the same memory, read-only. An arena is anonymous (a memfd, found through /proc by who knows its
owner): whatever is killed, nothing of it is left behind. It is sealed at its size, so that nobody
who maps it can be made to read past its end.

A place in an arena is (token of the arena, offset, length, stamp). The stamp also stands before
the payload, and is wiped when the place is free again: a reader that was frozen for long finds
out that what it read may have been overwritten.
"""

from __future__ import annotations

import bisect
import fcntl
import mmap
import os
import secrets
import struct
from collections import OrderedDict
from pathlib import Path

from .wire_ops import Place, Share

ARENA_BYTES = 256 << 20  # of address space; memory is taken as it is written
MAX_ARENA_BYTES = 4 << 30
KEPT_ARENAS = 16  # those that a reader has mapped at the same time
_ALIGN = 64
_STAMP = struct.Struct("<Q")
_NAME = "operando"
_SEALS = getattr(fcntl, "F_SEAL_SHRINK", 2) | getattr(fcntl, "F_SEAL_GROW", 4)


class NotShared(OSError):
    """Memory that cannot be shared; the message says why. What it holds can be sent instead."""


class Arena:
    """Memory that its owner writes and others may map. Raises NotShared where there is none.

    size: [B]
    """

    def __init__(self, size: int = ARENA_BYTES) -> None:
        if not hasattr(os, "memfd_create"):
            raise NotShared("this system has no anonymous files to share")
        self.token = secrets.randbits(62) + 1
        self._next_stamp = secrets.randbits(40) + 1
        self._taken: list[tuple[int, int, int]] = []  # start, end, stamp; by start
        self._starts: dict[int, int] = {}
        try:
            self._file = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self._file, size)
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self._file, size)
        except OSError as error:
            raise NotShared(f"no memory to share: {error}") from None
        _STAMP.pack_into(self._memory, 0, self.token)

    @property
    def size(self) -> int:
        """[B]"""
        return len(self._memory)

    def share(self) -> Share:
        """What others need to know to map it."""
        return Share(self.token, os.getpid(), self._file, self.size)

    def lend(self, payload: bytes | memoryview) -> Place:
        """Where payload now lies; () where there is no room. The lowest free place: it is warm."""
        need = _ALIGN + -(-len(payload) // _ALIGN) * _ALIGN
        start = _ALIGN
        for used_from, used_to, _ in self._taken:
            if used_from - start >= need:
                break
            start = used_to
        if start + need > self.size:
            return ()
        stamp = self._next_stamp
        self._next_stamp += 1
        bisect.insort(self._taken, (start, start + need, stamp))
        self._starts[stamp] = start
        offset = start + _ALIGN
        _STAMP.pack_into(self._memory, offset - _STAMP.size, stamp)
        self._memory[offset : offset + len(payload)] = bytes_like(payload)
        return self.token, offset, len(payload), stamp

    def read(self, place: Place) -> bytes:
        """What lies there."""
        _, offset, length, _ = place
        return self._memory[offset : offset + length]

    def free(self, stamp: int) -> None:
        """Nobody needs what was lent under this stamp; one that is not lent means nothing."""
        start = self._starts.pop(stamp, None)
        if start is not None:
            _STAMP.pack_into(self._memory, start + _ALIGN - _STAMP.size, 0)
            del self._taken[bisect.bisect_left(self._taken, (start, 0, 0))]

    @property
    def lent(self) -> int:
        """How many payloads lie in it."""
        return len(self._taken)

    def close(self) -> None:
        """Let go of it; it lives on as long as others have it mapped."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._memory.close()


class MappedArena:
    """Another process's arena, to be read. Raises NotShared where it cannot be or must not be."""

    def __init__(self, share: Share) -> None:
        self.token = share.token
        self._owner = share.pid
        link = Path(f"/proc/{share.pid}/fd/{share.file}")
        self._file = -1
        try:
            if not os.readlink(link).startswith(f"/memfd:{_NAME}"):
                raise NotShared(f"{link} is no memory to share")
            self._file = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
            if fcntl.fcntl(self._file, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise NotShared(f"{link} could change its size")
            size = os.fstat(self._file).st_size
            if size != share.size or not _ALIGN <= size <= MAX_ARENA_BYTES:
                raise NotShared(f"{link} has {size} bytes, said to be {share.size}")
            self._memory = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)
            if _STAMP.unpack_from(self._memory, 0)[0] != share.token:
                raise NotShared(f"{link} is another one")
        except NotShared:
            self._close()
            raise
        except (OSError, ValueError) as error:
            self._close()
            raise NotShared(f"{link} cannot be mapped: {error}") from None
        self._view = memoryview(self._memory)

    def share(self) -> Share:
        """What others need to know to map it, too, from this process."""
        return Share(self.token, os.getpid(), self._file, len(self._memory))

    def owner_lives(self) -> bool:
        """Whether the process that shared it is still there."""
        return Path(f"/proc/{self._owner}").exists()

    def view(self, place: Place) -> memoryview:
        """What lies there. Raises ValueError for a place that cannot be."""
        if len(place) != 4 or place[0] != self.token:
            raise ValueError(f"{place} is no place in arena {self.token}")
        _, offset, length, _ = place
        if offset < 2 * _ALIGN or length < 0 or offset + length > len(self._view):
            raise ValueError(f"place {offset} + {length} in {len(self._view)} bytes")
        return self._view[offset : offset + length]

    def intact(self, place: Place) -> bool:
        """Whether what lies there is still what was lent."""
        _, offset, _, stamp = place
        found: int = _STAMP.unpack_from(self._memory, offset - _STAMP.size)[0]
        return found == stamp

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self._close()


class MappedArenas:
    """The arenas that a reader has been told of, the newest few."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, MappedArena] = OrderedDict()

    def learn(self, share: Share) -> None:
        """Map one. Raises NotShared."""
        self._known.pop(share.token, None)
        self._known[share.token] = MappedArena(share)
        while len(self._known) > KEPT_ARENAS:
            self._known.popitem(last=False)

    def of(self, place: Place) -> MappedArena:
        """The arena of a place. Raises NotShared where it is not known."""
        arena = self._known.get(place[0]) if len(place) == 4 else None
        if arena is None:
            raise NotShared(f"place {place}: of no arena that is known here")
        return arena


def bytes_like(payload: bytes | memoryview) -> bytes | memoryview:
    """A payload as one row of bytes, not copied."""
    return payload if isinstance(payload, bytes) else memoryview(payload).cast("B")

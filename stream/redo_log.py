"""The log beside a run's file: what was committed and does not stand in the file yet.

Magic, number of checkpoints, bytes of the log that are forced to the disk for a checkpoint that is
under way (else 0), the start of the machine (its boot id), size of the file at the checkpoint, the
file's inode; then records of a head (magic, number of checkpoints, size of the file, bytes that
follow, xxh3_64 of all but the magic) and writes, each with its offset and length. No checkpoint
yet: nothing was committed, the file holds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import xxhash

SUFFIX = ".redo"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BEGIN = struct.Struct("<8sQQ16sQQ")
_HEAD = struct.Struct("<4sQQQQ")
_HASHED = struct.Struct("<QQQ")
_WRITE = struct.Struct("<QQ")
_MAGIC, _RECORD = b"operedo1", b"oRec"
BEGIN_BYTES = _BEGIN.size

Mode = Literal["r", "w"]


class Begin(NamedTuple):
    """The beginning of a log; forced: its bytes on the disk for the checkpoint under way, or 0."""

    rounds: int
    forced: int
    session: bytes
    size: int
    inode: int


def log_of(path: Path) -> Path:
    """Where the log of a file is."""
    return path.with_name(path.name + SUFFIX)


def open_log(path: Path, mode: Mode) -> int:
    """The log beside a file, locked against other writers; -1 where a reader finds none."""
    where = log_of(path)
    if mode == "r":
        try:
            return os.open(where, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
    found = os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(where).st_ino != os.fstat(found).st_ino:  # finished in this very moment
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        os.close(found)
        raise OSError(errno.EAGAIN, f"{path} is being written by another process") from None
    except OSError:
        os.close(found)
        raise
    return found


@functools.cache
def session() -> bytes:
    """What is another one after every start of the machine; nothing where the system has none."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def begin_of(log_file: int) -> Begin:
    """Raises OSError where the log is none of ours."""
    text = os.pread(log_file, _BEGIN.size, 0)
    if len(text) < _BEGIN.size or not text.startswith(_MAGIC):
        raise OSError(errno.EINVAL, "the log beside the file is none of operando's")
    return Begin(*_BEGIN.unpack(text)[1:])


def begin_bytes(begin: Begin) -> bytes:
    """As it stands in the log."""
    return _BEGIN.pack(_MAGIC, *begin)


def record(rounds: int, size: int, writes: Sequence[tuple[int, bytes]]) -> bytes:
    """One commit: the file's size and what was written where."""
    payload = b"".join(_WRITE.pack(at, len(data)) + data for at, data in writes)
    fields = (rounds, size, len(payload))
    return _HEAD.pack(_RECORD, *fields, _check(*fields, payload)) + payload


def records(text: bytes, rounds: int) -> Iterator[tuple[int, list[tuple[int, memoryview]], int]]:
    """Whole records after the beginning: size of the file, writes, end of the record."""
    at = _BEGIN.size
    while at + _HEAD.size <= len(text):
        magic, of, size, length, check = _HEAD.unpack_from(text, at)
        payload = memoryview(text)[at + _HEAD.size : at + _HEAD.size + length]
        if magic != _RECORD or of != rounds or len(payload) != length:
            return
        if _check(of, size, length, payload) != check:
            return
        at += _HEAD.size + length
        yield size, list(_writes(payload)), at


def _check(rounds: int, size: int, length: int, payload: bytes | memoryview) -> int:
    hashed = xxhash.xxh3_64(_HASHED.pack(rounds, size, length))
    hashed.update(payload)
    return hashed.intdigest()


def _writes(payload: memoryview) -> Iterator[tuple[int, memoryview]]:
    place = 0
    while place < len(payload):
        at, length = _WRITE.unpack_from(payload, place)
        place += _WRITE.size
        yield at, payload[place : place + length]
        place += length


def read_all(descriptor: int) -> bytes:
    """A whole file."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def write_all(descriptor: int, data: memoryview, at: int) -> None:
    """All of data. Raises OSError."""
    while data:
        count = os.pwrite(descriptor, data, at)
        data, at = data[count:], at + count

"""Findings on disk: one file a scan, under a checksum, written whole or not at all.

A file is a magic, the xxh3 of what follows, and a msgpack list of the parts of a Kept, packed like
a message (stream/packing.py): numbers come back bit for bit. It is written beside its place, forced
to the disk and put there by one rename, so that a kill leaves the old file or the new one. Reading
believes nothing; what does not match is no finding.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import msgpack

from ..stream.compression import checksum
from ..stream.packing import PackingError, pack_fields, unpack_fields
from .findings import Findings

SUFFIX = ".findings"
_HEAD = struct.Struct("<4sQ")  # magic, checksum of the rest
_MAGIC = b"OpF1"


class FindingsDamaged(ValueError):
    """A file that holds no findings of ours, or damaged ones; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a scan hands down.

    run, number: of the scan; role: one of ROLES
    found: by the name of the consumer that found it
    """

    run: str
    number: int
    role: str
    found: dict[str, Findings]


def path_of(folder: Path, run: str, number: int) -> Path:
    """Where the findings of a scan are; a run may call itself whatever it likes."""
    return folder / f"{checksum(run.encode()):016x}-{number:06d}{SUFFIX}"


def write_findings(folder: Path, kept: Kept) -> None:
    """Put the findings of a scan into folder, instead of what was there. Raises OSError."""
    body = msgpack.packb([bytes(part) for part in pack_fields(kept)])
    path = path_of(folder, kept.run, kept.number)
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, checksum(body)))
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read_findings(path: Path) -> Kept:
    """The findings in a file. Raises OSError, and FindingsDamaged where they are not what was put.

    Arrays are read-only, as those of findings are anyway.
    """
    content = path.read_bytes()
    if len(content) < _HEAD.size or content[:4] != _MAGIC:
        raise FindingsDamaged(f"{path.name} does not begin as findings do")
    body = memoryview(content)[_HEAD.size :]
    if _HEAD.unpack_from(content)[1] != checksum(body):
        raise FindingsDamaged(f"{path.name} does not match its checksum")
    try:
        found: Kept = unpack_fields(Kept, msgpack.unpackb(body))
    except (PackingError, ValueError, TypeError) as error:  # sound, of another version
        raise FindingsDamaged(f"{path.name}: {error}") from None
    return found

"""The small operations between the hub and its peers: the first part of every message they send.

An operation is a msgpack map {"op": name, ...fields}; the packed message, where there is one,
follows as further parts. Every operation is checked on arrival against its class here: unknown
names, missing or extra fields and wrong types raise WireError. See docs/explanations/channel.md.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

MAX_OP_BYTES = 1 << 20
MAX_NAME = 200  # characters in names of members
MAX_IDENTITY = 255  # bytes: ZeroMQ's own limit
MAX_PARTS = 64  # the message with most parts, a Result with many coordinates, has about ten


Place = tuple[int, ...]  # of a payload in shared memory: arena, offset, length, stamp


class WireError(ValueError):
    """A first part that is no operation of ours."""


@dataclass(frozen=True, slots=True)
class Put:
    """Peer to hub: take this message.

    seq: counted from 1 by this peer
    base: the lowest seq that this peer still waits for; a hub that does not know the peer starts
        there, so that it never takes a later message first
    group: the sender's group; "" for one who is in none
    at: where the message's last part lies in memory that this peer shares; () where it follows
    """

    seq: int
    base: int
    group: str
    at: Place = ()


@dataclass(frozen=True, slots=True)
class Got:
    """Hub to peer: message seq is taken; refused says why where it was thrown away instead."""

    seq: int
    refused: str


@dataclass(frozen=True, slots=True)
class Hello:
    """Peer to hub: I am a member. Said again after each reconnection.

    maps: 1 where it can read memory that others share, 0 where all must be sent to it
    """

    group: str
    role: str
    name: str
    credit: int
    maps: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """Peer to hub, hub to member: from now on payloads may lie in this memory of mine.

    token: of the arena; pid, file: the process that has it open, and as which descriptor
    size: [B]
    """

    token: int
    pid: int
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Shared:
    """Hub to peer: I have the arena with this token, or why not."""

    token: int
    why_not: str


@dataclass(frozen=True, slots=True)
class Free:
    """Hub to peer: nobody needs any more what you lent under these stamps."""

    stamps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Hub to peer: you cannot be a member, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Who:
    """Hub to peer: I do not know you as a member, say Hello."""


@dataclass(frozen=True, slots=True)
class Item:
    """Hub to member: a message for you, to be acknowledged by its tag; at: as in Put."""

    tag: int
    at: Place = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """Member to hub: the items with these tags are done, or have failed for this reason."""

    tags: tuple[int, ...]
    failed: str


@dataclass(frozen=True, slots=True)
class AckFrame:
    """Member to hub: a frame's reduction has been absorbed in my group, or has failed."""

    scan: str
    index: int
    failed: str


@dataclass(frozen=True, slots=True)
class Beat:
    """Member to hub: the member with this identity is alive. Hub to member: so am I."""

    of: bytes


@dataclass(frozen=True, slots=True)
class Bye:
    """Peer to hub: I leave; give what I hold to others."""


Op = Put | Got | Share | Shared | Free | Hello | Refused | Who | Item | Ack | AckFrame | Beat | Bye

_OPS: dict[str, type[Op]] = {cls.__name__.lower(): cls for cls in typing.get_args(Op)}


def pack_op(op: Op) -> bytes:
    """The first part that says op."""
    fields = {f.name: getattr(op, f.name) for f in dataclasses.fields(op)}
    packed: bytes = msgpack.packb({"op": type(op).__name__.lower(), **fields}, use_bin_type=True)
    return packed


def unpack_op(part: bytes | memoryview) -> Op:
    """The operation that part says. Raises WireError where it says none."""
    if len(part) > MAX_OP_BYTES:
        raise WireError(f"operation of {len(part)} bytes, at most {MAX_OP_BYTES} are read")
    try:
        raw = msgpack.unpackb(part, raw=False, strict_map_key=True, max_ext_len=0)
    except Exception as error:  # msgpack raises many kinds, all meaning: not ours
        raise WireError(f"operation is not msgpack: {error}") from None
    name = raw.pop("op", None) if isinstance(raw, dict) else None
    cls = _OPS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise WireError(f"unknown operation {str(name)[:60]!r}")
    checks = _checks(str(name))
    if raw.keys() != checks.keys():
        raise WireError(f"operation {name}: fields {sorted(raw)[:20]}, needs {sorted(checks)}")
    for field, check in checks.items():
        if not check(raw[field]):
            raise WireError(f"operation {name}: {field} is {str(raw[field])[:60]!r}")
        if type(raw[field]) is list:
            raw[field] = tuple(raw[field])
    return cls(**raw)


@functools.cache
def _checks(name: str) -> dict[str, Callable[[Any], bool]]:
    kinds: dict[Any, Callable[[Any], bool]] = {
        int: lambda v: type(v) is int and 0 <= v < 1 << 63,
        str: lambda v: type(v) is str,
        bytes: lambda v: type(v) is bytes and len(v) <= MAX_IDENTITY,
        tuple[int, ...]: lambda v: (
            type(v) is list and all(type(n) is int and 0 <= n < 1 << 63 for n in v)
        ),
    }
    hints = typing.get_type_hints(_OPS[name])
    return {f.name: kinds[hints[f.name]] for f in dataclasses.fields(_OPS[name])}

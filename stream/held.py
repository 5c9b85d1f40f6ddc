"""What a group of the hub holds: scans, frames, members, and deliveries on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .segment_log import Place


class Buffer(Protocol):
    """A part of a packed message that offers its bytes, as a zmq.Frame does."""

    @property
    def buffer(self) -> memoryview: ...

    def __len__(self) -> int: ...


Payload = Sequence[bytes | memoryview | Buffer]
FrameKey = tuple[str, int]  # scan and index


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the spool, in place of the message.

    number: of its record; size: of the message [B]; read: a message by its place
    """

    number: int
    size: int
    place: Place
    read: Callable[[Place], Payload]

    def load(self) -> Payload:
        """Read it back. Raises Damaged, OSError."""
        return self.read(self.place)


class Journal(Protocol):
    """Where a group notes what must be known after the hub was killed."""

    def kind(self, group: str, kind: str) -> None:
        """What the group is made of."""

    def ended(self, group: str, scan: str) -> None:
        """The group has finished a scan."""

    def delivered(self, group: str, number: int) -> None:
        """Every member has acknowledged the message that was put under this number."""


def plain(part: bytes | memoryview | Buffer) -> bytes | memoryview:
    """The bytes of a part, not copied."""
    return part if isinstance(part, (bytes, memoryview)) else part.buffer


def size_of(parts: Payload | Stored) -> int:
    """Bytes of a packed message."""
    return parts.size if isinstance(parts, Stored) else sum(len(part) for part in parts)


@dataclass(slots=True)
class GroupScan:
    """One unfinished scan as a group sees it.

    stop_number: under which stop stands in the spool; 0 = it does not
    unsettled: frames that are neither reduced nor acknowledged; ScanStop waits for them
    """

    start: Payload
    stop: Payload | None = None
    stop_number: int = 0
    stop_given: bool = False
    unsettled: int = 0
    positions: list[Payload] = field(default_factory=list)


@dataclass(slots=True)
class PendingFrame:
    """A frame that its group has not acknowledged.

    parts: the frame, or where it stands in the spool
    holder: identity of the member that has it; b"" where it waits or is reduced
    deaths: members that died while they held it; deaths_alone: of those, with nothing else
    """

    parts: Payload | Stored
    holder: bytes = b""
    reduced: bool = False
    deaths: int = 0
    deaths_alone: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One delivery to one member.

    tracked: the member has to acknowledge it
    key: of the frame that it is or reduces
    starts, stops: the scan whose ScanStart it is to an "all", or ScanStop to an "absorb" member
    number: under which it stands in the spool; 0 = it does not
    """

    parts: Payload | Stored
    tracked: bool = False
    key: FrameKey | None = None
    starts: str = ""
    stops: str = ""
    number: int = 0


@dataclass(slots=True)
class Peer:
    """A member as its group knows it.

    last_heard: time.monotonic() of its last sign of life [s]
    frames: those in its hands; alone: it holds a suspect and gets nothing else
    items: tag -> delivered and not yet acknowledged; tags: the way back for frames
    """

    identity: bytes
    role: str
    name: str
    credit: int
    last_heard: float
    frames: set[FrameKey] = field(default_factory=set)
    alone: bool = False
    items: dict[int, Entry] = field(default_factory=dict)
    tags: dict[FrameKey, int] = field(default_factory=dict)
    outbox: deque[Entry] = field(default_factory=deque)

    def free(self) -> int:
        """How many more frames it may get; none before their ScanStart, which may wait still."""
        return 0 if self.alone or self.outbox else self.credit - len(self.frames)

"""What the hub has taken, on disk before it says so: enough to go on after it was killed.

Three logs under one run of numbers:

- frames: every Frame as it came;
- work: Reductions, wanted for as long as their scan is open;
- journal: everything else that was put (starts, stops, positions, samples, documents, final
  results), and what became of things: frames settled in a group, scans ended in a group, messages
  delivered.

Read back in the order of their numbers they put a hub into the state in which it was killed. The
journal is kept for the whole run; it grows by some hundred bytes a frame and by the final results.

Policy at the limit. A segment of frames may go when every group is done with all that it holds; the
record then has it and has been flushed. It does not go at once: as long as more than half of the
declared size is free and it is not older than keep_s it stays, against a file that a crash has
torn. Where nothing may go and the declared size (or the disk, but for its reserve) is used up,
put() raises SpoolFull for frames: their source is held back. All else is taken until the disk has
no byte left, because it empties the spool.

Promised: what put() has returned for survives kill -9 of everything. A power failure may take what
came in the last SYNC_S and the time of one sync (see status()).
"""

from __future__ import annotations

import heapq
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from .held import FrameKey, Payload, Stored, plain
from .messages import Scalar
from .segment_log import SYNC_S, Damage, LogFull, Place, Record, SegmentLog, read_log

log = logging.getLogger(__name__)

LOGS = ("frames", "work", "journal")
_NOT_KEPT = ("status", "focus")  # told again, or out of date, after a restart


class SpoolFull(RuntimeError):
    """There is no room for a frame now; the message says why."""


@dataclass(frozen=True, slots=True)
class SpoolConfig:
    """folder: of this run's spool
    limit_bytes: of frames and work together
    keep_s: how long a segment that nobody needs may stay [s]
    reserve_bytes: room on the disk that frames must leave
    segment_bytes: of one file; 0 = 64 MB, or less where the limit is small
    """

    folder: Path
    limit_bytes: int = 4 << 30
    keep_s: float = 3600.0
    reserve_bytes: int = 256 << 20
    segment_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PutAgain:
    """A message that had been put by identity as its seq-th; parts are views of the file."""

    identity: bytes
    seq: int
    group: str
    stored: Stored
    parts: list[memoryview]


@dataclass(frozen=True, slots=True)
class Settled:
    """Frames of which a group has said its last word: (scan, index, reason), "" where done."""

    group: str
    frames: list[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Ended:
    """A group has finished a scan."""

    group: str
    scan: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """A group has acknowledged what was put under this number."""

    group: str
    number: int


@dataclass(frozen=True, slots=True)
class GroupKind:
    """What a group is made of, "all" or "reduce"."""

    group: str
    kind: str


Past = PutAgain | Settled | Ended | Delivered | GroupKind


class Spool:
    """Used by the hub's thread alone; the syncing has threads of its own."""

    def __init__(self, config: SpoolConfig) -> None:
        self.config = config
        segment = config.segment_bytes or max(1 << 16, min(64 << 20, config.limit_bytes // 16))
        self._logs = {n: SegmentLog(config.folder / n, segment, SYNC_S) for n in LOGS}
        self._number = 0
        self._wanted: Counter[int] = Counter()  # segment of frames -> frames not yet settled
        self._scans: dict[int, set[str]] = {}  # segment of work -> scans it is of
        self._open: set[str] = set()
        self._settled: dict[str, list[tuple[str, int, str]]] = {}
        self._free = shutil.disk_usage(config.folder).free
        self._reading = False
        self.damages: list[str] = []

    def put(
        self,
        identity: bytes,
        seq: int,
        group: str,
        kind: str,
        fields: dict[str, Any],
        parts: Payload,
    ) -> Stored | None:
        """Keep one message that was put; None for a kind that is not kept. Raises SpoolFull."""
        if kind in _NOT_KEPT or (kind == "result" and fields.get("final") is not True):
            return None
        name = {"frame": "frames", "reduction": "work"}.get(kind, "journal")
        size = sum(len(p) for p in parts)
        if kind == "frame":
            self._make_room(size)
        self.flush_notes()
        head = msgpack.packb(["put", identity, seq, group], use_bin_type=True)
        place = self._append(name, [head, *(plain(p) for p in parts)])
        if name == "work":
            self._scans.setdefault(place.segment, set()).add(str(fields.get("scan")))
        return self._stored(name, self._number, size, place)

    def want(self, stored: Stored) -> None:
        """A frame is to be dealt with: its segment stays until settle."""
        self._wanted[stored.place.segment] += 1

    def unwant(self, stored: Stored) -> None:
        """Every group is done with a frame."""
        self._wanted[stored.place.segment] -= 1

    def settled(self, group: str, key: FrameKey, reason: str) -> None:
        """Note a group's last word on a frame; written with the next flush_notes()."""
        if not self._reading:
            self._settled.setdefault(group, []).append((*key, reason))

    def ended(self, group: str, scan: str) -> None:
        """Note that a group has finished a scan."""
        self._note("ended", group, scan)

    def delivered(self, group: str, number: int) -> None:
        """Note that a group has acknowledged what was put under this number."""
        self._note("delivered", group, number)

    def kind(self, group: str, kind: str) -> None:
        """Note what a group is made of."""
        self._note("kind", group, kind)

    def opened(self, scan: str) -> None:
        """A scan begins: its reductions stay until over()."""
        self._open.add(scan)

    def over(self, scan: str) -> None:
        """Every group has finished a scan: its reductions are of no more use."""
        self._open.discard(scan)

    def flush_notes(self) -> None:
        """Write what was noted; put() does, and the hub after every round."""
        while self._settled:
            group, frames = self._settled.popitem()
            try:
                self._append_note("settled", group, frames)
            except SpoolFull:  # noted again later; till then a restart only repeats work
                self._settled[group] = frames
                return

    def tidy(self) -> None:
        """Let go of what nobody needs, by the policy; called about twice a second."""
        self._free = shutil.disk_usage(self.config.folder).free
        self.flush_notes()
        while self._let_go(self.config.limit_bytes // 2, self.config.keep_s):
            continue

    @property
    def used(self) -> int:
        """Bytes on disk that count against the declared size."""
        return self._logs["frames"].bytes + self._logs["work"].bytes

    def pinned(self) -> int:
        """Bytes of segments that may not go."""
        found = 0
        for name in ("frames", "work"):
            for first, segment in self._logs[name].segments.items():
                found += segment.length if self._needed(name, first) else 0
        return found

    def status(self) -> dict[str, Scalar]:
        """For the hub's Status. spool_fill: share of the declared size that may not go."""
        fill = self.pinned() / self.config.limit_bytes
        if self._free < self.config.reserve_bytes:
            fill = 1.0
        values: dict[str, Scalar] = {
            "spool_bytes": self.used,
            "spool_limit_bytes": self.config.limit_bytes,
            "spool_fill": round(fill, 4),
            "disk_free_bytes": self._free,
            "sync_s": round(max(one.sync_took_s for one in self._logs.values()), 4),
        }
        trouble = [one.sync_error for one in self._logs.values() if one.sync_error]
        if trouble:
            values["sync_error"] = trouble[0]
        if self.damages:
            values["damaged"] = len(self.damages)
        return values

    def past(self) -> Iterator[Past]:
        """Everything that was kept, in order; what is damaged is named in damages and the log.

        While this runs, notes are not taken: they are read back.
        """
        self._reading = True
        try:
            for name, record in in_order(self.config.folder, self._damaged):
                self._number = max(self._number, record.number)
                past = read_past(record, self._stored_of(name, record))
                if past is None:
                    self._damaged(f"{name}: record {record.number} is none of ours")
                    continue
                yield past
                if name == "work":  # of any open scan: which one is told nowhere but inside
                    self._scans.setdefault(record.place.segment, set()).update(self._open)
        finally:
            self._reading = False

    def close(self) -> None:
        """Write and sync everything; the files stay."""
        self.flush_notes()
        for one in self._logs.values():
            one.close()

    def _make_room(self, size: int) -> None:
        limit = self.config.limit_bytes
        while self.used + size > limit and self._let_go(limit - size, 0.0):
            continue
        if self.used + size > limit:
            raise SpoolFull(f"the spool has reached its declared {limit >> 20} MB")
        if self._free < self.config.reserve_bytes:
            raise SpoolFull(
                f"{self._free >> 20} MB free under {self.config.folder}, "
                f"{self.config.reserve_bytes >> 20} MB are kept free"
            )

    def _let_go(self, above: int, older_s: float) -> bool:
        """Let go of one segment that nobody needs where that is called for; whether it was."""
        now = time.monotonic()
        crowded = self.used > above
        for name in ("frames", "work"):
            for first, segment in self._logs[name].segments.items():
                old = older_s > 0 and now - segment.began > older_s
                if (crowded or old) and not self._needed(name, first):
                    self._logs[name].let_go(first)
                    self._wanted.pop(first, None)
                    self._scans.pop(first, None)
                    return True
        return False

    def _needed(self, name: str, first: int) -> bool:
        if first == self._logs[name].current:
            return True
        if name == "frames":
            return self._wanted[first] > 0
        return not self._open.isdisjoint(self._scans.get(first, set()))

    def _note(self, *words: Any) -> None:
        if self._reading:
            return
        self.flush_notes()
        try:
            self._append_note(*words)
        except SpoolFull as full:  # a restart then repeats work, no more
            log.warning("spool: %s is not noted: %s", words[0], full)

    def _append_note(self, *words: Any) -> None:
        self._append("journal", [msgpack.packb(list(words), use_bin_type=True)])

    def _append(self, name: str, parts: Sequence[bytes | memoryview]) -> Place:
        self._number += 1
        try:
            return self._logs[name].append(self._number, parts)
        except LogFull as full:
            raise SpoolFull(str(full)) from None
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error}") from None

    def _stored(self, name: str, number: int, size: int, place: Place) -> Stored:
        one = self._logs[name]
        return Stored(number, size, place, lambda: one.read(place)[1:])

    def _stored_of(self, name: str, record: Record) -> Stored:
        size = sum(len(p) for p in record.parts[1:])
        return self._stored(name, record.number, size, record.place)

    def _damaged(self, what: str) -> None:
        log.error("spool: %s", what)
        self.damages.append(what)


def read_spool(folder: Path, damaged: Callable[[str], None]) -> Iterator[Past]:
    """Everything in the spool of a run that is over, in order; damage is told and left out."""
    for name, record in in_order(folder, damaged):
        stored = Stored(record.number, 0, record.place, tuple)
        past = read_past(record, stored)
        if past is None:
            damaged(f"{name}: record {record.number} is none of ours")
        else:
            yield past


def in_order(folder: Path, damaged: Callable[[str], None]) -> Iterator[tuple[str, Record]]:
    """The sound records of all logs of a spool in the order of their numbers."""

    def sound(name: str) -> Iterator[tuple[int, str, Record]]:
        for found in read_log(folder / name):
            if isinstance(found, Damage):
                damaged(f"{name}: {found}")
            else:
                yield found.number, name, found

    for _, name, record in heapq.merge(*(sound(n) for n in LOGS), key=lambda item: item[0]):
        yield name, record


def read_past(record: Record, stored: Stored) -> Past | None:
    """What a record says; None where it says nothing of ours."""
    try:
        words = msgpack.unpackb(record.parts[0], raw=False, strict_map_key=True, max_ext_len=0)
        match words:
            case ["put", bytes(identity), int(seq), str(group)] if len(record.parts) > 1:
                return PutAgain(identity, seq, group, stored, record.parts[1:])
            case ["settled", str(group), list(frames)]:
                return Settled(group, [(str(s), int(i), str(r)) for s, i, r in frames])
            case ["ended", str(group), str(scan)]:
                return Ended(group, scan)
            case ["delivered", str(group), int(number)]:
                return Delivered(group, number)
            case ["kind", str(group), str(kind)]:
                return GroupKind(group, kind)
    except Exception:  # msgpack raises many kinds, all meaning: not ours
        return None
    return None

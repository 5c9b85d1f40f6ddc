"""What the hub has taken, on disk before it says so: enough to go on after it was killed.

Three logs under one run of numbers:

- frames: every Frame as it came;
- work: Reductions, wanted for as long as their scan is open;
- journal: everything else that was put (starts, stops, positions, samples, documents, final
  results), and what became of things: frames settled in a group, scans ended in a group, messages
  delivered.

Read back in the order of their numbers they put a hub into the state in which it was killed. How
much of that is kept, and what happens at the declared size, is the SpoolRoom's business.

Promised: what put() has returned for survives kill -9 of everything. A power failure may take what
came in the last SYNC_S and the time of one sync (see status()).
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from .held import FrameKey, Payload, Stored, plain
from .messages import Scalar
from .segment_log import SYNC_S, Damage, LogFull, Place, Record, SegmentLog, read_log
from .spool_room import SpoolConfig, SpoolFull, SpoolRoom

log = logging.getLogger(__name__)

LOGS = ("frames", "work", "journal")
KEPT_SENDERS = 4096  # peers whose last number is remembered
_NOT_KEPT = ("status", "focus")  # told again, or out of date, after a restart


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


@dataclass(frozen=True, slots=True)
class LastPuts:
    """Peer -> the number of its last put, as far as the journal before this is gone."""

    last: dict[bytes, int]


Past = PutAgain | Settled | Ended | Delivered | GroupKind | LastPuts


class Spool:
    """Used by the hub's thread alone; the syncing has threads of its own."""

    def __init__(self, config: SpoolConfig) -> None:
        self.config = config
        segment = config.segment_bytes or max(1 << 16, min(64 << 20, config.limit_bytes // 16))
        self._logs = {n: SegmentLog(config.folder / n, segment, SYNC_S) for n in LOGS}
        self._read = {n: _without_head(one) for n, one in self._logs.items()}
        self._room = SpoolRoom(config, self._logs)
        self._number = 0
        self._settled: dict[str, list[tuple[str, int, str]]] = {}
        self._kinds: dict[str, str] = {}
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._carried = -1  # number of the last record when these two were said again
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
        self._has_put(identity, seq)
        if name != "frames" and "scan" in fields:
            self._room.speaks_of(name, place.segment, str(fields["scan"]))
        return self._stored(name, self._number, size, place)

    def want(self, stored: Stored, scan: str) -> None:
        """A frame of a scan is to be dealt with: its segment stays until unwant()."""
        self._room.want(stored.place.segment, scan)

    def unwant(self, stored: Stored) -> None:
        """Every group is done with a frame, and it is in the record."""
        self._room.unwant(stored.place.segment)

    def settled(self, group: str, key: FrameKey, reason: str) -> None:
        """Note a group's last word on a frame; written with the next flush_notes()."""
        if not self._reading:
            self._settled.setdefault(group, []).append((*key, reason))

    def ended(self, group: str, scan: str) -> None:
        """Note that a group has finished a scan."""
        self._note("ended", group, scan, scans=(scan,))

    def delivered(self, group: str, number: int) -> None:
        """Note that a group has acknowledged what was put under this number."""
        self._note("delivered", group, number)

    def kind(self, group: str, kind: str) -> None:
        """Note what a group is made of."""
        self._kinds[group] = kind
        self._note("kind", group, kind)

    def opened(self, scan: str) -> None:
        """A scan begins: its reductions stay until over()."""
        self._room.opened(scan)

    def over(self, scan: str) -> None:
        """Every group has finished a scan: its reductions are of no more use."""
        self._room.over(scan)

    def flush_notes(self) -> None:
        """Write what was noted; put() does, and the hub after every round."""
        while self._settled:
            group, frames = self._settled.popitem()
            try:
                self._append_note("settled", group, frames, scans={f[0] for f in frames})
            except SpoolFull:  # noted again later; till then a restart only repeats work
                self._settled[group] = frames
                return

    def tidy(self, owed_from: int) -> None:
        """Let go of what nobody needs, by the policy; called about twice a second.

        owed_from: number of the first message that some group has not had delivered, if any
        """
        self.flush_notes()
        self._room.look(min(owed_from, self._number + 1))
        while self._let_go(self.config.limit_bytes // 2, self.config.keep_s):
            continue

    @property
    def used(self) -> int:
        """Bytes on disk that count against the declared size."""
        return self._room.used

    def status(self) -> dict[str, Scalar]:
        """For the hub's Status; see SpoolRoom.status."""
        values = self._room.status()
        values["sync_s"] = round(max(one.sync_took_s for one in self._logs.values()), 4)
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
                if isinstance(past, GroupKind):
                    self._kinds[past.group] = past.kind
                elif isinstance(past, PutAgain):
                    self._has_put(past.identity, past.seq)
                elif isinstance(past, LastPuts):
                    for identity, seq in past.last.items():
                        self._has_put(identity, seq)
                yield past
                if name != "frames":
                    self._room.found(name, record.place.segment)
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
        if why := self._room.why_refused(size):
            raise SpoolFull(why)

    def _let_go(self, above: int, older_s: float) -> bool:
        """Let go of one segment that nobody needs where that is called for; whether it was."""
        found = self._room.spare(above, older_s)
        if found is None or (found[0] == "journal" and not self._carry_over()):
            return False
        self._room.let_go(*found)
        return True

    def _carry_over(self) -> bool:
        """Say again what else only the beginning of the journal says; whether it is on the disk."""
        if self._carried == self._number:  # by the last record there is
            return True
        try:
            for group, kind in self._kinds.items():
                self._append_note("kind", group, kind)
            self._append_note("last", list(self._last.items()))
            self._logs["journal"].sync()
            self._carried = self._number
        except (SpoolFull, OSError) as error:
            log.warning("spool: the journal stays: %s", error)
            return False
        return True

    def _has_put(self, identity: bytes, seq: int) -> None:
        self._last[identity] = max(seq, self._last.get(identity, 0))
        self._last.move_to_end(identity)
        while len(self._last) > KEPT_SENDERS:
            self._last.popitem(last=False)

    def _note(self, *words: Any, scans: Iterable[str] = ()) -> None:
        if self._reading:
            return
        self.flush_notes()
        try:
            self._append_note(*words, scans=scans)
        except SpoolFull as full:  # a restart then repeats work, no more
            log.warning("spool: %s is not noted: %s", words[0], full)

    def _append_note(self, *words: Any, scans: Iterable[str] = ()) -> None:
        place = self._append("journal", [msgpack.packb(list(words), use_bin_type=True)])
        for scan in scans:
            self._room.speaks_of("journal", place.segment, scan)

    def _append(self, name: str, parts: Sequence[bytes | memoryview]) -> Place:
        self._number += 1
        try:
            return self._logs[name].append(self._number, parts)
        except LogFull as full:
            raise SpoolFull(str(full)) from None
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error}") from None

    def _stored(self, name: str, number: int, size: int, place: Place) -> Stored:
        return Stored(number, size, place, self._read[name])

    def _stored_of(self, name: str, record: Record) -> Stored:
        size = sum(len(p) for p in record.parts[1:])
        return self._stored(name, record.number, size, record.place)

    def _damaged(self, what: str) -> None:
        log.error("spool: %s", what)
        self.damages.append(what)


def _without_head(one: SegmentLog) -> Callable[[Place], Payload]:
    return lambda place: one.read(place)[1:]


def read_spool(folder: Path, damaged: Callable[[str], None]) -> Iterator[Past]:
    """Everything in the spool of a run that is over, in order; damage is told and left out."""
    for name, record in in_order(folder, damaged):
        stored = Stored(record.number, 0, record.place, lambda place: ())
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
            case ["last", list(puts)]:
                return LastPuts({i: int(seq) for i, seq in puts if isinstance(i, bytes)})
    except Exception:  # msgpack raises many kinds, all meaning: not ours
        return None
    return None

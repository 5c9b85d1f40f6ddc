"""How much room a spool takes, which of its segments may go, and when a frame finds none.

Of the spool's three logs (spool.py):

- a segment of frames may go when every group is done with all that it holds and the record has it;
- a segment of work when all scans that it is of are over;
- the journal from its beginning only, as far as every message there has been delivered and every
  scan that it speaks of is over and has no frame in the spool: what is left is still enough for a
  hub that is started again, and for a recovery of what frames there are.

What may go does not go at once. Frames and work go when they are older than keep_s, when more than
half of the declared size is used, or when the disk has little room; the journal, which is small and
of use to a recovery, only when more than half is used and they alone do not make up for it.

The declared size counts all three logs. Frames are refused beyond it; reductions and the journal
are taken beyond it as well, because they empty it: by those of the frames that it holds.

Room on the disk is told in the same terms as that in the spool: the plan holds at HOLD_FILL, which
is reached at HOLD_RESERVES times the reserve; at the reserve itself frames are refused.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .messages import Scalar
from .segment_log import SegmentLog

HOLD_FILL = 0.8  # of its room taken: the plan holds (plans/backlog.py)
HOLD_RESERVES = 2.0  # free room at which a disk counts as so full, in reserves
SHORT_FILL = 0.6  # where the plan goes on: from there what nobody needs goes
RESERVE_BYTES = 256 << 20


class SpoolFull(RuntimeError):
    """There is no room for a frame now; the message says why."""


@dataclass(frozen=True, slots=True)
class SpoolConfig:
    """folder: of this run's spool
    limit_bytes: of all of it; only frames are refused for it
    keep_s: how long a segment that nobody needs may stay [s]
    reserve_bytes: room on the disk that frames must leave
    segment_bytes: of one file; 0 = 64 MB, or less where the limit is small
    """

    folder: Path
    limit_bytes: int = 4 << 30
    keep_s: float = 3600.0
    reserve_bytes: int = RESERVE_BYTES
    segment_bytes: int = 0


def disk_fill(free_bytes: int, reserve_bytes: int) -> float:
    """How full a disk is for the spool: 1 at the reserve, HOLD_FILL at HOLD_RESERVES of it."""
    spare = free_bytes / max(1, reserve_bytes) - 1  # in reserves
    return min(1.0, max(0.0, 1 - (1 - HOLD_FILL) * spare / (HOLD_RESERVES - 1)))


class SpoolRoom:
    """Book-keeping of the segments in logs: "frames", "work" and "journal"."""

    def __init__(self, config: SpoolConfig, logs: Mapping[str, SegmentLog]) -> None:
        self._config = config
        self._logs = logs
        self._wanted: Counter[int] = Counter()  # segment of frames -> frames it has to keep
        self._scans: dict[str, dict[int, set[str]]] = {name: {} for name in logs}
        self._open: set[str] = set()
        self._owed_from = 0
        self._seen: dict[str, tuple[int, int]] = {}
        self.free = shutil.disk_usage(config.folder).free

    def want(self, segment: int, scan: str) -> None:
        """One more frame of a scan that a segment has to keep."""
        self._wanted[segment] += 1
        self.speaks_of("frames", segment, scan)

    def unwant(self, segment: int) -> None:
        """One less."""
        self._wanted[segment] -= 1

    def opened(self, scan: str) -> None:
        """A scan begins."""
        self._open.add(scan)

    def over(self, scan: str) -> None:
        """Every group has finished a scan, and its account has closed."""
        self._open.discard(scan)

    def speaks_of(self, name: str, segment: int, scan: str) -> None:
        """A segment holds something of a scan."""
        self._scans[name].setdefault(segment, set()).add(scan)

    def found(self, name: str, segment: int) -> None:
        """A record of a hub before this one: of which scan is not told, so of all that are open."""
        seen = (segment, len(self._open))
        if self._seen.get(name) != seen:
            self._seen[name] = seen
            self._scans[name].setdefault(segment, set()).update(self._open)

    def look(self, owed_from: int) -> None:
        """See how full the disk is. owed_from: messages before it have been delivered to all."""
        self.free = shutil.disk_usage(self._config.folder).free
        self._owed_from = owed_from

    @property
    def used(self) -> int:
        """Bytes on disk that count against the declared size."""
        return sum(one.bytes for one in self._logs.values())

    def why_refused(self, size: int) -> str:
        """Why a frame of so many bytes finds no room; "" where it does."""
        config = self._config
        if self.used + size > config.limit_bytes:
            return f"the spool has reached its declared {config.limit_bytes >> 20} MB"
        return self.short() if self.free < config.reserve_bytes else ""

    def short(self) -> str:
        """That the disk has little room, in words; "" from HOLD_RESERVES times the reserve on."""
        config = self._config
        if self._disk_fill() < HOLD_FILL:
            return ""
        return (
            f"{self.free >> 20} MB free under {config.folder}, "
            f"{config.reserve_bytes >> 20} MB are kept free"
        )

    def spare(self, above: int, older_s: float) -> tuple[str, int] | None:
        """A log and its segment that may go and should, to come below so many bytes.

        older_s: or because it is older than that; 0 = that is no reason [s]
        """
        now = time.monotonic()
        crowded = self.used > above or self._disk_fill() > SHORT_FILL
        for name in ("frames", "work"):
            for first, segment in self._logs[name].segments.items():
                old = older_s > 0 and now - segment.began > older_s
                if (crowded or old) and not self._needed(name, first):
                    return name, first
        if self.used > above:
            for first in list(self._logs["journal"].segments)[:1]:
                if not self._needed("journal", first):
                    return "journal", first
        return None

    def let_go(self, name: str, first: int) -> None:
        """Delete a segment."""
        self._logs[name].let_go(first)
        self._scans[name].pop(first, None)
        if name == "frames":
            self._wanted.pop(first, None)

    def pinned(self) -> int:
        """Bytes of segments that may not go."""
        found = 0
        for name in ("frames", "work"):
            for first, segment in self._logs[name].segments.items():
                found += segment.length if self._needed(name, first) else 0
        needed = False
        for first, segment in self._logs["journal"].segments.items():
            needed = needed or self._needed("journal", first)
            found += segment.length if needed else 0
        return found

    def status(self) -> dict[str, Scalar]:
        """For the hub's Status. spool_fill: share of its room that is taken and may not go."""
        fill = max(self.pinned() / self._config.limit_bytes, self._disk_fill())
        values: dict[str, Scalar] = {
            "spool_bytes": self.used,
            "spool_limit_bytes": self._config.limit_bytes,
            "spool_fill": round(fill, 4),
            "disk_free_bytes": self.free,
        }
        if short := self.short():
            values["held"] = short
        return values

    def _disk_fill(self) -> float:
        return disk_fill(self.free, self._config.reserve_bytes)

    def _needed(self, name: str, first: int) -> bool:
        if first == self._logs[name].current:
            return True
        if name == "frames":
            return self._wanted[first] > 0
        scans = self._scans[name].get(first, set())
        if not self._open.isdisjoint(scans):
            return True
        if name == "work":
            return False
        after = min((one for one in self._logs[name].segments if one > first), default=0)
        return after > self._owed_from or any(
            not scans.isdisjoint(of) for of in self._scans["frames"].values()
        )

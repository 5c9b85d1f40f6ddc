"""What the plan's reports mean for the window: its end, its marks, and whether its frames came.

Plain state, no Qt. A plan that ends badly may say nothing but why: its marks are remembered.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from ..stream.messages import Status

LATE_AFTER_S = 10.0  # frames on their way longer than this are missed
GROWING_OVER_S = 5.0  # a lag is compared with what it was so long ago
MAX_SCANS = 100
_OVER = ("stopped", "finished", "closed", "done", "ended", "complete", "left", "failed")


def is_over(state: str) -> bool:
    """True where a component said that it ended of its own accord."""
    return state.lower().startswith(_OVER)


def number(value: object) -> float:
    """value as a float; nan where it is no number."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


@dataclass(frozen=True, slots=True)
class Short:
    """A scan of which fewer frames came than the detector took."""

    scan: int
    taken: int
    arrived: int

    def text(self) -> str:
        """In words."""
        return f"detector took {self.taken} frames, only {self.arrived} arrived"


@dataclass(slots=True)
class _Underway:
    """waiting: (when it was said [s], frames taken by then) of what has not come; lags: (s, lag)"""

    taken: int = 0
    arrived: int = 0
    over: bool = False
    waiting: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=1000))
    lags: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=100))

    def lag_s(self, now_s: float) -> float:
        """How long the oldest of the missing frames has been on its way [s]."""
        return now_s - self.waiting[0][0] if self.waiting else 0.0

    def is_late(self, now_s: float) -> bool:
        """True where frames are late and are not catching up, or the scan is over."""
        lag = self.lag_s(now_s)
        before = [was for at_s, was in self.lags if now_s - GROWING_OVER_S <= at_s < now_s]
        return lag > LATE_AFTER_S and (self.over or not before or lag > before[0])


class PlanReport:
    """What the plan has said so far, and how its frames come in."""

    def __init__(self) -> None:
        self.marks = 0
        self.marks_taken = -1  # it has not said
        self._scan = 0
        self._scans: dict[int, _Underway] = {}

    def clear(self) -> None:
        """Another run begins: its frames are others."""
        self._scans.clear()
        self._scan = 0

    def said(self, status: Status, newest_scan: int, now_s: float) -> None:
        """Take a report of the plan; newest_scan: whose its frames are where it does not say."""
        marks = number(status.values.get("marks"))
        if math.isfinite(marks) and 0 < marks < 10_000:
            self.marks = int(marks)
        done = number(status.values.get("marks_taken"))
        if math.isfinite(done):
            self.marks_taken = int(done)
        frames = number(status.values.get("frames_done"))
        if not math.isfinite(frames):
            for scan in self._scans.values():
                scan.over = True
            return
        place = number(status.values.get("scan"))
        self._scan = int(place) if math.isfinite(place) else newest_scan
        scan = self._of(self._scan)
        for other in self._scans.values():
            other.over = other is not scan
        if frames > scan.taken:
            scan.taken = int(frames)
            if scan.taken > scan.arrived:
                scan.waiting.append((now_s, scan.taken))
        scan.lags.append((now_s, scan.lag_s(now_s)))

    def came(self, scan: int, frames: int) -> None:
        """Of a scan so many frames have come, or are known to be lost."""
        underway = self._of(scan)
        underway.arrived = max(underway.arrived, frames)
        while underway.waiting and underway.waiting[0][1] <= underway.arrived:
            underway.waiting.popleft()

    def short(self, now_s: float) -> list[Short]:
        """The scans whose frames do not come, in their order."""
        return [
            Short(place, scan.taken, scan.arrived)
            for place, scan in sorted(self._scans.items())
            if scan.taken > scan.arrived and scan.is_late(now_s)
        ]

    def lateness(self, scan: int, now_s: float) -> float:
        """How long the oldest missing frame of a scan has been on its way [s]."""
        return self._of(scan).lag_s(now_s)

    def marks_missed(self, state: str) -> str:
        """ "1 of 2 marks taken" where the plan ended before its marks did, else ""."""
        if not is_over(state) or not 0 <= self.marks_taken < self.marks:
            return ""
        return f"{self.marks_taken} of {self.marks} marks taken"

    def _of(self, place: int) -> _Underway:
        if place not in self._scans:
            self._scans[place] = _Underway()
            if len(self._scans) > MAX_SCANS:
                del self._scans[min(self._scans)]
        return self._scans[place]

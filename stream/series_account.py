"""Which images of one series have come, were damaged, or are missing.

A series is complete when every announced number is accounted for: with several connections images
overtake each other and the end message overtakes the last images, so neither order nor the end
message says so. After the end, what has not come within a time without any progress is lost.
"""

from __future__ import annotations

from .messages import ScanStart, ScanStop
from .reasons import FewReasons

NEVER_ARRIVED = "never arrived from the detector"
DIED_WITH_IT = "did not come through: the receiver was killed and started again in this series"


def taken_over(start: ScanStart, now: float) -> SeriesAccount | None:
    """The account of the series of a scan that another receiver had begun; None for no series."""
    series = start.notes.get("detector_series")
    if not isinstance(series, int) or isinstance(series, bool):
        return None
    account = SeriesAccount(series, "", start, now)
    account.resumed = True
    return account


class SeriesAccount:
    """The account of one open series; times are monotonic seconds."""

    def __init__(self, series: int, unique: str, start: ScanStart, now: float) -> None:
        self.series = series
        self.unique = unique
        self.start = start
        self.ended = False
        self.resumed = False
        self.damaged: dict[int, str] = {}
        self._passed = bytearray(start.frames)
        self._passed_count = 0
        self._progress = now

    @property
    def passed(self) -> int:
        """Frames handed on."""
        return self._passed_count

    def matches(self, series: int, unique: str) -> bool:
        """Whether a message that names series and unique belongs here; "" fits any."""
        same = not unique or not self.unique or unique == self.unique
        return series == self.series and same

    def announced(self, index: int) -> bool:
        """Whether index is one of the images that the series announced."""
        return 0 <= index < len(self._passed)

    def has(self, index: int) -> bool:
        """Whether image index was handed on."""
        return bool(self._passed[index])

    def accept(self, index: int, now: float) -> None:
        """Image index was handed on; a sound one makes up for a damaged one."""
        self._passed[index] = 1
        self._passed_count += 1
        self.damaged.pop(index, None)
        self._progress = now

    def damage(self, index: int, reason: str, now: float) -> None:
        """Image index came in a state that nobody can use."""
        self.damaged[index] = reason
        self._progress = now

    def held(self, now: float) -> None:
        """The source is known to wait: its silence means nothing."""
        self._progress = now

    def end(self, now: float) -> None:
        """The detector says that this was all."""
        self.ended = True
        self._progress = now

    def finished(self, now: float, grace_s: float) -> bool:
        """Whether nothing more is to be waited for."""
        if self._passed_count == len(self._passed):
            return True
        accounted = self._passed_count + len(self.damaged) == len(self._passed)
        if accounted and self.ended:
            return True
        return (accounted or self.ended) and now - self._progress >= grace_s

    def silent_s(self, now: float) -> float:
        """Since something of it came last [s]."""
        return now - self._progress

    def stop(self, reason: str, missing: str = "") -> ScanStop:
        """The last word about this scan; missing: why the images that did not come did not.

        Of a series taken over it may name frames that the former receiver had handed on: those
        have come, whatever is said here.
        """
        missing = missing or (DIED_WITH_IT if self.resumed else NEVER_ARRIVED)
        few = FewReasons()
        lost = {
            index: few.said(self.damaged.get(index, missing))
            for index, passed in enumerate(self._passed)
            if not passed
        }
        return ScanStop(self.start.scan, self._passed_count, reason, lost)

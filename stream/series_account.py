"""Which images of one series have come, were damaged, or are missing.

A series is complete when every announced number is accounted for: with several connections images
overtake each other and the end message overtakes the last images, so neither order nor the end
message says so. After the end, what has not come within a time without any progress is lost.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from .account_words import ranges
from .messages import ScanStart, ScanStop
from .reasons import FewReasons

NEVER_ARRIVED = "never arrived from the detector"
CAME_AGAIN = "image that came again"
OTHER_CONTENT = "came again with other content, the first is kept"
_LONGEST = 200  # characters of a list of images in a message
DIED_WITH_IT = "did not come through: the receiver was killed and started again in this series"


def taken_over(start: ScanStart, now: float) -> SeriesAccount | None:
    """The account of the series of a scan that another receiver had begun; None for no series."""
    series = start.notes.get("detector_series")
    if not isinstance(series, int) or isinstance(series, bool):
        return None
    account = SeriesAccount(series, str(start.notes.get("detector_series_unique", "")), start, now)
    account.resumed = True
    return account


class SeriesAccount:
    """The account of one open series; times are monotonic seconds.

    dropped: kind -> how often, of messages that came meanwhile and were not handed on
    """

    def __init__(self, series: int, unique: str, start: ScanStart, now: float) -> None:
        self.series = series
        self.unique = unique
        self.start = start
        self.ended = False
        self.resumed = False
        self.damaged: dict[int, str] = {}
        self._passed = bytearray(start.frames)
        self._passed_count = 0
        self.dropped: Counter[str] = Counter()
        self._checksums = np.zeros(start.frames, np.uint64)
        self._conflicts: set[int] = set()
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

    def accept(self, index: int, checksum: int, now: float) -> None:
        """Image index was handed on; a sound one makes up for a damaged one."""
        self._passed[index] = 1
        self._checksums[index] = checksum
        self._passed_count += 1
        self.damaged.pop(index, None)
        self._progress = now

    def again(self, index: int, checksum: int | None) -> bool:
        """Image index came once more; whether it is the one that was handed on.

        checksum: of its content, None where that is damaged
        """
        same = checksum is not None and int(self._checksums[index]) == checksum
        if same:
            self.dropped[CAME_AGAIN] += 1
        else:
            self._conflicts.add(index)
        return same

    @property
    def conflict(self) -> str:
        """Which images came again as others, in words; "" where none did. Any thread may ask."""
        found = sorted(self._conflicts.copy())
        if not found:
            return ""
        which = ranges(found)
        cut = which if len(which) <= _LONGEST else which[: _LONGEST - 1] + "…"
        return f"{len(found)} x image that {OTHER_CONTENT}: {cut}"

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
        dropped = [f"{count} x {kind}" for kind, count in sorted(self.dropped.items())]
        dropped += [self.conflict] if self._conflicts else []
        return ScanStop(self.start.scan, self._passed_count, reason, lost, tuple(dropped))

"""How much of the time goes into pictures of what is not finished.

Live results are for the eye; frames and final results are what counts. So while frames come, live
results take at most FLOWING of the absorber's time, measured by the clock on the wall: on a
machine that is short of cores they take longer, and therefore come less often, by themselves. Where
no frame came since the last answer, somebody is waiting for the picture: half of the time.
"""

from __future__ import annotations

FLOWING = 0.15
IDLE = 0.5
LONGEST_S = 2.0  # between two answers while frames come, unless one takes longer than that


class Pace:
    """When the next live answer is due.

    interval_s: shortest time between two answers
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._frames = False
        self._ended = float("-inf")
        self._took_s = 0.0

    def frame(self) -> None:
        """A frame has been absorbed."""
        self._frames = True

    def due(self, now: float) -> bool:
        """Whether it is time for an answer [s, on the clock of answered()]."""
        return now >= self._ended + self.pause_s()

    def answered(self, began: float, ended: float) -> None:
        """An answer was made between these times [s]."""
        self._ended, self._took_s = ended, ended - began
        self._frames = False

    def pause_s(self) -> float:
        """How long to wait after the last answer, by what came since [s]."""
        equal = max(self._interval_s, self._took_s * (1 / IDLE - 1))
        if not self._frames:
            return equal
        return max(equal, min(self._took_s * (1 / FLOWING - 1), LONGEST_S))

"""Which measured positions of a scan can be used, and how many cannot, by axis.

An encoder that was not read gives nan. Such a position changes nothing: the planned one stands. It
is counted, and told once a scan and axis when the scan is over.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Positions

log = logging.getLogger(__name__)


class MeasuredPlaces:
    """The measured positions of one scan of so many frames, as they come."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._missing: dict[str, NDArray[np.bool_]] = {}  # axis -> (frames,)
        self._told: set[str] = set()

    def usable(self, positions: Positions) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Frames and places of those that are numbers and of this scan's frames."""
        ours = (positions.indices >= 0) & (positions.indices < self._frames)
        indices, values = positions.indices[ours], positions.values[ours]
        numbers = np.isfinite(values)
        if positions.axis in self._missing or not numbers.all():
            missing = self._missing.setdefault(positions.axis, np.zeros(self._frames, np.bool_))
            missing[indices] = ~numbers  # one that comes again as a number is there
        return indices[numbers], values[numbers]

    def missing(self) -> dict[str, int]:
        """Axis -> frames whose measured position is no number."""
        counts = {axis: int(frames.sum()) for axis, frames in self._missing.items()}
        return {axis: count for axis, count in counts.items() if count}

    def tell(self, scan: str) -> None:
        """Log what is missing, a line for each axis, once."""
        for axis, count in self.missing().items():
            if axis not in self._told:
                self._told.add(axis)
                words = (
                    "scan %s: %d of %d positions of axis %s are not numbers: the planned ones stand"
                )
                log.warning(words, scan, count, self._frames, axis)

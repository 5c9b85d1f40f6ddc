"""Colour ranges: robust, sticky, lockable.

Robust: percentiles, so that one wild voxel does not flatten the picture. Sticky: a range moves
only when the data has clearly left it or clearly shrunk, so that colours do not flicker from one
update to the next. Locked: it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..stream.messages import Array

LOW, HIGH = 1.0, 99.0  # percentiles
GROW = 0.04  # of the span: beyond this the range follows outward
SHRINK = 0.6  # a span below this share of the present one lets the range follow inward


class StickyRange:
    """The (low, high) of one quantity [its unit]; (0, 1) while nothing finite was seen."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 1.0
        self.locked = False
        self.seen = False

    def follow(self, arrays: Iterable[Array]) -> tuple[float, float]:
        """Look at the newest values and say the range to draw them with."""
        if self.locked and self.seen:
            return self.low, self.high
        parts = [np.asarray(a, np.float64).ravel() for a in arrays]
        values = np.concatenate(parts) if parts else np.empty(0)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = (float(p) for p in np.percentile(values, (LOW, HIGH)))
            self._move(low, high)
        return self.low, self.high

    def _move(self, low: float, high: float) -> None:
        if not high > low:  # one value only: a range around it that shows it in the middle
            pad = abs(low) * 1e-3 or 0.5
            low, high = low - pad, high + pad
        span = self.high - self.low
        left = low < self.low - GROW * span or high > self.high + GROW * span
        if not self.seen or left or high - low < SHRINK * span:
            margin = 0.02 * (high - low)
            self.low, self.high, self.seen = low - margin, high + margin, True


class Ranges:
    """One StickyRange a quantity: the same quantity has the same colours everywhere."""

    def __init__(self) -> None:
        self._ranges: dict[str, StickyRange] = {}

    def of(self, quantity: str) -> StickyRange:
        """The range of quantity; "lattice_parameter@3" is that of one pause alone."""
        return self._ranges.setdefault(quantity, StickyRange())

    def lock(self, locked: bool) -> None:
        """Hold all ranges as they are, or let them follow again."""
        for one in self._ranges.values():
            one.locked = locked

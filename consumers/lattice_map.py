"""The lattice parameter of every voxel, a share of the voxels at a time.

A map of a hundred thousand voxels takes longer than a live picture may. Voxels are therefore dealt
out like cards to a few hands, so that each hand covers the whole map thinly; one hand is searched
and fitted at a time, starting from its previous answers, and the map always holds the newest
answer of every voxel. Final maps are made of all hands, anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .lattice import FINAL_TOLERANCE, LIVE_TOLERANCE, LatticeFits, LatticeSearch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
HAND = 8192  # voxels: less than a tenth of a second

# patterns of the chosen ones of the voxels inside the circle, (n, channels), and their variances
Patterns = Callable[[slice], tuple[F32, F32]]


class LatticeMap:
    """Fits of the voxels inside the circle.

    voxels: how many there are; threshold: share of the strong ones' intensity below which a voxel
    is a pore
    """

    def __init__(self, voxels: int, threshold: float) -> None:
        self.fits = LatticeFits.none(voxels)
        self._heights = np.full(voxels, np.nan)
        self._share = threshold
        count = max(1, -(-voxels // HAND))
        self._hands = [slice(start, None, count) for start in range(count)]
        self._next = 0
        self._old = 0

    def renew(self) -> None:
        """Say that the patterns have changed: every hand is to be fitted again."""
        self._old = len(self._hands)

    def unfinished(self) -> int:
        """How many hands rest on patterns that have changed since."""
        return self._old

    def advance(self, patterns: Patterns, search: LatticeSearch) -> None:
        """Fit the next hand, if any is old."""
        if self._old:
            chosen = self._hands[self._next]
            mine, variances = patterns(chosen)
            near, heights = search.scores(mine)
            self._heights[chosen] = heights
            near[heights < 0.5 * self._threshold(self._heights)] = np.nan
            known = self.fits.part(chosen)
            self.fits.put(chosen, search.fit(mine, near, known, LIVE_TOLERANCE, variances))
            self._next = (self._next + 1) % len(self._hands)
            self._old -= 1

    def fit_all(self, patterns: Patterns, search: LatticeSearch) -> None:
        """Fit every voxel from nothing, to the final tolerance."""
        nears = np.empty_like(self._heights)
        for chosen in self._hands:
            nears[chosen], self._heights[chosen] = search.scores(patterns(chosen)[0])
        nears[self._heights < 0.5 * self._threshold(self._heights)] = np.nan
        for chosen in self._hands:
            mine, variances = patterns(chosen)
            near = nears[chosen]
            self.fits.put(chosen, search.fit(mine, near, None, FINAL_TOLERANCE, variances))
        self._old = 0

    def shown(self) -> LatticeFits:
        """The fits without those of pores and of fewer than two reflections; areas as they are."""
        fits = self.fits
        bad = ~(fits.area >= self._threshold(fits.area)) | ~(fits.fitted >= 2)
        a, a_sigma, width, width_sigma = (
            np.where(bad, np.nan, values)
            for values in (fits.a, fits.a_sigma, fits.width, fits.width_sigma)
        )
        return LatticeFits(
            a, a_sigma, width, width_sigma, fits.area, fits.area_sigma, fits.chi2, fits.fitted
        )

    def _threshold(self, values: F64) -> float:
        """The share of the strong voxels' value below which a voxel is a pore."""
        known = values[np.isfinite(values)]
        return self._share * float(np.percentile(known, 95)) if known.size else 0.0

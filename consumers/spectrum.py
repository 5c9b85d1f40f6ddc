"""What a sinogram takes of a frame's reduction: one pattern, and how much it scatters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array
from .geometry import RingTable
from .integration import MEAN, ROBUST, SIGMA_MEAN, SIGMA_ROBUST
from .kernels.azimuthal import WIDTH_UNIT

F32 = NDArray[np.float32]


class Spectrum:
    """Reads reductions, (ROWS, rings), of one geometry.

    used: rings that the scatter is judged by
    width: (rings,) pixels of full solid angle that make a ring; 0 for a ring without pixels
    """

    def __init__(self, table: RingTable, used: NDArray[np.intp], estimator: str) -> None:
        plain = estimator == "mean"
        self._row, self._sigma_row = (MEAN, SIGMA_MEAN) if plain else (ROBUST, SIGMA_ROBUST)
        self._table = table
        self._used = used
        self.width = np.asarray(table.ring_width * WIDTH_UNIT, np.float64)

    def __call__(self, reduction: Array) -> tuple[F32, float]:
        """The pattern, (rings,), and its variance over that of a plain mean of Poisson counts."""
        pattern = self._without_gaps(np.asarray(reduction[self._row], np.float32))
        return pattern, self._excess(pattern, np.asarray(reduction[self._sigma_row], np.float32))

    def _without_gaps(self, pattern: F32) -> F32:
        """The pattern with rings that this frame has no pixel for filled from their neighbours.

        Rings that have no pixel in any frame are 0 and take no part in fits.
        """
        if not np.isfinite(pattern).all():
            good = np.isfinite(pattern)
            pattern = np.where(
                self._table.ring_pixels > 0,
                np.interp(self._table.centres, self._table.centres[good], pattern[good])
                if good.any()
                else 0.0,
                0.0,
            ).astype(np.float32)
        return pattern

    def _excess(self, pattern: F32, sigma: F32) -> float:
        """One number a frame: the same for all rings but for saturated pixels and spots.

        1 where the reduction says no sigma.
        """
        width = self.width[self._used]
        counts = np.maximum(pattern[self._used] * width, 1.0)
        ratio = (sigma[self._used] * width) ** 2 / counts
        known = ratio[ratio > 0]
        return float(np.median(known)) if known.size else 1.0

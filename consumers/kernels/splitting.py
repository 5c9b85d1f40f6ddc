"""Integration with pixels shared out over rings, for rings narrower than a pixel.

A pixel's counts are spread evenly over the interval of the axis that its corners reach (pyFAI calls
this bounding-box splitting). The pattern is smooth where whole pixels would leave rings with few
pixels or none; in return neighbouring rings are correlated, and there is no trimmed mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import KERNEL


@njit(**KERNEL)
def split_patterns(
    counts: NDArray[np.unsignedinteger[Any]],
    limit: int,
    lower: NDArray[np.float32],
    upper: NDArray[np.float32],
    width: NDArray[np.float32],
    sums: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Fill out with the pattern of one frame.

    counts: (pixels,); limit: counts at or above which a pixel is left out
    lower, upper: (pixels,) ends of each pixel in rings, so that ring b is from b to b + 1;
        nan for a masked one
    width: (pixels,) solid angle times polarisation
    sums: (4, rings) scratch
    out: (5, rings) mean, nan, sigma of the mean, nan, pixels; nan where a ring has none; sigma is
        from counting statistics with squared shares, at least one count, of each ring by itself
    """
    rings = out.shape[1]
    sums[:] = 0.0
    for i in range(counts.size):
        a, b = np.float64(lower[i]), np.float64(upper[i])
        if not (a < rings and b > 0.0) or counts[i] >= limit:
            continue
        v = np.float64(counts[i])
        per_span = 1.0 / (b - a)
        first = max(int(np.floor(a)), 0)
        last = min(int(np.floor(b)), rings - 1)
        for ring in range(first, last + 1):
            share = (min(b, ring + 1.0) - max(a, ring)) * per_span
            sums[0, ring] += share * v
            sums[1, ring] += share * width[i]
            sums[2, ring] += share * share * v
            sums[3, ring] += share
    for ring in range(rings):
        out[:, ring] = np.nan
        out[4, ring] = sums[3, ring]
        if sums[1, ring] > 0.0:
            out[0, ring] = sums[0, ring] / sums[1, ring]
            out[2, ring] = np.sqrt(max(sums[2, ring], 1.0)) / sums[1, ring]

"""The trimmed mean of rings by plain sorting in double precision: slow, and nobody's code but this.

It also says by how much a definition that drops the pixels on the cuts, as pyFAI's compiled engine
does, may differ from one that keeps the part of them inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrimmedRings:
    """Every array (rings,); nan where a ring has no pixel.

    mean: trimmed mean
    border: by how much it may change when the two pixels on the cuts are left out or kept whole
    pixels: of each ring
    sigma: standard error by counting statistics, at least one count
    """

    mean: F64
    border: F64
    pixels: NDArray[np.int64]
    sigma: F64


def trimmed_rings(
    counts: NDArray[np.generic],
    ring: NDArray[np.int64],
    width: F64,
    rings: int,
    trim: float,
) -> TrimmedRings:
    """Trimmed means of a frame.

    counts, ring, width: (pixels,); ring of each pixel, any number from rings on for hidden ones
    trim: share of a ring's width cut off in total, half at each end
    """
    inside = ring < rings
    ring, width = ring[inside], width[inside]
    v = counts.ravel()[inside].astype(np.float64)
    corrected = v / width
    order = np.lexsort((corrected, ring))
    ends = np.concatenate([[0], np.cumsum(np.bincount(ring, minlength=rings))])
    mean, border, sigma = (np.full(rings, np.nan) for _ in range(3))
    for b in range(rings):
        chosen = order[ends[b] : ends[b + 1]]
        if chosen.size == 0:
            continue
        w, c = width[chosen], corrected[chosen]
        right = np.cumsum(w)
        low, high = 0.5 * trim * right[-1], (1 - 0.5 * trim) * right[-1]
        kept = np.clip(np.minimum(right, high) - np.maximum(right - w, low), 0.0, None)
        wide = kept.sum()
        mean[b] = (kept * c).sum() / wide
        at_cuts = c[np.searchsorted(right, [low, high]).clip(0, c.size - 1)]
        border[b] = (np.abs(at_cuts - mean[b]) * w.max()).sum() / max(wide - 2 * w.max(), w.min())
        sigma[b] = np.sqrt(max((kept * c).sum(), 1.0)) / wide
    return TrimmedRings(mean, border, np.diff(ends), sigma)

"""A frame in three numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import KERNEL


@njit(**KERNEL)
def frame_statistics(
    counts: NDArray[np.unsignedinteger[Any]],
    open_pixels: NDArray[np.bool_],
    limit: int,
    out: NDArray[np.float64],
) -> None:
    """Fill out with total, maximum (both of open pixels below limit) and pixels at or above limit.

    counts, open_pixels: (pixels,); out: (3,); the maximum is nan where no pixel is left
    """
    total = np.int64(0)
    largest = np.int64(-1)
    saturated = np.int64(0)
    for i in range(counts.size):
        over = (counts[i] >= limit) & open_pixels[i]
        good = open_pixels[i] & (not over)
        value = np.int64(counts[i])
        saturated += over
        total += value * good
        largest = max(largest, value * good + good - 1)
    out[0] = total
    out[1] = largest if largest >= 0 else np.nan
    out[2] = saturated

"""Powder patterns as sums of lines."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import SUMS, fresh
from .profile import FOUR_LN_2, exp_of_negative

F64 = NDArray[np.float64]
REACH = 3.0  # full widths beyond which a Gaussian is below 1e-10 of its height


@fresh
@njit(**SUMS)
def line_patterns(
    q: F64, places: F64, strengths: F64, widths: F64, mixing: float, out: F64
) -> None:
    """Add up pseudo-Voigt lines.

    q: (channels,) ascending
    places, strengths, widths: (patterns, lines); strength is the area, width that at half maximum
    mixing: Lorentzian share
    out: (patterns, channels)
    """
    unit = mixing * 0.5 * math.pi + (1.0 - mixing) * math.sqrt(math.pi / FOUR_LN_2)
    for n in range(places.shape[0]):
        row = out[n]
        row[:] = 0.0
        for line in range(places.shape[1]):
            centre, width = places[n, line], widths[n, line]
            height = strengths[n, line] / (width * unit)
            inverse = 1.0 / width
            lorentz, gauss = height * mixing, height * (1.0 - mixing)
            for i in range(q.size):
                u = (q[i] - centre) * inverse
                row[i] += lorentz / (1.0 + 4.0 * u * u)
            first = np.searchsorted(q, centre - REACH * width)
            last = np.searchsorted(q, centre + REACH * width)
            for i in range(first, last):
                u = (q[i] - centre) * inverse
                row[i] += gauss * exp_of_negative(-FOUR_LN_2 * u * u)

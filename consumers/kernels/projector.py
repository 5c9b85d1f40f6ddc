"""Line integrals through a volume of spectra, all channels of a ray at once.

The same convention as fbp.py: the ray at s of rotation theta is x cos(theta) + y sin(theta) = s.
Joseph's method (IEEE Trans. Med. Imaging 1982, 1, 192): where a ray runs nearer to y than to x it
is sampled once in every row, linearly between the two columns on either side, and each sample
stands for the ray's length from row to row; else with rows and columns exchanged.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@njit(**FUSED)
def project(
    volume: F32,
    filled: NDArray[np.bool_],
    first_x: float,
    first_y: float,
    voxel: float,
    cosine: float,
    sine: float,
    rays: F64,
    out: F32,
) -> None:
    """Add the integral of volume along each ray to out.

    volume: (rows, columns, channels) [1 / length]; filled: (rows, columns) False where it is zero
    first_x, first_y: centre of the first column and of the first row; voxel: their distance
    cosine, sine: of the rotation; rays: (n,) s; out: (n, channels)
    """
    rows, columns, _ = volume.shape
    steep = abs(cosine) >= abs(sine)
    number, across = (rows, columns) if steep else (columns, rows)
    along, beside = (sine, cosine) if steep else (cosine, sine)
    from_along, from_beside = (first_y, first_x) if steep else (first_x, first_y)
    length = voxel / abs(beside)
    for n in range(rays.size):
        for k in range(number):
            place = (rays[n] - (from_along + k * voxel) * along) / beside
            at = (place - from_beside) / voxel
            low = int(np.floor(at))
            if low < -1 or low >= across:
                continue
            part = at - low
            for side in range(2):
                m = low + side
                if m < 0 or m >= across:
                    continue
                i, j = (k, m) if steep else (m, k)
                if filled[i, j]:
                    weight = np.float32(length * (part if side else 1.0 - part))
                    _add(weight, volume[i, j], out[n])


@njit(**FUSED)
def _add(weight: float, values: F32, out: F32) -> None:
    for channel in range(out.size):
        out[channel] += weight * values[channel]

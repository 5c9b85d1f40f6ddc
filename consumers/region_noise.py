"""How far counting statistics scatter sums over regions of a filtered back-projection.

Noise of neighbouring voxels is correlated: what one projection's filter puts into a voxel it takes
from those beside. So the variance of a region's sum is not that of its voxels, but that of a sum
over rays, which scatter independently. The sum over a region R of sum_t w_t sum_s K_ts p_ts is

    sum_t w_t sum_s g_ts p_ts with g_t = K h_t,

h_t being the region as projection t sees it (the adjoint of the back-projection) and K the filter,
so its variance is sum_t w_t**2 sum_s g_ts**2 var(p_ts): exact, for every channel. Where a
projection was itself interpolated (measured positions, lost frames) g goes on to the frames that
were measured. Variances change slowly with the angle; of many projections some MOST, evenly spread,
stand for all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .kernels.ray_noise import collect
from .rebuild import Reconstruction, half_turn_shares
from .tomogram import Tomogram

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
MOST = 120  # projections; a region of a few voxels is then met by enough of them to 1 %


def region_variances(
    tomogram: Tomogram,
    record: Reconstruction,
    region: I32,
    count: int,
    channels: NDArray[np.intp],
) -> F64:
    """Variances of the sums over each region's voxels, (count, channels).

    record: of the tomogram; region: (rows, cols) below count, or below 0 for a voxel in none
    """
    usable = tomogram.usable()
    angles_deg = np.array([tomogram.angle_deg(row) for row in usable.tolist()])
    shares, angles = half_turn_shares(angles_deg), np.radians(angles_deg)
    every = max(1, round(usable.size / MOST))
    step = tomogram.grid.step_um()
    centre = (record.centre_um - float(tomogram.grid.translations_um[0])) / step
    seen = np.zeros((count, tomogram.grid.translations_um.size), np.float32)
    total, ramp = np.zeros((count, channels.size)), tomogram.ramp()
    weights = float((shares**2).sum()) / float((shares[::every] ** 2).sum())
    for n in range(0, usable.size, every):
        collect(region, np.cos(angles[n]), np.sin(angles[n]), centre, record.columns, seen)
        rays = seen @ ramp
        total += shares[n] ** 2 * _scatter(tomogram, int(usable[n]), rays, channels)
    return weights * total


def _scatter(tomogram: Tomogram, row: int, rays: F32, channels: NDArray[np.intp]) -> F32:
    """Variances, (n, channels), of rays, (n, translations), times projection row."""
    if not tomogram.as_planned(row):
        left, right, part = tomogram.neighbours(row)
        even, rays = rays, np.zeros_like(rays)
        np.add.at(rays.T, left, (1 - part) * even.T)
        np.add.at(rays.T, right, part * even.T)
    known = tomogram.measured[row]
    squares: F32 = rays[:, known] ** 2
    return np.asarray(squares @ tomogram.counted(row, channels)[known], np.float32)

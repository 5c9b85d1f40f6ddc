"""What noise of the rays does to the voxels of a filtered back-projection; see volume_noise.py."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@njit(**FUSED)
def add_between(
    cosines: F64, sines: F64, centre: float, columns: I64, weights: F64, image: F64
) -> None:
    """Add weight * p (1 - p) to every voxel, p being how far its ray is between two translations.

    cosines, sines, weights: (n,); centre, columns: as in fbp.back_project()
    image: (points, points)
    """
    points = image.shape[0]
    middle = 0.5 * (points - 1)
    for n in range(cosines.size):
        for i in range(points):
            row = image[i]
            begin = (i - middle) * sines[n] + centre
            for j in range(columns[i, 0], columns[i, 1]):
                ray = (j - middle) * cosines[n] + begin
                part = ray - np.floor(ray)
                row[j] += weights[n] * part * (1.0 - part)


@njit(**FUSED)
def spread(nodes: F32, stride: int, points: int, rows: I64, columns: I64, out: F32) -> None:
    """Values at some voxels of a map of which every stride-th voxel is known, bilinearly.

    nodes: (m, m, channels), around the same middle as the (points, points) map
    rows, columns: (n,) voxels; out: (n, at most channels)
    """
    middle, node_middle = 0.5 * (points - 1), 0.5 * (nodes.shape[0] - 1)
    last = nodes.shape[0] - 2
    for n in range(rows.size):
        y = (rows[n] - middle) / stride + node_middle
        x = (columns[n] - middle) / stride + node_middle
        i, j = min(max(int(y), 0), last), min(max(int(x), 0), last)
        v, u = np.float32(y - i), np.float32(x - j)
        a, b, c, d = nodes[i, j], nodes[i, j + 1], nodes[i + 1, j], nodes[i + 1, j + 1]
        one = np.float32(1.0)
        wa, wb, wc, wd = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
        values = out[n]
        for channel in range(values.size):
            values[channel] = wa * a[channel] + wb * b[channel] + wc * c[channel] + wd * d[channel]


@njit(**FUSED)
def collect(
    region: NDArray[np.int32], cosine: float, sine: float, centre: float, columns: I64, out: F32
) -> None:
    """Weights of a projection's translations in the sums over regions of its back-projection.

    region: (points, points) which region a voxel is in, below 0 none
    centre, columns: as in fbp.back_project(), whose adjoint this is; out: (regions, translations)
    """
    points = region.shape[0]
    middle = 0.5 * (points - 1)
    last = out.shape[1] - 2
    out[:] = 0.0
    for i in range(points):
        begin = (i - middle) * sine + centre
        for j in range(columns[i, 0], columns[i, 1]):
            if region[i, j] >= 0:
                ray = (j - middle) * cosine + begin
                left = min(max(int(ray), 0), last)
                part = min(max(ray - left, 0.0), 1.0)
                out[region[i, j], left] += np.float32(1.0 - part)
                out[region[i, j], left + 1] += np.float32(part)

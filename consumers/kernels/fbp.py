"""Filtered back-projection of spectra, one projection at a time, channels innermost.

Convention: the ray at translation s of rotation theta is x cos(theta) + y sin(theta) = s, where x
is a voxel's column coordinate and y its row coordinate, growing with the row, both measured from
the rotation axis. The reconstruction is pi / angles times the sum of the back-projected, filtered
projections (Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import KERNEL


def ramp_matrix(
    points: int, step: float, cutoff: float = 1.0, hann: bool = False, edge: bool = True
) -> NDArray[np.float32]:
    """The ramp filter as a matrix along the translations, (points, points): filtered = matrix @ p.

    A product with this matrix is the exact linear convolution; nothing wraps around.

    step: distance between translations
    cutoff: share of the Nyquist frequency that passes, 0 to 1
    hann: multiply the ramp by a Hann window that ends at the cutoff
    edge: continue a projection beyond its ends by its last values, for a sample larger than the
        field of view: the ramp takes a constant to zero, so what surrounds the field evenly
        leaves no bowl. False: zeros beyond the ends.

    Source of the kernel without window: Ramachandran and Lakshminarayanan, PNAS 1971, 68, 2236.
    """
    reach = 2 * points
    kernel = _ramp_kernel(reach, cutoff, hann)
    # sum of the kernel from lag m to infinity, by symmetry and because its total sum is zero
    tails = -0.5 * kernel[0] - np.concatenate([[0.0], np.cumsum(kernel[1:])])
    lags = np.abs(np.subtract.outer(np.arange(points), np.arange(points)))
    matrix = kernel[lags]
    if edge:
        matrix[:, 0] += tails[np.arange(points)]
        matrix[:, -1] += tails[np.arange(points)[::-1]]
    return (matrix / step).astype(np.float32)


def _ramp_kernel(reach: int, cutoff: float, hann: bool) -> NDArray[np.float64]:
    """The filter at lags 0 to reach - 1 for unit step: int |f| W(f) cos(2 pi f n) df, |f| < 1/2."""
    lags = np.arange(reach, dtype=np.float64)
    top = 0.5 * cutoff
    ramp = _ramp_integral(lags, top)
    if not hann:
        return ramp
    # W = (1 + cos(pi f / top)) / 2 shifts the lag by +-1 / (2 top): three ramps make the filter
    shift = 0.5 / top
    return 0.5 * ramp + 0.25 * (
        _ramp_integral(lags + shift, top) + _ramp_integral(lags - shift, top)
    )


def _ramp_integral(lag: NDArray[np.float64], top: float) -> NDArray[np.float64]:
    """2 * int_0^top f cos(2 pi f lag) df."""
    angle = 2 * math.pi * top * lag
    near = np.abs(angle) < 1e-4
    safe = np.where(near, 1.0, angle)
    value = (np.cos(safe) + safe * np.sin(safe) - 1.0) / safe**2
    value = np.where(np.abs(value) < 1e-13, 0.0, value)  # the ramp's zeros are meant to be zero
    return 2 * top * top * np.where(near, 0.5, value)


def circle(points: int, radius: float) -> NDArray[np.int64]:
    """First and one past last column inside the circle, for every row of a map; (points, 2).

    radius: in voxels, around the middle of the (points, points) map
    """
    middle = 0.5 * (points - 1)
    rows = np.arange(points) - middle
    half = np.sqrt(np.maximum(radius**2 - rows**2, 0.0))
    inside = np.abs(rows) <= radius
    start = np.ceil(middle - half - 1e-9).astype(np.int64)
    stop = np.floor(middle + half + 1e-9).astype(np.int64) + 1
    return np.stack([np.where(inside, start, 0), np.where(inside, stop, 0)], axis=1)


@njit(**KERNEL)
def filtered(
    matrix: NDArray[np.float32], projection: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """out = matrix @ projection, in one fixed order of additions.

    A library's product is faster but may add in another order on another day; a final volume has
    to come out the same. Every second lag of the plain ramp is zero and costs nothing.

    matrix: (points, points); projection, out: (points, channels)
    """
    points, channels = projection.shape
    out[:] = 0.0
    for i in range(points):
        row = out[i]
        for j in range(points):
            factor = matrix[i, j]
            if factor != 0.0:
                source = projection[j]
                for c in range(channels):
                    row[c] += factor * source[c]


@njit(**KERNEL)
def back_project(
    projection: NDArray[np.float32],
    cosine: float,
    sine: float,
    centre: float,
    columns: NDArray[np.int64],
    sign: float,
    volume: NDArray[np.float32],
) -> None:
    """Add sign times one filtered projection to volume.

    projection: (translations, channels), evenly spaced
    cosine, sine: of the rotation
    centre: translation index, with fraction, of the ray through the rotation axis
    columns: (points, 2) from circle(); voxels outside are left alone
    volume: (points, points, channels)
    """
    points = volume.shape[0]
    translations, channels = projection.shape
    middle = 0.5 * (points - 1)
    for i in range(points):
        y = (i - middle) * sine + centre
        for j in range(columns[i, 0], columns[i, 1]):
            place = (j - middle) * cosine + y
            left = min(max(math.floor(place), 0), translations - 2)
            part = min(max(place - left, 0.0), 1.0)
            high = np.float32(sign * part)
            low = np.float32(sign - sign * part)
            voxel = volume[i, j]
            a = projection[left]
            b = projection[left + 1]
            for c in range(channels):
                voxel[c] += low * a[c] + high * b[c]

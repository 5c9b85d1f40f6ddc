"""Filtered back-projection of spectra, one or several projections at a time, channels innermost.

Convention: the ray at translation s of rotation theta is x cos(theta) + y sin(theta) = s, where x
is a voxel's column coordinate and y its row coordinate, growing with the row, both measured from
the rotation axis. The reconstruction is pi / angles times the sum of the back-projected, filtered
projections (Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3).

A voxel's weights are worked out once and serve all its channels. Reading and writing the volume is
what one projection costs; several at a time share it. See docs/explanations/kernels.md.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED

LANES = 16  # float32 of the widest vector register: channels come in multiples, to leave no tail
GROUP = 16  # projections at a time beyond which nothing is gained
# voxels: what a tile of 128 channels sees of a group's projections stays in the second-level cache
_TILE = 48


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


def ramp_energy(step: float, cutoff: float = 1.0, hann: bool = False) -> NDArray[np.float64]:
    """What white noise of unit variance becomes behind the filter, (3,): its variance, and its
    covariance one and two translations apart. Without window 1/12, -1/(2 pi^2), 1/(8 pi^2)."""
    reach = 512
    half = _ramp_kernel(reach, cutoff, hann)
    whole = np.concatenate([half[:0:-1], half]) / step
    return np.array([whole[lag:] @ whole[: whole.size - lag] for lag in range(3)])


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


def channel_array(*shape: int) -> NDArray[np.float32]:
    """Zeros whose first element stands at the start of a cache line.

    With a last dimension that is a multiple of LANES, no vector of channels straddles two lines.
    """
    size = math.prod(shape)
    raw = np.zeros(size + LANES, np.float32)
    skip = -(raw.ctypes.data // raw.itemsize) % LANES
    aligned: NDArray[np.float32] = raw[skip : skip + size].reshape(shape)
    return aligned


def padded(channels: int) -> int:
    """The least multiple of LANES that holds channels."""
    return -(-channels // LANES) * LANES


@njit(**FUSED)
def filtered(
    matrix: NDArray[np.float32], projection: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """out = matrix @ projection, in one fixed order of additions.

    A library's product may add in another order on another day; a final volume has to come out the
    same. Four rows by four columns at a time: each value loaded is used four times.

    matrix: (points, points); projection, out: (points, channels)
    """
    points, channels = projection.shape
    whole = points - points % 4
    out[:] = np.float32(0.0)
    for i in range(0, whole, 4):
        r0, r1, r2, r3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        m0, m1, m2, m3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(0, whole, 4):
            s0, s1, s2, s3 = (
                projection[j], projection[j + 1], projection[j + 2], projection[j + 3],
            )  # fmt: skip
            a0, a1, a2, a3 = m0[j], m0[j + 1], m0[j + 2], m0[j + 3]
            b0, b1, b2, b3 = m1[j], m1[j + 1], m1[j + 2], m1[j + 3]
            c0, c1, c2, c3 = m2[j], m2[j + 1], m2[j + 2], m2[j + 3]
            d0, d1, d2, d3 = m3[j], m3[j + 1], m3[j + 2], m3[j + 3]
            for c in range(channels):
                v0, v1, v2, v3 = s0[c], s1[c], s2[c], s3[c]
                r0[c] = r0[c] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
                r1[c] = r1[c] + b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
                r2[c] = r2[c] + c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
                r3[c] = r3[c] + d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3
        for j in range(whole, points):
            _add_product(m0[j], projection[j], r0)
            _add_product(m1[j], projection[j], r1)
            _add_product(m2[j], projection[j], r2)
            _add_product(m3[j], projection[j], r3)
    for i in range(whole, points):
        for j in range(points):
            _add_product(matrix[i, j], projection[j], out[i])


@njit(**FUSED)
def _add_product(factor: float, values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for c in range(out.size):
        out[c] += factor * values[c]


@njit(**FUSED)
def back_project(
    projections: NDArray[np.float32],
    cosines: NDArray[np.float64],
    sines: NDArray[np.float64],
    centre: float,
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    volume: NDArray[np.float32],
) -> None:
    """Add filtered projections, each times its weight, to volume.

    projections: (n, translations, channels), contiguous, evenly spaced; about GROUP at a time
    cosines, sines: (n,) of the rotations; weights: (n,), e.g. -1 to take a projection back
    centre: translation index, with fraction, of the ray through the rotation axis
    columns: (points, 2) from circle(); voxels outside are left alone
    volume: (points, points, channels)
    """
    number, translations, channels = projections.shape
    points = volume.shape[0]
    middle = 0.5 * (points - 1)
    flat = projections.reshape(-1)
    place = np.empty(number, np.uint64)  # unsigned: nothing asks whether it counts from the end
    low, high = np.empty(number, np.float32), np.empty(number, np.float32)
    eights = number - number % 8
    tile = max(_TILE // max(channels // 128, 1), 8)
    for top in range(0, points, tile):
        for side in range(0, points, tile):
            for i in range(top, min(top + tile, points)):
                first, last = max(side, columns[i, 0]), min(side + tile, columns[i, 1])
                for j in range(first, last):
                    for p in range(number):
                        ray = (j - middle) * cosines[p] + ((i - middle) * sines[p] + centre)
                        left = min(max(int(ray), 0), translations - 2)
                        part = min(max(ray - left, 0.0), 1.0)
                        place[p] = np.uint64((p * translations + left) * channels)
                        high[p] = weights[p] * part
                        low[p] = weights[p] - weights[p] * part
                    voxel = volume[i, j]
                    for p in range(0, eights, 8):
                        _add_eight(flat, place, low, high, p, voxel)
                    for p in range(eights, number):
                        _add_one(flat, place[p], low[p], high[p], voxel)


@njit(**FUSED)
def _add_eight(
    flat: NDArray[np.float32],
    place: NDArray[np.uint64],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    p: int,
    voxel: NDArray[np.float32],
) -> None:
    """Projections p to p + 7 into one voxel, which is loaded and stored once."""
    p0, p1, p2, p3 = place[p], place[p + 1], place[p + 2], place[p + 3]
    p4, p5, p6, p7 = place[p + 4], place[p + 5], place[p + 6], place[p + 7]
    l0, l1, l2, l3 = low[p], low[p + 1], low[p + 2], low[p + 3]
    l4, l5, l6, l7 = low[p + 4], low[p + 5], low[p + 6], low[p + 7]
    h0, h1, h2, h3 = high[p], high[p + 1], high[p + 2], high[p + 3]
    h4, h5, h6, h7 = high[p + 4], high[p + 5], high[p + 6], high[p + 7]
    n = np.uint64(voxel.size)
    for channel in range(voxel.size):
        a = np.uint64(channel)
        b = a + n
        voxel[a] = (
            voxel[a]
            + l0 * flat[p0 + a] + h0 * flat[p0 + b] + l1 * flat[p1 + a] + h1 * flat[p1 + b]
            + l2 * flat[p2 + a] + h2 * flat[p2 + b] + l3 * flat[p3 + a] + h3 * flat[p3 + b]
            + l4 * flat[p4 + a] + h4 * flat[p4 + b] + l5 * flat[p5 + a] + h5 * flat[p5 + b]
            + l6 * flat[p6 + a] + h6 * flat[p6 + b] + l7 * flat[p7 + a] + h7 * flat[p7 + b]
        )  # fmt: skip


@njit(**FUSED)
def _add_one(
    flat: NDArray[np.float32], place: int, low: float, high: float, voxel: NDArray[np.float32]
) -> None:
    n = np.uint64(voxel.size)
    for channel in range(voxel.size):
        a = np.uint64(channel)
        voxel[a] = voxel[a] + low * flat[place + a] + high * flat[place + a + n]


@njit(**FUSED)
def back_project_image(
    projections: NDArray[np.float32],
    cosines: NDArray[np.float64],
    sines: NDArray[np.float64],
    centre: float,
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    image: NDArray[np.float32],
) -> None:
    """back_project() of a single channel, where a row of voxels is what lies innermost.

    projections: (n, translations); image: (points, points); all else as there
    """
    number, translations = projections.shape
    points = image.shape[0]
    middle = 0.5 * (points - 1)
    end = float(translations - 1)
    values, rises = np.empty(translations, np.float32), np.zeros(translations, np.float32)
    for p in range(number):
        for t in range(translations):
            values[t] = weights[p] * projections[p, t]
        for t in range(translations - 1):
            rises[t] = values[t + 1] - values[t]
        cosine = cosines[p]
        for i in range(points):
            row = image[i]
            first, last = columns[i, 0], columns[i, 1]
            begin = (i - middle) * sines[p] + centre - middle * cosine
            ends = begin + first * cosine, begin + (last - 1) * cosine
            if last > first and not (min(ends) > -1.0 and max(ends) < end + 1.0):
                raise ValueError("voxels outside the projection: columns have to be circle()'s")
            for j in range(first, last):
                ray = begin + j * cosine
                left = np.int32(ray)
                part = np.float32(ray - left)
                row[j] += values[np.uint32(left)] + part * rises[np.uint32(left)]

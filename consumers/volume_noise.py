"""How far counting statistics scatter each voxel and channel of a filtered back-projection.

A voxel is a sum over the rays of all projections, sum_t w_t sum_s K_ts p_ts, and rays scatter
independently, so its variance is sum w_t**2 sum K_ts**2 var(p_ts). K is the filter, read between
two translations: (1 - p) M[l] + p M[l + 1] at the fraction p. With R0 the filter's sum of squares
and R1 its product with itself one translation on,

    sum_s K**2 = R0 - 2 (R0 - R1) p (1 - p):

noise is strongest where a ray meets a measured one (p = 0) and, for the plain ramp, a fifth of
that half way between (linear interpolation is a filter too). Nearly all of K**2 lies within one
translation, so var(p) is taken where the ray is. That leaves

    variance = (R0 - 2 (R0 - R1) <p (1 - p)>) * sum_t w_t**2 var(p at the voxel's ray of t),

where <> is the mean over projections, a matter of geometry: near the rotation axis all rays have
the same p, and the noise there varies from voxel to voxel; far from it the mean is a sixth. The
sum is smooth over the map, whatever the sample is, because it is an unfiltered back-projection: it
is kept for every stride-th voxel, and read bilinearly. Channels do not share pixels and scatter
independently; neighbouring voxels do not, which matters to whoever adds voxels up.

Where a projection was itself interpolated (measured positions, lost frames) its noise has passed
one more such filter: see interpolated().
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .kernels import fbp
from .kernels.ray_noise import add_between, spread

NODES = 96  # of a map's edge that are kept at most
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class VolumeNoise:
    """Variances of the voxels of a volume that grows by projections.

    points: edge of the volume; channels: of it that are looked at
    """

    def __init__(self, points: int, channels: int) -> None:
        self._points = points
        self._channels = channels
        self._stride = max(1, math.ceil(points / NODES))
        nodes = max(2, math.ceil((points - 1) / self._stride) + 1)
        self._nodes = fbp.channel_array(nodes, nodes, fbp.padded(channels))
        self._everywhere = np.tile(np.array([[0, nodes]], np.int64), (nodes, 1))
        self._between = np.zeros((points, points))
        self._weight = 0.0

    def add(self, variances: F32, angles: F64, centre: float, columns: I64, weights: F64) -> None:
        """Add projections whose rays have these variances.

        variances: (n, translations, padded(channels)), contiguous; angles [rad]
        weights: (n,) square of each projection's weight in the volume, negative to take it back
        """
        cosines, sines = np.cos(angles), np.sin(angles)
        fbp.back_project(
            variances, self._stride * cosines, self._stride * sines, centre, self._everywhere,
            weights, self._nodes,
        )  # fmt: skip
        add_between(cosines, sines, centre, columns, weights, self._between)
        self._weight += float(weights.sum())

    def clear(self) -> None:
        """Forget all projections."""
        self._nodes[:] = 0.0
        self._between[:] = 0.0
        self._weight = 0.0

    def variances(self, rows: I64, columns: I64, energy: F64) -> F32:
        """Variances of some voxels, (n, channels).

        energy: R0 and R1 of the filter, from fbp.ramp_energy(), times the square of what the sum of
            projections is multiplied by
        """
        out = np.empty((rows.size, self._channels), np.float32)
        spread(self._nodes, self._stride, self._points, rows, columns, out)
        between = self._between[rows, columns] / max(self._weight, 1e-300)
        level = energy[0] - 2 * (energy[0] - energy[1]) * between
        # float32 sums from which projections were taken back may leave a little less than nothing
        np.maximum(out, 0.0, out=out)
        out *= level.astype(np.float32)[:, None]
        return out


def interpolated(part: F64, energy: F64) -> F64:
    """What linear interpolation along a projection leaves of the noise of its back-projection.

    part: how far the places asked for are from one measured translation to the next, 0 to 1
    energy: R0, R1, R2 of the filter
    The two interpolations, by part and by p, are one filter of three taps; its variance is averaged
    over all p. 1 for part = 0; 0.27 half way, for the plain ramp.
    """
    r0, r1, r2 = energy
    t, u = part, 1.0 - part
    squares = (u * u + t * t) / 3 + (u * u + t * t + t * u) / 3
    next_to = u * (t / 3 + u / 6) + t * (t / 6 + u / 3)
    plain = 2 / 3 * r0 + 1 / 3 * r1
    left: F64 = (r0 * squares + 2 * r1 * next_to + 2 * r2 * t * u / 6) / plain
    return left

"""The volume for the record, rebuilt from the sinogram.

Projections come in ascending order of angle and are filtered with the plain ramp, so the volume
does not know in which order anything came. Frames that never came are interpolated along the
translation where at least half of a projection is there; other projections are left out, and every
projection weighs by its share of the half turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kernels import fbp
from .tomogram import Tomogram
from .volume_noise import VolumeNoise


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A volume and what it rests on.

    volume: (translations, translations, channels) [spectrum / um]
    columns: (translations, 2), first and one past last column inside the circle of each row
    projections: in it; centre_um: translation at which the ray goes through the rotation axis
    noise, energy: variances of some of its channels, see variances()
    """

    volume: NDArray[np.float32]
    columns: NDArray[np.int64]
    projections: int
    centre_um: float
    noise: VolumeNoise
    energy: NDArray[np.float64]

    def variances(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Variances of some voxels, (n, channels that were asked for)."""
        return self.noise.variances(rows, columns, self.energy)


def rebuild(
    tomogram: Tomogram,
    channels: NDArray[np.intp] | None = None,
    noisy: NDArray[np.intp] | None = None,
) -> Reconstruction:
    """The volume in canonical order.

    channels: in the volume, None: all; noisy: those whose variances will be asked for, None: none
    """
    grid = tomogram.grid
    wanted = np.arange(tomogram.sinogram.shape[2]) if channels is None else channels
    usable = tomogram.usable()
    centre = tomogram.final_centre(usable)
    at = float(grid.translations_um[0] + centre * grid.step_um())
    columns = tomogram.circle(centre)
    angles_deg = np.array([tomogram.angle_deg(row) for row in usable.tolist()])
    weights, angles = half_turn_shares(angles_deg), np.radians(angles_deg)
    points, depth = grid.translations_um.size, fbp.padded(wanted.size)
    volume = fbp.channel_array(points, points, depth)
    group, even = fbp.channel_array(fbp.GROUP, points, depth), fbp.channel_array(points, depth)
    asked = np.empty(0, np.intp) if noisy is None else noisy
    noise = VolumeNoise(points, asked.size)
    variances = fbp.channel_array(fbp.GROUP, points, fbp.padded(asked.size))
    for first in range(0, usable.size, fbp.GROUP):
        part = slice(first, first + fbp.GROUP)
        for n, row in enumerate(usable[part].tolist()):
            even[:, : wanted.size] = tomogram.even(row, at)[:, wanted]
            fbp.filtered(tomogram.ramp(), even, group[n])
            variances[n, :, : asked.size] = tomogram.variance(row, asked)
        number = usable[part].size
        fbp.back_project(
            group[:number], np.cos(angles[part]), np.sin(angles[part]), centre, columns,
            weights[part], volume,
        )  # fmt: skip
        if asked.size:
            noise.add(variances[:number], angles[part], centre, columns, weights[part] ** 2)
    return Reconstruction(
        volume[:, :, : wanted.size], columns, usable.size, at, noise, tomogram.ramp_energy()
    )


def half_turn_shares(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the half turn each angle stands for [rad]; they sum to pi.

    Half the distance to the neighbours on either side, angles taken modulo 180 deg.
    """
    if angles_deg.size < 2:
        return np.full(angles_deg.size, math.pi)
    turned = np.radians(angles_deg % 180.0)
    order = np.argsort(turned, kind="stable")
    ahead = np.diff(turned[order], append=turned[order[0]] + math.pi)
    shares = np.empty_like(turned)
    shares[order] = 0.5 * (ahead + np.roll(ahead, 1))
    return shares

"""A finished scan's field, as later scans of the run may use it: coarse enough to be kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .field import Field
from .rebuild import Reconstruction
from .surroundings import with_beside
from .tomogram import Tomogram

POINTS = 101  # of a field's edge at most: beyond, voxels are averaged
PROJECTIONS = 16  # that tell what every ray holds besides


def field_of_scan(
    start: ScanStart,
    tomogram: Tomogram,
    record: Reconstruction,
    inside: NDArray[np.bool_],
    channels: NDArray[np.intp],
    q: NDArray[np.float64],
    middle_um: tuple[float, float],
    rests_on: tuple[str, ...],
) -> Field:
    """A copy of the record's volume, averaged to POINTS voxels a side where it has more.

    inside: (points, points) the circle; channels: of the record, of those on the whole axis q
    middle_um: (x, y) of the rotation axis in the slice; rests_on: see Field
    """
    points, step = len(inside), tomogram.grid.step_um()
    several = -(-points // POINTS)
    kept = points - points % several  # a margin narrower than a voxel of the field is cut off
    first = (points - kept) // 2
    part = slice(first, first + kept)
    volume = np.empty((kept // several, kept // several, channels.size), np.float32)
    for n, row in enumerate(range(first, first + kept, several)):  # never a copy of the whole
        rows = slice(row, row + several)
        known = np.where(inside[rows, part, None], record.volume[rows, part], np.float32(0))
        volume[n] = known.reshape(several, len(volume), several, -1).mean(axis=(0, 2))
    places = (np.arange(points) - 0.5 * (points - 1))[part].reshape(-1, several).mean(axis=1) * step
    field = Field(
        volume=volume,
        channels=channels,
        q=q,
        x_um=middle_um[0] + places,
        y_um=middle_um[1] + places,
        circle=(*middle_um, 0.5 * step * float(inside.sum(axis=1).max())),
        exposure_s=start.exposure_s,
        beside=np.zeros(channels.size, np.float32),
        rests_on=rests_on,
    )
    usable = tomogram.usable()
    some = usable[:: max(1, usable.size // PROJECTIONS)].tolist()
    return with_beside(
        field,
        ((tomogram.angle_deg(r), tomogram.even(r, record.centre_um)[:, channels]) for r in some),
        tomogram.grid.translations_um - record.centre_um,
    )

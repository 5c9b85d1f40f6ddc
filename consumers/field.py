"""The volume of a scan as later scans of the run may use it: small, and 0 outside its circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
POINTS = 101  # of a field's edge at most: beyond, voxels are averaged


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A reconstructed field.

    volume: (rows, columns, channels) float32 [spectrum / um]
    channels: (channels,) of the pattern that it holds; q: axis of the whole pattern [1/Å]
    x_um, y_um: of columns and rows, in the slice
    circle: (x, y, radius) that the scan saw [um]
    exposure_s: of a frame
    """

    volume: F32
    channels: NDArray[np.intp]
    q: F64
    x_um: F64
    y_um: F64
    circle: tuple[float, float, float]
    exposure_s: float

    @property
    def voxel_um(self) -> float:
        """Edge of a voxel."""
        return float(self.x_um[1] - self.x_um[0])


def field_of(
    volume: F32,
    inside: NDArray[np.bool_],
    channels: NDArray[np.intp],
    q: F64,
    coords_um: tuple[F64, F64],
    exposure_s: float,
) -> Field:
    """A copy of a volume as a field, voxels averaged where there are more than POINTS a side.

    volume: (points, points, channels); inside: (points, points) the circle
    coords_um: x of columns and y of rows
    """
    points = len(volume)
    several = -(-points // POINTS)
    kept = points - points % several  # a margin narrower than a voxel of the field is cut off
    first = (points - kept) // 2
    part = slice(first, first + kept)
    known = np.where(inside[part, part, None], volume[part, part], np.float32(0))
    blocks = known.reshape(kept // several, several, kept // several, several, -1)
    x_um, y_um = (c[part].reshape(-1, several).mean(axis=1) for c in coords_um)
    step = float(coords_um[0][1] - coords_um[0][0])
    middle_x, middle_y = (float(0.5 * (c[0] + c[-1])) for c in coords_um)
    radius = 0.5 * step * float(inside.sum(axis=1).max())
    return Field(
        blocks.mean(axis=(1, 3), dtype=np.float32), channels, q, x_um, y_um,
        (middle_x, middle_y, radius), exposure_s,
    )  # fmt: skip

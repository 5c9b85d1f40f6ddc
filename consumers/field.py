"""The volume of a scan as later scans of the run may use it: small, and 0 outside its circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A reconstructed field.

    volume: (rows, columns, channels) float32 [spectrum / um]
    channels: (channels,) of the pattern that it holds; q: axis of the whole pattern [1/Å]
    x_um, y_um: of columns and rows, in the slice
    circle: (x, y, radius) that the scan saw [um]
    exposure_s: of a frame
    beside: (channels,) what every ray holds besides, e.g. of air [spectrum]
    rests_on: scans whose fields were taken off this one's projections
    """

    volume: F32
    channels: NDArray[np.intp]
    q: F64
    x_um: F64
    y_um: F64
    circle: tuple[float, float, float]
    exposure_s: float
    beside: F32
    rests_on: tuple[str, ...] = ()

    @property
    def voxel_um(self) -> float:
        """Edge of a voxel."""
        return float(self.x_um[1] - self.x_um[0])

"""Where each frame of a tomogram belongs in its sinogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Trajectory
from .contract import ScanNotForThis


@dataclass(frozen=True, slots=True)
class SinogramGrid:
    """Where each frame of a scan belongs.

    rotations_deg: (rotations,) ascending; translations_um: (translations,) ascending, even
    slots: (frames, 2) int64, rotation and translation index of every frame
    """

    rotations_deg: NDArray[np.float64]
    translations_um: NDArray[np.float64]
    slots: NDArray[np.int64]

    def step_um(self) -> float:
        """Distance between translations, which is the size of a voxel."""
        ends = self.translations_um[[0, -1]]
        return float((ends[1] - ends[0]) / (self.translations_um.size - 1))


def sinogram_grid(trajectory: Trajectory, rotation: str, translation: str) -> SinogramGrid:
    """The sinogram of a trajectory. Raises ScanNotForThis where it has none."""
    try:
        angles, places = trajectory.axis(rotation), trajectory.axis(translation)
    except KeyError as error:
        raise ScanNotForThis(str(error.args[0])) from None
    if angles.unit != "deg" or places.unit != "um":
        raise ScanNotForThis(
            f"{rotation} is in {angles.unit!r}, {translation} in {places.unit!r}: "
            "deg and um are needed"
        )
    for axis in (angles, places):
        if not np.isfinite(axis.values).all():
            raise ScanNotForThis(
                f"{axis.name} of frame {int(np.argmin(np.isfinite(axis.values)))} is no number"
            )
    rotations, row = np.unique(np.round(angles.values, 6), return_inverse=True)
    translations, column = np.unique(np.round(places.values, 6), return_inverse=True)
    if rotations.size < 2 or translations.size < 4:
        raise ScanNotForThis(f"{rotations.size} rotations of {translations.size} translations")
    steps = np.diff(translations)
    if np.ptp(steps) > 0.01 * steps.mean():
        raise ScanNotForThis(f"{translation} has steps of {steps.min():g} to {steps.max():g} um")
    slots = np.stack([row, column], axis=1).astype(np.int64)
    taken, first = np.unique(row * translations.size + column, return_index=True)
    if taken.size < row.size:
        twice = int(np.setdiff1d(np.arange(row.size), first)[0])
        raise ScanNotForThis(f"frame {twice} is planned where another one already is")
    return SinogramGrid(rotations, translations, slots)


def on_either_side(
    places_um: NDArray[np.float64], wanted_um: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each wanted place the places below and above it, and how far it is between, 0 to 1.

    places_um: at least two, in any order; beyond them it is the outermost one
    """
    order = np.argsort(places_um, kind="stable")
    places = places_um[order]
    right = np.clip(np.searchsorted(places, wanted_um), 1, places.size - 1)
    gap = np.maximum(places[right] - places[right - 1], 1e-9)
    part = np.clip((wanted_um - places[right - 1]) / gap, 0.0, 1.0).astype(np.float32)
    return order[right - 1], order[right], part

"""The sinogram of a scan and the volume that grows with it.

Policy:
- A frame's slot in the sinogram comes from its planned position, so any order of frames (plain,
  bit-reversed, interlaced, snake) is the same sinogram. Measured positions move the slot's ray,
  not the slot: a projection is brought to the even grid by linear interpolation and
  back-projected at the mean of its measured angles.
- The live volume takes each projection when its last frame has come, and is smoothed by a
  Hann window whose cut-off is the Nyquist frequency times min(1, 2 n / N) for n of N projections,
  in eighths (rounded up). When the eighth changes, the volume is rebuilt with
  the new filter: at most 2.25 N more back-projections in a scan, and the filter is exact at the
  field's edge. A projection that changes afterwards is subtracted and added again.
- The final volume is rebuilt from the sinogram in ascending order of angle with the ramp filter, so
  it does not know in which order anything came. Frames that never came are interpolated
  along the translation where at least half of a projection is there; other projections are left
  out, and every projection weighs by its share of the half turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Positions, Trajectory
from .contract import ScanNotForThis
from .kernels import fbp

LEVELS = 8  # of the live filter's cut-off
LEAST_MEASURED = 0.5  # of a projection's frames, to use it in the final volume


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


class Tomogram:
    """Sinogram and volume of one scan; spectra of a fixed number of channels.

    axis_um: translation at which the ray goes through the rotation axis
    edge: see kernels.fbp.ramp_matrix
    """

    def __init__(self, grid: SinogramGrid, channels: int, axis_um: float, edge: bool) -> None:
        rotations, translations = grid.rotations_deg.size, grid.translations_um.size
        self.grid = grid
        self.sinogram = np.full((rotations, translations, channels), np.nan, np.float32)
        self.measured = np.zeros((rotations, translations), np.bool_)
        self._angle_deg = np.repeat(grid.rotations_deg[:, None], translations, axis=1)
        self._place_um = np.repeat(grid.translations_um[None, :], rotations, axis=0)
        self._moved = np.zeros(rotations, np.bool_)
        self._edge = edge
        self._centre = float((axis_um - grid.translations_um[0]) / grid.step_um())
        radius = min(self._centre, translations - 1 - self._centre)
        if radius < 2:
            raise ScanNotForThis(
                f"rotation axis at {axis_um:g} um, translations run from "
                f"{grid.translations_um[0]:g} to {grid.translations_um[-1]:g} um"
            )
        self.columns = fbp.circle(translations, radius)
        self._volume = np.zeros((translations, translations, channels), np.float32)
        self._in_volume = np.zeros(rotations, np.bool_)
        self._level = 0
        self._matrices: dict[int, NDArray[np.float32]] = {}
        self._filtered = np.empty((translations, channels), np.float32)

    def absorb(self, index: int, spectrum: NDArray[np.float32]) -> None:
        """Put the spectrum of frame index, (channels,) without nan, into its slot."""
        row, column = self.grid.slots[index]
        slot = self.sinogram[row, column]
        if self.measured[row, column]:
            if np.array_equal(slot, spectrum):
                return
            self._withdraw(row)
        slot[:] = spectrum
        self.measured[row, column] = True
        self._enter(row)

    def place(self, positions: Positions, rotation: str, translation: str) -> None:
        """Take measured positions of either axis."""
        table = {rotation: self._angle_deg, translation: self._place_um}.get(positions.axis)
        if table is None:
            return
        known = (positions.indices >= 0) & (positions.indices < len(self.grid.slots))
        known &= np.isfinite(positions.values)
        rows, columns = self.grid.slots[positions.indices[known]].T
        values = positions.values[known]
        changed = table[rows, columns] != values
        for row in np.unique(rows[changed]):
            self._withdraw(row)
        table[rows, columns] = values
        for row in np.unique(rows[changed]):
            drift = np.abs(self._place_um[row] - self.grid.translations_um).max()
            self._moved[row] = drift > 1e-3 * self.grid.step_um()
            self._enter(row)

    def projections(self) -> int:
        """How many projections the live volume holds."""
        return int(self._in_volume.sum())

    def live_volume(self) -> NDArray[np.float32]:
        """The volume so far, (translations, translations, channels) [spectrum / um]."""
        volume: NDArray[np.float32] = self._volume * self._live_scale()
        return volume

    def live_voxel(self, row: int, column: int) -> NDArray[np.float32]:
        """One voxel of live_volume(), (channels,)."""
        voxel: NDArray[np.float32] = self._volume[row, column] * self._live_scale()
        return voxel

    def _live_scale(self) -> np.float32:
        return np.float32(math.pi / max(self.projections(), 1))

    def final_volume(self) -> tuple[NDArray[np.float32], int]:
        """The volume in canonical order, and how many projections it rests on."""
        usable = np.flatnonzero(self.measured.mean(axis=1) >= LEAST_MEASURED).tolist()
        volume = np.zeros_like(self._volume)
        weights = half_turn_shares(np.array([self._angle(row) for row in usable]))
        for row, weight in zip(usable, weights, strict=True):
            self._project(row, 0, float(weight), volume)
        return volume, len(usable)

    def _enter(self, row: int) -> None:
        """Add projection row to the live volume if it is complete."""
        if not self.measured[row].all() or self._in_volume[row]:
            return
        self._in_volume[row] = True
        share = min(1.0, 2 * self.projections() / self._in_volume.size)
        level = math.ceil(LEVELS * share)
        if level > self._level:
            self._level = level
            self._volume[:] = 0.0
            rows = np.flatnonzero(self._in_volume).tolist()
        else:
            rows = [row]
        for each in rows:
            self._project(each, self._level, 1.0, self._volume)

    def _withdraw(self, row: int) -> None:
        """Take projection row out of the live volume, before it changes."""
        if self._in_volume[row]:
            self._in_volume[row] = False
            self._project(row, self._level, -1.0, self._volume)

    def _angle(self, row: int) -> float:
        return float(self._angle_deg[row][self.measured[row]].mean())

    def _project(self, row: int, level: int, sign: float, volume: NDArray[np.float32]) -> None:
        angle = math.radians(self._angle(row))
        fbp.filtered(self._matrix(level), self._even(row), self._filtered)
        fbp.back_project(
            self._filtered,
            math.cos(angle),
            math.sin(angle),
            self._centre,
            self.columns,
            sign,
            volume,
        )

    def _even(self, row: int) -> NDArray[np.float32]:
        """Projection row on the even grid of translations, gaps filled."""
        measured = self.measured[row]
        if measured.all() and not self._moved[row]:
            whole: NDArray[np.float32] = self.sinogram[row]
            return whole
        places = self._place_um[row][measured]
        order = np.argsort(places, kind="stable")
        places = places[order]
        spectra = self.sinogram[row][measured][order]
        wanted = self.grid.translations_um
        right = np.clip(np.searchsorted(places, wanted), 1, places.size - 1)
        gap = np.maximum(places[right] - places[right - 1], 1e-9)
        part = np.clip((wanted - places[right - 1]) / gap, 0.0, 1.0).astype(np.float32)[:, None]
        even: NDArray[np.float32] = (1 - part) * spectra[right - 1] + part * spectra[right]
        return even

    def _matrix(self, level: int) -> NDArray[np.float32]:
        """The filter of a live level; 0: the plain ramp."""
        if level not in self._matrices:
            self._matrices[level] = fbp.ramp_matrix(
                self.grid.translations_um.size,
                self.grid.step_um(),
                cutoff=level / LEVELS if level else 1.0,
                hann=level > 0,
                edge=self._edge,
            )
        return self._matrices[level]


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

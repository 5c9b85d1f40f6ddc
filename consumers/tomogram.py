"""The sinogram of a scan and the volume that grows with it.

Policy:
- A frame's slot in the sinogram comes from its planned position, so any order of frames (plain,
  bit-reversed, interlaced, snake) is the same sinogram. Measured positions move the slot's ray,
  not the slot: a projection is brought to the even grid by linear interpolation and
  back-projected at the mean of its measured angles.
- absorb() only fills the sinogram. Projections that are complete wait until advance() is called,
  which back-projects as many as it is allowed, several at a time: the longer the queue, the less
  each costs. So frames are never kept waiting by the volume.
- The live volume holds only the channels that are asked for, and is smoothed by a Hann window
  whose cut-off is the Nyquist frequency times min(1, 2 n / N) for n projections, in eighths
  (rounded up); N is all, or pi/2 times the translations: more do not resolve more (Crowther et al.,
  Proc. R. Soc. A 1970, 317, 319). When the eighth changes, each projection's difference between
  the two filters joins the queue, behind the new ones: at most 2.25 N more back-projections.
- A projection that changes is taken back and queued anew. Where many change at once (measured
  positions of a whole scan, another rotation centre) the volume is begun again.
- A tracked rotation centre comes from the sinogram's centre of mass (rotation_centre.py); the live
  volume is begun again when it has moved by more than a quarter of a voxel.
- The final volume is rebuilt from the sinogram, see rebuild.py.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Positions
from .contract import ScanNotForThis
from .kernels import fbp
from .measured_places import MeasuredPlaces
from .rotation_centre import centre_of_rotation
from .sinogram_grid import SinogramGrid, on_either_side
from .surroundings import Outside
from .volume_noise import VolumeNoise, interpolated

LEVELS = 8  # of the live filter's cut-off
MOVED = 0.25  # voxels by which a tracked rotation centre has to move to begin the volume again
LEAST_MEASURED = 0.5  # of a projection's frames, to use it in the final volume


class Tomogram:
    """Sinogram and volume of one scan; spectra of a fixed number of channels.

    axis_um: translation at which the ray goes through the rotation axis; None: tracked, from the
        middle of the field where the sample does not tell
    edge: see kernels.fbp.ramp_matrix
    shown: (n,) channels of the live volume, ascending; None: all
    mass: (channels,) weights that sum a spectrum to what the rotation centre is tracked by
    width: (channels,) pixels of full solid angle that a channel of a frame is the mean of; 0: none
    """

    def __init__(
        self,
        grid: SinogramGrid,
        channels: int,
        axis_um: float | None,
        edge: bool,
        shown: NDArray[np.intp] | None = None,
        mass: NDArray[np.float32] | None = None,
        width: NDArray[np.float64] | None = None,
    ) -> None:
        rotations, translations = grid.rotations_deg.size, grid.translations_um.size
        self.grid = grid
        self.sinogram = np.full((rotations, translations, channels), np.nan, np.float32)
        self.measured = np.zeros((rotations, translations), np.bool_)
        self.mass = np.full((rotations, translations), np.nan, np.float32)
        # variance over that of a plain mean of Poisson counts
        self.excess = np.full((rotations, translations), np.nan, np.float32)
        wide = np.ones(channels) if width is None else width
        self._per_count = np.where(wide > 0, 1.0 / np.maximum(wide, 1e-9), 0.0).astype(np.float32)
        self._mass_of = np.ones(channels, np.float32) if mass is None else mass
        self._shown = np.arange(channels) if shown is None else shown
        self._angle_deg = np.repeat(grid.rotations_deg[:, None], translations, axis=1)
        self._place_um = np.repeat(grid.translations_um[None, :], rotations, axis=0)
        self._moved = np.zeros(rotations, np.bool_)
        self._edge = edge
        self._axis_um = axis_um
        self._centre = self._index(
            float(grid.translations_um.mean()) if axis_um is None else axis_um
        )
        self.columns = self.circle(self._centre)
        depth = fbp.padded(self._shown.size)
        self._volume = fbp.channel_array(translations, translations, depth)
        self._group = fbp.channel_array(fbp.GROUP, translations, depth)
        self._even_shown = fbp.channel_array(translations, depth)
        self._variances = fbp.channel_array(fbp.GROUP, translations, depth)
        self._noise = VolumeNoise(translations, self._shown.size)
        # the filter's level of each projection in the volume, 0 for those that are not
        self._level_of = np.zeros(rotations, np.int64)
        self._complete = np.zeros(rotations, np.bool_)
        self._enough = min(rotations, math.ceil(0.5 * math.pi * translations))
        self._energies: dict[int, NDArray[np.float64]] = {}
        self._matrices: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._outside: Outside | None = None
        self.measured_places = MeasuredPlaces(len(grid.slots))

    def absorb(self, index: int, spectrum: NDArray[np.float32], excess: float = 1.0) -> None:
        """Put the spectrum of frame index, (channels,) without nan, into its slot.

        excess: its variance over that of a plain mean of Poisson counts
        """
        row, column = self.grid.slots[index]
        slot = self.sinogram[row, column]
        if self.measured[row, column]:
            same = self.excess[row, column] == np.float32(excess)
            if same and np.array_equal(slot, spectrum):
                return
            self._withdraw([row])
        slot[:] = spectrum
        self.excess[row, column] = excess
        self.mass[row, column] = self._mass_of @ spectrum
        self.measured[row, column] = True
        self._complete[row] = self.measured[row].all()

    def place(self, positions: Positions, rotation: str, translation: str) -> None:
        """Take measured positions of either axis."""
        table = {rotation: self._angle_deg, translation: self._place_um}.get(positions.axis)
        if table is None:
            return
        indices, values = self.measured_places.usable(positions)
        rows, columns = self.grid.slots[indices].T
        changed = np.unique(rows[table[rows, columns] != values]).tolist()
        self._withdraw(changed)
        table[rows, columns] = values
        for row in changed:
            drift = np.abs(self._place_um[row] - self.grid.translations_um).max()
            self._moved[row] = drift > 1e-3 * self.grid.step_um()

    def surround(self, outside: Outside | None) -> None:
        """Take from now on what is outside off every projection, the live volume's as well."""
        self._outside = outside
        self._matrices.clear()
        self._begin_again()

    # --- the live volume

    def projections(self) -> int:
        """How many projections the live volume holds."""
        return int((self._level_of > 0).sum())

    def waiting(self) -> int:
        """How many back-projections the live volume lacks."""
        return len(self._queue())

    def advance(self, most: int | None = None) -> int:
        """Bring the live volume on by at most so many back-projections; how many were made."""
        self._follow_centre()
        rows = self._queue()[:most]
        level = self._level()
        for first in range(0, len(rows), fbp.GROUP):
            group = rows[first : first + fbp.GROUP]
            matrices = [self._matrix(level, int(self._level_of[row])) for row in group]
            self._add(group, matrices, np.ones(len(group)))
            self._add_noise([row for row in group if self._level_of[row] == 0], 1.0)
            self._level_of[group] = level
        return len(rows)

    def live_volume(self) -> NDArray[np.float32]:
        """The volume so far, (translations, translations, shown channels) [spectrum / um]."""
        volume: NDArray[np.float32] = self._volume[:, :, : self._shown.size] * self._live_scale()
        return volume

    def live_voxels(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Some voxels of live_volume(), (n, shown channels)."""
        return self._volume[rows, columns, : self._shown.size] * self._live_scale()

    def live_variances(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Variances of live_voxels(), (n, shown channels); see volume_noise.py."""
        energy = self._energy(self._level()) * float(self._live_scale()) ** 2
        return self._noise.variances(rows, columns, energy)

    def complete(self) -> int:
        """How many projections have all their frames."""
        return int(self._complete.sum())

    def live_voxel(self, row: int, column: int) -> NDArray[np.float32]:
        """All channels of one voxel, from every complete projection, waiting or not."""
        voxel = np.zeros(self.sinogram.shape[2], np.float32)
        points = self.grid.translations_um.size
        middle = 0.5 * (points - 1)
        rows = np.flatnonzero(self._complete).tolist()
        matrix = self._matrix(self._level(), 0)
        for each in rows:
            angle = math.radians(self.angle_deg(each))
            ray = (column - middle) * math.cos(angle) + (row - middle) * math.sin(angle)
            left = min(max(math.floor(ray + self._centre), 0), points - 2)
            part = np.float32(ray + self._centre - left)
            voxel += ((1 - part) * matrix[left] + part * matrix[left + 1]) @ self.even(each)
        return voxel * np.float32(math.pi / max(len(rows), 1))

    def _live_scale(self) -> np.float32:
        return np.float32(math.pi / max(self.projections(), 1))

    def sharpness(self) -> float:
        """The cut-off of the live filter, as a share of the Nyquist frequency."""
        return self._level() / LEVELS

    def _level(self) -> int:
        """The filter's level once all that is complete is in the volume."""
        return math.ceil(LEVELS * min(1.0, 2 * self.complete() / self._enough))

    def _queue(self) -> list[int]:
        """Projections that are to be added, then those whose filter is no longer the right one."""
        inside = self._level_of > 0
        new = np.flatnonzero(self._complete & ~inside)
        stale = np.flatnonzero(inside & (self._level_of != self._level()))
        return [*new.tolist(), *stale.tolist()]

    def _withdraw(self, rows: list[int]) -> None:
        """Take projections out of the live volume, before they change."""
        inside = [row for row in rows if self._level_of[row] > 0]
        if len(inside) > fbp.GROUP:
            self._begin_again()
        elif inside:
            matrices = [self._matrix(int(self._level_of[row]), 0) for row in inside]
            self._add(inside, matrices, np.full(len(inside), -1.0))
            self._add_noise(inside, -1.0)
            self._level_of[inside] = 0

    def _begin_again(self) -> None:
        self._volume[:] = 0.0
        self._noise.clear()
        self._level_of[:] = 0

    def _add(
        self,
        rows: list[int],
        matrices: list[NDArray[np.float32]],
        weights: NDArray[np.float64],
    ) -> None:
        """Filter and back-project at most GROUP projections into the live volume."""
        for n, (row, matrix) in enumerate(zip(rows, matrices, strict=True)):
            self._even_shown[:, : self._shown.size] = self.even(row)[:, self._shown]
            fbp.filtered(matrix, self._even_shown, self._group[n])
        angles = np.radians([self.angle_deg(row) for row in rows])
        fbp.back_project(
            self._group[: len(rows)], np.cos(angles), np.sin(angles), self._centre, self.columns,
            weights, self._volume,
        )  # fmt: skip

    def _add_noise(self, rows: list[int], weight: float) -> None:
        """Count the noise of at most GROUP projections as theirs that are in the live volume."""
        if not rows:
            return
        for n, row in enumerate(rows):
            self._variances[n, :, : self._shown.size] = self.variance(row, self._shown)
        angles = np.radians([self.angle_deg(row) for row in rows])
        self._noise.add(
            self._variances[: len(rows)], angles, self._centre, self.columns,
            np.full(len(rows), weight),
        )  # fmt: skip

    # --- the rotation centre

    def centre_um(self) -> float:
        """Translation at which the live volume has its rotation axis."""
        return float(self.grid.translations_um[0] + self._centre * self.grid.step_um())

    def _follow_centre(self) -> None:
        if self._axis_um is None:
            found = self._tracked(np.flatnonzero(self._complete))
            if found is not None and abs(found - self._centre) > MOVED:
                self._centre = found
                self.columns = self.circle(found)
                self._begin_again()

    def _tracked(self, rows: NDArray[np.intp]) -> float | None:
        """Where these projections' centres of mass put the axis; None: they do not say."""
        angles = np.radians([self.angle_deg(row) for row in rows.tolist()])
        mass = np.array([self._even_mass(row) for row in rows.tolist()])
        found = centre_of_rotation(angles, mass)
        inside = found is not None and 2 <= found <= self.grid.translations_um.size - 3
        return found if inside else None

    def _index(self, axis_um: float) -> float:
        return float((axis_um - self.grid.translations_um[0]) / self.grid.step_um())

    def circle(self, centre: float) -> NDArray[np.int64]:
        """Columns of each row that every angle sees, see kernels.fbp.circle().

        Raises ScanNotForThis where the axis, centre as a translation index, leaves no circle.
        """
        points = self.grid.translations_um.size
        radius = min(centre, points - 1 - centre)
        if radius < 2:
            at = self.grid.translations_um[0] + centre * self.grid.step_um()
            raise ScanNotForThis(
                f"rotation axis at {at:g} um, translations run from "
                f"{self.grid.translations_um[0]:g} to {self.grid.translations_um[-1]:g} um"
            )
        return fbp.circle(points, radius)

    # --- what a rebuild reads

    def usable(self) -> NDArray[np.intp]:
        """Projections with enough of their frames for the final volume, in ascending order."""
        return np.flatnonzero(self.measured.mean(axis=1) >= LEAST_MEASURED)

    def final_centre(self, rows: NDArray[np.intp]) -> float:
        """Translation index of the rotation axis as these projections have it."""
        if self._axis_um is not None:
            return self._index(self._axis_um)
        found = self._tracked(rows)
        return 0.5 * (self.grid.translations_um.size - 1) if found is None else found

    def ramp(self) -> NDArray[np.float32]:
        """The filter of the final volume."""
        return self._matrix(0, 0)

    def ramp_energy(self) -> NDArray[np.float64]:
        """What that filter makes of white noise, see volume_noise.py."""
        return self._energy(0)

    # --- one projection

    def angle_deg(self, row: int) -> float:
        """Rotation of projection row, the mean of its frames'."""
        return float(self._angle_deg[row][self.measured[row]].mean())

    def even(self, row: int, axis_um: float | None = None) -> NDArray[np.float32]:
        """Projection row on the even grid of translations, gaps filled, without what is outside.

        axis_um: translation of the rotation axis; None: the live volume's
        """
        whole: NDArray[np.float32] = self.sinogram[row]
        if not self.as_planned(row):
            whole = self._interpolated(row, whole)
        if self._outside is not None:
            rays = self.grid.translations_um - (self.centre_um() if axis_um is None else axis_um)
            whole = np.subtract(whole, self._outside.projection(self.angle_deg(row), rays))
        return whole

    def variance(self, row: int, channels: NDArray[np.intp]) -> NDArray[np.float32]:
        """Variance of even(row), as white noise that is back-projected as much as that one is."""
        counted = self.counted(row, channels)
        if not self.as_planned(row):
            part = self.neighbours(row)[2][:, 0].astype(np.float64)
            counted = self._interpolated(row, counted)
            counted *= interpolated(part, self._energy(0)).astype(np.float32)[:, None]
        return counted

    def counted(self, row: int, channels: NDArray[np.intp]) -> NDArray[np.float32]:
        """Variance of each frame's pattern, of one count at least."""
        counted: NDArray[np.float32] = self.sinogram[row][:, channels]
        counted = np.maximum(counted, self._per_count[channels]) * self._per_count[channels]
        counted *= self.excess[row][:, None]
        return counted

    def _even_mass(self, row: int) -> NDArray[np.float32]:
        if self.as_planned(row):
            whole: NDArray[np.float32] = self.mass[row]
            return whole
        return self._interpolated(row, self.mass[row][:, None])[:, 0]

    def as_planned(self, row: int) -> bool:
        """Whether every frame of a projection was taken where it was to be."""
        return bool(self.measured[row].all()) and not self._moved[row]

    def _interpolated(self, row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        left, right, part = self.neighbours(row)
        even: NDArray[np.float32] = (1 - part) * values[left] + part * values[right]
        return even

    def neighbours(
        self, row: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        """For every translation the frames on either side, and how far it is between, (n, 1)."""
        frames = np.flatnonzero(self.measured[row])
        left, right, part = on_either_side(self._place_um[row][frames], self.grid.translations_um)
        return frames[left], frames[right], part[:, None]

    def _energy(self, level: int) -> NDArray[np.float64]:
        """R0, R1, R2 of a level's filter, see volume_noise.py."""
        if level not in self._energies:
            cutoff = level / LEVELS if level else 1.0
            self._energies[level] = fbp.ramp_energy(self.grid.step_um(), cutoff, level > 0)
        return self._energies[level]

    def _matrix(self, level: int, instead_of: int) -> NDArray[np.float32]:
        """The filter of a live level (0: the plain ramp), less that of the level it replaces."""
        key = level, instead_of
        if key not in self._matrices:
            matrix = fbp.ramp_matrix(
                self.grid.translations_um.size,
                self.grid.step_um(),
                cutoff=level / LEVELS if level else 1.0,
                hann=level > 0,
                edge=self._edge and not (self._outside is not None and self._outside.whole),
            )
            if instead_of:
                matrix = matrix - self._matrix(instead_of, 0)
            self._matrices[key] = matrix
        return self._matrices[key]

"""Which particle of this scan is which particle of the scans before.

Policy. The atlas holds the label map of all identities known so far, in the coordinates of the
first scan. A new scan's slice may have drifted as a whole: the shift is found first, as the one
within `reach_um` at which the two filling maps are most alike (correlation over the voxels that
both know). Then particles are paired so that the sum of their overlaps is largest (Kuhn's
assignment, Nav. Res. Logist. 1955, 2, 83; overlap is intersection over union), pairs whose overlap
is below LEAST_OVERLAP being none. What is left is new; identities that nobody took are lost, but
stay in the atlas, so that a particle that was missed once is known again. What it knows helps to
find particles, too (names_at, particles.py): a pair that is known to be two is not taken for one.

Everything goes by position, so scans of other voxel sizes and smaller fields land on the same
identities. Scans with voxels like the atlas's bring it up to date, finer ones add particles to it,
coarser ones add names only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .particles import I32, Segmentation

F64 = NDArray[np.float64]

LEAST_OVERLAP = 0.2  # intersection over union below which two outlines are not the same particle
COARSE_SHARE = 1.2  # a map's voxels may be larger than the atlas's by this to change it


@dataclass(frozen=True, slots=True)
class Place:
    """Where a map's voxels are.

    x_um: (cols,), y_um: (rows,): centres, evenly spaced, ascending
    """

    x_um: F64
    y_um: F64

    @property
    def step_um(self) -> float:
        """Edge of a voxel."""
        return float(self.x_um[1] - self.x_um[0])

    def moved(self, shift_um: tuple[float, float]) -> Place:
        """Where these voxels were before they had moved by (x, y)."""
        return Place(self.x_um - shift_um[0], self.y_um - shift_um[1])


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """All identities known so far, where they were last seen; maps (rows, cols).

    identity: 0 where there is none
    filling: of the scan that began it
    names: ascending, every identity there ever was
    """

    place: Place
    identity: I32
    filling: F64
    names: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The identities of one scan's particles.

    identity: (particles + 1,) by label; 0 for label 0
    shift_um: (x, y) by which the slice has moved since the first scan
    new, lost: identities
    atlas: with what this scan adds
    """

    identity: I32
    shift_um: tuple[float, float]
    new: tuple[int, ...]
    lost: tuple[int, ...]
    atlas: Atlas


@dataclass(frozen=True, slots=True, eq=False)
class ParticleFindings:
    """What later scans of the run may build on.

    atlas: where which identity is
    scans: numbers of the scans so far
    a, a_sigma: (identities, scans) mean lattice parameter [Å], by the atlas's names; nan where a
        scan has not seen it
    """

    atlas: Atlas
    scans: tuple[int, ...]
    a: F64
    a_sigma: F64


def begin_atlas(found: Segmentation, place: Place) -> Tracks:
    """The first scan: every particle is a new identity."""
    identity = np.arange(found.count + 1, dtype=np.int32)
    names = tuple(range(1, found.count + 1))
    atlas = Atlas(place, found.label.copy(), np.nan_to_num(found.filling), names)
    return Tracks(identity, (0.0, 0.0), names, (), atlas)


def drift_um(
    atlas: Atlas, found: Segmentation, place: Place, reach_um: float = 5.0
) -> tuple[float, float]:
    """(x, y) by which the slice of a later scan has moved since the first.

    reach_um: farthest that it may have moved along x or y
    """
    if found.count == 0:
        return 0.0, 0.0
    return _drift(atlas, found, place, reach_um, max(atlas.place.step_um, place.step_um))


def names_at(atlas: Atlas, place: Place, shift_um: tuple[float, float]) -> I32:
    """The names that the atlas has at the voxels of a later scan, (rows, cols), 0 for none."""
    names: I32 = _sampled(atlas.identity, atlas.place, place.moved(shift_um)).astype(np.int32)
    return names


def follow_atlas(
    atlas: Atlas, found: Segmentation, place: Place, shift_um: tuple[float, float]
) -> Tracks:
    """Give the particles of a later scan their identities; shift_um: see drift_um()."""
    if found.count == 0:
        return Tracks(np.zeros(1, np.int32), (0.0, 0.0), (), atlas.names, atlas)
    there = place.moved(shift_um)
    fine = 0.5 * min(atlas.place.step_um, place.step_um)
    common = _common(atlas.place, there, fine)
    old = _sampled(atlas.identity, atlas.place, common)
    now = _sampled(found.label, there, common)
    identity, new = _paired(old, now, atlas.names, found.count)
    visible = set(np.unique(old[_sampled(np.isfinite(found.filling), there, common)]).tolist())
    lost = tuple(sorted((visible & set(atlas.names)) - set(identity.tolist())))
    grown = _grown(atlas, found, there, identity, new)
    return Tracks(identity, shift_um, new, lost, grown)


def _common(first: Place, second: Place, step: float) -> Place:
    """An even grid over the field that both see."""

    def line(one: F64, other: F64) -> F64:
        low, high = max(one[0], other[0]), min(one[-1], other[-1])
        return np.arange(low, max(high, low) + 0.5 * step, step)

    return Place(line(first.x_um, second.x_um), line(first.y_um, second.y_um))


def _sampled(values: NDArray[np.generic], place: Place, wanted: Place) -> NDArray[np.generic]:
    """The nearest voxel of a map at every point of a grid, 0 outside the map."""
    columns = np.rint((wanted.x_um - place.x_um[0]) / place.step_um).astype(np.int64)
    rows = np.rint((wanted.y_um - place.y_um[0]) / place.step_um).astype(np.int64)
    inside_x = (columns >= 0) & (columns < place.x_um.size)
    inside_y = (rows >= 0) & (rows < place.y_um.size)
    taken = values[np.ix_(rows * inside_y, columns * inside_x)]
    zero = values.dtype.type(0)
    return np.where(inside_y[:, None] & inside_x[None, :], taken, zero)


def _interpolated(values: F64, place: Place, wanted: Place) -> F64:
    """A map at every point of a grid, linear, nan outside the map and beside nan."""
    from scipy import ndimage

    rows = (wanted.y_um - place.y_um[0]) / place.step_um
    columns = (wanted.x_um - place.x_um[0]) / place.step_um
    there = np.meshgrid(rows, columns, indexing="ij")
    taken: F64 = ndimage.map_coordinates(values, there, order=1, cval=np.nan)
    return taken


def _drift(
    atlas: Atlas, found: Segmentation, place: Place, reach_um: float, step: float
) -> tuple[float, float]:
    """The shift (x, y) at which the new filling is most like the atlas's [um].

    Whole steps first, then the top of a parabola along each axis.
    """
    away = int(np.ceil(reach_um / step)) + 1  # one more: the top of a parabola needs both sides
    common = _common(atlas.place, place, step)
    if min(common.x_um.size, common.y_um.size) < 4 or reach_um <= 0:
        return 0.0, 0.0
    old = np.clip(_interpolated(atlas.filling, atlas.place, common), 0.0, 1.2)
    margin = np.arange(-away, away + 1) * step
    wide = Place(
        np.r_[common.x_um[0] + margin[:away], common.x_um, common.x_um[-1] + margin[away + 1 :]],
        np.r_[common.y_um[0] + margin[:away], common.y_um, common.y_um[-1] + margin[away + 1 :]],
    )
    new = np.clip(_interpolated(found.filling, place, wide), 0.0, 1.2)
    likeness = np.full((margin.size, margin.size), -1.0)
    for row in range(margin.size):
        for column in range(margin.size):
            moved = new[row : row + old.shape[0], column : column + old.shape[1]]
            likeness[row, column] = _correlation(old, moved)
    if not likeness.max() > 0:
        return 0.0, 0.0
    row, column = (int(i) for i in np.unravel_index(likeness.argmax(), likeness.shape))
    dy = row - away + _top(likeness[:, column], row)
    dx = column - away + _top(likeness[row, :], column)
    x_um, y_um = (float(np.clip(d * step, -reach_um, reach_um)) for d in (dx, dy))
    return x_um, y_um


def _correlation(first: F64, second: F64) -> float:
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 0.25 * max(int(np.isfinite(first).sum()), 16):
        return -1.0
    a, b = first[both] - first[both].mean(), second[both] - second[both].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else -1.0


def _top(values: F64, at: int) -> float:
    """Where a parabola through a maximum and its neighbours has its top, from the maximum."""
    if not 0 < at < values.size - 1:
        return 0.0
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _paired(
    old: NDArray[np.generic], now: NDArray[np.generic], names: tuple[int, ...], count: int
) -> tuple[I32, tuple[int, ...]]:
    """The identity of every label, and which of them are new."""
    from scipy.optimize import linear_sum_assignment

    place = {name: n for n, name in enumerate(names, start=1)}
    numbered = np.zeros(max(names, default=0) + 1, np.int64)
    numbered[list(place)] = list(place.values())
    pair = numbered[old.astype(np.int64)] * (count + 1) + now.astype(np.int64)
    shared = np.bincount(pair.ravel(), minlength=(len(names) + 1) * (count + 1))
    table = shared.reshape(len(names) + 1, count + 1).astype(np.float64)
    whole = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    likeness = (table / np.maximum(whole, 1.0))[1:, 1:]
    likeness[likeness < LEAST_OVERLAP] = 0.0
    rows, columns = linear_sum_assignment(likeness, maximize=True)
    identity = np.zeros(count + 1, np.int32)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if likeness[row, column] > 0:
            identity[column + 1] = names[row]
    fresh = np.flatnonzero(identity[1:] == 0) + 1
    first = max(names, default=0) + 1
    identity[fresh] = np.arange(first, first + fresh.size, dtype=np.int32)
    return identity, tuple(range(first, first + fresh.size))


def _grown(
    atlas: Atlas, found: Segmentation, there: Place, identity: I32, new: tuple[int, ...]
) -> Atlas:
    """The atlas with new particles on its empty places, and the old ones where they are now.

    A coarser scan changes nothing but the list of names; a finer one adds particles only.
    """
    names = tuple(sorted({*atlas.names, *new}))
    if there.step_um > COARSE_SHARE * atlas.place.step_um:
        return Atlas(atlas.place, atlas.identity, atlas.filling, names)
    seen = np.where(found.cut[found.label], 0, identity[found.label])
    now = _sampled(seen, there, atlas.place).astype(np.int32)
    as_fine = there.step_um * COARSE_SHARE > atlas.place.step_um
    kept = atlas.identity.copy()
    if as_fine:
        kept[np.isin(kept, np.unique(now[now > 0]))] = 0
    taken = np.where((kept == 0) & (as_fine | np.isin(now, new)), now, kept)
    return Atlas(atlas.place, taken.astype(np.int32), atlas.filling, names)

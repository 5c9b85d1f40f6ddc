"""The particles of a slice, found in its scale map: labels, filling, depth.

Policy. A voxel's scale (photons of the working phase) is proportional to how much of it is that
phase. So the scale map over the scale of a full voxel is the filling, and its line at one half is
the surface to a fraction of a voxel. The map is therefore brought to FINE times as many samples by
linear interpolation before anything is decided, and distances are measured there.

Touching particles are separated where their common outline has a waist: watershed on the distance
to the surface (Vincent & Soille, IEEE Trans. Pattern Anal. 1991, 13, 583), flooded from the maxima
that stand out by more than `waist` of their own height, so that neither noise nor a rough outline
splits a particle. A chain of two whose waist is as wide as they are stays one: no shape tells.
Where scans before have told two apart that one flood takes together now, it is divided between
them where it was before: noise that hides a waist once does not make one particle of two.

Area is the sum of the filling over a particle and its skirt, not a count of voxels, which is
rounded by as much as the surface has voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
T = TypeVar("T", bound=np.generic)

FINE = 3  # samples along a voxel's edge, an odd number: one of them is the voxel's centre
SKIRT_UM = 1.6  # voxels beyond the surface whose filling still belongs to a particle
SURFACE = 0.5  # filling at the surface
LEAST_INNER = 8  # voxels that tell the scale of a full one
INNER = 1.5  # voxels of depth from which on one is full


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The particles of one slice; maps (rows, cols).

    voxel_um: edge of a voxel
    label: 1, 2, ... in the order of their middles by row and column; 0 where there is none
    skirt: as label, grown by the voxels around that are filled in part
    depth_um: distance of the voxel's centre to the particle's surface, towards pores and other
        particles alike; nan outside
    filling: scale over that of a full voxel of the same particle, nan where the scale is
    full: scale of a full voxel, in the median of the slice
    cut: (particles + 1,) True for those that the edge of the map cuts
    """

    voxel_um: float
    label: I32
    skirt: I32
    depth_um: F64
    filling: F64
    full: float
    cut: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """How many particles there are."""
        return len(self.cut) - 1


def find_particles(
    scale: F64,
    voxel_um: float,
    threshold: float = 0.0,
    waist: float = 0.07,
    least_um2: float = 6.0,
    known: I32 | None = None,
) -> Segmentation:
    """The particles in a map of scales, (rows, cols), nan where nothing is known.

    threshold: filling at which a voxel's centre counts as inside; 0: half way between pores and
        particles by Otsu's criterion (IEEE Trans. Syst. Man Cybern. 1979, 9, 62)
    waist: share of a particle's depth by which the depth has to fall between two to separate them
    least_um2: particles smaller than this are none
    known: (rows, cols) names of the scans before where they were, 0 for none
    """
    measured = np.isfinite(scale)
    full = _full_scale(scale)
    filling = np.where(measured, scale / full, np.nan) if full > 0 else np.full(scale.shape, np.nan)
    if not (full > 0):
        return _none(scale.shape, voxel_um, filling)
    level = threshold or _level(filling[measured])
    fine = _finer(np.where(measured, filling, 0.0)) > level
    fine &= _repeated(measured)
    known_fine = None if known is None else _repeated(known)
    label_fine = _separate(fine, waist, known_fine)
    label, depth = _coarser(label_fine, voxel_um)
    label = _large_enough(label, least_um2 / voxel_um**2)
    from skimage.segmentation import expand_labels

    skirt = expand_labels(label, SKIRT_UM / voxel_um if voxel_um < SKIRT_UM else 1.0)
    skirt = np.where(measured, skirt, 0).astype(np.int32)
    inner = np.where(depth > INNER * voxel_um, label, 0)
    return Segmentation(
        voxel_um,
        label,
        skirt,
        np.where(label > 0, depth, np.nan),
        scale / _own_full(scale, inner, int(label.max(initial=0)), full)[skirt],
        full,
        _cut_by_edge(label, measured),
    )


def equal_shells(found: Segmentation, shells: int) -> I32:
    """Which shell each voxel is in, (rows, cols): 0 at the surface to shells - 1; -1 outside.

    Of each particle's greatest depth every shell is one part, as in Finegan et al., Nat. Commun.
    2020, 11, 631.
    """
    deepest = np.zeros(found.count + 1)
    inside = found.label > 0
    np.maximum.at(deepest, found.label[inside], found.depth_um[inside])
    relative = found.depth_um / np.maximum(deepest[found.label], 1e-9)
    shell = np.minimum(np.floor(np.nan_to_num(relative) * shells), shells - 1)
    return np.where(inside, shell, -1).astype(np.int32)


def areas_um2(found: Segmentation) -> F64:
    """Area of every particle by its filling, (particles,) [um^2]."""
    filled = np.bincount(found.skirt.ravel(), np.nan_to_num(found.filling).ravel(), found.count + 1)
    return np.asarray(filled[1:] * found.voxel_um**2, np.float64)


def _none(shape: tuple[int, ...], voxel_um: float, filling: F64) -> Segmentation:
    zero = np.zeros(shape, np.int32)
    return Segmentation(
        voxel_um, zero, zero.copy(), np.full(shape, np.nan), filling, math.nan, np.zeros(1, bool)
    )


def _full_scale(scale: F64) -> float:
    """The scale of a voxel that is all particle: the median of those with none but strong around.

    Strong are those above Otsu's threshold; if nothing is three voxels wide, their 90 % quantile.
    """
    values = scale[np.isfinite(scale)]
    if values.size < 4 or not np.ptp(values) > 0:
        return math.nan
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    strong = np.nan_to_num(scale, nan=-np.inf) > threshold_otsu(values)
    inner = scale[ndimage.binary_erosion(strong, np.ones((3, 3)))]
    full = np.median(inner) if inner.size >= LEAST_INNER else np.percentile(scale[strong], 90)
    return float(full)


def _own_full(scale: F64, inner: I32, count: int, full: float) -> F64:
    """The scale of a full voxel of each particle, (particles + 1,): they differ in what they hold.

    The median of its inner voxels; of small particles and pores: full.
    """
    from scipy import ndimage

    names = np.arange(count + 1)
    own = np.asarray(ndimage.median(np.nan_to_num(scale), inner, names), np.float64)
    enough = np.bincount(inner.ravel(), minlength=count + 1) >= LEAST_INNER
    return np.where(enough & (names > 0) & (own > 0), own, full)


def _level(filling: F64) -> float:
    """The filling that separates; Otsu's where it is near the half that the surface has."""
    from skimage.filters import threshold_otsu

    return float(np.clip(threshold_otsu(filling), 0.8 * SURFACE, 1.2 * SURFACE))


def _finer(values: F64) -> F64:
    """The map at FINE samples along a voxel's edge, linear between the voxels' centres."""
    from scipy import ndimage

    rows, columns = (
        (np.arange(n * FINE, dtype=np.float64) - FINE // 2) / FINE for n in values.shape
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    fine: F64 = ndimage.map_coordinates(values, places, order=1, mode="nearest")
    return fine


def _repeated(values: NDArray[T]) -> NDArray[T]:
    """A map of voxels on the fine map."""
    return np.repeat(np.repeat(values, FINE, axis=0), FINE, axis=1)


def _separate(inside: NDArray[np.bool_], waist: float, known: I32 | None) -> I32:
    """Labels of the fine map: watershed from the maxima of the distance that stand out."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    distance: F64 = ndimage.distance_transform_edt(inside)
    label: I32 = watershed(-distance, _markers(distance, waist), mask=inside).astype(np.int32)
    return label if known is None else _divided(label, known)


def _divided(label: I32, known: I32) -> I32:
    """label, where one covers several that are known divided between them: each to the nearest."""
    from scipy import ndimage

    names, labels = int(known.max(initial=0)), int(label.max(initial=0)) + 1
    both = known.ravel().astype(np.int64) * labels + label.ravel()
    table = np.bincount(both, minlength=(names + 1) * labels).reshape(names + 1, labels)[1:]
    mostly = 2 * table.max(axis=1, initial=0) > table.sum(axis=1)  # of a name's place in one label
    owner = np.where(mostly, table.argmax(axis=1), 0)
    divided, boxes, last = label.copy(), ndimage.find_objects(label), labels - 1
    for each in np.flatnonzero(np.bincount(owner, minlength=labels)[1:] > 1) + 1:
        box = boxes[each - 1]
        mine = label[box] == each
        place = np.where(mine, known[box], 0)
        place[~np.isin(place, np.flatnonzero(owner == each) + 1)] = 0
        nearest = ndimage.distance_transform_edt(
            place == 0, return_distances=False, return_indices=True
        )
        divided[box][mine] = last + place[tuple(nearest)][mine]
        last += names
    return divided


def _markers(distance: F64, waist: float) -> I32:
    """One marker for each maximum from which every way to a higher one leads down by enough.

    In the logarithm of the distance a fall by a share is a fall by a constant, so that small
    particles are held to the measure of large ones.
    """
    from scipy import ndimage
    from skimage.morphology import local_maxima, reconstruction

    inside = distance > 0
    height = np.where(inside, np.log(np.maximum(distance, 1.0)) + 1.0, 0.0)
    lowered = np.where(inside, np.maximum(height + math.log1p(-waist), 0.0), 0.0)
    # maxima that are not separated by enough lie on one plateau of the reconstruction
    tops = local_maxima(reconstruction(lowered, height)) & inside
    markers, _ = ndimage.label(tops, np.ones((3, 3)))
    found: I32 = markers.astype(np.int32)
    return found


def _coarser(fine: I32, voxel_um: float) -> tuple[I32, F64]:
    """The label and the depth at the voxels' centres, labels renumbered from above."""
    from scipy import ndimage
    from skimage.segmentation import find_boundaries

    centre = slice(FINE // 2, None, FINE)
    edge = find_boundaries(fine, mode="thick", background=0)
    away = ndimage.distance_transform_edt(~edge)[centre, centre] + 0.5
    return fine[centre, centre].copy(), away * voxel_um / FINE


def _large_enough(label: I32, least: float) -> I32:
    """Labels of at least so many voxels, renumbered 1, 2, ... by where their middles are."""
    sizes = np.bincount(label.ravel())
    kept = [n for n in range(1, sizes.size) if sizes[n] >= max(least, 1.0)]
    from scipy import ndimage

    middles = ndimage.center_of_mass(label > 0, label, kept) if kept else []
    order = sorted(zip(middles, kept, strict=True))
    new = np.zeros(sizes.size, np.int32)
    for number, (_, old) in enumerate(order, start=1):
        new[old] = number
    renumbered: I32 = new[label]
    return renumbered


def _cut_by_edge(label: I32, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    inner = ndimage.binary_erosion(known, np.ones((3, 3)), border_value=0)
    cut = np.zeros(int(label.max(initial=0)) + 1, bool)
    cut[label[~inner]] = True
    cut[0] = False
    return cut

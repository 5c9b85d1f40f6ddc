"""What the voxels of a particle say together: area, mean, spread, profile and shells.

Formulas. A particle's voxels differ by their measurement's noise and by themselves. The mean is
weighted with 1 / (sigma^2 + spread^2), the spread being what the observed differences leave once
the noise is taken off: the moment estimate of DerSimonian and Laird (Control. Clin. Trials 1986, 7,
177),

    Q = sum w (a - mean)^2 with w = 1 / sigma^2,
    spread^2 = max(0, (Q - (n - 1)) / (sum w - sum w^2 / sum w)).

Voxels at the surface, into which their neighbours leak, count like others: who wants them apart
looks at the shells. Depth is in um from the surface, a shell is one part of equal depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .particles import Segmentation, areas_um2, equal_shells

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """Weighted means of groups of voxels; arrays of one shape, nan for groups of none.

    mean, sigma: the mean and its standard uncertainty; spread: intrinsic standard deviation
    voxels: that took part
    """

    mean: F64
    sigma: F64
    spread: F64
    voxels: F64

    def by(self, rows: int, columns: int) -> GroupMeans:
        """The same in another shape."""
        shape = rows, columns
        return GroupMeans(
            self.mean.reshape(shape), self.sigma.reshape(shape), self.spread.reshape(shape),
            self.voxels.reshape(shape),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParticleTable:
    """Particles of one slice; every array (particles,) unless said, in the order of their labels.

    x_um, y_um: middle, weighted with the filling
    area_um2: by filling; depth_um: greatest
    a: mean lattice parameter and its spread [Å]
    core_minus_surface, core_minus_surface_sigma: innermost less outermost shell [Å]
    cut: True where the edge of the map cuts it
    """

    x_um: F64
    y_um: F64
    area_um2: F64
    depth_um: F64
    a: GroupMeans
    core_minus_surface: F64
    core_minus_surface_sigma: F64
    cut: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Profiles:
    """How the lattice parameter goes with depth.

    shells: means (particles, shells) of equal parts of depth, 0 at the surface
    shell_voxels: (rows, cols) which shell a voxel is in, -1 outside
    depth_um: (bins,) middles of the profile's bins [um]; profile: means (particles, bins)
    """

    shells: GroupMeans
    shell_voxels: I32
    depth_um: F64
    profile: GroupMeans


def group_means(group: I32, groups: int, a: F64, a_sigma: F64) -> GroupMeans:
    """Weighted mean and intrinsic spread of each group.

    group: (n,) 0 to groups - 1, others take no part; a, a_sigma: (n,), sigma above 0, where either
    is nan the voxel takes no part
    """
    use = (group >= 0) & (group < groups) & np.isfinite(a) & np.isfinite(a_sigma) & (a_sigma > 0)
    where, value, sigma = group[use], a[use], a_sigma[use]
    origin = float(np.median(value)) if value.size else 0.0  # keeps digits in the squares
    value = value - origin

    def summed(values: F64) -> F64:
        return np.asarray(np.bincount(where, values, groups), np.float64)

    weight = sigma**-2.0
    count, total = np.bincount(where, minlength=groups).astype(np.float64), summed(weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        fixed = summed(weight * value) / total
        squares = summed(weight * (value - fixed[where]) ** 2)
        excess = (squares - (count - 1)) / (total - summed(weight**2) / total)
        spread = np.sqrt(np.where(count > 1, np.maximum(excess, 0.0), 0.0))
        weight = 1.0 / (sigma**2 + spread[where] ** 2)
        total = summed(weight)
        mean = origin + summed(weight * value) / total
        error = 1.0 / np.sqrt(total)
    empty = count == 0
    return GroupMeans(
        np.where(empty, np.nan, mean),
        np.where(empty, np.nan, error),
        np.where(count > 1, spread, np.nan),
        count,
    )


def particle_table(
    found: Segmentation, a: F64, a_sigma: F64, x_um: F64, y_um: F64, profiles: Profiles
) -> ParticleTable:
    """The table of a slice; a, a_sigma: (rows, cols) [Å], x_um: (cols,), y_um: (rows,)."""
    label = found.label.ravel()
    means = group_means(label - 1, found.count, a.ravel(), a_sigma.ravel())
    filling = np.clip(np.nan_to_num(found.filling.ravel()), 0.0, 1.0)
    filled = np.bincount(label, filling, found.count + 1)[1:]
    x, y = (
        np.bincount(label, filling * place.ravel(), found.count + 1)[1:] / filled
        for place in np.meshgrid(x_um, y_um)
    )
    deepest = np.zeros(found.count + 1)
    np.maximum.at(deepest, label, np.nan_to_num(found.depth_um.ravel()))
    shells, errors = profiles.shells.mean, profiles.shells.sigma
    return ParticleTable(
        x_um=x,
        y_um=y,
        area_um2=areas_um2(found),
        depth_um=deepest[1:],
        a=means,
        core_minus_surface=shells[:, -1] - shells[:, 0],
        core_minus_surface_sigma=np.hypot(errors[:, -1], errors[:, 0]),
        cut=found.cut[1:],
    )


def profiles_of(found: Segmentation, a: F64, a_sigma: F64, shells: int) -> Profiles:
    """Means in shells of equal depth and in bins of one voxel of depth."""
    shell = equal_shells(found, shells)
    label = found.label - 1
    values, sigmas = a.ravel(), a_sigma.ravel()
    inside = found.label > 0
    in_shell = np.where(inside, label * shells + shell, -1).ravel().astype(np.int32)
    shell_means = group_means(in_shell, found.count * shells, values, sigmas)
    deepest = float(np.nanmax(found.depth_um)) if inside.any() else 0.0
    bins = max(1, int(np.ceil(deepest / found.voxel_um)))
    at = np.minimum(np.floor(np.nan_to_num(found.depth_um) / found.voxel_um), bins - 1)
    in_bin = np.where(inside, label * bins + at, -1).ravel().astype(np.int32)
    return Profiles(
        shells=shell_means.by(found.count, shells),
        shell_voxels=shell,
        depth_um=(np.arange(bins, dtype=np.float64) + 0.5) * found.voxel_um,
        profile=group_means(in_bin, found.count * bins, values, sigmas).by(found.count, bins),
    )

"""Refinement tables of regions: the whole sample, a particle, a depth shell.

Mass fractions of one voxel are a hint; those of a region rest on the mean pattern of all its
voxels. Their lattice parameters differ, so the mean pattern's lines are as wide as these spread:
each region is refined with templates that are spread just like its voxels' own lattice parameters
(Templates.spread), and only their common shift is free. Without that, the missing width would go
to whatever phase has lines beside those of the working phase.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Result
from .labels import Labels
from .refinement import Refined, Refinement

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Region:
    """Voxels to be refined as one.

    name: e.g. "bulk"; voxels: how many; pattern: (channels,) their mean
    variance: (channels,) of the mean pattern; None: not known
    a: (n,) lattice parameters in them [Å], nan where there is none; weights: (n,) how much of the
        phase has each
    """

    name: str
    voxels: int
    pattern: F64
    variance: F64 | None
    a: F64
    weights: F64


@dataclass(frozen=True, slots=True)
class RegionTable:
    """One line a region.

    columns: names with their units; values: (regions, columns), nan where there is no number
    """

    regions: tuple[str, ...]
    columns: tuple[str, ...]
    values: F64

    def column(self, name: str) -> F64:
        """One column, (regions,). Raises ValueError for a name that is not there."""
        found: F64 = self.values[:, self.columns.index(name)]
        return found

    def followed_by(self, more: RegionTable) -> RegionTable:
        """This table's lines and those of another one with the same columns."""
        values = np.concatenate([self.values, more.values])
        return RegionTable(self.regions + more.regions, self.columns, values)

    def result(self, labels: Labels, name: str = "region_table") -> Result:
        """The table as a message; its attributes name columns and regions."""
        rows, columns = self.values.shape
        return labels.result(
            name, "", ("region", "column"),
            {"region": np.arange(rows), "column": np.arange(columns)},
            {"region": "", "column": ""}, self.values,
            attrs={"columns": ",".join(self.columns), "regions": ",".join(self.regions)},
        )  # fmt: skip


def refine_regions(regions: Sequence[Region], refinement: Refinement) -> RegionTable:
    """The refinement of each region's mean pattern."""
    keys = [phase.key for phase in refinement.templates.phases]
    two = refinement.templates.shape[1] > 1
    columns = ["voxels", "a_angstrom", "a_sigma_angstrom", "a_spread_angstrom"]
    columns += ["c_angstrom", "c_sigma_angstrom"] if two else []
    for key in keys:
        columns += [f"mass_fraction_{key}", f"mass_fraction_{key}_sigma"]
    for key in keys:
        columns += [f"scale_{key}", f"scale_{key}_sigma"]
    columns += ["rwp_percent", "ambiguous"]
    rows = [_row(region, refinement, two) for region in regions]
    return RegionTable(
        tuple(region.name for region in regions),
        tuple(columns),
        np.array(rows, np.float64).reshape(len(rows), len(columns)),
    )


def refine_region(region: Region, refinement: Refinement) -> tuple[Refined, float]:
    """The refinement of one region, and the spread of its lattice parameter [Å]."""
    known = np.isfinite(region.a) & (region.weights > 0)
    a, weights = region.a[known], region.weights[known]
    spread = 0.0
    if a.size > 1:
        mean = float(np.average(a, weights=weights))
        spread = float(np.sqrt(np.average((a - mean) ** 2, weights=weights)))
        counts, edges = np.histogram(a - mean, _edges(a - mean, refinement), weights=weights)
        middles = 0.5 * (edges[1:] + edges[:-1])
        middles -= np.average(middles, weights=counts)
        filled = counts > 0
        templates = refinement.templates.spread(middles[filled], counts[filled])
        refinement = Refinement(templates)
    pattern = region.pattern.astype(np.float32)[None]
    variance = None if region.variance is None else region.variance.astype(np.float32)[None]
    found = refinement.refine(pattern, variance, tolerance=1e-4)
    return (found if variance is None else _widened(found)), spread


def _widened(found: Refined) -> Refined:
    """With uncertainties as much larger as the residual is than counting says, nowhere smaller."""
    factor = np.sqrt(np.maximum(np.nan_to_num(found.chi2, nan=1.0), 1.0))
    return dataclasses.replace(
        found,
        a_sigma=found.a_sigma * factor,
        c_sigma=found.c_sigma * factor,
        scale_sigma=found.scale_sigma * factor[:, None],
        fraction_sigma=found.fraction_sigma * factor[:, None],
    )


def _edges(offsets: F64, refinement: Refinement) -> F64:
    """Bins of half the grid's step."""
    step = 0.5 * float(np.diff(refinement.templates.a_axis[:2])[0])
    low, high = float(offsets.min()) - step, float(offsets.max()) + step
    return np.linspace(low, high, max(2, round((high - low) / step)) + 1)


def _row(region: Region, refinement: Refinement, two: bool) -> list[float]:
    found, spread = refine_region(region, refinement)
    one = found.part(np.array([0]))
    alike = bool(one.alike()[0])
    row = [float(region.voxels), one.a[0], one.a_sigma[0], spread]
    row += [one.c[0], one.c_sigma[0]] if two else []
    for value, sigma in zip(one.fraction[0], one.fraction_sigma[0], strict=True):
        row += [np.nan, np.nan] if alike else [value, sigma]
    for value, sigma in zip(one.scale[0], one.scale_sigma[0], strict=True):
        row += [value, sigma]
    return [*map(float, row), float(one.rwp[0]), float(alike)]

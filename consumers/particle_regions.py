"""Particles and their depth shells refined as regions: the mean pattern of all their voxels.

The lines of the table are the bulk, each particle, and each shell of it ("particle 3 shell 1", 0 at
the surface); then each segment by lattice parameter, where voxels are sorted into segments. Regions
cost a few hundredths of a second each. Where there are more than MOST_REGIONS the particles that
are accused come first, then the largest; the others have no line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .lattice_map import Patterns
from .particles import I32
from .phase_maps import PhaseMaps, RegionNoise
from .regions import RegionTable, refine_regions

F64 = NDArray[np.float64]

MOST_REGIONS = 400
CHUNK = 4096  # voxels whose patterns are summed at a time


def refine_particles(
    phases: PhaseMaps,
    patterns: Patterns,
    label: I32,
    shell: I32,
    shells: int,
    names: I32,
    order: Sequence[int],
    noise: RegionNoise,
) -> RegionTable:
    """The table's lines but that of the bulk.

    patterns: of the voxels inside the circle
    label, shell: (n,) of the same voxels, 0 and -1 for those in no particle
    names: (particles + 1,) identity by label
    order: labels, the most important first
    """
    kept = sorted(list(order)[: MOST_REGIONS // (shells + 1)], key=lambda one: int(names[one]))
    place = np.full(len(names), -1, np.int32)
    place[kept] = np.arange(len(kept))
    particle = place[label]
    region = np.where(particle >= 0, particle * shells + shell, -1).astype(np.int32)
    sums, counts = _sums(region, len(kept) * shells, patterns)
    wholes, parts = noise(particle, len(kept)), noise(region, len(kept) * shells)
    lines = []
    for n, mine in enumerate(kept):
        of = slice(n * shells, (n + 1) * shells)
        name, voxels = f"particle {names[mine]}", label == mine
        lines.append(phases.region(name, voxels, sums[of].sum(axis=0), wholes[n]))
        for depth, at in enumerate(range(of.start, of.stop)):
            if counts[at]:
                mine_too = voxels & (shell == depth)
                line = phases.region(f"{name} shell {depth}", mine_too, sums[at], parts[at])
                lines.append(line)
    return refine_regions(lines, phases.refinement)


def refine_segments(
    phases: PhaseMaps, patterns: Patterns, segment: I32, noise: RegionNoise
) -> RegionTable:
    """The table's lines of the segments by lattice parameter, "segment 0" and so on.

    segment: (n,) of the voxels inside the circle, -1 for those in none
    """
    count = int(segment.max(initial=-1)) + 1
    sums, counts = _sums(segment, count, patterns)
    variances = noise(segment, count)
    return refine_regions(
        [
            phases.region(f"segment {n}", segment == n, sums[n], variances[n])
            for n in np.flatnonzero(counts).tolist()
        ],
        phases.refinement,
    )


def shell_fractions(
    table: RegionTable, names: Sequence[int], shells: int
) -> dict[str, tuple[F64, F64]]:
    """Phase -> its mass fractions and their uncertainties, (particles, shells); nan for no line."""
    row = {name: n for n, name in enumerate(table.regions)}
    wanted = [row.get(f"particle {name} shell {n}", -1) for name in names for n in range(shells)]
    place = np.array(wanted, np.int64).reshape(len(names), shells)
    found = {}
    for column in table.columns:
        phase = column.removeprefix("mass_fraction_")
        if phase != column and not column.endswith("_sigma"):
            values, sigmas = (
                np.where(place >= 0, table.column(name)[place], np.nan)
                for name in (column, f"{column}_sigma")
            )
            found[phase] = values, sigmas
    return found


def _sums(region: I32, regions: int, patterns: Patterns) -> tuple[F64, I32]:
    """Summed patterns of each region's voxels, (regions, channels), and how many there are."""
    sums = np.zeros((regions, patterns(slice(0, 0))[0].shape[1]))
    for first in range(0, region.size, CHUNK):
        part = slice(first, first + CHUNK)
        mine = region[part]
        order = np.argsort(mine, kind="stable")
        order = order[mine[order] >= 0]
        if order.size:
            found, starts = np.unique(mine[order], return_index=True)
            sums[found] += np.add.reduceat(patterns(part)[0][order].astype(np.float64), starts)
    counts = np.bincount(region[region >= 0], minlength=regions).astype(np.int32)
    return sums, counts

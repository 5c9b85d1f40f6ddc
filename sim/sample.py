"""The sample in the beam: the pattern that a ray collects from the phases of the voxels it meets.

Patterns come from a table over lattice parameter, so that a ray costs the voxels it meets and the
table's rows it needs, whatever the size of the map.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..materials.structures import structure
from .content import Content
from .powder import BEYOND_Q, REFERENCE_Q, Crystal, Lines, LineShape, pattern, strongest
from .truth import PHASES, SPINELS, STRUCTURE_OF_PHASE

TABLE_A = (8.02, 8.26)  # lattice parameters of the spinel's table [Å]
MIDDLE_A = sum(TABLE_A) / 2  # of the spinel that heights refer to
TABLE_STEP_A = 0.002  # between two rows a line moves by a twentieth of its width


class PatternTable:
    """Patterns of all phases on one q grid, scaled to counts a pixel and um of path.

    q_grid: (n,) [1/Å]
    rows: (patterns, n) float32: the spinel at each lattice parameter, then the other phases in the
        order of truth.PHASES, each with its structure's own
    spinel_rows: how many of them are the spinel's
    """

    def __init__(
        self,
        q_grid: NDArray[np.float64],
        energy_ev: float,
        shape: LineShape,
        peak_counts: float,
        path_um: float,
    ) -> None:
        spinel = Crystal(structure(STRUCTURE_OF_PHASE[0]))
        count = round((TABLE_A[1] - TABLE_A[0]) / TABLE_STEP_A) + 1
        self.spinel_rows = count
        q_max = float(q_grid[-1]) + BEYOND_Q
        patterns = [
            pattern(spinel.lines(q_max, a), shape, q_grid, energy_ev)
            for a in np.linspace(*TABLE_A, count)
        ]
        for name in STRUCTURE_OF_PHASE[SPINELS:]:
            lines = Crystal(structure(name)).lines(q_max)
            patterns.append(pattern(lines, shape, q_grid, energy_ev))
        top = strongest(spinel.lines(REFERENCE_Q, MIDDLE_A), shape, energy_ev)
        scale = peak_counts / path_um / top
        self.q_grid = q_grid
        self.rows = (np.array(patterns) * scale).astype(np.float32)

    def place(self, content: Content) -> NDArray[np.float32]:
        """Row of the table for each phase of each voxel, (phases, voxels); between two rows."""
        place = np.zeros((len(PHASES), content.a[0].size), np.float32)
        for phase in range(SPINELS):
            a = np.nan_to_num(content.a[phase].ravel(), nan=TABLE_A[0])
            place[phase] = np.clip((a - TABLE_A[0]) / TABLE_STEP_A, 0, self.spinel_rows - 1.001)
        place[SPINELS:] = self.spinel_rows + np.arange(len(PHASES) - SPINELS)[:, None]
        return place

    def collect(
        self,
        place: NDArray[np.float32],
        amount: NDArray[np.float32],
        voxels: NDArray[np.int64],
        paths_um: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """The pattern of one ray, (n,): sum of path * amount * pattern over voxels and phases.

        place, amount: (phases, voxels of the map)
        voxels, paths_um: (hits,) from forward.ray_weights()
        """
        total = np.zeros(self.rows.shape[1], np.float32)
        _collect(place, amount, voxels, paths_um, self.rows, total)
        return total


@njit(cache=True, nogil=True)
def _collect(place, amount, voxels, paths, rows, total):  # type: ignore[no-untyped-def]
    weight = np.zeros(len(rows) + 1, np.float32)
    for phase in range(len(place)):
        for hit in range(len(voxels)):
            part = amount[phase, voxels[hit]] * np.float32(paths[hit])
            if part > 0:
                where = place[phase, voxels[hit]]
                row = np.int64(where)
                beyond = where - np.float32(row)
                weight[row] += part * (np.float32(1) - beyond)
                weight[row + 1] += part * beyond
    for used in range(len(rows)):
        if weight[used] > 0:
            for i in range(len(total)):
                total[i] += weight[used] * rows[used, i]


def strongest_line(
    q_grid: NDArray[np.float64], energy_ev: float, shape: LineShape
) -> NDArray[np.float64]:
    """The spinel's strongest line alone, in the middle of the table, (n,); its top is 1."""
    lines = Crystal(structure(STRUCTURE_OF_PHASE[0])).lines(REFERENCE_Q, MIDDLE_A)
    best = int(np.argmax(pattern(lines, shape, lines.q, energy_ev)))
    alone = Lines(lines.q[best : best + 1], lines.intensity[best : best + 1])
    return pattern(alone, shape, q_grid, energy_ev) / strongest(alone, shape, energy_ev)

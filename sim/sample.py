"""The sample in the beam: which phases each voxel holds, and the pattern a ray collects from them.

Patterns come from a table over lattice parameter, so that a ray costs the voxels it meets and the
table's rows it needs, whatever the size of the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..materials.structures import structure
from .electrode import Electrode
from .lithiation import LatticeState
from .powder import REFERENCE_Q, Crystal, LineShape, pattern, strongest
from .truth import PHASES

TABLE_A = (8.02, 8.26)  # lattice parameters of the spinel's table [Å]
TABLE_STEP_A = 0.002  # between two rows a line moves by a twentieth of its width


@dataclass(frozen=True, slots=True)
class Content:
    """What each voxel holds; maps (phases, rows, cols) float64, phases as in truth.PHASES.

    share: by volume of the particle's part, nan outside particles
    a: lattice parameter [Å], nan where the phase is not
    """

    share: NDArray[np.float64]
    a: NDArray[np.float64]


def fill(electrode: Electrode, state: LatticeState, rock_salt: float, li2mno3: float) -> Content:
    """The phases of every voxel.

    rock_salt: share in the outer fifth of graded particles
    li2mno3: share in the lithium-rich particles
    """
    inside = electrode.owner > 0
    skin = electrode.graded[electrode.owner] & (np.nan_to_num(electrode.depth) > 0.8)
    rock = np.where(skin, rock_salt, 0.0)
    layered = np.where(electrode.lithium_rich[electrode.owner], li2mno3, 0.0)
    spinel = 1.0 - rock - layered
    share = np.stack([spinel * (1 - state.upper_share), spinel * state.upper_share, rock, layered])
    share[:, ~inside] = np.nan
    a = np.stack(
        [
            state.lower_a,
            state.upper_a,
            np.full_like(rock, Crystal(structure("limno2_rock_salt")).a),
            np.full_like(rock, Crystal(structure("li2mno3")).a),
        ]
    )
    a[~(share > 0)] = np.nan
    return Content(share, a)


class PatternTable:
    """Patterns of all phases on one q grid, scaled to counts a pixel and um of path.

    q_grid: (n,) [1/Å]
    rows: (patterns, n) float32: the spinel at each lattice parameter, then the other phases
    """

    def __init__(
        self,
        q_grid: NDArray[np.float64],
        energy_ev: float,
        shape: LineShape,
        peak_counts: float,
        path_um: float,
    ) -> None:
        spinel = Crystal(structure("limn2o4"))
        count = round((TABLE_A[1] - TABLE_A[0]) / TABLE_STEP_A) + 1
        self._spinel_rows = count
        q_max = float(q_grid[-1])
        patterns = [
            pattern(spinel.lines(q_max, a), shape, q_grid, energy_ev)
            for a in np.linspace(*TABLE_A, count)
        ]
        for name in ("limno2_rock_salt", "li2mno3"):
            lines = Crystal(structure(name)).lines(q_max)
            patterns.append(pattern(lines, shape, q_grid, energy_ev))
        middle = spinel.lines(REFERENCE_Q, sum(TABLE_A) / 2)
        scale = peak_counts / path_um / strongest(middle, shape, energy_ev)
        self.q_grid = q_grid
        self.rows = (np.array(patterns) * scale).astype(np.float32)

    def place(self, content: Content) -> NDArray[np.float32]:
        """Row of the table for each phase of each voxel, (phases, voxels); between two rows."""
        place = np.zeros((len(PHASES), content.a[0].size), np.float32)
        for phase in range(2):
            a = np.nan_to_num(content.a[phase].ravel(), nan=TABLE_A[0])
            place[phase] = np.clip((a - TABLE_A[0]) / TABLE_STEP_A, 0, self._spinel_rows - 1.001)
        place[2], place[3] = self._spinel_rows, self._spinel_rows + 1
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

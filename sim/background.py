"""What every ray sees besides the electrode: air, the PEEK body, the aluminium collector.

They stand around the slice. Where surroundings.py gives them no shape they are the same for every
ray. PEEK gives an amorphous halo and the
first lines of its crystalline part; d-spacings of poly(ether ether ketone), orthorhombic, a = 7.75,
b = 5.86, c = 10.0 Å (Dawson and Blundell, Polymer 1980, 21, 577).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..materials.structures import structure
from .powder import BEYOND_Q, REFERENCE_Q, Crystal, LineShape, pattern, strongest

PEEK_CELL_A = (7.75, 5.86, 10.0)
PEEK_LINES = (((1, 1, 0), 1.0), ((1, 1, 1), 0.35), ((2, 0, 0), 0.5), ((2, 1, 1), 0.3))
PEEK_LINE_WIDTH = 0.05  # full width at half maximum of a polymer's lines [1/Å]
HALO_Q, HALO_WIDTH = 1.32, 0.45  # [1/Å]


def background(
    q_grid: NDArray[np.float64], energy_ev: float, air: float, peek: float, aluminium: float
) -> NDArray[np.float64]:
    """Mean counts a pixel on q_grid, (n,) [1/Å], before solid angle and polarisation.

    air: level of the smooth background, reached at large q [counts]
    peek: height of the halo [counts]; its sharpest line is a third of that
    aluminium: height of the (111) line [counts]
    """
    total: NDArray[np.float64] = air * air_pattern(q_grid) + peek * peek_pattern(q_grid)
    return total + aluminium * aluminium_pattern(q_grid, energy_ev)


def air_pattern(q_grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smooth background on q_grid, (n,) [1/Å]; 1 at large q."""
    smooth: NDArray[np.float64] = 1 + 0.35 * np.exp(-q_grid / 1.2)
    return smooth


def peek_pattern(q_grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """PEEK on q_grid, (n,) [1/Å]; its halo is 1 high."""
    total: NDArray[np.float64] = np.exp(-4 * math.log(2) * ((q_grid - HALO_Q) / HALO_WIDTH) ** 2)
    for hkl, strength in PEEK_LINES:
        inverse_d = math.sqrt(sum((h / a) ** 2 for h, a in zip(hkl, PEEK_CELL_A, strict=True)))
        away = (q_grid - 2 * math.pi * inverse_d) / PEEK_LINE_WIDTH
        total += strength / 3 * np.exp(-4 * math.log(2) * away**2)
    return total


def aluminium_pattern(q_grid: NDArray[np.float64], energy_ev: float) -> NDArray[np.float64]:
    """Aluminium on q_grid, (n,) [1/Å]; its strongest line is 1 high."""
    crystal, shape = Crystal(structure("aluminium")), LineShape()
    rings = pattern(crystal.lines(float(q_grid[-1]) + BEYOND_Q), shape, q_grid, energy_ev)
    return rings / strongest(crystal.lines(REFERENCE_Q), shape, energy_ev)

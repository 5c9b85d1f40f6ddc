"""What stands around the electrode and turns with it: the holder's PEEK ring, a piece of foil.

Shapes with a formula for their path, so that what a broad or a coarse scan sees of them is exact
and a test can say what it has to be. Without them PEEK and aluminium are the same for every ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .background import aluminium_pattern, peek_pattern
from .forward import disc_path_um, rectangle_path_um


@dataclass(frozen=True, slots=True)
class Foil:
    """A rectangular piece of aluminium, for its cross-section [um, deg].

    x_um, y_um: its middle
    length_um, thickness_um: its edges
    angle_deg: of the long edge, from the x axis towards the y axis
    """

    x_um: float
    y_um: float
    length_um: float
    thickness_um: float
    angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if not min(self.length_um, self.thickness_um) > 0:
            raise ValueError(
                f"foil of {self.length_um} x {self.thickness_um} um: both edges have to be more "
                "than 0"
            )

    def path_um(self, rotation_deg: float, shift_um: float, beam_um: float) -> float:
        """Mean path of the beam in it [um]."""
        turn = math.radians(self.angle_deg)
        centre = (
            self.x_um * math.cos(turn) + self.y_um * math.sin(turn),
            -self.x_um * math.sin(turn) + self.y_um * math.cos(turn),
        )
        size = (self.length_um, self.thickness_um)
        return rectangle_path_um(centre, size, rotation_deg - self.angle_deg, shift_um, beam_um)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Holder and foil, and how strongly they scatter.

    peek: height of the halo of a ray through the axis [counts a pixel]
    aluminium: height of the strongest line of a ray straight through the foil
    ring_um: inner and outer radius of the PEEK ring around the rotation axis; (0, 0) for none, then
        every ray sees as much as one through the axis
    foil: of aluminium; None for none, then every ray sees as much as one through it
    """

    peek: float
    aluminium: float
    ring_um: tuple[float, float] = (0.0, 0.0)
    foil: Foil | None = None

    def __post_init__(self) -> None:
        inner, outer = self.ring_um
        if not (0 <= inner < outer or inner == outer == 0):
            raise ValueError(f"holder of radii {inner} to {outer} um, 0 <= inner < outer needed")

    def patterns(self, q_grid: NDArray[np.float64], energy_ev: float) -> NDArray[np.float32]:
        """PEEK and aluminium on q_grid, (2, n) [counts a pixel], for shares of 1."""
        peek = self.peek * peek_pattern(q_grid)
        aluminium = self.aluminium * aluminium_pattern(q_grid, energy_ev)
        return np.stack([peek, aluminium]).astype(np.float32)

    def shares(self, rotation_deg: float, shift_um: float, beam_um: float) -> tuple[float, float]:
        """How much PEEK and aluminium a ray sees, in what peek and aluminium are meant for.

        shift_um: s - centre, as in forward.py
        """
        inner, outer = self.ring_um
        peek = aluminium = 1.0
        if outer > 0:
            ring = disc_path_um(outer, shift_um, beam_um) - disc_path_um(inner, shift_um, beam_um)
            peek = ring / (2 * (outer - inner))
        if self.foil is not None:
            aluminium = self.foil.path_um(rotation_deg, shift_um, beam_um) / self.foil.thickness_um
        return peek, aluminium

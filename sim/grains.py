"""Large grains: single crystals among the powder, whose Bragg spots outshine the rings.

Each stands at a place in the electrode and reflects at one rotation into one spot on a ring of the
spinel. The spot turns up only while the beam meets the grain near that rotation: in some frames, on
a few pixels, far brighter than the ring. A plain mean over the ring does not survive it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .electrode import Electrode
from .frames import Spot

LINES = ((1, 1, 1), (3, 1, 1), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0))
LATTICE_A = 8.15  # of the grains [Å]
HALF_WIDTH_UM = 1.5  # of the rays that meet a grain
ROCKING_DEG = 1.5  # standard deviation of the rocking curve; wide, as scans turn in coarse steps


@dataclass(frozen=True, slots=True)
class Grain:
    """A grain at (x, y) [um] that throws spot when it is turned to rotation_deg."""

    x_um: float
    y_um: float
    rotation_deg: float
    spot: Spot

    def seen(
        self, rotation_deg: float, shift_um: float, scale: float, beam_um: float = 1.0
    ) -> Spot | None:
        """The spot as this ray has it, its peak times scale; None where there is none.

        A beam wider than the grain spends the rest of its photons beside it.
        """
        turned = abs((rotation_deg - self.rotation_deg + 180) % 360 - 180)
        if turned > 3 * ROCKING_DEG:
            return None
        theta = math.radians(rotation_deg)
        away = self.x_um * math.cos(theta) + self.y_um * math.sin(theta) - shift_um
        half_width_um = max(HALF_WIDTH_UM, 0.5 * beam_um)
        if abs(away) > half_width_um:
            return None
        met = scale * HALF_WIDTH_UM / half_width_um
        height = self.spot.peak * met * math.exp(-0.5 * (turned / ROCKING_DEG) ** 2)
        return Spot(self.spot.row, self.spot.col, self.spot.sigma_px, height)


def grow_grains(
    count: int,
    electrode: Electrode,
    q: NDArray[np.float64],
    ring_height: Callable[[float], float],
    brightness: tuple[float, float],
    seed: int,
) -> tuple[Grain, ...]:
    """count grains; the same for the same seed.

    q: (rows, cols) of the detector [1/Å]
    ring_height: counts at the top of the ring at q
    brightness: smallest and largest height of a spot relative to that, even in the logarithm
    """
    random = np.random.default_rng((seed, 4))
    rows, cols = np.nonzero(electrode.label)
    rings = []
    for hkl in LINES:
        line = 2 * math.pi / LATTICE_A * math.sqrt(sum(n * n for n in hkl))
        pixels = np.flatnonzero(np.abs(q - line) < 0.005)
        if len(pixels):
            rings.append((pixels, ring_height(line)))
    grains = []
    for _ in range(count if rings and len(rows) else 0):
        pixels, height = rings[random.integers(len(rings))]
        row, col = divmod(int(random.choice(pixels)), q.shape[1])
        voxel = random.integers(len(rows))
        bright = math.exp(random.uniform(*np.log(brightness)))
        spot = Spot(float(row), float(col), random.uniform(0.6, 1.8), height * bright)
        x, y = electrode.x_um[cols[voxel]], electrode.y_um[rows[voxel]]
        grains.append(Grain(float(x), float(y), random.uniform(0, 180), spot))
    return tuple(grains)

"""What cycling does to an electrode: three kinds of regions, each of many particles.

After 150 cycles Finegan et al. (Nat. Commun. 2020, 11, 631) sort voxels into three segments by
lattice parameter; where it is lowest they find 11 % Li2MnO3 and 20 % LiMnO2 by mass. Here worn
regions hold that much and hardly take part any more, so their lattice parameter stays low; sound
ones hold little and follow the current; slowed ones stand between. The paper's are the worn ones'
amounts. The rest is a choice: the other amounts, how far each kind follows, that regions are
patches about half of the electrode wide, and that everything grows in proportion to the cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .electrode import Electrode

REFERENCE_CYCLES = 150  # that the amounts below belong to
MOST_CYCLES = 300
AREA_SHARES = (0.5, 0.3, 0.2)  # of sound, slowed and worn regions
FOLLOWS = (1.0, 0.6, 0.02)  # how much of the common progress each kind makes
LI2MNO3_MASS = (0.01, 0.05, 0.11)
ROCK_SALT_MASS = (0.02, 0.08, 0.20)


@dataclass(frozen=True, slots=True)
class Ageing:
    """What cycling has done to each particle; all arrays (particles + 1,) by label.

    region: int32, 0 sound, 1 slowed, 2 worn
    follows: float64, how much of the common progress the particle makes, 0 to 1
    li2mno3, rock_salt: float64, mass fractions that cycling made
    """

    region: NDArray[np.int32]
    follows: NDArray[np.float64]
    li2mno3: NDArray[np.float64]
    rock_salt: NDArray[np.float64]


def age(electrode: Electrode, cycles: float, seed: int) -> Ageing:
    """The electrode after so many cycles; the same for the same seed. 0 cycles change nothing.

    Raises ValueError for cycles below 0 or above MOST_CYCLES.
    """
    if not 0 <= cycles <= MOST_CYCLES:
        raise ValueError(f"an electrode of {cycles} cycles, 0 to {MOST_CYCLES} are possible")
    severity = cycles / REFERENCE_CYCLES
    region = np.zeros(electrode.particles + 1, np.int32)
    if cycles > 0:
        region = _patches(electrode, seed)
    return Ageing(
        region=region,
        follows=np.maximum(1 - severity * (1 - np.array(FOLLOWS)), FOLLOWS[-1])[region],
        li2mno3=severity * np.array(LI2MNO3_MASS)[region],
        rock_salt=severity * np.array(ROCK_SALT_MASS)[region],
    )


def _patches(electrode: Electrode, seed: int) -> NDArray[np.int32]:
    """A kind for each particle: a smooth random field at its centre, cut by shares of area."""
    random = np.random.default_rng((seed, 5))
    edge = electrode.voxel_um * len(electrode.x_um)
    x, y, radius = electrode.places[1:].T
    field = np.zeros(len(x))
    for _ in range(6):
        turn, phase = random.uniform(0, 2 * np.pi, 2)
        across = (x * np.cos(turn) + y * np.sin(turn)) / edge
        field += np.cos(2 * np.pi * across + phase)
    order = np.argsort(field)
    area = np.cumsum(radius[order] ** 2)
    region = np.zeros(len(x) + 1, np.int32)
    # a particle belongs where the middle of its own area falls
    middle = (area - 0.5 * radius[order] ** 2) / area[-1]
    region[1 + order] = np.searchsorted(np.cumsum(AREA_SHARES)[:-1], middle)
    return region

"""Which phases a voxel holds besides its spinel, and what that makes of its mass.

Minor phases are fixed for a sample: they neither grow nor shrink while the cell is used. In a
particle their share goes with the square of the depth coordinate (0 in the centre, 1 at the
surface) from one value in the centre to another at the surface:

- rock salt LiMnO2 at the surface of graded particles;
- ordered Li0.5Mn2O4, with a lattice parameter of its own, in the centre of graded particles;
- Li2MnO3 in lithium-rich particles, three times as much in the centre as at the surface;
- what cycling made (ageing.py): Li2MnO3 evenly, rock salt three times as much at the surface as in
  the centre.

Mass fractions are those of the structures as they stand in materials/: the pattern of LiMn2O4 does
not change with its lithium, and neither does the mass counted here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..materials.structures import SPINEL_FIRST_STEP_A, structure
from .ageing import Ageing
from .electrode import Electrode
from .lithiation import LatticeState
from .powder import Crystal
from .truth import PHASES, SPINELS, STRUCTURE_OF_PHASE, STRUCTURES

# (centre, surface) of a share whose mean over a disc is 1
_EVEN, _SURFACE, _CENTRE = (1.0, 1.0), (0.5, 1.5), (1.5, 0.5)
_MOST = 0.9  # of a voxel that minor phases may take


@dataclass(frozen=True, slots=True)
class MinorPhases:
    """How much of them there is, shares by volume; see the module for where.

    rock_salt: at the surface of graded particles
    li05mn2o4: in the centre of graded particles
    li2mno3: in the centre of lithium-rich particles
    """

    rock_salt: float
    li05mn2o4: float
    li2mno3: float


@dataclass(frozen=True, slots=True)
class Content:
    """What each voxel holds; maps (phases, rows, cols) float64, phases as in truth.PHASES.

    share: by volume of the particle's part, nan outside particles
    a: lattice parameter [Å], nan where the phase is not
    """

    share: NDArray[np.float64]
    a: NDArray[np.float64]


def minor_shares(electrode: Electrode, minor: MinorPhases, ageing: Ageing) -> NDArray[np.float64]:
    """Share by volume of rock salt, Li2MnO3 and Li0.5Mn2O4 in every voxel, (3, rows, cols)."""
    owner = electrode.owner
    outward = np.nan_to_num(electrode.depth) ** 2
    graded = electrode.graded[owner].astype(float)
    rich = electrode.lithium_rich[owner].astype(float)
    aged_rock, aged_layered = _by_volume(ageing.rock_salt, ageing.li2mno3)
    rock = minor.rock_salt * graded * outward + aged_rock[owner] * _radial(_SURFACE, outward)
    layered = minor.li2mno3 / 1.5 * rich * _radial(_CENTRE, outward)
    layered += aged_layered[owner] * _radial(_EVEN, outward)
    ordered = minor.li05mn2o4 * graded * (1 - outward)
    shares = np.stack([rock, layered, ordered])
    shares *= np.minimum(1.0, _MOST / np.maximum(shares.sum(axis=0), 1e-12))
    shares[:, owner == 0] = 0.0
    return shares


def fill(electrode: Electrode, state: LatticeState, minor: NDArray[np.float64]) -> Content:
    """The phases of every voxel: minor phases (3, rows, cols), the rest is spinel."""
    inside = electrode.owner > 0
    spinel = 1.0 - minor.sum(axis=0)
    share = np.stack([spinel * (1 - state.upper_share), spinel * state.upper_share, *minor])
    share[:, ~inside] = np.nan
    fixed = [np.full_like(spinel, _crystal(name).a) for name in STRUCTURE_OF_PHASE[SPINELS:]]
    a = np.stack([state.lower_a, state.upper_a, *fixed])
    a[~(share > 0)] = np.nan
    return Content(share, a)


def masses(content: Content) -> NDArray[np.float64]:
    """Mass of every structure in a volume of particle, (structures, rows, cols) [g/cm3].

    Share times the mass of the unit cell over its volume, with the phase's own a; 0 outside
    particles.
    """
    mass = np.zeros((len(STRUCTURES), *content.share.shape[1:]))
    for phase in range(len(PHASES)):
        name = STRUCTURE_OF_PHASE[phase]
        weight = content.share[phase] * _crystal(name).density(content.a[phase])
        mass[STRUCTURES.index(name)] += np.nan_to_num(weight)
    return mass


def mass_fractions(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of masses (structures, ...), what each is of their sum; nan where there is none."""
    total = mass.sum(axis=0)
    fractions: NDArray[np.float64] = mass / np.where(total > 0, total, np.nan)
    return fractions


def _radial(ends: tuple[float, float], outward: NDArray[np.float64]) -> NDArray[np.float64]:
    return ends[0] + (ends[1] - ends[0]) * outward


def _by_volume(
    rock: NDArray[np.float64], layered: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mass fractions beside spinel as shares by volume; the spinel's a that of a low one."""
    volumes = [
        mass / _crystal(name).density(np.array(a))
        for mass, name, a in (
            (rock, "limno2_rock_salt", _crystal("limno2_rock_salt").a),
            (layered, "li2mno3", _crystal("li2mno3").a),
            (1 - rock - layered, "limn2o4", SPINEL_FIRST_STEP_A[0]),
        )
    ]
    total = sum(volumes)
    return volumes[0] / total, volumes[1] / total


@functools.cache
def _crystal(name: str) -> Crystal:
    return Crystal(structure(name))

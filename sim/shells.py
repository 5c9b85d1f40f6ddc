"""The truth of particles and of their depth shells, from the truth of voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .content import Content, mass_fractions, masses
from .truth import SPINELS, Truth


@dataclass(frozen=True, slots=True)
class ShellTruth:
    """Means over the voxels of a shell, each as its filling weighs; 0 is the shell at the surface.

    A shell is an equal step of depth, from the surface to the deepest voxel of the particle.

    shell: (rows, cols) int, -1 outside particles
    voxels: (particles, shells) how many are mostly of that particle; row 0 is particle 1
    lattice_parameter_a: (particles, shells) of the spinel [Å], nan where there is none
    mass_fraction: (structures, particles, shells), nan where there is none
    """

    shell: NDArray[np.int64]
    voxels: NDArray[np.int64]
    lattice_parameter_a: NDArray[np.float64]
    mass_fraction: NDArray[np.float64]


def shell_truth(truth: Truth, shells: int = 4) -> ShellTruth:
    """What particles are made of, from the surface to the core; shells=1 for whole particles."""
    particles = int(truth.particle.max())
    inside = truth.particle > 0
    deepest = ndimage.maximum(truth.depth_um, truth.particle, np.arange(particles + 1))
    depth = np.nan_to_num(truth.depth_um / np.asarray(deepest)[truth.particle])
    shell = np.where(inside, np.minimum((depth * shells).astype(int), shells - 1), -1)
    place = ((truth.particle - 1) * shells + shell)[inside]

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros(particles * shells)
        np.add.at(total, place, values[inside])
        return total.reshape(particles, shells)

    mass = masses(Content(truth.phase_share, truth.phase_a)) * truth.filling
    spinel = truth.filling * np.nan_to_num(truth.phase_share[:SPINELS].sum(axis=0))
    amount = summed(spinel)
    weighted = summed(np.nan_to_num(truth.lattice_parameter_a) * spinel)
    return ShellTruth(
        shell=shell,
        voxels=np.bincount(place, minlength=particles * shells).reshape(particles, shells),
        lattice_parameter_a=weighted / np.where(amount > 0, amount, np.nan),
        mass_fraction=mass_fractions(np.stack([summed(one) for one in mass])),
    )

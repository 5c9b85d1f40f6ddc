"""Powder patterns from structures: structure factors, multiplicity, Lorentz factor, line shape.

A pattern is the intensity that a pixel of fixed size sees at a given q, before solid angle and
polarisation, which belong to the pixel (geometry.py). Per unit length of a Debye-Scherrer ring that
is m |F|^2 / V^2 / (sin^2(theta) cos(theta)) (Warren, X-Ray Diffraction, 1969, ch. 4), spread over
the line's profile in 2 theta. Units are arbitrary but the same for every phase, so patterns of
different phases may be added by volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..materials.structures import Structure

BEYOND_Q = 0.1  # how far beyond a pattern's end lines reach into it [1/Å]
REFERENCE_Q = 5.0  # heights refer to the strongest line up to here, on the detector or not [1/Å]
HC_EV_ANGSTROM = 12398.419843320026  # CODATA 2018
ATOMIC_MASS_G = 1.66053906660e-24  # CODATA 2018


@dataclass(frozen=True, slots=True)
class LineShape:
    """Pseudo-Voigt lines whose full width grows with q.

    width_inverse_angstrom: full width at half maximum that the instrument gives every line [1/Å]
    strain: relative width the sample adds in quadrature, full width = strain * q
    mixing: share of the Lorentzian, 0 to 1
    """

    width_inverse_angstrom: float = 0.012
    strain: float = 0.002
    mixing: float = 0.4

    def width(self, q: float) -> float:
        """Full width at half maximum of a line at q [1/Å]."""
        return math.hypot(self.width_inverse_angstrom, self.strain * q)


@dataclass(frozen=True, slots=True)
class Lines:
    """The powder lines of one phase, lowest q first; all arrays (n,) float64.

    q: [1/Å]
    intensity: m |F|^2 / V^2 [electrons^2 / Å^6]
    """

    q: NDArray[np.float64]
    intensity: NDArray[np.float64]


class Crystal:
    """A structure whose cell can be stretched evenly."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._small = small = self._read()
        self.a = float(small.cell.a)
        atoms = small.get_all_unit_cell_sites()
        mass = sum(site.element.weight * self._chemical[site.label] for site in atoms)
        self._density = mass * ATOMIC_MASS_G / (small.cell.volume * 1e-24)

    def density(self, a: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mass of the structure's own atoms to volume [g/cm3], its cell scaled to a [Å]."""
        return self._density * (self.a / a) ** 3

    def lines(self, q_max: float, a: float | None = None) -> Lines:
        """All lines up to q_max [1/Å] with the cell scaled to lattice parameter a [Å]."""
        scale = 1.0 if a is None else a / self.a
        small = self._read()
        own = self._small.cell
        small.cell.set(own.a * scale, own.b * scale, own.c * scale, own.alpha, own.beta, own.gamma)
        small.setup_cell_images()
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        operations = small.spacegroup.operations()
        q, intensity = [], []
        for hkl in gemmi.make_miller_array(small.cell, small.spacegroup, 2 * math.pi / q_max):
            index = [int(n) for n in hkl]
            if operations.is_systematically_absent(index):
                continue
            factor = abs(calculator.calculate_sf_from_small_structure(small, index))
            q.append(2 * math.pi / small.cell.calculate_d(index))
            intensity.append(_multiplicity(operations, index) * factor**2 / small.cell.volume**2)
        order = np.argsort(q)
        return Lines(np.array(q)[order], np.array(intensity)[order])

    def _read(self) -> gemmi.SmallStructure:
        block = gemmi.cif.read_string(self._structure.cif).sole_block()
        small = gemmi.make_small_structure_from_block(block)
        chemical = self._chemical = {site.label: site.occ for site in small.sites}
        # without it atoms on special positions are counted once for every operation that fixes them
        small.change_occupancies_to_crystallographic()
        sites = small.get_all_unit_cell_sites()
        electrons = sum(site.element.atomic_number * chemical[site.label] for site in sites)
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        forward = calculator.calculate_sf_from_small_structure(small, (0, 0, 0)).real
        if not abs(forward - electrons) < 0.002 * electrons:
            raise ValueError(
                f"structure {self._structure.name}: F(000) is {forward:.1f}, "
                f"its unit cell has {electrons:.1f} electrons"
            )
        return small


def pattern(
    lines: Lines, shape: LineShape, q_grid: NDArray[np.float64], energy_ev: float
) -> NDArray[np.float64]:
    """Intensity on q_grid, (n,) [1/Å], at one photon energy; arbitrary units, see the module."""
    wavelength = HC_EV_ANGSTROM / energy_ev
    total = np.zeros_like(q_grid)
    for q, strength in zip(lines.q, lines.intensity, strict=True):
        sine = q * wavelength / (4 * math.pi)
        cosine = math.sqrt(1 - sine**2)
        # dq/d(2 theta) turns the profile in q into one in 2 theta
        per_ring = strength / (sine**2 * cosine) * (2 * math.pi / wavelength * cosine)
        total += per_ring * _pseudo_voigt(q_grid - q, shape.width(q), shape.mixing)
    return total


def strongest(lines: Lines, shape: LineShape, energy_ev: float) -> float:
    """Height of the strongest line, in the units of pattern()."""
    return float(pattern(lines, shape, lines.q, energy_ev).max())


def _pseudo_voigt(x: NDArray[np.float64], width: float, mixing: float) -> NDArray[np.float64]:
    """Area 1; width is the full width at half maximum of both parts."""
    u = 2 * x / width
    gauss = np.exp(-math.log(2) * u**2) * 2 / width * math.sqrt(math.log(2) / math.pi)
    return mixing * 2 / (math.pi * width) / (1 + u**2) + (1 - mixing) * gauss


def _multiplicity(operations: gemmi.GroupOps, hkl: list[int]) -> int:
    """Reflections that fall on the same powder ring by symmetry, Friedel mates included."""
    orbit = {tuple(op.apply_to_hkl(hkl)) for op in operations.sym_ops}
    return len(orbit | {tuple(-n for n in index) for index in orbit})

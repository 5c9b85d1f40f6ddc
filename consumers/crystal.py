"""From a structure in CIF to the powder lines of its phase.

A powder scatters like one crystal turned every way: the spots of the reciprocal lattice become
spheres. A crystal of N cells has around every reciprocal lattice point G an integrated intensity of
N |F|^2 (2 pi)^3 / V, which the turning spreads evenly over the sphere of area 4 pi G^2 (Guinier,
X-Ray Diffraction in Crystals, Imperfect Crystals, and Amorphous Bodies, 1963, ch. 4). With N = 1/V
cells in the unit of volume, the cross-section per solid angle and volume is

    I(q) = r_e^2 sum over G of  2 pi^2 |F(G)|^2 / (V^2 G^2)  profile(q - |G|),

the profile of area 1 in q. That holds the Lorentz factor and, as the sum runs over all G, the
multiplicity; polarisation and solid angle are the integration's. r_e^2 is left out.

F is summed here over the atoms of the cell as they lie in it, each with the occupancy that the CIF
gives: so no atom on a special position can be counted twice, and what the cell holds is checked
against F(0,0,0) and the file's own formula (in proportions: files differ in what they call a
formula unit). Scattering factors: International Tables for Crystallography C, 1992, table 6.1.1.4,
of neutral atoms, by gemmi. Anomalous scattering is left out: 50 keV is far above the edges of what
batteries are made of. Displacements are isotropic.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..materials.structures import Structure

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
FORWARD = 0.005  # by which F(0,0,0) may differ from the electrons in the cell
CONTENT = 0.02  # by which the cell's elements may be in other proportions than in the formula
SAME_LINE = 1e-6  # relative distance below which reflections of an unknown cell are one line
ABSENT = 1e-9  # of the strongest line's strength, below which a line is none
MOST_TERMS = 20_000_000  # of the structure factors' sums, some 300 MB: whole zeolites stay below
GRAM_PER_CM3 = 1.66053906892  # of 1 u / Å3; CODATA 2022


class StructureError(ValueError):
    """A structure that no powder lines can be made of; names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Powder lines of one phase at one cell; arrays (lines,).

    q: [1/Å]; strength: area of the line per volume of the phase [electrons^2 / Å^7]
    hkl: (lines, 3) one reflection of each line
    """

    q: F64
    strength: F64
    hkl: I64


class Crystal:
    """One phase: its cell, its family, and its lines at any cell of that family.

    family: "cubic" (a is free), "tetragonal" or "hexagonal" (a and c; trigonal phases on hexagonal
        axes as well), "fixed" (any other: the cell is what the file says)
    a, c: edges of the cell in the file [Å]
    mass: of the unit cell's atoms, Z M [u]
    """

    def __init__(self, structure: Structure, q_max: float) -> None:
        """Lines up to q_max [1/Å]; raises StructureError where the CIF is no whole structure."""
        self.name, self.formula = structure.name, structure.formula
        small, block = _read(structure)
        cell = small.cell
        self.family = _family(cell)
        self.a, self.b, self.c = cell.a, cell.b, cell.c
        self._angles = (cell.alpha, cell.beta, cell.gamma)
        atoms = list(small.get_all_unit_cell_sites())
        self.mass = sum(site.occ * site.element.weight for site in atoms)
        self._kinds = _kinds(atoms)
        _check_content(structure.name, atoms, self._kinds, block)
        # a cell that shrinks by a twelfth brings in what was beyond q_max
        hkl = _indices(structure.name, cell, q_max * 1.08, len(atoms))
        self._line_of, self._key = self._gather(hkl)
        self._geometry = _geometry(atoms, self._kinds, hkl)
        self._drop_absent(hkl)
        if not np.isfinite(self.lines().strength).all():
            raise StructureError(f"structure {self.name}: its lines have no finite strength")

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the cell edges that may change: ("a",), ("a", "c") or none."""
        return {"cubic": ("a",), "fixed": ()}.get(self.family, ("a", "c"))

    def volume(self, a: float | None = None, c: float | None = None) -> float:
        """Of the unit cell [Å3]."""
        edges = self._edges(a, c)
        return float(gemmi.UnitCell(*edges, *self._angles).volume)

    def density(self, a: float | None = None, c: float | None = None) -> float:
        """Mass of the unit cell over its volume [g/cm3]."""
        return self.mass / self.volume(a, c) * GRAM_PER_CM3

    def lines(self, a: float | None = None, c: float | None = None) -> Lines:
        """All lines with these cell edges [Å], those of the file where None; as many at any cell.

        In the order of the file's cell.
        """
        q = self._places(a, c)
        power = np.bincount(self._line_of, self._powers(q), q.size)
        strength = 2 * math.pi**2 * power / (self.volume(a, c) * q) ** 2
        return Lines(q, strength, self._hkl)

    def _drop_absent(self, hkl: I64) -> None:
        """Forget reflections that the structure extinguishes; name lines by those that are left."""
        power = self._powers(self._places(None, None))
        there = power > ABSENT * power.max()
        lines, self._line_of = np.unique(self._line_of[there], return_inverse=True)
        self._geometry, self._key = self._geometry[there], self._key[lines]
        self._hkl = np.zeros((lines.size, 3), np.int64)
        # of one line the reflection that people would name: (3,1,1) rather than (-1,1,-3)
        h, k, m = hkl[there].T
        by_name = np.lexsort((m, k, h))
        self._hkl[self._line_of[by_name]] = hkl[there][by_name]

    def _powers(self, q: F64) -> F64:
        """|F|^2 of every reflection, (reflections,), with lines at q."""
        per_atom = np.stack([_scattering(kind, q) for kind in self._kinds], axis=1)
        amplitude = (self._geometry * per_atom[self._line_of]).sum(axis=1)
        power: F64 = np.abs(amplitude) ** 2
        return power

    def _edges(self, a: float | None, c: float | None) -> tuple[float, float, float]:
        if self.family == "fixed":
            return self.a, self.b, self.c
        a = self.a if a is None else a
        if self.family == "cubic":
            return a, a, a
        return a, a, self.c if c is None else c

    def _places(self, a: float | None, c: float | None) -> F64:
        edge_a, _, edge_c = self._edges(a, c)
        if self.family == "fixed":
            return self._key[:, 0]
        inverse_d2 = self._key[:, 0] / edge_a**2 + self._key[:, 1] / edge_c**2
        places: F64 = 2 * math.pi * np.sqrt(inverse_d2)
        return places

    def _gather(self, hkl: I64) -> tuple[I64, F64]:
        """The line of each reflection, and what places the lines."""
        h, k, m = hkl.T.astype(np.float64)
        nothing = np.zeros_like(h)
        if self.family == "cubic":
            key = np.stack([h * h + k * k + m * m, nothing], axis=1)
        elif self.family == "tetragonal":
            key = np.stack([h * h + k * k, m * m], axis=1)
        elif self.family == "hexagonal":
            key = np.stack([4 / 3 * (h * h + h * k + k * k), m * m], axis=1)
        else:
            cell = gemmi.UnitCell(self.a, self.b, self.c, *self._angles)
            q = 2 * math.pi * np.sqrt(cell.calculate_1_d2_array(hkl.astype(np.int32)))
            key = np.stack([q, nothing], axis=1)
        rounded = np.round(key / SAME_LINE).astype(np.int64)
        _, first, line_of = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(np.sum(key[first], axis=1), kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        return place[line_of.ravel()], key[first[order]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Atoms that scatter alike: an element with one displacement, u_iso [Å2]."""

    element: str
    u_iso: float


def _read(structure: Structure) -> tuple[gemmi.SmallStructure, gemmi.cif.Block]:
    try:
        block = gemmi.cif.read_string(structure.cif).sole_block()
        small = gemmi.make_small_structure_from_block(block)
    except (RuntimeError, ValueError, IndexError) as error:  # the last where there is no block
        said = " ".join(str(error).split())
        raise StructureError(f"structure {structure.name}: no CIF of one crystal: {said}") from None
    edges = small.cell.a, small.cell.b, small.cell.c
    cell = small.cell.is_crystal() and min(edges) > 0
    if not cell or small.spacegroup is None or not small.sites:
        raise StructureError(
            f"structure {structure.name}: the CIF gives no unit cell, no space group or no atoms"
        )
    for site in small.sites:
        if not all(math.isfinite(x) for x in site.fract.tolist()) or site.element.weight <= 0:
            raise StructureError(f"structure {structure.name}: atom {site.label} has no place")
        if site.u_iso <= 0 and site.aniso.nonzero():
            site.u_iso = small.cell.calculate_u_eq(site.aniso)
    small.setup_cell_images()
    return small, block


def _family(cell: gemmi.UnitCell) -> str:
    right = [abs(angle - 90.0) < 1e-3 for angle in (cell.alpha, cell.beta, cell.gamma)]
    a, b, c = cell.a, cell.b, cell.c
    square = abs(a - b) < 1e-4 * a
    if all(right) and square:
        return "cubic" if abs(a - c) < 1e-4 * a else "tetragonal"
    if right[:2] == [True, True] and square and abs(cell.gamma - 120.0) < 1e-3:
        return "hexagonal"
    return "fixed"


def _kinds(atoms: list[gemmi.SmallStructure.Site]) -> list[_Kind]:
    return sorted({_kind(site) for site in atoms}, key=lambda kind: (kind.element, kind.u_iso))


def _kind(site: gemmi.SmallStructure.Site) -> _Kind:
    return _Kind(site.element.name, round(float(site.u_iso), 6))


def _scattering(kind: _Kind, q: F64) -> F64:
    """f(q) exp(-U q^2 / 2), one atom's amplitude with its displacement [electrons]."""
    table = gemmi.Element(kind.element).it92
    s2 = (q / (4 * math.pi)) ** 2
    factor = np.full_like(q, table.c)
    for height, width in zip(table.a, table.b, strict=True):
        factor += height * np.exp(-width * s2)
    scattered: F64 = factor * np.exp(-0.5 * kind.u_iso * q**2)
    return scattered


def _indices(name: str, cell: gemmi.UnitCell, q_max: float, atoms: int) -> I64:
    """All Miller indices but (0,0,0) up to q_max, (n, 3). Raises StructureError."""
    terms = atoms * math.prod(edge * q_max / math.pi + 1 for edge in (cell.a, cell.b, cell.c))
    if not terms <= MOST_TERMS:
        raise StructureError(
            f"structure {name}: a cell of {cell.a:g} x {cell.b:g} x {cell.c:g} Å with {atoms} "
            "atoms is too large for powder lines"
        )
    ends = cell.get_hkl_limits(2 * math.pi / q_max)
    grid = np.meshgrid(*[np.arange(-n, n + 1) for n in ends], indexing="ij")
    hkl = np.stack([axis.ravel() for axis in grid], axis=1)
    inverse_d2 = cell.calculate_1_d2_array(hkl.astype(np.int32))
    kept = (inverse_d2 > 0) & (inverse_d2 <= (q_max / (2 * math.pi)) ** 2)
    if not kept.any():
        raise StructureError(
            f"structure {name}: a cell of {cell.a:g} x {cell.b:g} x {cell.c:g} Å has no line below "
            f"{q_max:.3g} 1/Å"
        )
    return hkl[kept].astype(np.int64)


def _geometry(
    atoms: list[gemmi.SmallStructure.Site], kinds: list[_Kind], hkl: I64
) -> NDArray[np.complex128]:
    """Sum of the phase factors over the atoms of each kind, (reflections, kinds)."""
    places = np.array([site.fract.tolist() for site in atoms])
    occupied = np.array([site.occ for site in atoms])
    waves = np.exp(2j * math.pi * (hkl @ places.T)) * occupied
    kind_of = np.array([kinds.index(_kind(site)) for site in atoms])
    return np.stack([waves[:, kind_of == n].sum(axis=1) for n in range(len(kinds))], axis=1)


def _check_content(
    name: str, atoms: list[gemmi.SmallStructure.Site], kinds: list[_Kind], block: gemmi.cif.Block
) -> None:
    electrons = sum(site.occ * site.element.atomic_number for site in atoms)
    amount = dict.fromkeys(kinds, 0.0)
    for site in atoms:
        amount[_kind(site)] += site.occ
    forward = sum(n * float(_scattering(kind, np.zeros(1))[0]) for kind, n in amount.items())
    if not abs(forward - electrons) <= FORWARD * electrons:
        raise StructureError(
            f"structure {name}: F(000) is {forward:.1f}, its cell has {electrons:.1f} electrons"
        )
    formula = _formula(block)
    content: dict[str, float] = {}
    for kind, number in amount.items():
        content[kind.element] = content.get(kind.element, 0.0) + number
    if formula and set(formula) == set(content):
        units = [content[element] / number for element, number in formula.items()]
        if max(units) - min(units) > CONTENT * max(units):
            held = " ".join(f"{element}{number:g}" for element, number in content.items())
            raise StructureError(
                f"structure {name}: its unit cell holds {held}, which is not its formula "
                f"{gemmi.cif.as_string(block.find_value('_chemical_formula_sum'))}: look at "
                "positions and occupancies"
            )


def _formula(block: gemmi.cif.Block) -> dict[str, float]:
    """Element -> number in the file's formula; nothing where it has none that can be read."""
    formula = block.find_value("_chemical_formula_sum")
    parts = re.findall(r"([A-Z][a-z]?)([\d.]*)", gemmi.cif.as_string(formula) if formula else "")
    try:
        numbers = {element: float(number or 1) for element, number in parts}
    except ValueError:
        return {}
    return numbers if all(number > 0 for number in numbers.values()) else {}

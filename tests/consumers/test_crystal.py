"""Powder lines from CIF, against gemmi's structure factors, measured intensities and densities."""

from __future__ import annotations

import math

import gemmi
import numpy as np
import pytest
from operando.consumers.crystal import Crystal, StructureError
from operando.materials.structures import Structure, names, structure
from whole_patterns import LAYERED


def layered(**changes: str) -> Structure:
    text = LAYERED
    for old, new in changes.items():
        text = text.replace(old, new)
    return Structure("layered", "LiCoO2", text)


def gemmis_strength(text: str, hkl: tuple[int, int, int]) -> float:
    """2 pi^2 sum |F|^2 / (V q)^2 over all reflections at the same distance, by gemmi."""
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    small.change_occupancies_to_crystallographic()
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    wanted = small.cell.calculate_1_d2(hkl)
    ends = small.cell.get_hkl_limits(0.99 / math.sqrt(wanted))
    total = 0.0
    for h in range(-ends[0], ends[0] + 1):
        for k in range(-ends[1], ends[1] + 1):
            for m in range(-ends[2], ends[2] + 1):
                if abs(small.cell.calculate_1_d2((h, k, m)) - wanted) < 1e-7 * wanted:
                    factor = calculator.calculate_sf_from_small_structure(small, (h, k, m))
                    total += abs(factor) ** 2
    return 2 * math.pi**2 * total / (small.cell.volume**2 * 4 * math.pi**2 * wanted)


@pytest.mark.parametrize("name", [*names(), "layered"])
def test_strengths_agree_with_gemmis_structure_factors(name: str) -> None:
    given = layered() if name == "layered" else structure(name)
    lines = Crystal(given, 4.0).lines()
    strongest = np.argsort(-lines.strength)[:6]
    for n in strongest:
        expected = gemmis_strength(given.cif, tuple(int(i) for i in lines.hkl[n]))
        assert lines.strength[n] == pytest.approx(expected, rel=1e-5)


def test_lithium_manganese_spinel_looks_as_measured() -> None:
    """Powder Diffraction File 35-0782, Cu K alpha: another sample's lines, so within a factor."""
    measured = {(3, 1, 1): 38, (4, 0, 0): 33, (5, 1, 1): 10, (4, 4, 0): 16}
    lines = Crystal(structure("limn2o4"), 5.0).lines()
    two_theta = 2 * np.arcsin(lines.q * 1.5406 / (4 * math.pi))
    seen = lines.strength * (1 + np.cos(two_theta) ** 2) / 2  # a tube's beam is not polarised
    height = {tuple(hkl): s for hkl, s in zip(lines.hkl.tolist(), seen, strict=True)}
    assert max(height, key=height.get) == (1, 1, 1)
    for hkl, intensity in measured.items():
        assert 0.6 < 100 * height[hkl] / height[1, 1, 1] / intensity < 1.7


@pytest.mark.parametrize(
    ("name", "density"),
    [("aluminium", 2.70), ("limn2o4", 4.30), ("li2mno3", 3.88), ("limno2_rock_salt", 4.42)],
)
def test_densities_are_those_of_the_crystals(name: str, density: float) -> None:
    assert Crystal(structure(name), 4.0).density() == pytest.approx(density, abs=0.02)


def test_lines_move_with_the_cell() -> None:
    crystal = Crystal(structure("limn2o4"), 4.7)
    assert (crystal.family, crystal.free) == ("cubic", ("a",))
    small, large = crystal.lines(8.03), crystal.lines(8.25)
    np.testing.assert_allclose(small.q * 8.03, large.q * 8.25, rtol=1e-12)
    assert crystal.volume(8.03) == pytest.approx(8.03**3)
    assert small.q[0] == pytest.approx(2 * math.pi * math.sqrt(3) / 8.03)


def test_a_cell_on_hexagonal_axes_has_two_edges() -> None:
    crystal = Crystal(layered(), 5.0)
    assert (crystal.family, crystal.free) == ("hexagonal", ("a", "c"))
    lines = crystal.lines(2.85, 14.2)
    cell = gemmi.UnitCell(2.85, 2.85, 14.2, 90, 90, 120)
    for q, hkl in zip(lines.q, lines.hkl.tolist(), strict=True):
        assert q == pytest.approx(2 * math.pi / cell.calculate_d(hkl), rel=1e-9)
    # what the centring extinguishes is no line: -h + k + l = 3 n
    assert all((-h + k + m) % 3 == 0 for h, k, m in lines.hkl.tolist())


def test_a_tetragonal_cell_has_two_edges() -> None:
    atom = LAYERED.replace("'R -3 m :H'", "'P 4/m m m'").replace("gamma 120", "gamma 90")
    atom = atom[: atom.index("Li1 Li")].replace("'Li Co O2'", "'Mn'") + "Mn1 Mn 0 0 0 1 0.01\n"
    crystal = Crystal(Structure("simple", "Mn", atom), 3.0)
    assert (crystal.family, crystal.free) == ("tetragonal", ("a", "c"))
    lines = crystal.lines(3.0, 13.0)
    places = dict(zip(map(tuple, lines.hkl.tolist()), lines.q, strict=True))
    assert places[1, 0, 1] == pytest.approx(2 * math.pi * math.hypot(1 / 3.0, 1 / 13.0))
    assert crystal.volume(3.0, 13.0) == pytest.approx(117.0)


def test_a_cell_that_is_neither_stays_as_it_is() -> None:
    crystal = Crystal(structure("li2mno3"), 4.7)
    assert (crystal.family, crystal.free) == ("fixed", ())
    np.testing.assert_array_equal(crystal.lines().q, crystal.lines(9.0, 9.0).q)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Structure("x", "x", "what is this"), "no CIF"),
        (Structure("x", "x", "data_x\n_cell_length_a 4\n"), "no unit cell"),
        # oxygen on a general position instead of its own: the cell would hold too much
        (layered(**{"O1 O 0 0 0.2395": "O1 O 0.1 0.2 0.2395"}), "not its formula"),
        (layered(**{"Co1 Co 0 0 0 1": "Co1 Co 0 0 0 0.5"}), "not its formula"),
        (layered(**{"Co1 Co 0 0": "Co1 Co 0 ?"}), "no place"),
    ],
)
def test_what_is_no_structure_is_refused_in_one_line(given: Structure, says: str) -> None:
    with pytest.raises(StructureError, match=says) as caught:
        Crystal(given, 4.0)
    assert given.name in str(caught.value)
    assert "\n" not in str(caught.value)

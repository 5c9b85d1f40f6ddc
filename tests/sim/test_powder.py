"""Powder patterns."""

import math

import gemmi
import numpy as np
import pytest
from operando.materials.structures import names, structure
from operando.sim.powder import Crystal, Lines, LineShape, pattern


def test_spinel_lines_stand_where_bragg_puts_them():
    for a in (8.03, 8.15, 8.25):
        found = Crystal(structure("limn2o4")).lines(4.7, a).q
        for hkl in ((1, 1, 1), (3, 1, 1), (2, 2, 2), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0)):
            expected = 2 * math.pi / a * math.sqrt(sum(n * n for n in hkl))
            assert np.abs(found - expected).min() < 1e-9


def test_glide_and_centring_leave_no_forbidden_line():
    found = Crystal(structure("limn2o4")).lines(4.7, 8.2).q
    for n in (1, 2, 4, 5, 6, 7, 9, 10, 13, 14):  # h2+k2+l2 that Fd-3m does not have
        assert np.abs(found - 2 * math.pi / 8.2 * math.sqrt(n)).min() > 0.01


def test_intensities_add_up_over_the_whole_sphere():
    """Multiplicity counted by symmetry equals a sum over every reflection, one by one."""
    for name in names():
        text = structure(name).cif
        small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
        small.change_occupancies_to_crystallographic()
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        q_max, total = 3.6, 0.0
        reach = [int(edge * q_max / (2 * math.pi)) + 1 for edge in small.cell.parameters[:3]]
        for h in range(-reach[0], reach[0] + 1):
            for k in range(-reach[1], reach[1] + 1):
                for l in range(-reach[2], reach[2] + 1):  # noqa: E741
                    if (h, k, l) == (0, 0, 0):
                        continue
                    if 2 * math.pi / small.cell.calculate_d([h, k, l]) < q_max:
                        factor = calculator.calculate_sf_from_small_structure(small, [h, k, l])
                        total += abs(factor) ** 2
        lines = Crystal(structure(name)).lines(q_max)
        assert lines.intensity.sum() * small.cell.volume**2 == pytest.approx(total, rel=1e-5)


def test_aluminium_111_has_the_structure_factor_of_four_atoms():
    lines = Crystal(structure("aluminium")).lines(2.8)
    atom = gemmi.Element("Al").it92
    stol2 = (lines.q[0] / (4 * math.pi)) ** 2
    form = atom.calculate_sf(stol2) * math.exp(-8 * math.pi**2 * 0.0101 * stol2)
    assert lines.intensity[0] == pytest.approx(8 * (4 * form) ** 2 / 4.0496**6, rel=1e-4)


def test_pattern_has_lorentz_factor_and_line_area():
    q = np.arange(0.5, 4.5, 0.0005)
    shape = LineShape(width_inverse_angstrom=0.012, strain=0.0, mixing=0.0)
    made = pattern(Lines(np.array([1.5, 3.5]), np.array([1.0, 1.0])), shape, q, 50e3)
    wavelength = 12.39841984 / 50
    areas = [made[np.abs(q - at) < 0.1].sum() * 0.0005 for at in (1.5, 3.5)]
    theta = [math.asin(at * wavelength / (4 * math.pi)) for at in (1.5, 3.5)]
    ring = [1 / (math.sin(t) ** 2 * math.cos(t)) * math.cos(t) for t in theta]
    assert areas[1] / areas[0] == pytest.approx(ring[1] / ring[0], rel=1e-3)
    assert areas[0] == pytest.approx(ring[0] * 2 * math.pi / wavelength, rel=1e-3)


@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_width_is_the_full_width_at_half_maximum(mixing):
    q = np.arange(1.9, 2.1, 1e-5)
    shape = LineShape(0.012, 0.003, mixing)
    made = pattern(Lines(np.array([2.0]), np.array([1.0])), shape, q, 50e3)
    above = q[made > made.max() / 2]
    assert above[-1] - above[0] == pytest.approx(math.hypot(0.012, 0.006), rel=5e-3)

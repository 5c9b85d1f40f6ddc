"""Holder and foil around the electrode."""

import math

import numpy as np
import pytest
from operando.sim.surroundings import Foil, Surroundings

RING = Surroundings(1.5, 3.0, ring_um=(300.0, 400.0))


@pytest.mark.parametrize("rotation", [0.0, 33.0, 90.0])
def test_the_ring_is_seen_along_its_chord(rotation):
    for shift in (0.0, 120.0, 299.0, 301.0, 350.0, 399.0, 420.0):
        chord = 2 * (math.sqrt(max(400**2 - shift**2, 0)) - math.sqrt(max(300**2 - shift**2, 0)))
        peek, aluminium = RING.shares(rotation, shift, 0.01)
        assert peek == pytest.approx(chord / 200, abs=0.01)
        assert aluminium == 1.0
    assert RING.shares(rotation, 0.0, 1e-3)[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("beam", [1.0, 50.0])
def test_rays_side_by_side_see_the_rings_whole_area(beam):
    shifts = np.arange(-500.0 + beam / 2, 500.0, beam)
    seen = sum(RING.shares(12.0, s, beam)[0] * 200 * beam for s in shifts)
    assert seen == pytest.approx(math.pi * (400**2 - 300**2), rel=1e-9)


def test_a_wide_beam_sees_the_mean_of_narrow_ones():
    narrow = np.mean([RING.shares(0.0, s, 0.05)[0] for s in np.arange(280.025, 330, 0.05)])
    assert RING.shares(0.0, 305.0, 50.0)[0] == pytest.approx(narrow, rel=1e-6)


def test_foil_is_seen_where_it_lies_and_as_thick_as_it_is():
    foil = Foil(x_um=40.0, y_um=-30.0, length_um=80.0, thickness_um=10.0, angle_deg=25.0)
    for rotation in (0.0, 25.0, 70.0, 115.0, 140.0):
        theta = math.radians(rotation)
        shifts = np.arange(-120.0, 120.0, 0.5)
        paths = np.array([foil.path_um(rotation, s, 0.5) for s in shifts])
        assert paths.sum() * 0.5 == pytest.approx(800.0, rel=1e-9)
        centre = np.average(shifts, weights=paths)
        assert centre == pytest.approx(40 * math.cos(theta) - 30 * math.sin(theta), abs=1e-4)
    # the ray runs along the long edge where it is turned to 115 degrees (x cos + y sin = s)
    assert max(foil.path_um(115.0, s, 0.1) for s in shifts) == pytest.approx(80.0)
    assert max(foil.path_um(25.0, s, 0.1) for s in shifts) == pytest.approx(10.0)
    around = Surroundings(1.0, 1.0, foil=foil)
    theta = math.radians(25.0)
    middle = 40 * math.cos(theta) - 30 * math.sin(theta)
    assert around.shares(25.0, middle, 0.1) == pytest.approx((1.0, 1.0))


def test_patterns_have_the_heights_that_were_asked_for():
    q = np.arange(1.0, 4.0, 0.001)
    peek, aluminium = Surroundings(1.5, 3.0).patterns(q, 50e3)
    assert peek[np.abs(q - 1.32) < 0.002].max() == pytest.approx(1.5, rel=0.35)
    assert aluminium.max() == pytest.approx(3.0, rel=5e-3)
    assert q[np.argmax(aluminium)] == pytest.approx(2 * math.pi * math.sqrt(3) / 4.0496, abs=1e-3)


def test_impossible_surroundings_are_refused():
    with pytest.raises(ValueError, match="radii 5 to 3 um"):
        Surroundings(1, 1, ring_um=(5, 3))
    with pytest.raises(ValueError, match="foil of 0 x 1 um"):
        Foil(0, 0, 0, 1)

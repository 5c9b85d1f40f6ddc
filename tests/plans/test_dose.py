"""The dose of a voxel, against counting photons one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.plans.dose import Beam, DoseBook, Lines, dose_of

BEAM = Beam(flux_per_s=1e10, height_um=2.0)
PLACE = np.arange(-10.0, 11.0)
ANGLES = np.arange(0, 180, 7.5)


def test_a_voxel_in_the_middle_gets_every_photon_that_falls_on_its_line():
    """By brute force: a beam as wide as the step, at points of a fine grid around the voxel."""
    step, exposure = 0.5, 0.02
    lines = Lines(ANGLES, half_um=6.0, step_um=step, exposure_s=exposure)
    places = np.arange(-6.0, 6.01, step)
    photons = 0.0
    inside = np.linspace(-0.5, 0.5, 200, endpoint=False) + 0.0025
    for _ in ANGLES:  # across the beam a voxel of 1 um is 1 um wide, seen from its middle
        for place in places:
            share = np.mean(np.abs(inside - place) < step / 2)
            photons += BEAM.flux_per_s * exposure * share / (step * BEAM.height_um)
    found = dose_of(BEAM, lines, PLACE, PLACE)
    assert found[10, 10] == pytest.approx(photons, rel=0.01)
    assert BEAM.unit == "photons/um2"


def test_outside_the_field_only_some_angles_count_and_far_away_fewer():
    found = dose_of(BEAM, Lines(ANGLES, 3.0, 0.5, 0.02), PLACE, PLACE)
    whole = found[10, 10]
    assert found[10, 12] == whole  # 2 um beside the axis: always inside
    assert whole > found[10, 15] > found[10, 20] > 0
    angle = 2 * math.asin(3.25 / 10) / math.pi  # share of the half turn at which 10 um is inside
    assert found[10, 20] / whole == pytest.approx(angle, abs=0.05)


def test_a_region_beside_the_axis_is_where_it_was_said_to_be():
    found = dose_of(BEAM, Lines(ANGLES, 2.0, 0.5, 0.02, centre_um=(4.0, -6.0)), PLACE, PLACE)
    rows, columns = np.nonzero(found == found.max())
    assert (PLACE[columns].mean(), PLACE[rows].mean()) == (4.0, -6.0)
    assert rows.size > 1


def test_water_at_12_keV_is_what_the_tables_say():
    """1e12 photons/um2 of 12 keV on water, 2.9 cm2/g (about that of the NIST tables): 557 MGy."""
    beam = Beam(1e12, 1.0, 12e3, 2.9)
    fluence_cm2, energy_j = 1e12 * 1e8, 12e3 * 1.602e-19
    assert beam.unit == "MGy"
    gray = fluence_cm2 * energy_j * 2.9 / 1e-3
    assert beam.per_line(1.0, 1.0) == pytest.approx(gray / 1e6, rel=1e-3)
    assert gray / 1e6 == pytest.approx(557, rel=0.01)


def test_the_book_adds_up_and_foresees_what_it_will_add():
    book = DoseBook(BEAM, 21, 1.0)
    first, region = Lines(ANGLES, 10.0, 1.0, 0.01), Lines(ANGLES, 3.0, 0.5, 0.02, (2.0, 3.0))
    book.add(first)
    foreseen = book.after(region)
    assert book.highest < foreseen
    book.add(region)
    assert book.highest == foreseen
    result = book.result("run", "s2", 2)
    assert (result.consumer, result.name, result.unit, result.dims) == (
        "plan", "dose", "photons/um2", ("y", "x"),
    )  # fmt: skip
    assert result.final
    np.testing.assert_allclose(
        result.values,
        dose_of(BEAM, first, book.x_um, book.x_um) + dose_of(BEAM, region, book.x_um, book.x_um),
        rtol=1e-6,
    )

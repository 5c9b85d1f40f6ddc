"""Regions that deviate: planted ones are found, the bulk is left in peace."""

from __future__ import annotations

import numpy as np
import pytest
from operando.plans.deviations import deviating_particles, deviating_voxels

WINDOW = (8.076, 8.145)
PLACE = np.arange(-10.0, 11.0)
SIGMA = 1e-3


def bulk(seed=0, planted=()):
    """A slice at 8.20 Å with noise; planted: (row, column, size) at 8.11 Å, on their squares."""
    random = np.random.default_rng(seed)
    values = random.normal(8.20, SIGMA, (21, 21))
    for row, column, size in planted:
        part = (slice(row, row + size), slice(column, column + size))
        values[part] = random.normal(8.11, SIGMA, (size, size))
    values[0] = np.nan
    return values, np.full_like(values, SIGMA)


def found(values, sigma, **more):
    return deviating_voxels(values, sigma, WINDOW, PLACE, PLACE, 4.0, **more)


def test_the_planted_regions_are_found_where_they_are_the_largest_first():
    values, sigma = bulk(planted=[(4, 6, 2), (14, 12, 4)])
    large, small = found(values, sigma)
    assert (large.x_um, large.y_um, large.width_um) == (3.5, 5.5, 4.0)  # columns 12-15, rows 14-17
    assert (small.x_um, small.y_um, small.width_um) == (-3.5, -5.5, 2.0)
    assert large.evidence > small.evidence
    assert "16 voxels at 8.11" in large.reason


def test_no_part_of_a_thousand_bulks_is_accused():
    """At 4 sigma and two connected voxels: also where the bulk lies at the very edge."""
    for seed in range(1000):
        values, sigma = bulk(seed)
        assert found(values - 0.05495, sigma) == []  # 8.14505: half of the voxels lie inside


def test_uncertain_voxels_accuse_nobody():
    values, sigma = bulk(planted=[(14, 12, 4)])
    assert found(values, 30 * sigma) == []
    assert found(values, np.full_like(sigma, np.nan)) == []


def test_a_broad_voxel_is_taken_for_two_phases():
    values, sigma = bulk(planted=[(14, 12, 4), (4, 6, 2)])
    width = np.full_like(values, 0.015)
    width[14:18, 12:16] = 0.04
    (left,) = found(values, sigma, width=width)
    assert left.width_um == 2.0


def test_a_voxel_whose_fit_does_not_describe_it_says_less():
    """Two phases side by side: the mean lies inside, no photon count tells, chi2 does."""
    values, sigma = bulk(planted=[(14, 12, 4), (4, 6, 2)])
    chi2 = np.full_like(values, 0.9)
    chi2[14:18, 12:16] = 100.0
    (left,) = found(values, sigma, chi2=chi2)
    assert (left.x_um, left.width_um) == (-3.5, 2.0)
    assert found(values, sigma, chi2=np.full_like(values, np.nan)) == found(values, sigma)
    too_good = np.full_like(values, 0.01)  # never sharper than the photons
    assert found(values, sigma, chi2=too_good) == found(values, sigma)


def test_a_single_voxel_is_chance():
    values, sigma = bulk(planted=[(10, 10, 1)])
    assert found(values, sigma) == []


COLUMNS = ("x_um", "y_um", "area_um2", "a", "classification", "outlier_statistic")
TABLE = np.array(
    [
        [1.0, 2.0, 12.0, 8.2, 0, 0.1],
        [-4.0, 3.0, 28.3, 8.1, 1, 5.0],
        [5.0, -6.0, 12.6, 8.1, 3, 9.0],
        [0.0, 0.0, 12.6, 8.2, -1, 40.0],
        [np.nan, 0.0, 12.6, 8.2, 2, 40.0],
    ]
)


def test_particles_that_the_table_accuses_come_in_the_order_of_their_statistic():
    worst, second = deviating_particles(TABLE, COLUMNS, np.array([7, 3, 12, 9, 2]))
    assert (worst.x_um, worst.y_um) == (5.0, -6.0)
    assert worst.width_um == pytest.approx(4.0, rel=0.01)
    assert worst.reason.startswith("particle 12 ")
    assert second.reason == "particle 3 breaks the material's rule"


def test_a_table_without_the_columns_is_refused_by_name():
    with pytest.raises(ValueError, match="cannot be judged"):
        deviating_particles(TABLE[:, :3], COLUMNS[:3], np.arange(5))

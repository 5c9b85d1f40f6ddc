"""Means, spreads, profiles and shells of particles against what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.particle_statistics import (
    group_means,
    particle_table,
    profiles_of,
)
from operando.consumers.particles import Segmentation, find_particles


@pytest.fixture
def disc() -> tuple[Segmentation, np.ndarray]:
    """One disc of 10 um radius, and every voxel's distance from its middle."""
    y, x = np.mgrid[:41, :41] - 20.0
    away = np.hypot(x, y)
    return find_particles((away < 10).astype(float), 1.0), away


def test_mean_error_and_spread_are_those_of_the_simulation() -> None:
    random = np.random.default_rng(1)
    groups, each, spread = 400, 60, 0.002
    group = np.repeat(np.arange(groups), each).astype(np.int32)
    sigma = random.uniform(3e-4, 3e-3, group.size)
    middle = random.uniform(8.05, 8.2, groups)
    a = middle[group] + random.normal(0, spread, group.size) + random.normal(0, sigma)
    found = group_means(group, groups, a, sigma)
    pull = (found.mean - middle) / found.sigma
    assert pull.mean() == pytest.approx(0, abs=0.15)
    assert pull.std() == pytest.approx(1, abs=0.1)
    assert found.spread.mean() == pytest.approx(spread, rel=0.05)
    assert (found.voxels == each).all()


def test_voxels_that_differ_by_noise_only_have_no_spread() -> None:
    random = np.random.default_rng(2)
    group = np.repeat(np.arange(300), 50).astype(np.int32)
    sigma = np.full(group.size, 1e-3)
    found = group_means(group, 300, 8.1 + random.normal(0, sigma), sigma)
    assert np.mean(found.spread == 0) == pytest.approx(0.5, abs=0.1)
    assert np.percentile(found.spread, 95) < 7e-4
    np.testing.assert_allclose(found.sigma[found.spread == 0], 1e-3 / np.sqrt(50), rtol=1e-6)


def test_voxels_without_a_number_take_no_part() -> None:
    a = np.array([8.1, np.nan, 8.3, 8.3, 7.0])
    sigma = np.array([0.01, 0.01, np.nan, 0.0, 0.01])
    found = group_means(np.array([0, 0, 0, 0, -1], np.int32), 2, a, sigma)
    np.testing.assert_allclose(found.mean, [8.1, np.nan])
    np.testing.assert_allclose(found.sigma, [0.01, np.nan])
    assert found.voxels.tolist() == [1, 0]


def test_a_core_that_is_richer_shows_in_profile_shells_and_table(disc) -> None:
    found, away = disc
    random = np.random.default_rng(3)
    sigma = np.full(away.shape, 5e-4)
    a = 8.10 + 0.001 * (10 - away) + random.normal(0, 5e-4, away.shape)
    profiles = profiles_of(found, a, sigma, 4)
    shells = profiles.shells.mean[0]
    assert np.all(np.diff(shells) > 0.001)
    mean_depth = [(10 - away)[profiles.shell_voxels == n].mean() for n in range(4)]
    np.testing.assert_allclose(shells, 8.10 + 0.001 * np.array(mean_depth), atol=4e-4)
    profile = profiles.profile.mean[0]
    np.testing.assert_allclose(np.diff(profile), 0.001, atol=5 * 5e-4 / np.sqrt(4))
    axis = np.arange(41) - 20.0
    table = particle_table(found, a, sigma, axis + 100, axis - 50, profiles)
    assert table.x_um == pytest.approx(100, abs=0.1)
    assert table.y_um == pytest.approx(-50, abs=0.1)
    assert table.core_minus_surface == pytest.approx(shells[-1] - shells[0])
    assert 0 < table.core_minus_surface_sigma < 5e-4
    assert table.depth_um == pytest.approx(10, abs=1)

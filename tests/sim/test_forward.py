"""Rays through the sample."""

import numpy as np
import pytest
from operando.sim.forward import ray_weights


def disc(radius, voxel, edge, x0=0.0, y0=0.0, fine=10):
    n = round(edge / voxel)
    sub = ((np.arange(n * fine) + 0.5) / fine - n / 2) * voxel
    inside = np.hypot(sub[None] - x0, sub[:, None] - y0) < radius
    centres = (np.arange(n) - (n - 1) / 2) * voxel
    return centres, inside.reshape(n, fine, n, fine).mean(axis=(1, 3))


def ray(centres, voxel, image, rotation, shift, beam):
    indices, paths = ray_weights(centres, centres, voxel, rotation, shift, beam)
    return image.ravel()[indices] @ paths


@pytest.mark.parametrize("rotation", [0.0, 17.0, 45.0, 90.0, 133.3])
def test_ray_sum_of_a_disc_is_its_chord(rotation):
    centres, image = disc(8.0, 0.5, 20.0)
    for shift in (-6.0, -2.5, 0.0, 3.7, 7.0):
        chord = 2 * np.sqrt(64 - shift**2)
        assert ray(centres, 0.5, image, rotation, shift, 0.2) == pytest.approx(chord, abs=0.15)
    assert ray(centres, 0.5, image, rotation, 9.5, 0.2) == 0


def test_rays_side_by_side_see_the_whole_area_at_every_rotation():
    centres, image = disc(8.0, 1.0, 20.0, x0=1.3, y0=-0.6)
    for rotation in np.arange(0, 180, 7.3):
        total = sum(ray(centres, 1.0, image, rotation, s, 1.0) for s in range(-14, 15))
        assert total == pytest.approx(image.sum(), rel=1e-12)


@pytest.mark.parametrize(("x0", "y0"), [(4.0, 0.0), (0.0, 5.0), (-3.0, 2.0)])
def test_a_small_disc_is_found_at_x_cos_plus_y_sin(x0, y0):
    centres, image = disc(1.0, 0.5, 20.0, x0, y0)
    shifts = np.arange(-9, 9.01, 0.5)
    for rotation in (0.0, 30.0, 90.0, 150.0):
        sums = np.array([ray(centres, 0.5, image, rotation, s, 0.5) for s in shifts])
        theta = np.radians(rotation)
        expected = x0 * np.cos(theta) + y0 * np.sin(theta)
        assert np.average(shifts, weights=sums) == pytest.approx(expected, abs=1e-6)


def test_every_path_lies_inside_its_voxel():
    indices, paths = ray_weights(np.arange(5.0), np.arange(3.0), 1.0, 30.0, 1.2, 0.3)
    assert indices.max() < 15
    assert len(np.unique(indices)) == len(indices)
    assert np.all((paths > 0) & (paths <= 1 / np.cos(np.radians(30.0)) + 1e-12))


def test_at_rotation_0_a_ray_runs_along_a_column_and_at_90_along_a_row():
    image = np.arange(12.0).reshape(3, 4)
    x, y = np.arange(4) - 1.5, np.arange(3) - 1.0
    indices, paths = ray_weights(x, y, 1.0, 0.0, 0.5, 1.0)
    assert image.ravel()[indices] @ paths == pytest.approx(image[:, 2].sum())
    indices, paths = ray_weights(x, y, 1.0, 90.0, -1.0, 1.0)
    assert image.ravel()[indices] @ paths == pytest.approx(image[0].sum())

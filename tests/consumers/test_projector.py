"""Line integrals against chords, against an explicit sum, and as the adjoint of back-projection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.kernels.fbp import back_project, circle
from operando.consumers.kernels.projector import project

POINTS, VOXEL = 61, 2.0
PLACES = (np.arange(POINTS) - 0.5 * (POINTS - 1)) * VOXEL


def integrals(volume: np.ndarray, angle: float, rays: np.ndarray, shift: float = 0.0) -> np.ndarray:
    out = np.zeros((rays.size, volume.shape[2]), np.float32)
    filled = np.any(volume != 0, axis=2)
    first = float(PLACES[0]) + shift
    project(volume, filled, first, first, VOXEL, math.cos(angle), math.sin(angle), rays, out)
    return out


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A disc of density 1, the share of each voxel inside; (POINTS, POINTS, 1)."""
    inner = (np.arange(9) - 4) * VOXEL / 9
    fine = (PLACES[:, None] + inner).reshape(-1)
    inside = np.hypot(fine[None, :] - x, fine[:, None] - y) < radius
    return inside.reshape(POINTS, 9, POINTS, 9).mean(axis=(1, 3), dtype=np.float32)[..., None]


@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0, 90.0, 133.0, 180.0])
def test_rays_through_a_disc_are_its_chords(degrees: float) -> None:
    angle, x, y, radius = math.radians(degrees), 14.0, -20.0, 18.0
    rays = np.linspace(-50, 50, 201)
    away = rays - x * math.cos(angle) - y * math.sin(angle)
    chords = 2 * np.sqrt(np.maximum(radius**2 - away**2, 0))
    found = integrals(disc(x, y, radius), angle, rays)[:, 0]
    # within the voxel in which the disc ends
    inner = np.abs(away) < radius - 2 * VOXEL
    np.testing.assert_allclose(found[inner], chords[inner], atol=0.6 * VOXEL)
    assert np.abs(found - chords).max() < 5 * VOXEL
    assert found.sum() * 0.5 == pytest.approx(math.pi * radius**2, rel=0.005)
    assert (found[np.abs(away) > radius + 2 * VOXEL] == 0).all()


def test_an_integral_is_the_sum_of_linear_samples() -> None:
    """Josephs's definition, ray by ray, by NumPy's own interpolation in float64."""
    random = np.random.default_rng(1)
    volume = random.uniform(0, 1, (POINTS, POINTS, 3)).astype(np.float32)
    rays = random.uniform(-40, 40, 9)
    for angle in random.uniform(0, math.pi, 6):
        cosine, sine = math.cos(angle), math.sin(angle)
        found = integrals(volume, angle, rays, shift=3.0)
        for n, ray in enumerate(rays):
            wanted = np.zeros(3)
            for k, place in enumerate(PLACES + 3.0):
                if abs(cosine) >= abs(sine):
                    at, line, step = (ray - place * sine) / cosine, volume[k], VOXEL / abs(cosine)
                else:
                    at, line, step = (ray - place * cosine) / sine, volume[:, k], VOXEL / abs(sine)
                for c in range(3):
                    wanted[c] += step * np.interp(
                        at, np.pad(PLACES + 3.0, 1, mode="reflect", reflect_type="odd"),
                        np.pad(line[:, c], 1), left=0, right=0,
                    )  # fmt: skip
            np.testing.assert_allclose(found[n], wanted, rtol=2e-5, atol=1e-4)


def test_projecting_is_the_adjoint_of_back_projecting() -> None:
    """<A f, g> = <f, B g> for smooth f and g: same geometry, same scale, found independently."""
    y, x = np.meshgrid(PLACES, PLACES, indexing="ij")
    f = np.exp(-((x - 12) ** 2 + (y + 9) ** 2) / 200).astype(np.float32)[..., None]
    angles = np.radians(np.arange(0, 180, 7.5))
    g = np.stack(
        [np.exp(-((PLACES - 10 * math.sin(3 * a)) ** 2) / 300) * (1 + a) for a in angles]
    ).astype(np.float32)[..., None]
    projected = np.stack([integrals(f, a, PLACES) for a in angles])
    image = np.zeros((POINTS, POINTS, 1), np.float32)
    back_project(
        g, np.cos(angles), np.sin(angles), 0.5 * (POINTS - 1), circle(POINTS, 30.0),
        np.ones(angles.size), image,
    )  # fmt: skip
    one = float((projected * g).sum()) * VOXEL
    other = float((f * image).sum()) * VOXEL**2
    assert one == pytest.approx(other, rel=2e-3)

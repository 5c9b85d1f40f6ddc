"""Filter and back-projection, against analytic projections and exact statements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.kernels.fbp import back_project, circle, filtered, ramp_matrix

POINTS = 61


def chords(angle: float, x: float, y: float, radius: float) -> np.ndarray:
    """Analytic projection of a disc of density 1 on POINTS rays 1 um apart."""
    away = np.arange(POINTS) - 30.0 - x * math.cos(angle) - y * math.sin(angle)
    return 2 * np.sqrt(np.maximum(radius**2 - away**2, 0.0))


def one_by_one(
    projection: np.ndarray, angle: float, centre: float, columns: np.ndarray, sign: float,
    volume: np.ndarray,
) -> None:  # fmt: skip
    back_project(
        projection[None], np.array([math.cos(angle)]), np.array([math.sin(angle)]), centre,
        columns, np.array([sign]), volume,
    )  # fmt: skip


def reconstruct(projections: list[np.ndarray], angles: np.ndarray, **options: object) -> np.ndarray:
    matrix = ramp_matrix(POINTS, 1.0, **options)
    columns = circle(POINTS, 30.0)
    volume = np.zeros((POINTS, POINTS, 1), np.float32)
    out = np.empty((POINTS, 1), np.float32)
    for projection, angle in zip(projections, angles, strict=True):
        filtered(matrix, projection[:, None].astype(np.float32), out)
        one_by_one(out, angle, 30.0, columns, 1.0, volume)
    return volume[:, :, 0] * math.pi / len(angles)


def test_a_disc_stands_where_it_is_with_its_density() -> None:
    angles = np.pi * np.arange(180) / 180
    image = reconstruct([chords(t, 8.0, -12.0, 7.0) for t in angles], angles)
    y, x = np.mgrid[0:POINTS, 0:POINTS] - 30.0
    away = np.hypot(x - 8.0, y + 12.0)
    assert image[away < 5].mean() == pytest.approx(1.0, abs=0.01)
    assert np.abs(image[away < 5] - 1).max() < 0.05
    outside = (away > 9) & (np.hypot(x, y) < 30)
    # rays 1 um apart alias the disc's sharp edge: streaks of about 1 % of its density
    assert np.abs(image[outside]).mean() < 0.02


def test_the_ramp_is_the_known_kernel() -> None:
    matrix = ramp_matrix(9, 0.5, edge=False)
    assert matrix[4, 4] == pytest.approx(0.25 / 0.5)
    assert matrix[4, 5] == pytest.approx(-1 / math.pi**2 / 0.5)
    assert matrix[4, 7] == pytest.approx(-1 / (9 * math.pi**2) / 0.5)
    assert matrix[4, 6] == 0.0


@pytest.mark.parametrize(("cutoff", "hann"), [(1.0, False), (1.0, True), (0.25, True)])
def test_what_surrounds_the_field_evenly_is_filtered_to_zero(cutoff: float, hann: bool) -> None:
    matrix = ramp_matrix(POINTS, 1.0, cutoff=cutoff, hann=hann)
    np.testing.assert_allclose(matrix.sum(axis=1), 0.0, atol=1e-5)


def test_hann_lets_low_frequencies_pass_as_the_ramp_does() -> None:
    slow = np.cos(2 * np.pi * np.arange(401) / 100)
    plain = ramp_matrix(401, 1.0) @ slow
    smooth = ramp_matrix(401, 1.0, cutoff=1.0, hann=True) @ slow
    assert smooth[200] == pytest.approx(plain[200], rel=0.01)
    fast = np.cos(np.pi * np.arange(401))
    assert abs((ramp_matrix(401, 1.0, cutoff=1.0, hann=True) @ fast)[200]) < 1e-3
    assert abs((ramp_matrix(401, 1.0) @ fast)[200]) == pytest.approx(0.5, rel=0.01)


def test_projections_add_up_in_any_order_and_can_be_taken_back() -> None:
    random = np.random.default_rng(1)
    columns = circle(POINTS, 30.0)
    spectra = random.normal(size=(6, POINTS, 3)).astype(np.float32)
    angles = random.uniform(0, np.pi, 6)

    def total(order: list[int], signs: list[float]) -> np.ndarray:
        volume = np.zeros((POINTS, POINTS, 3), np.float32)
        for n, sign in zip(order, signs, strict=True):
            one_by_one(spectra[n], angles[n], 30.0, columns, sign, volume)
        return volume

    forward = total([0, 1, 2, 3], [1] * 4)
    np.testing.assert_allclose(total([3, 1, 0, 2], [1] * 4), forward, atol=1e-5)
    np.testing.assert_allclose(
        total([5, 0, 1, 4, 2, 3, 5, 4], [1, 1, 1, 1, 1, 1, -1, -1]), forward, atol=1e-5
    )


def test_voxels_outside_the_circle_are_left_alone() -> None:
    columns = circle(21, 10.0)
    volume = np.zeros((21, 21, 1), np.float32)
    one_by_one(np.ones((21, 1), np.float32), math.atan2(0.8, 0.6), 10.0, columns, 1.0, volume)
    y, x = np.mgrid[0:21, 0:21] - 10.0
    inside = np.hypot(x, y) <= 10.0
    np.testing.assert_allclose(volume[inside, 0], 1.0, rtol=1e-6)
    assert (volume[~inside] == 0).all()

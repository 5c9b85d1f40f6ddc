"""Filter and back-projection, against analytic projections and exact statements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.kernels.fbp import (
    back_project,
    back_project_image,
    channel_array,
    circle,
    filtered,
    padded,
    ramp_matrix,
)

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


def reference(
    projections: np.ndarray, angles: np.ndarray, centre: float, weights: np.ndarray, points: int
) -> np.ndarray:
    """Linear interpolation in float64, by NumPy's own."""
    place = np.arange(points) - 0.5 * (points - 1)
    total = np.zeros((points, points, projections.shape[2]))
    rays = np.arange(projections.shape[1])
    for n, angle in enumerate(angles):
        at = place[None, :] * math.cos(angle) + place[:, None] * math.sin(angle) + centre
        for c in range(projections.shape[2]):
            total[:, :, c] += weights[n] * np.interp(at, rays, projections[n, :, c])
    return total


@pytest.mark.parametrize("number", [1, 7, 8, 19])
@pytest.mark.parametrize("channels", [1, 16, 37])
def test_projections_together_are_what_float64_makes_of_them_one_by_one(
    number: int, channels: int
) -> None:
    random = np.random.default_rng(2)
    projections = random.normal(size=(number, POINTS, channels)).astype(np.float32)
    angles, weights = random.uniform(0, np.pi, number), random.uniform(-1, 1, number)
    centre, columns = 28.7, circle(POINTS, 28.7)
    volume = np.zeros((POINTS, POINTS, channels), np.float32)
    back_project(projections, np.cos(angles), np.sin(angles), centre, columns, weights, volume)
    wanted = reference(projections, angles, centre, weights, POINTS)
    inside = np.zeros((POINTS, POINTS), bool)
    for row, (first, last) in enumerate(columns):
        inside[row, first:last] = True
    np.testing.assert_allclose(volume[inside], wanted[inside], atol=2e-6 * number)
    assert (volume[~inside] == 0).all()

    image = np.zeros((POINTS, POINTS), np.float32)
    back_project_image(
        np.ascontiguousarray(projections[:, :, 0]), np.cos(angles), np.sin(angles), centre,
        columns, weights, image,
    )  # fmt: skip
    np.testing.assert_allclose(image[inside], wanted[inside][:, 0], atol=2e-6 * number)


@pytest.mark.parametrize("points", [4, 41, 62])
def test_filtering_is_the_float64_product(points: int) -> None:
    random = np.random.default_rng(4)
    matrix = ramp_matrix(points, 0.7, cutoff=0.6, hann=True)
    projection = random.normal(size=(points, 21)).astype(np.float32)
    out = np.full((points, 21), np.nan, np.float32)
    filtered(matrix, projection, out)
    np.testing.assert_allclose(
        out, matrix.astype(np.float64) @ projection.astype(np.float64), atol=3e-6
    )


def test_streaming_equals_scikit_images_batch() -> None:
    iradon = pytest.importorskip("skimage.transform").iradon
    angles = np.pi * np.arange(60) / 60
    projections = [chords(t, 8.0, -12.0, 7.0) for t in angles]
    ours = reconstruct(projections, angles, edge=False)
    theirs = iradon(np.array(projections).T, theta=np.degrees(angles), filter_name="ramp")[::-1]
    y, x = np.mgrid[0:POINTS, 0:POINTS] - 30.0
    inside = np.hypot(x, y) < 29
    assert np.abs(ours - theirs)[inside].max() < 5e-3


def test_a_ray_outside_the_projection_is_refused_where_it_would_be_read() -> None:
    columns = np.tile(np.array([[0, 21]]), (21, 1))
    with pytest.raises(ValueError, match="circle"):
        back_project_image(
            np.ones((1, 21), np.float32), np.array([0.7]), np.array([0.7]), 10.0, columns,
            np.ones(1), np.zeros((21, 21), np.float32),
        )  # fmt: skip


def test_channels_start_at_a_cache_line_and_fill_registers() -> None:
    volume = channel_array(3, 5, padded(37))
    assert volume.shape == (3, 5, 48)
    assert volume.ctypes.data % 64 == 0
    assert (volume == 0).all()
    assert [padded(n) for n in (1, 16, 17)] == [16, 16, 32]

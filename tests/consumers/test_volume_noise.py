"""Variances of a volume, against explicit sums of squares and against scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers import volume_noise
from operando.consumers.kernels import fbp
from operando.consumers.rebuild import rebuild
from operando.consumers.sinogram_grid import sinogram_grid
from operando.consumers.tomogram import Tomogram
from operando.consumers.volume_noise import VolumeNoise, interpolated
from operando.stream.messages import Positions

ROTATIONS, POINTS = 36, 31


def disc_counts(angle_deg: float, place: float) -> np.ndarray:
    """Mean counts of a ray in two channels: air, and a strong small disc in less air."""
    t = math.radians(angle_deg)
    away = place - 6.0 * math.cos(t) + 5.0 * math.sin(t)
    chord = 2 * math.sqrt(max(4.0**2 - away**2, 0.0))
    return np.array([400.0, 50.0 + 100.0 * chord])


def exact(
    variances: np.ndarray, angles: np.ndarray, centre: float, weights: np.ndarray
) -> np.ndarray:
    """Sum of squared coefficients times variances of rays over all projections, float64."""
    matrix = fbp.ramp_matrix(POINTS, 1.0).astype(np.float64)
    total = np.zeros((POINTS, POINTS, variances.shape[2]))
    place = np.arange(POINTS) - 0.5 * (POINTS - 1)
    for angle, weight, variance in zip(angles, weights, variances, strict=True):
        ray = place[None, :] * math.cos(angle) + place[:, None] * math.sin(angle) + centre
        left = np.clip(np.floor(ray).astype(int), 0, POINTS - 2)
        part = np.clip(ray - left, 0, 1)[..., None]
        coefficients = (1 - part) * matrix[left] + part * matrix[left + 1]
        total += weight * coefficients**2 @ variance
    return total


@pytest.fixture
def plain(make_trajectory):
    """A sinogram's trajectory, and the mean counts of its frames."""
    trajectory = make_trajectory(ROTATIONS, POINTS)
    angles, places = (axis.values for axis in trajectory.axes)
    return trajectory, np.array(
        [disc_counts(a, s) for a, s in zip(angles, places, strict=True)]
    )  # fmt: skip


def filled(trajectory, spectra: np.ndarray, excess: float = 1.0) -> Tomogram:
    grid = sinogram_grid(trajectory, "rotation", "translation")
    tomogram = Tomogram(grid, spectra.shape[1], 0.0, True, width=np.array([1.0, 4.0]))
    for i, spectrum in enumerate(spectra.astype(np.float32)):
        tomogram.absorb(i, spectrum, excess)
    return tomogram


def inside(margin: float) -> tuple[np.ndarray, np.ndarray]:
    place = np.arange(POINTS) - 0.5 * (POINTS - 1)
    return np.nonzero(np.hypot(place[:, None], place[None, :]) <= 0.5 * POINTS - 0.5 - margin)


@pytest.mark.parametrize("nodes", [96, 9])
def test_variances_are_the_sums_of_squares(plain, monkeypatch, nodes) -> None:
    """All voxels kept, or every fourth: at the disc's edge, far from it, at the axis."""
    monkeypatch.setattr(volume_noise, "NODES", nodes)
    trajectory, spectra = plain
    record = rebuild(filled(trajectory, spectra, excess=1.3), noisy=np.arange(2))
    rows, columns = inside(1.0)
    found = record.variances(rows, columns)
    variances = (1.3 * spectra / [1.0, 4.0]).reshape(ROTATIONS, POINTS, 2)
    angles = np.pi * np.arange(ROTATIONS) / ROTATIONS
    weights = np.full(ROTATIONS, (np.pi / ROTATIONS) ** 2)
    wanted = exact(variances, angles, 0.5 * (POINTS - 1), weights)[rows, columns]
    ratio = np.sqrt(found / wanted)
    # even rays: exact but for the field's ends; 36 angles of a small strong disc: on the average,
    # because how far a voxel's rays are between translations and which meet the disc go together
    assert np.abs(ratio[:, 0] - 1).max() < 0.02
    assert np.abs(ratio[:, 1].mean() - 1) < 0.02
    assert ratio[:, 1].std() < 0.1
    assert np.abs(ratio[:, 1] - 1).max() < 0.35
    # and it does vary: threefold in the disc, and twofold at the axis
    assert wanted[:, 1].max() > 3 * wanted[:, 1].min()
    assert wanted[:, 0].max() > 1.8 * wanted[:, 0].min()


def test_variances_are_what_volumes_scatter_by(plain) -> None:
    """Poisson counts again and again; the final volume, and the live one with its window."""
    trajectory, spectra = plain
    random = np.random.default_rng(1)
    rows, columns = inside(2.0)
    finals, lives, stated, stated_live = [], [], [], []
    for _ in range(60):
        tomogram = filled(trajectory, random.poisson(spectra * [1.0, 4.0]) / [1.0, 4.0])
        tomogram.advance()
        lives.append(tomogram.live_voxels(rows, columns))
        stated_live.append(tomogram.live_variances(rows, columns))
        record = rebuild(tomogram, noisy=np.arange(2))
        finals.append(record.volume[rows, columns])
        stated.append(record.variances(rows, columns))
    for volumes, said in ((finals, stated), (lives, stated_live)):
        scatter = np.var(volumes, axis=0, ddof=1)
        ratio = np.sqrt(scatter.mean(axis=0) / np.mean(said, axis=(0, 1)))
        np.testing.assert_allclose(ratio, 1.0, atol=0.04)
        worst = np.sqrt(scatter / np.mean(said, axis=0))
        assert np.percentile(worst, 2) > 0.75
        assert np.percentile(worst, 98) < 1.3


def test_interpolated_projections_scatter_less_and_it_is_known(plain) -> None:
    trajectory, spectra = plain
    random = np.random.default_rng(2)
    rows, columns = inside(2.0)
    places = trajectory.axes[1].values
    late = np.repeat(random.uniform(0.2, 0.8, ROTATIONS), POINTS)
    volumes, said = [], []
    for _ in range(60):
        tomogram = filled(trajectory, random.poisson(spectra * [1.0, 4.0]) / [1.0, 4.0])
        tomogram.place(
            Positions("s", "translation", "um", np.arange(places.size), places + late),
            "rotation", "translation",
        )  # fmt: skip
        record = rebuild(tomogram, noisy=np.arange(2))
        volumes.append(record.volume[rows, columns])
        said.append(record.variances(rows, columns))
    scatter, stated = np.var(volumes, axis=0, ddof=1).mean(axis=0), np.mean(said, axis=(0, 1))
    np.testing.assert_allclose(np.sqrt(scatter / stated), 1.0, atol=0.06)
    straight = rebuild(filled(trajectory, spectra), noisy=np.arange(2)).variances(rows, columns)
    assert np.all(stated < 0.6 * straight.mean(axis=0))


def test_what_interpolation_leaves_is_what_its_taps_leave() -> None:
    """The two interpolations as one filter, averaged numerically over the second."""
    energy = fbp.ramp_energy(1.0)
    np.testing.assert_allclose(
        energy, [1 / 12, -1 / (2 * math.pi**2), 1 / (8 * math.pi**2)], rtol=1e-4
    )
    covariance = energy[np.abs(np.subtract.outer(range(3), range(3)))]
    for t in (0.0, 0.3, 0.5, 1.0):
        taps = [np.convolve([1 - t, t], [1 - p, p]) for p in (np.arange(2000) + 0.5) / 2000]
        none = [np.array([1 - p, p, 0.0]) for p in (np.arange(2000) + 0.5) / 2000]
        wanted = np.mean([h @ covariance @ h for h in taps]) / np.mean(
            [h @ covariance @ h for h in none]
        )
        assert interpolated(np.array([t]), energy)[0] == pytest.approx(wanted, rel=1e-5)


def test_noise_that_is_taken_back_leaves_none() -> None:
    random = np.random.default_rng(3)
    noise, straight = VolumeNoise(POINTS, 2), VolumeNoise(POINTS, 2)
    variances = random.uniform(1, 9, (2, POINTS, fbp.padded(2))).astype(np.float32)
    angles, columns = np.array([0.3, 1.9]), fbp.circle(POINTS, 15.0)
    for one in (noise, straight):
        one.add(variances[:1], angles[:1], 15.0, columns, np.ones(1))
    noise.add(variances[1:], angles[1:], 15.0, columns, np.ones(1))
    noise.add(variances[1:], angles[1:], 15.0, columns, -np.ones(1))
    rows, energy = np.array([15, 4]), fbp.ramp_energy(1.0)
    np.testing.assert_allclose(
        noise.variances(rows, rows, energy), straight.variances(rows, rows, energy), rtol=1e-5
    )
    noise.clear()
    assert (noise.variances(rows, rows, energy) == 0).all()

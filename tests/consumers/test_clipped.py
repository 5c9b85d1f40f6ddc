"""Rings without outliers: no bias at any number of counts, and none left by spots."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.kernels.cells import ring_pixels, tally_for
from operando.consumers.kernels.clipped import bounds, clipped_patterns
from scipy.stats import poisson

RINGS, PIXELS = 40, 4000
LEVELS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


class Rings:
    """Rings of 4000 pixels whose n is spread as polarisation spreads it."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self.ring = random.permutation(np.repeat(np.arange(RINGS + 1), PIXELS))
        self.seen = 0.97 - 0.03 * np.cos(random.uniform(0, 2 * np.pi, self.ring.size)) ** 2
        self.pixels = ring_pixels(self.ring, self.seen, RINGS)
        self.tally = tally_for(self.pixels)

    def frame(self, mean: float, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).poisson(mean * self.seen).astype(np.uint32)

    def clipped(self, frame: np.ndarray, limit: int = 1_000_000) -> np.ndarray:
        out = np.empty((5, RINGS), np.float32)
        clipped_patterns(frame, limit, self.pixels, self.tally, out)
        return out


@pytest.fixture(scope="module")
def rings() -> Rings:
    return Rings()


def reference(values: np.ndarray, seen: np.ndarray) -> float:
    """The criterion, in float64, pixel by pixel, for counts below the first other cell."""
    order = np.sort(values)
    mean = float(order[(values.size - 1) // 2])
    kept = np.zeros(values.size, bool)
    while True:
        more = values <= np.floor(bounds(mean)[1])
        if (more == kept).all():
            break
        kept, mean = more, float(values[more].sum() / seen[more].sum() * seen.max())
    kept &= values >= np.floor(max(bounds(mean)[0], 0.0))
    return float(values[kept].sum() / seen[kept].sum())


@pytest.mark.parametrize("mean", [0.1, 0.7, 2.0, 5.0])
def test_pixels_are_kept_as_the_criterion_says(rings: Rings, mean: float) -> None:
    frame = rings.frame(mean, 2)
    frame[::97] = 12 + 3 * int(mean)
    found = rings.clipped(frame)
    for b in range(RINGS):
        chosen = rings.ring == b
        expected = reference(frame[chosen].astype(float), rings.seen[chosen])
        assert found[1, b] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mean", LEVELS)
def test_pure_scatter_is_not_biased(rings: Rings, mean: float) -> None:
    found = np.mean([rings.clipped(rings.frame(mean, seed))[:2] for seed in range(20)], axis=(0, 2))
    # the plain mean of the same frames takes the chance out of the comparison
    assert abs(found[1] / found[0] - 1) < 0.002
    assert found[1] == pytest.approx(mean, rel=0.005)


@pytest.mark.parametrize("mean", LEVELS)
def test_spots_and_zingers_leave_less_than_half_a_per_cent(rings: Rings, mean: float) -> None:
    means, clipped = [], []
    for seed in range(20):
        frame = rings.frame(mean, seed).astype(np.int64)
        random = np.random.default_rng(100 + seed)
        spots = random.choice(frame.size, frame.size // 200, replace=False)
        frame[spots] += random.integers(20 * (1 + int(mean)), 2000 * (1 + int(mean)), spots.size)
        zingers = random.choice(frame.size, frame.size // 2000, replace=False)
        frame[zingers] = random.integers(1000, 900_000, zingers.size)
        out = rings.clipped(frame.astype(np.uint32))
        means.append(out[0].mean())
        clipped.append(out[1].mean())
    assert np.mean(means) > 3 * mean
    assert np.mean(clipped) == pytest.approx(mean, rel=0.005)


@pytest.mark.parametrize("mean", LEVELS)
def test_chance_leaves_the_bounds_once_in_ten_thousand_at_most(mean: float) -> None:
    low, high = bounds(mean)
    assert poisson.sf(np.floor(high), mean) < 1e-4
    assert poisson.cdf(np.floor(low) - 1, mean) < 1e-4


def test_dead_pixels_do_not_pull_a_ring_down(rings: Rings) -> None:
    frame = rings.frame(400.0, 3)
    frame[::50] = 0
    found = rings.clipped(frame)
    assert found[0].mean() == pytest.approx(400 * 0.98, rel=0.002)
    assert found[1].mean() == pytest.approx(400, rel=0.002)


def test_sigma_is_that_of_what_is_kept(rings: Rings) -> None:
    found = np.array([rings.clipped(rings.frame(8.0, seed))[[1, 3]] for seed in range(100)])
    scatter = found[:, 0].std(axis=0, ddof=1).mean()
    assert found[:, 1].mean() == pytest.approx(scatter, rel=0.05)


def test_a_ring_without_pixels_is_nan_and_leaves_no_trace(rings: Rings) -> None:
    frame = rings.frame(1e4, 4)
    frame[rings.ring == 7] = 2_000_000
    found = rings.clipped(frame)
    assert np.isnan(found[:4, 7]).all()
    assert found[4, 7] == 0
    assert found[1, 8] == pytest.approx(1e4, rel=0.002)
    again = rings.frame(0.1, 5)
    np.testing.assert_array_equal(rings.clipped(again), Rings().clipped(again))

"""The Poisson numbers of the frames."""

import numpy as np
import pytest
from operando.sim.poisson import NORMAL, poisson_numbers, poisson_tables
from scipy import stats

N = 400_000


@pytest.fixture(scope="module")
def tables():
    return poisson_tables()


def draw(tables, mean, seed, n=N):
    out = np.empty(n, np.int64)
    poisson_numbers(np.full(n, mean, np.float32), np.uint64(seed), tables, out)
    return out


@pytest.mark.parametrize("mean", [0.05, 0.5, 3, 12, 60, 63.93, 64.0, 500, 30_000])
def test_numbers_follow_the_poisson_distribution(tables, mean):
    numbers = draw(tables, mean, 11)
    assert numbers.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / N))
    spread = np.sqrt((2 * mean**2 + mean) / N)
    assert numbers.var() == pytest.approx(mean, abs=5 * spread)
    counts = np.bincount(numbers)
    expected = stats.poisson.pmf(np.arange(len(counts)), mean) * N
    full = expected > 10
    observed = np.r_[counts[full], counts[~full].sum()]
    wanted = np.r_[expected[full], N - expected[full].sum()]
    if mean <= NORMAL:
        assert stats.chisquare(observed, wanted).pvalue > 1e-3


def test_mean_zero_gives_zero(tables):
    assert not draw(tables, 0.0, 3).any()


def test_neighbouring_numbers_and_neighbouring_seeds_are_independent(tables):
    first, second = draw(tables, 5.0, 1), draw(tables, 5.0, 2)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(N)
    for lag in (1, 2, 1028):
        assert abs(np.corrcoef(first[:-lag], first[lag:])[0, 1]) < 5 / np.sqrt(N)


def test_means_between_the_tables_are_not_rounded(tables):
    for mean in (4.0 + 1 / 64, 4.0 + 1 / 32, 4.0 + 3 / 64):
        numbers = draw(tables, mean, 5, n=2_000_000)
        assert numbers.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / 2e6))

"""Single peaks, against the truth and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.kernels import peak_fit as kernel
from operando.consumers.kernels.profile import exp_of_negative
from operando.consumers.peaks import find_peaks, fit_peaks_at
from scipy.optimize import curve_fit

X = np.linspace(2.4, 2.7, 60)
NEAR = np.array([1.02, 1.001, 1.02, 1.02, 1.02, 1.02])  # a start beside a solution


def voigt(x, height, centre, width, mixing, level, slope):
    """SciPy's side of the comparison, written for itself."""
    u = (x - centre) / (0.5 * width)
    shape = mixing / (1 + u**2) + (1 - mixing) * np.exp(-np.log(2) * u**2)
    return height * shape + level + slope * (x - 0.5 * (X[0] + X[-1]))


def fit(y: np.ndarray, weight: np.ndarray, start: np.ndarray | None = None):
    n = len(y)
    lower = np.array([0.0, X[0], 0.003, 0.0, -np.inf, -np.inf])
    upper = np.array([np.inf, X[-1], 0.2, 1.0, np.inf, np.inf])
    p, sigma, chi2 = np.empty((n, 6)), np.empty((n, 6)), np.empty(n)
    status, steps = np.empty(n, np.int64), np.empty(n, np.int64)
    if start is None:
        start = np.full((n, 6), np.nan)
    kernel.fit_peaks(X, y, weight, lower, upper, start, 1e-8, 200, p, sigma, chi2, status, steps)
    return p, sigma, chi2, status


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.column_stack(
        [
            random.uniform(50, 500, n),
            random.uniform(2.52, 2.58, n),
            random.uniform(0.015, 0.03, n),
            random.uniform(0.2, 0.8, n),
            random.uniform(10, 40, n),
            random.uniform(-30, 30, n),
        ]
    )
    return truth, np.array([voigt(X, *t) for t in truth])


def test_peaks_without_noise_are_found_exactly() -> None:
    truth, y = sample(1, 50)
    p, _, chi2, status = fit(y, np.ones_like(y))
    assert (status == kernel.CONVERGED).all()
    np.testing.assert_allclose(p, truth, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(p[:, kernel.CENTRE], truth[:, kernel.CENTRE], atol=1e-6)
    assert chi2.max() < 1e-2


def test_fits_reach_the_minimum_that_scipy_finds() -> None:
    _, clean = sample(2, 40)
    y = np.random.default_rng(3).poisson(clean).astype(float)
    weight = 1 / np.maximum(y, 1)
    p, _, _, _ = fit(y, weight)
    for n in range(len(y)):
        near = p[n] * NEAR
        near[kernel.MIXING] = np.clip(near[kernel.MIXING], 0.05, 0.95)
        theirs, _ = curve_fit(
            voigt, X, y[n], p0=near, sigma=np.sqrt(1 / weight[n]),
            bounds=([0, X[0], 0.003, 0, -1e4, -1e4], [1e5, X[-1], 0.2, 1, 1e4, 1e4]),
        )  # fmt: skip
        cost = [np.sum(weight[n] * (y[n] - voigt(X, *q)) ** 2) for q in (p[n], theirs)]
        assert cost[0] <= cost[1] * (1 + 1e-6)
        assert p[n, kernel.CENTRE] == pytest.approx(theirs[1], abs=2e-6)


def test_uncertainties_are_what_the_centres_scatter_by() -> None:
    truth, clean = sample(4, 500)
    y = np.random.default_rng(5).poisson(clean).astype(float)
    weight = 1 / clean  # the true variance
    p, sigma, chi2, _ = fit(y, weight)
    pull = (p[:, kernel.CENTRE] - truth[:, kernel.CENTRE]) / sigma[:, kernel.CENTRE]
    assert np.nanstd(pull) == pytest.approx(1.0, abs=0.12)
    assert abs(np.nanmean(pull)) < 0.15
    assert np.median(chi2) == pytest.approx(1.0, abs=0.1)


def test_hopeless_windows_say_so_and_do_not_stop_the_others() -> None:
    truth, y = sample(6, 4)
    weight = np.ones_like(y)
    weight[1] = 0.0
    y[2] = 0.0
    p, _, _, status = fit(y, weight)
    assert status[1] == kernel.NO_DATA
    assert np.isnan(p[1]).all()
    assert np.isfinite(p[2]).all()
    np.testing.assert_allclose(p[[0, 3], 1], truth[[0, 3], 1], atol=1e-5)


def test_a_warm_start_ends_at_the_same_minimum() -> None:
    _, clean = sample(7, 30)
    y = np.random.default_rng(8).poisson(clean).astype(float)
    weight = 1 / np.maximum(y, 1)
    cold = fit(y, weight)[0]
    warm = fit(y, weight, cold * NEAR)[0]
    np.testing.assert_allclose(warm[:, kernel.CENTRE], cold[:, kernel.CENTRE], atol=2e-5)


def test_peaks_are_found_where_they_stand_and_nowhere_else() -> None:
    axis = np.linspace(1.0, 4.0, 900)
    places = np.array([1.33, 2.17, 2.55, 3.08, 3.9])
    clean = 200.0 - 20 * axis
    for place, height in zip(places, (900, 120, 400, 380, 150), strict=True):
        clean += height * np.exp(-4 * np.log(2) * ((axis - place) / 0.02) ** 2)
    pattern = np.random.default_rng(9).poisson(clean).astype(float)
    sigma = np.sqrt(clean)
    found = axis[find_peaks(pattern, sigma)]
    assert found.size == places.size
    peaks = fit_peaks_at(axis, pattern, sigma, found, 0.06)
    np.testing.assert_allclose(peaks.centre, places, atol=2e-3)
    assert np.all(np.abs(peaks.centre - places) < 5 * peaks.centre_sigma)
    assert find_peaks(np.full(900, np.nan), sigma).size == 0


def test_the_exponential_without_a_branch_is_numpys() -> None:
    x = -np.r_[0.0, np.logspace(-12, np.log10(699), 3000)]
    ours = np.array([exp_of_negative(v) for v in x])
    np.testing.assert_allclose(ours, np.exp(x), rtol=5e-16)
    assert exp_of_negative(-1e6) == 0.0

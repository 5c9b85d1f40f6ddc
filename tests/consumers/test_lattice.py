"""One lattice parameter for all reflections: truth, uncertainty, two phases, foreign lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.kernels.profile import area, pseudo_voigt, second_slopes, value_and_slopes
from operando.consumers.lattice import FINAL_TOLERANCE, LatticeSearch, roots_of
from operando.consumers.xrdct_config import XrdctConfig
from scipy.optimize import least_squares

Q = np.linspace(1.1, 4.7, 720)


def searcher(**changes: object) -> LatticeSearch:
    return LatticeSearch(XrdctConfig(**changes).lattice_model(), Q, np.ones(Q.size))


def fit(search: LatticeSearch, patterns: np.ndarray):
    patterns = patterns.astype(np.float32)
    return search.fit(patterns, search.scores(patterns)[0], tolerance=FINAL_TOLERANCE)


@pytest.fixture
def spinels(discs):
    """Patterns of the tests' own Gaussian lines: spinels(lattice parameters) -> (n, channels)."""
    return lambda values: np.array([50 + 5 * Q + discs.line_pattern(Q, a) for a in values])


def test_lattice_parameters_are_found_without_a_start_value(spinels) -> None:
    truth = np.random.default_rng(1).uniform(7.97, 8.28, 200)
    fits = fit(searcher(mixing=0.0, aluminium=False), spinels(truth))
    np.testing.assert_allclose(fits.a, truth, atol=2e-6)
    np.testing.assert_allclose(fits.width, 0.015, rtol=1e-3)
    assert (fits.fitted == 7).all()


def test_uncertainties_are_what_the_lattice_parameters_scatter_by(spinels) -> None:
    random = np.random.default_rng(2)
    truth = random.uniform(8.05, 8.25, 400)
    for noise in (1.0, 5.0):
        patterns = spinels(truth) + random.normal(0, noise, (400, Q.size))
        fits = fit(searcher(mixing=0.0), patterns)
        pull = (fits.a - truth) / fits.a_sigma
        assert np.std(pull) == pytest.approx(1.0, abs=0.12)
        assert abs(np.mean(pull)) < 0.2
        assert np.std((fits.width - 0.015) / fits.width_sigma) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("what", ["a spot", "lines of two widths"])
def test_misfit_does_not_make_the_uncertainty_wrong(spinels, what: str) -> None:
    """What a follows the data by, channel by channel, is what its variance is made of."""
    clean = spinels([8.1])[0]
    if what == "a spot":  # beside a strong line, where the model has nothing
        clean = clean + 30 * pseudo_voigt(Q, roots_of([(3, 1, 1)])[0] / 8.1 + 0.014, 0.012, 0.0)
    else:
        for root in roots_of([(5, 1, 1), (4, 4, 0), (5, 3, 1)]):
            clean = clean + 12 * pseudo_voigt(Q, root / 8.1, 0.028, 0.0)
    search, noise = searcher(mixing=0.0, aluminium=False), 0.5
    near, variances = np.full(Q.size, 8.1), np.full((Q.size, Q.size), noise**2, np.float32)
    steps = 0.3 * noise * np.eye(Q.size)
    above, below = (
        search.fit((clean + s).astype(np.float32), near, None, 1e-7, variances)
        for s in (steps, -steps)
    )
    for name in ("a", "width"):
        follows = (getattr(above, name) - getattr(below, name)) / (0.6 * noise)
        stated = getattr(above, f"{name}_sigma").mean()
        assert stated == pytest.approx(noise * np.linalg.norm(follows), rel=0.02)
    assert above.chi2.mean() > 3  # the model does not hold


def test_the_answer_is_scipys_for_the_same_model(spinels) -> None:
    """All parameters of one spinel searched at once by SciPy, windows and all."""
    random = np.random.default_rng(3)
    model = XrdctConfig(mixing=0.0, aluminium=False).lattice_model()
    roots = roots_of(model.reflections)
    for a_true in (8.081, 8.2):
        y = spinels([a_true])[0] + random.normal(0, 3, Q.size)
        ours = fit(searcher(mixing=0.0, aluminium=False), y[None])
        starts = roots / np.float64(searcher(mixing=0.0, aluminium=False).scores(
            y[None].astype(np.float32))[0][0])  # fmt: skip
        windows = [np.abs(Q - s) <= model.half_window for s in starts]

        def residuals(p, windows=windows, y=y):
            parts = []
            for r, window in enumerate(windows):
                h, level, slope = p[2 + 3 * r : 5 + 3 * r]
                x = Q[window]
                shape = np.exp(-4 * math.log(2) * ((x - roots[r] / p[0]) / p[1]) ** 2)
                parts.append(y[window] - h * shape - level - slope * (x - x.mean()))
            return np.concatenate(parts)

        start = np.r_[a_true, 0.015, np.tile([20.0, 60.0, 0.0], roots.size)]
        theirs = least_squares(residuals, start, x_scale=np.abs(start) + 1e-3, xtol=1e-12)
        assert ours.a[0] == pytest.approx(theirs.x[0], abs=3e-6)
        assert ours.width[0] == pytest.approx(theirs.x[1], rel=1e-3)


def test_two_phases_pull_the_answer_no_further_than_stated_and_widen_its_uncertainty(
    spinels,
) -> None:
    """A known limit, stated in lattice.py: one lattice parameter is fitted, not two."""
    random = np.random.default_rng(6)
    low, high = spinels([8.076])[0], spinels([8.145])[0]
    pure = np.array([low, high]) + random.normal(0, 1, (2, Q.size))
    mixed = np.array([0.7 * low + 0.3 * high, 0.3 * low + 0.7 * high])
    mixed = mixed + random.normal(0, 1, (2, Q.size))
    search = searcher(mixing=0.0)
    found, alone = fit(search, mixed), fit(search, pure)
    pull = np.abs(found.a - [8.076, 8.145])
    average = np.abs(np.array([8.0967, 8.1243]) - [8.076, 8.145])
    assert np.all(pull < 0.6 * average)
    assert np.all(found.a_sigma > 5 * alone.a_sigma)


def test_aluminium_does_not_pull_the_lattice_parameter(spinels) -> None:
    truth = np.linspace(8.04, 8.25, 60)
    lines = 2 * math.pi * np.sqrt([3, 4, 8]) / 4.0495
    aluminium = sum(30 * np.exp(-4 * math.log(2) * ((Q - q) / 0.015) ** 2) for q in lines)
    patterns = spinels(truth) + aluminium
    with_lines = fit(searcher(mixing=0.0), patterns)
    without = fit(searcher(mixing=0.0, aluminium=False), patterns)
    assert np.abs(with_lines.a - truth).max() < 1e-4
    assert np.abs(without.a - truth).max() > 1e-3


def test_area_is_that_of_the_summed_reflections(spinels) -> None:
    search = searcher(mixing=0.0)
    fits = fit(search, spinels([8.06, 8.12, 8.2]))
    summed = [(1, 1, 1), (3, 1, 1), (3, 3, 1), (5, 1, 1), (5, 3, 1)]
    chosen = [h for h, s in zip(search.model.reflections, search.model.summed(), strict=True) if s]
    assert chosen == summed
    gauss = 0.015 * math.sqrt(math.pi / (4 * math.log(2)))
    np.testing.assert_allclose(fits.area, (100 + 40 + 10 + 14 + 9) * gauss, rtol=2e-3)


def test_noise_alone_gives_no_reflections_and_gaps_no_failure() -> None:
    random = np.random.default_rng(4)
    fits = fit(searcher(), 100 + random.normal(0, 3, (50, Q.size)))
    assert np.nanmedian(fits.fitted) <= 2
    assert fit(searcher(), np.zeros((3, Q.size))).a.shape == (3,)
    weight = np.ones(Q.size)
    weight[::7] = 0.0
    weight[300:420] = 0.0
    search = LatticeSearch(XrdctConfig(mixing=0.4).lattice_model(), Q, weight)
    y = sum(
        20 * pseudo_voigt(Q, root / 8.15, 0.015, 0.4) for root in roots_of(search.model.reflections)
    )
    assert fit(search, 10 + y[None]).a[0] == pytest.approx(8.15, abs=1e-5)


def test_a_warm_start_changes_nothing_but_the_way(spinels) -> None:
    random = np.random.default_rng(5)
    patterns = spinels(random.uniform(8.05, 8.25, 50)) + random.normal(0, 5, (50, Q.size))
    patterns = patterns.astype(np.float32)
    search = searcher(mixing=0.0)
    near, _ = search.scores(patterns)
    cold = search.fit(patterns, near)
    warm = search.fit(patterns, near, cold)
    # live fits stop a tenth of a standard uncertainty from the minimum
    assert np.all(np.abs(warm.a - cold.a) < 0.25 * cold.a_sigma)


def test_one_pattern_comes_with_its_curve(spinels) -> None:
    pattern = spinels([8.13])[0]
    fits, curve = searcher(mixing=0.0).fit_one(pattern)
    assert fits.a[0] == pytest.approx(8.13, abs=1e-5)
    drawn = np.isfinite(curve)
    assert 0.1 < drawn.mean() < 0.5
    np.testing.assert_allclose(curve[drawn], pattern[drawn], rtol=5e-3)


def test_second_slopes_are_those_of_the_slopes() -> None:
    for distance in (-0.02, -0.004, 0.0, 0.003, 0.011):
        for mixing in (0.0, 0.4, 1.0):
            h, w = 1e-6, 0.013
            slopes = [
                (np.array(value_and_slopes(distance - c, w + b, mixing)[1:3])
                 - value_and_slopes(distance + c, w - b, mixing)[1:3]) / (2 * h)
                for c, b in ((h, 0.0), (0.0, h))
            ]  # fmt: skip
            found = second_slopes(distance, w, mixing)
            wanted = slopes[0][0], slopes[0][1], slopes[1][1]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1.0)


def test_areas_of_profiles_are_their_integrals() -> None:
    x = np.linspace(-400, 400, 4_000_001)
    for mixing in (0.0, 0.4, 1.0):
        total = np.trapezoid(pseudo_voigt(x, 0.0, 2.0, mixing), x)
        assert total == pytest.approx(area(2.0, mixing), rel=4e-3)

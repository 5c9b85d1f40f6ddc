"""Laboratory patterns of one and two cubic phases, with a K alpha doublet."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.pattern_fit import COPPER_K_ALPHA, fit_phases, q_of

HKL = ((5, 1, 1), (4, 4, 0), (5, 3, 1))
TWO_THETA = np.arange(55.0, 75.0, 0.01)


def doublet(a: float, scale: float) -> np.ndarray:
    """Bragg's law for either wavelength, Gaussians in 2 theta."""
    total = np.zeros_like(TWO_THETA)
    for (h, k, m), strength in zip(HKL, (60, 100, 40), strict=True):
        d = a / np.sqrt(h * h + k * k + m * m)
        for wavelength, weight in ((1.540593, 1.0), (1.544427, 0.51)):
            centre = 2 * np.degrees(np.arcsin(wavelength / (2 * d)))
            total += scale * strength * weight * np.exp(
                -4 * np.log(2) * ((TWO_THETA - centre) / 0.25) ** 2
            )  # fmt: skip
    return total


def test_one_phase_is_found_in_spite_of_the_doublet() -> None:
    pattern = 30 + 0.2 * TWO_THETA + doublet(8.17, 1.0)
    noisy = np.random.default_rng(1).normal(pattern, 1.0)
    fit = fit_phases(TWO_THETA, noisy, COPPER_K_ALPHA, HKL, (8.16,))
    assert fit.a[0] == pytest.approx(8.17, abs=3e-4)
    assert fit.a_sigma[0] < 1e-4
    assert fit.mixing < 0.1


def test_two_phases_and_their_shares_are_found() -> None:
    pattern = 30 + doublet(8.146, 0.55) + doublet(8.065, 0.45)
    noisy = np.random.default_rng(2).normal(pattern, 1.0)
    fit = fit_phases(TWO_THETA, noisy, COPPER_K_ALPHA, HKL, (8.16, 8.05))
    np.testing.assert_allclose(fit.a, [8.146, 8.065], atol=5e-4)
    np.testing.assert_allclose(fit.shares(), [0.55, 0.45], atol=0.02)


def test_q_is_four_pi_sine_theta_over_wavelength() -> None:
    assert q_of(np.array([60.0]), 1.5)[0] == pytest.approx(4 * np.pi * 0.5 / 1.5)

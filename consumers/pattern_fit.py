"""One powder pattern, one or several cubic phases: for laboratory data and for checks.

Every reflection of every phase is a pseudo-Voigt (or a doublet of two, for an X-ray tube) whose
height is free but not negative, on a polynomial background. Heights and background are linear and
solved exactly (bounded least squares); lattice parameters, one width a phase and a common mixing
are searched around them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, lsq_linear

from .kernels.profile import area, pseudo_voigt
from .lattice import Hkl, roots_of

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Radiation:
    """What an X-ray source emits.

    wavelengths: [Å], the strongest line first; weights: intensities relative to the first
    """

    wavelengths: tuple[float, ...]
    weights: tuple[float, ...]


# Hölzer et al., Phys. Rev. A 1997, 56, 4554: K alpha 1 and 2, intensities as 100 to 51
COPPER_K_ALPHA = Radiation((1.540593, 1.544427), (1.0, 0.51))


@dataclass(frozen=True, slots=True)
class PhaseFit:
    """Cubic phases found in a pattern.

    a, a_sigma: (phases,) [Å], sigma from the curvature scaled with the residual
    width: (phases,) [1/Å]; mixing: Lorentzian share
    areas: (phases, reflections); curve: (points,) the fitted pattern
    """

    a: F64
    a_sigma: F64
    width: F64
    mixing: float
    areas: F64
    curve: F64

    def shares(self) -> F64:
        """Each phase's share of the total area, (phases,)."""
        total: F64 = self.areas.sum(axis=1) / self.areas.sum()
        return total


def q_of(two_theta_deg: F64, wavelength: float) -> F64:
    """q = 4 pi sin(theta) / wavelength [1/Å]."""
    q: F64 = 4 * math.pi / wavelength * np.sin(np.radians(two_theta_deg) / 2)
    return q


def fit_phases(
    two_theta_deg: F64,
    intensity: F64,
    radiation: Radiation,
    reflections: Sequence[Hkl],
    starts: Sequence[float],
    width: float = 0.02,
    reach: float = 0.05,
    background_terms: int = 4,
) -> PhaseFit:
    """Fit cubic phases to a pattern.

    two_theta_deg, intensity: (points,)
    reflections: Miller indices that lie in the pattern
    starts: lattice parameter of each phase to start at; the fit keeps within reach of it [Å]
    width: full width at half maximum to start at [1/Å]
    """
    q = q_of(two_theta_deg, radiation.wavelengths[0])
    roots = roots_of(reflections)
    phases = len(starts)
    scaled = np.interp(q, [q[0], q[-1]], [-1.0, 1.0])
    background = np.polynomial.chebyshev.chebvander(scaled, background_terms - 1)
    lowest = np.r_[np.full(background_terms, -np.inf), np.zeros(phases * roots.size)]

    def columns(p: F64) -> F64:
        peaks = [
            sum(
                weight * pseudo_voigt(q, root / a * line / radiation.wavelengths[0], w, p[-1])
                for line, weight in zip(radiation.wavelengths, radiation.weights, strict=True)
            )
            for a, w in zip(p[:phases], p[phases : 2 * phases], strict=True)
            for root in roots
        ]
        return np.column_stack([background, *peaks])

    def solve(p: F64) -> tuple[F64, F64]:
        matrix = columns(p)
        linear = lsq_linear(matrix, intensity, (lowest, np.inf), method="bvls").x
        return linear, matrix @ linear

    start = np.r_[starts, np.full(phases, width), 0.5]
    lower = np.r_[np.subtract(starts, reach), np.full(phases, width / 5), 0.0]
    upper = np.r_[np.add(starts, reach), np.full(phases, width * 5), 1.0]
    found = least_squares(
        lambda p: solve(p)[1] - intensity, start, bounds=(lower, upper), x_scale=upper - lower
    )
    linear, curve = solve(found.x)
    free = intensity.size - found.x.size - linear.size
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * (2 * found.cost / max(free, 1))
    widths, mixing = found.x[phases : 2 * phases], float(found.x[-1])
    heights = linear[background_terms:].reshape(phases, roots.size)
    return PhaseFit(
        a=found.x[:phases],
        a_sigma=np.sqrt(np.diag(covariance)[:phases]),
        width=widths,
        mixing=mixing,
        areas=heights * np.array([area(float(w), mixing) for w in widths])[:, None],
        curve=curve,
    )

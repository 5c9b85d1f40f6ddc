"""Pseudo-Voigt peaks in batches, same start, same tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ours
from .harness import Absent, Agreement, Comparison, Contender
from .machine import version_of

F64 = NDArray[np.float64]
POINTS = 60
TOLERANCE = 1e-8
_FOUR_LN_2 = 4 * np.log(2)


def pseudo_voigt(
    x: F64, height: Any, centre: Any, width: Any, mixing: Any, level: Any, slope: Any
) -> F64:
    """A peak on a straight background about the window's middle, for the peers."""
    u = ((x - centre) / width) ** 2
    peak = mixing / (1 + 4 * u) + (1 - mixing) * np.exp(-_FOUR_LN_2 * u)
    return height * peak + level + slope * (x - 0.5 * (x[0] + x[-1]))


def _jacobian(
    x: F64, height: Any, centre: Any, width: Any, mixing: Any, level: Any, slope: Any
) -> F64:
    d = x - centre
    u = (d / width) ** 2
    lorentz, gauss = 1 / (1 + 4 * u), np.exp(-_FOUR_LN_2 * u)
    by_u = -mixing * 4 * lorentz**2 - (1 - mixing) * _FOUR_LN_2 * gauss
    return np.stack(
        [
            mixing * lorentz + (1 - mixing) * gauss,
            height * by_u * (-2 * d / width**2),
            height * by_u * (-2 * u / width),
            height * (lorentz - gauss),
            np.ones_like(x),
            x - 0.5 * (x[0] + x[-1]),
        ],
        axis=1,
    )


def peaks(number: int) -> tuple[F64, F64, F64]:
    """Peaks of some hundred to ten thousand counts: x (points,), y and weight (peaks, points)."""
    random = np.random.default_rng(5)
    x = np.linspace(2.9, 3.1, POINTS)
    y = np.empty((number, POINTS))
    for row in y:
        row[:] = pseudo_voigt(
            x, np.exp(random.uniform(np.log(100), np.log(10_000))), 3.0 + random.normal(0, 0.01),
            random.uniform(0.012, 0.03), random.uniform(0.2, 0.8), 40.0, random.normal(0, 50),
        )  # fmt: skip
    y = random.poisson(y).astype(np.float64)
    return x, y, 1.0 / np.maximum(y, 1.0)


def peak_fit(quick: bool) -> Iterator[Comparison]:
    """Six parameters, sixty points."""
    number = 60 if quick else 300
    x, y, weight = peaks(number)
    start = ours.guesses(x, y)
    scale = 1.0 / number
    yield Comparison(
        work=f"pseudo-Voigt fit, {POINTS} points, tolerance 1e-8, a peak",
        ours=Contender(
            "operando", ours.version(),
            lambda _: ours.fit_peaks(x, y, weight, start, TOLERANCE), scale=scale,
        ),
        peers=[
            _scipy(x, y, weight, start, scale, with_jacobian=False),
            _scipy(x, y, weight, start, scale, with_jacobian=True),
            _lmfit(x, y, weight, start, scale),
        ],
        agree=_same_minimum(x, y, weight),
        rounds=3 if quick else 9,
        budget_s=90.0,
    )  # fmt: skip


def _scipy(x: F64, y: F64, weight: F64, start: F64, scale: float, with_jacobian: bool) -> Contender:
    from scipy.optimize import OptimizeWarning, curve_fit

    sigma = 1 / np.sqrt(weight)
    jacobian: Callable[..., F64] | None = _jacobian if with_jacobian else None

    def run(_: int) -> F64:
        out = np.empty_like(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            for n, guess in enumerate(start):
                out[n], _covariance = curve_fit(
                    pseudo_voigt, x, y[n], guess, sigma[n], True, method="lm", jac=jacobian,
                    ftol=TOLERANCE, xtol=TOLERANCE, gtol=TOLERANCE,
                )  # fmt: skip
        return out

    name = "scipy curve_fit lm" + (", analytic Jacobian" if with_jacobian else "")
    return Contender(name, version_of("scipy"), run, goal=80.0, scale=scale)


def _lmfit(x: F64, y: F64, weight: F64, start: F64, scale: float) -> Contender | Absent:
    try:
        import lmfit
    except ImportError:
        return Absent("lmfit leastsq", "not installed")
    names = ("height", "centre", "width", "mixing", "level", "slope")
    model = lmfit.Model(pseudo_voigt, independent_vars=["x"])
    root = np.sqrt(weight)
    settings = {"ftol": TOLERANCE, "xtol": TOLERANCE, "gtol": TOLERANCE}

    def run(_: int) -> F64:
        out = np.empty_like(start)
        for n, guess in enumerate(start):
            parameters = model.make_params(**dict(zip(names, guess, strict=True)))
            found = model.fit(y[n], parameters, x=x, weights=root[n], fit_kws=settings)
            out[n] = [found.params[name].value for name in names]
        return out

    return Contender("lmfit leastsq", version_of("lmfit"), run, scale=scale)


def _same_minimum(x: F64, y: F64, weight: F64) -> Callable[[Any, Any], Agreement]:
    """Ours nowhere higher than the peer's, and the centres equal to a thousandth of a sigma."""

    def chi2(parameters: F64) -> F64:
        values = np.array([pseudo_voigt(x, *p) for p in parameters])
        return np.asarray((weight * (y - values) ** 2).sum(axis=1))

    def agree(mine: ours.PeakFits, theirs: F64) -> Agreement:
        higher = chi2(mine.parameters) - chi2(theirs)
        away = np.abs(mine.parameters[:, 1] - theirs[:, 1]) / mine.sigma[:, 1]
        said = (
            f"centres: median {np.nanmedian(away):.0e} sigma apart; "
            f"chi2 ours - peer's at most {higher.max():.0e}"
        )
        return Agreement(bool(np.nanmedian(away) < 1e-3 and np.quantile(higher, 0.99) < 1e-3), said)

    return agree

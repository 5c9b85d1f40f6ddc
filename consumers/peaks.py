"""Peaks of one pattern: where they are likely, and a fit of each on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kernels import peak_fit as kernel

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Peaks:
    """Fitted peaks, ascending; every array (peaks,), nan where the fit failed.

    centre, width (full, at half maximum) and their sigma: in the unit of the pattern's axis
    height: above the background, in the pattern's unit
    mixing: Lorentzian share
    chi2: reduced
    """

    centre: F64
    centre_sigma: F64
    width: F64
    height: F64
    mixing: F64
    chi2: F64


def find_peaks(pattern: F64, sigma: F64, least: float = 6.0) -> NDArray[np.intp]:
    """Channels at whose neighbourhood a peak stands out by least times its counting error.

    pattern, sigma: (channels,); channels that are not finite are never a peak
    """
    from scipy import signal  # half a second that most processes never need

    known = np.isfinite(pattern) & np.isfinite(sigma)
    filled = np.where(known, pattern, np.nanmin(pattern) if known.any() else 0.0)
    smooth = np.convolve(filled, [0.25, 0.5, 0.25], mode="same")
    found, about = signal.find_peaks(smooth, prominence=0.0, width=1)
    error = np.where(known, sigma, np.inf)[found]
    kept: NDArray[np.intp] = found[about["prominences"] > least * error]
    return kept


def fit_peaks_at(axis: F64, pattern: F64, sigma: F64, places: F64, half: float) -> Peaks:
    """Fit a pseudo-Voigt on a straight background around each of places.

    axis, pattern, sigma: (channels,), axis ascending; channels that are not finite are left out
    places: (peaks,); half: half width of the windows; both in the axis's unit
    """
    rows = np.full((len(places), 6), np.nan)
    sigmas, chi2s = np.full_like(rows, np.nan), np.full(len(places), np.nan)
    good = np.isfinite(pattern) & (sigma > 0)
    # counting errors scatter with the counts themselves; their mean over the window does not bias
    for n, place in enumerate(places):
        inside = good & (np.abs(axis - place) <= half)
        if inside.sum() < 7:
            continue
        x, y = axis[inside], pattern[inside]
        weight = np.full((1, x.size), 1.0 / float(np.mean(sigma[inside] ** 2)))
        span, top = x[-1] - x[0], max(float(np.ptp(y)), 1e-300)
        lower = np.array([0.0, x[0], span / x.size, 0.0, -np.inf, -np.inf])
        upper = np.array([10 * top, x[-1], span, 1.0, np.inf, np.inf])
        status, steps = np.empty(1, np.int64), np.empty(1, np.int64)
        kernel.fit_peaks(
            x, y[None, :], weight, lower, upper, np.full((1, 6), np.nan), 1e-8, 200,
            rows[n : n + 1], sigmas[n : n + 1], chi2s[n : n + 1], status, steps,
        )  # fmt: skip
        if status[0] not in (kernel.CONVERGED, kernel.ITERATIONS_OUT):
            rows[n] = np.nan
    return Peaks(
        centre=rows[:, kernel.CENTRE],
        centre_sigma=sigmas[:, kernel.CENTRE],
        width=rows[:, kernel.WIDTH],
        height=rows[:, kernel.HEIGHT],
        mixing=rows[:, kernel.MIXING],
        chi2=chi2s,
    )

"""Many single peaks at once: a pseudo-Voigt on a straight background, by Levenberg and Marquardt.

Six parameters: height, centre, full width at half maximum, mixing, background at the window's
middle, slope. The weighted Jacobian's columns are written side by side, and their products give
chi2, J^T W J and J^T W r, both in vector instructions; the step is a 6 x 6 Cholesky solution,
clipped to the box. Marquardt's scaling of the diagonal: J. SIAM 1963, 11, 431.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED, KERNEL, SUMS
from .profile import value_and_slopes

F64 = NDArray[np.float64]
HEIGHT, CENTRE, WIDTH, MIXING, LEVEL, SLOPE = range(6)
_RESIDUAL = 6
CONVERGED, ITERATIONS_OUT, SINGULAR, NO_DATA = 0, 1, 2, 3


@njit(**FUSED)
def _factorise(matrix: F64) -> bool:
    """Replace the lower half of a 6 x 6 matrix by its Cholesky factor, diagonal inverted.

    False if it is not positive definite.
    """
    for i in range(6):
        for j in range(i):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = total * matrix[j, j]
        total = matrix[i, i]
        for k in range(i):
            total -= matrix[i, k] * matrix[i, k]
        if not total > 0.0:
            return False
        matrix[i, i] = 1.0 / np.sqrt(total)
    return True


@njit(**FUSED)
def _solve(factor: F64, vector: F64) -> None:
    """Solve in place with what _factorise() left."""
    for i in range(6):
        total = vector[i]
        for k in range(i):
            total -= factor[i, k] * vector[k]
        vector[i] = total * factor[i, i]
    for i in range(5, -1, -1):
        total = vector[i]
        for k in range(i + 1, 6):
            total -= factor[k, i] * vector[k]
        vector[i] = total * factor[i, i]


@njit(**FUSED)
def _columns(x: F64, y: F64, root: F64, p: F64, columns: F64) -> None:
    """The weighted Jacobian's four columns that change, and the residuals; (7, points)."""
    height, centre, width, mixing = p[HEIGHT], p[CENTRE], p[WIDTH], p[MIXING]
    level, slope = p[LEVEL], p[SLOPE]
    by_height, by_centre, by_width = columns[HEIGHT], columns[CENTRE], columns[WIDTH]
    by_mixing, straight, residual = columns[MIXING], columns[SLOPE], columns[_RESIDUAL]
    for i in range(x.size):
        f, fc, fw, fm = value_and_slopes(x[i] - centre, width, mixing)
        t = root[i]
        scaled = t * height
        by_height[i] = t * f
        by_centre[i] = scaled * fc
        by_width[i] = scaled * fw
        by_mixing[i] = scaled * fm
        residual[i] = y[i] - scaled * f - level * t - slope * straight[i]


@njit(**SUMS)
def _sums(columns: F64, jtj: F64, jtr: F64) -> float:
    """chi2; J^T W J (lower half, but for the background's own part) and J^T W r."""
    h, c, w, m = columns[HEIGHT], columns[CENTRE], columns[WIDTH], columns[MIXING]
    one, x, r = columns[LEVEL], columns[SLOPE], columns[_RESIDUAL]
    hh = ch = cc = wh = wc = ww = mh = mc = mw = mm = 0.0
    for i in range(h.size):
        hh += h[i] * h[i]
        ch += c[i] * h[i]
        cc += c[i] * c[i]
        wh += w[i] * h[i]
        wc += w[i] * c[i]
        ww += w[i] * w[i]
        mh += m[i] * h[i]
        mc += m[i] * c[i]
        mw += m[i] * w[i]
        mm += m[i] * m[i]
    jtj[0, 0], jtj[1, 0], jtj[1, 1] = hh, ch, cc
    jtj[2, 0], jtj[2, 1], jtj[2, 2] = wh, wc, ww
    jtj[3, 0], jtj[3, 1], jtj[3, 2], jtj[3, 3] = mh, mc, mw, mm
    oh = oc = ow = om = xh = xc = xw = xm = 0.0
    for i in range(h.size):
        oh += one[i] * h[i]
        oc += one[i] * c[i]
        ow += one[i] * w[i]
        om += one[i] * m[i]
        xh += x[i] * h[i]
        xc += x[i] * c[i]
        xw += x[i] * w[i]
        xm += x[i] * m[i]
    jtj[4, 0], jtj[4, 1], jtj[4, 2], jtj[4, 3] = oh, oc, ow, om
    jtj[5, 0], jtj[5, 1], jtj[5, 2], jtj[5, 3] = xh, xc, xw, xm
    rh = rc = rw = rm = ro = rx = rr = 0.0
    for i in range(h.size):
        rh += r[i] * h[i]
        rc += r[i] * c[i]
        rw += r[i] * w[i]
        rm += r[i] * m[i]
        ro += r[i] * one[i]
        rx += r[i] * x[i]
        rr += r[i] * r[i]
    jtr[0], jtr[1], jtr[2], jtr[3], jtr[4], jtr[5] = rh, rc, rw, rm, ro, rx
    return rr


@njit(**SUMS)
def _background(x: F64, weight: F64, middle: float, root: F64, columns: F64, jtj: F64) -> None:
    """What stays the same throughout a fit: the background's columns and their products."""
    one, straight = columns[LEVEL], columns[SLOPE]
    oo = ox = xx = 0.0
    for i in range(x.size):
        root[i] = np.sqrt(max(weight[i], 0.0))
    for i in range(x.size):
        one[i] = root[i]
        straight[i] = root[i] * (x[i] - middle)
    for i in range(x.size):
        oo += one[i] * one[i]
        ox += one[i] * straight[i]
        xx += straight[i] * straight[i]
    jtj[4, 4], jtj[5, 4], jtj[5, 5] = oo, ox, xx


@njit(**KERNEL)
def moment_guess(x: F64, y: F64, p: F64) -> None:
    """A start for one window: ends for the background, moments for the peak."""
    n = x.size
    ends = max(n // 8, 1)
    left = right = left_x = right_x = 0.0
    for i in range(ends):
        left += y[i] / ends
        left_x += x[i] / ends
        right += y[n - 1 - i] / ends
        right_x += x[n - 1 - i] / ends
    slope = (right - left) / (right_x - left_x)
    middle = 0.5 * (x[0] + x[n - 1])
    level = left + slope * (middle - left_x)
    top = 0.0
    for i in range(n):
        top = max(top, y[i] - level - slope * (x[i] - middle))
    total = first = second = 0.0
    for i in range(n):
        v = y[i] - level - slope * (x[i] - middle)
        if v > 0.2 * top:  # the foot is noise to the second moment
            total += v
            first += v * x[i]
    centre = first / total if total > 0.0 else middle
    for i in range(n):
        v = y[i] - level - slope * (x[i] - middle)
        if v > 0.2 * top:
            second += v * (x[i] - centre) ** 2
    spread = np.sqrt(second / total) if total > 0.0 else 0.0
    p[HEIGHT] = top
    p[CENTRE] = centre
    p[WIDTH] = max(2.3548 * spread, 2.0 * (x[n - 1] - x[0]) / n)
    p[MIXING] = 0.5
    p[LEVEL] = level
    p[SLOPE] = slope


@njit(**KERNEL)
def fit_peaks(
    x: F64,
    y: F64,
    weight: F64,
    lower: F64,
    upper: F64,
    start: F64,
    tolerance: float,
    most: int,
    p: F64,
    sigma: F64,
    chi2: F64,
    status: NDArray[np.int64],
    iterations: NDArray[np.int64],
) -> None:
    """Fit one peak in every row of y.

    x: (points,) the window; y, weight: (peaks, points), weight = 1 / variance, 0 to leave out
    lower, upper: (6,) box; start: (peaks, 6), nan in the centre for a guess from moments
    tolerance: relative fall of chi2 at which a fit has converged; most: iterations
    p: (peaks, 6), result; sigma: (peaks, 6), standard uncertainty from the covariance of the given
        weights, nan for a parameter at its bound; chi2: (peaks,), reduced
    status: (peaks,) CONVERGED, ITERATIONS_OUT, SINGULAR or NO_DATA
    """
    columns = np.empty((7, x.size))
    root, scaled_y = np.empty(x.size), np.empty(x.size)
    jtj, damped = np.zeros((6, 6)), np.zeros((6, 6))
    jtr, step, trial = np.empty(6), np.empty(6), np.empty(6)
    trial_jtj, trial_jtr = np.zeros((6, 6)), np.empty(6)
    middle = 0.5 * (x[0] + x[-1])
    for n in range(y.shape[0]):
        used = 0
        for i in range(x.size):
            used += weight[n, i] > 0.0
        if used < 7:
            p[n] = np.nan
            sigma[n] = np.nan
            chi2[n] = np.nan
            status[n] = NO_DATA
            iterations[n] = 0
            continue
        best = p[n]
        if np.isnan(start[n, CENTRE]):
            moment_guess(x, y[n], best)
        else:
            best[:] = start[n]
        for a in range(6):
            best[a] = min(max(best[a], lower[a]), upper[a])
        _background(x, weight[n], middle, root, columns, jtj)
        for a in range(4, 6):
            for b in range(4, 6):
                trial_jtj[a, b] = jtj[a, b]
        for i in range(x.size):
            scaled_y[i] = root[i] * y[n, i] if root[i] > 0.0 else 0.0
        _columns(x, scaled_y, root, best, columns)
        now = _sums(columns, jtj, jtr)
        damping = 1e-3
        status[n] = ITERATIONS_OUT
        count = 0
        while count < most:
            count += 1
            _damp(jtj, jtr, damping, best, lower, upper, damped, step)
            if not _factorise(damped):
                damping *= 10.0
                if damping > 1e8:
                    status[n] = SINGULAR
                    break
                continue
            _solve(damped, step)
            for a in range(6):
                trial[a] = min(max(best[a] + step[a], lower[a]), upper[a])
            _columns(x, scaled_y, root, trial, columns)
            after = _sums(columns, trial_jtj, trial_jtr)
            if after <= now:
                fall = now - after
                best[:] = trial
                jtj, trial_jtj = trial_jtj, jtj
                jtr, trial_jtr = trial_jtr, jtr
                now = after
                damping = max(damping * 0.1, 1e-12)
                if fall <= tolerance * max(now, 1e-300):
                    status[n] = CONVERGED
                    break
            else:
                damping *= 10.0
                if damping > 1e10:  # no way down from here: this is the minimum in these digits
                    status[n] = CONVERGED
                    break
        iterations[n] = count
        chi2[n] = now / max(used - 6, 1)
        _uncertainties(jtj, best, lower, upper, damped, step, sigma[n])


@njit(**FUSED)
def _damp(
    jtj: F64, jtr: F64, damping: float, p: F64, lower: F64, upper: F64, damped: F64, step: F64
) -> None:
    """The step's equations; a parameter at its bound that wants to go on stays where it is."""
    for a in range(6):
        step[a] = jtr[a]
        for b in range(a):
            damped[a, b] = jtj[a, b]
        damped[a, a] = jtj[a, a] + (damping * jtj[a, a] + 1e-300)
    for a in range(6):
        if (p[a] <= lower[a] and jtr[a] < 0) or (p[a] >= upper[a] and jtr[a] > 0):
            _hold(damped, a)
            step[a] = 0.0


@njit(**FUSED)
def _hold(matrix: F64, a: int) -> None:
    """Take parameter a out of a lower half."""
    for b in range(6):
        matrix[max(a, b), min(a, b)] = 0.0
    matrix[a, a] = 1.0


@njit(**FUSED)
def _uncertainties(
    jtj: F64, p: F64, lower: F64, upper: F64, factor: F64, column: F64, sigma: F64
) -> None:
    """Square roots of the diagonal of (J^T W J)^-1; parameters at a bound are held fixed."""
    for a in range(6):
        for b in range(a + 1):
            factor[a, b] = jtj[a, b]
    for a in range(6):
        if p[a] <= lower[a] or p[a] >= upper[a]:
            _hold(factor, a)
    good = _factorise(factor)
    for a in range(6):
        if not (good and lower[a] < p[a] < upper[a]):
            sigma[a] = np.nan
            continue
        variance = 0.0  # a column of the factor's inverse, squared
        for i in range(a, 6):
            total = 1.0 if i == a else 0.0
            for k in range(a, i):
                total -= factor[i, k] * column[k]
            column[i] = total * factor[i, i]
            variance += column[i] * column[i]
        sigma[a] = np.sqrt(variance)

"""Many single peaks at once: a pseudo-Voigt on a straight background, by Levenberg and Marquardt.

Six parameters: height, centre, full width at half maximum, mixing, background at the window's
middle, slope. One pass over the points makes chi2, J^T W J and J^T W r; the step is a 6 x 6
Cholesky solution, clipped to the box. Marquardt's scaling of the diagonal: J. SIAM 1963, 11, 431.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import KERNEL
from .profile import value_and_slopes

F64 = NDArray[np.float64]
HEIGHT, CENTRE, WIDTH, MIXING, LEVEL, SLOPE = range(6)
CONVERGED, ITERATIONS_OUT, SINGULAR, NO_DATA = 0, 1, 2, 3


@njit(**KERNEL)
def cholesky_solve(matrix: F64, vector: F64, size: int) -> bool:
    """Solve matrix x = vector in place (matrix: its lower factor afterwards); False if singular."""
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                matrix[i, i] = np.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(size):
        total = vector[i]
        for k in range(i):
            total -= matrix[i, k] * vector[k]
        vector[i] = total / matrix[i, i]
    for i in range(size - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, size):
            total -= matrix[k, i] * vector[k]
        vector[i] = total / matrix[i, i]
    return True


@njit(**KERNEL)
def _normal_equations(
    x: F64, y: F64, weight: F64, middle: float, p: F64, jtj: F64, jtr: F64
) -> float:
    """chi2 at p; fills J^T W J (lower half) and J^T W r, r = y - model."""
    row = np.empty(6)
    jtj[:] = 0.0
    jtr[:] = 0.0
    chi2 = 0.0
    for i in range(x.size):
        f, by_centre, by_width, by_mixing = value_and_slopes(x[i] - p[CENTRE], p[WIDTH], p[MIXING])
        row[HEIGHT] = f
        row[CENTRE] = p[HEIGHT] * by_centre
        row[WIDTH] = p[HEIGHT] * by_width
        row[MIXING] = p[HEIGHT] * by_mixing
        row[LEVEL] = 1.0
        row[SLOPE] = x[i] - middle
        residual = y[i] - p[HEIGHT] * f - p[LEVEL] - p[SLOPE] * row[SLOPE]
        chi2 += weight[i] * residual * residual
        for a in range(6):
            scaled = weight[i] * row[a]
            jtr[a] += scaled * residual
            for b in range(a + 1):
                jtj[a, b] += scaled * row[b]
    return chi2


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
    jtj = np.empty((6, 6))
    jtr = np.empty(6)
    damped = np.empty((6, 6))
    step = np.empty(6)
    trial = np.empty(6)
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
        now = _normal_equations(x, y[n], weight[n], middle, best, jtj, jtr)
        damping = 1e-3
        status[n] = ITERATIONS_OUT
        count = 0
        while count < most:
            count += 1
            damped[:] = jtj
            step[:] = jtr
            for a in range(6):
                damped[a, a] += damping * jtj[a, a] + 1e-300
                # a parameter at its bound that wants to go on stays where it is
                at_bound = (best[a] <= lower[a] and jtr[a] < 0) or (
                    best[a] >= upper[a] and jtr[a] > 0
                )
                if at_bound:
                    for b in range(6):
                        damped[max(a, b), min(a, b)] = 0.0
                    damped[a, a] = 1.0
                    step[a] = 0.0
            if not cholesky_solve(damped, step, 6):
                damping *= 10.0
                if damping > 1e8:
                    status[n] = SINGULAR
                    break
                continue
            for a in range(6):
                trial[a] = min(max(best[a] + step[a], lower[a]), upper[a])
            after = _normal_equations(x, y[n], weight[n], middle, trial, damped, step)
            if after <= now:
                fall = now - after
                best[:] = trial
                jtj[:] = damped
                jtr[:] = step
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


@njit(**KERNEL)
def _uncertainties(
    jtj: F64, p: F64, lower: F64, upper: F64, factor: F64, column: F64, sigma: F64
) -> None:
    """Square roots of the diagonal of (J^T W J)^-1; parameters at a bound are held fixed."""
    for a in range(6):
        factor[:] = jtj
        for b in range(6):
            if p[b] <= lower[b] or p[b] >= upper[b]:
                for c in range(6):
                    factor[max(b, c), min(b, c)] = 0.0
                factor[b, b] = 1.0
        column[:] = 0.0
        column[a] = 1.0
        free = lower[a] < p[a] < upper[a]
        good = free and cholesky_solve(factor, column, 6)
        sigma[a] = np.sqrt(column[a]) if good else np.nan

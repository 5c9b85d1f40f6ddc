"""One lattice parameter and one width for all reflections of a pattern, voxel by voxel.

Reflection r of a cubic cell stands at root_r / a, with root_r = 2 pi sqrt(h^2 + k^2 + l^2). Each
is a pseudo-Voigt of common width and fixed mixing in a window of its own, with a straight
background and, where one falls into the window, a foreign line at a known place (e.g. aluminium).
Everything but a and the width is linear, so it is solved exactly at every step and only two
parameters are searched: variable projection with Kaufman's approximation (Golub and Pereyra, SIAM
J. Numer. Anal. 1973, 10, 413; Kaufman, BIT 1975, 15, 49). Heights are not negative: a reflection
that would be is left out.

Why jointly: at the counts of one voxel the weak reflections have no minimum of their own, and a
peak's height, width and background are not needed one by one. See docs/explanations/kernels.md.

Uncertainties are those of the given variances (lattice_noise.py): what counting statistics make of
the answer, if the variances are true, whether or not the model holds. Streaks of the reconstruction
and misfit (two phases in a voxel) raise the reduced chi2, which is given beside. Where only
relative variances are known (scaled), uncertainties are multiplied by the root of chi2.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .lattice_noise import covariance
from .lattice_window import FOREIGN, LEVEL, PEAK, SLOPE, make_scratch, solve_window
from .options import KERNEL
from .profile import value_and_slopes

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
A, A_SIGMA, WIDTH, WIDTH_SIGMA, AREA, AREA_SIGMA, CHI2, FITTED, STEPS = range(9)
OUTPUTS = 9
_SEEN = 3.0  # a reflection counts as fitted where its height is so many standard uncertainties


@njit(**KERNEL)
def _evaluate(
    q: F64,
    y: NDArray[np.float32],
    root: F64,
    windows: I64,
    roots: F64,
    foreign: F64,
    a: float,
    width: float,
    mixing: float,
    scratch: tuple[F64, F64, F64, F64],
    reflections: F64,
    linear: F64,
    normal: F64,
) -> float:
    """chi2 at (a, width); normal: gradient and curvature of a and width, (5,)."""
    chi2 = 0.0
    normal[:] = 0.0
    for r in range(roots.size):
        if windows[r, 1] <= windows[r, 0]:
            reflections[r] = 0.0
            continue
        centre = roots[r] / a
        by_a = -centre / a
        w = reflections[r]
        solve_window(
            q, y, root, windows[r, 0], windows[r, 1], centre, foreign[r], width, mixing, scratch,
            w, linear[r],
        )  # fmt: skip
        chi2 += w[0]
        normal[0] += w[1] * by_a
        normal[1] += w[2]
        normal[2] += w[3] * by_a * by_a
        normal[3] += w[4] * by_a
        normal[4] += w[5]
    return chi2


@njit(**KERNEL)
def choose_windows(
    q: F64,
    weight: F64,
    roots: F64,
    lines: F64,
    a: float,
    width: float,
    half: float,
    windows: I64,
    foreign: F64,
) -> int:
    """Windows around the reflections at a, first and one past last channel; returns the points.

    A reflection nearer than half a width to a foreign line cannot be told from it, and one whose
    window is cut by the pattern's end has no background: their windows are empty.
    """
    points = 0
    for r in range(roots.size):
        centre = roots[r] / a
        first = np.searchsorted(q, centre - half)
        last = np.searchsorted(q, centre + half)
        windows[r, 0] = first
        windows[r, 1] = last
        foreign[r] = np.nan
        nearest = half + width
        for line in lines:
            gap = abs(line - centre)
            if gap < nearest:
                nearest = gap
                foreign[r] = line
        used = 0
        for i in range(first, last):
            used += weight[i] > 0.0
        cut = centre - half < q[0] - 0.25 * half or centre + half > q[-1] + 0.25 * half
        if used < 8 or cut or nearest < 0.5 * width:
            windows[r, 1] = first
            used = 0
        points += used
    return points


@njit(**KERNEL)
def _roots_of_weights(variance: NDArray[np.float32], used: NDArray[np.bool_], root: F64) -> None:
    """root = 1 / sqrt(variance); 0 for channels to leave out."""
    for i in range(root.size):
        counts = used[i] and variance[i] > 0.0
        root[i] = 1.0 / math.sqrt(variance[i]) if counts else 0.0


@njit(**KERNEL)
def fit_lattices(
    q: F64,
    patterns: NDArray[np.float32],
    variances: NDArray[np.float32],
    scaled: bool,
    used: NDArray[np.bool_],
    roots: F64,
    summed: NDArray[np.bool_],
    lines: F64,
    half: float,
    mixing: float,
    start: F64,
    limits: F64,
    tolerance: float,
    most: int,
    out: F64,
    heights: F64,
) -> None:
    """Fit every row of patterns.

    q: (channels,) ascending [1/Å]; patterns: (voxels, channels)
    variances: (voxels, channels), or (1, channels) for all; scaled: they are relative ones
    used: (channels,) False to leave a channel out
    roots: (reflections,) 2 pi sqrt(h2 + k2 + l2), ascending; lines: (n,) foreign lines [1/Å]
    half: half width of a window [1/Å]; mixing: Lorentzian share
    start: (voxels, 2) lattice parameter [Å] and width [1/Å]; nan: the voxel is left out
    limits: (4,) lowest and highest lattice parameter, lowest and highest width
    tolerance: step, as a share of the standard uncertainty, at which a fit has converged
    most: steps at most
    out: (voxels, OUTPUTS), nan where there is no fit; AREA is a sum of height times width, per unit
        area of a profile of width 1, still to be multiplied by profile.area(1, mixing)
    heights: (voxels, reflections), nan where a reflection was not used
    """
    n = roots.size
    scratch, root = make_scratch(q.size), np.zeros(q.size)
    reflections, trial_reflections = np.zeros((n, 10)), np.zeros((n, 10))
    linear, trial_linear = np.zeros((n, 4)), np.zeros((n, 4))
    normal, trial = np.zeros(5), np.zeros(5)
    windows, foreign = np.zeros((n, 2), np.int64), np.zeros(n)
    for voxel in range(patterns.shape[0]):
        out[voxel] = np.nan
        heights[voxel] = np.nan
        a, width = start[voxel]
        if math.isnan(a):
            continue
        y = patterns[voxel]
        if voxel < variances.shape[0] or voxel == 0:
            _roots_of_weights(variances[voxel], used, root)
        points = choose_windows(q, root, roots, lines, a, width, half, windows, foreign)
        windows_used = 0
        for r in range(n):
            windows_used += windows[r, 1] > windows[r, 0]
        free = points - 3 * windows_used - 2
        if free < 1:
            continue
        chi2 = _evaluate(
            q,
            y,
            root,
            windows,
            roots,
            foreign,
            a,
            width,
            mixing,
            scratch,
            reflections,
            linear,
            normal,
        )
        damping = 1e-3
        steps = 0
        converged = False
        while steps < most and normal[2] > 0.0:
            steps += 1
            aa = normal[2] * (1.0 + damping)
            ww = normal[4] * (1.0 + damping) + 1e-300
            det = aa * ww - normal[3] * normal[3]
            if not det > 0.0:
                break
            step_a = (ww * normal[0] - normal[3] * normal[1]) / det
            step_w = (aa * normal[1] - normal[3] * normal[0]) / det
            next_a = min(max(a + step_a, limits[0]), limits[1])
            next_w = min(
                max(width + step_w, max(limits[2], 0.5 * width)), min(limits[3], 2 * width)
            )
            after = _evaluate(
                q, y, root, windows, roots, foreign, next_a, next_w, mixing, scratch,
                trial_reflections, trial_linear, trial,
            )  # fmt: skip
            scale = math.sqrt(min(after, chi2) / free)
            small = (
                abs(next_a - a) <= tolerance * scale / math.sqrt(normal[2])
                and abs(next_w - width) <= tolerance * scale / math.sqrt(normal[4] + 1e-300)
            )  # fmt: skip
            if after <= chi2:
                a, width, chi2 = next_a, next_w, after
                normal[:] = trial
                reflections[:] = trial_reflections
                linear[:] = trial_linear
                damping = max(0.1 * damping, 1e-9)
                if small:
                    converged = True
                    break
            elif small and damping <= 1e-3:  # a full step, and not worth it: this is the minimum
                converged = True
                break
            else:
                damping *= 10.0
                if damping > 1e9:  # no way down in these digits
                    converged = True
                    break
        if converged:
            var_a, var_w = covariance(
                q, y, root, windows, roots, foreign, a, width, mixing, reflections, linear
            )
            _report(reflections, summed, windows, var_a, var_w, a, width, chi2 / free, scaled,
                    steps, limits, out[voxel], heights[voxel])  # fmt: skip


@njit(**KERNEL)
def _report(
    reflections: F64,
    summed: NDArray[np.bool_],
    windows: I64,
    var_a: float,
    var_w: float,
    a: float,
    width: float,
    chi2: float,
    scaled: bool,
    steps: int,
    limits: F64,
    out: F64,
    heights: F64,
) -> None:
    """Write one voxel's values and uncertainties; nothing where a stopped at a limit."""
    if math.isnan(var_a) or a <= limits[0] or a >= limits[1]:
        return
    scale = chi2 if scaled else 1.0
    seen = max(scale, chi2)  # streaks look like reflections, and are more than counting noise
    height = variance = by_w = 0.0
    fitted = 0
    for r in range(heights.size):
        if windows[r, 1] <= windows[r, 0]:
            continue
        w = reflections[r]
        heights[r] = w[6]
        fitted += w[6] > _SEEN * math.sqrt(w[7] * seen)
        if summed[r]:
            height += w[6]
            variance += w[7]
            by_w += w[8]
    # area = height * width: a reflection's own scatter, and what the common width does to all;
    # a moves no area by symmetry
    var_area = width * width * variance + (by_w * width + height) ** 2 * var_w
    out[A] = a
    out[A_SIGMA] = math.sqrt(var_a * scale)
    out[WIDTH] = width
    out[WIDTH_SIGMA] = math.sqrt(var_w * scale)
    out[AREA] = height * width
    out[AREA_SIGMA] = math.sqrt(var_area * scale)
    out[CHI2] = chi2
    out[FITTED] = fitted
    out[STEPS] = steps


@njit(**KERNEL)
def model(
    q: F64,
    pattern: NDArray[np.float32],
    weight: F64,
    roots: F64,
    lines: F64,
    half: float,
    mixing: float,
    a: float,
    width: float,
    out: F64,
) -> None:
    """The fitted curve of one pattern at (a, width) over q; nan outside the windows."""
    n = roots.size
    scratch, root = make_scratch(q.size), np.sqrt(weight)
    w, linear = np.zeros(10), np.zeros(4)
    windows, foreign = np.zeros((n, 2), np.int64), np.zeros(n)
    choose_windows(q, weight, roots, lines, a, width, half, windows, foreign)
    out[:] = np.nan
    for r in range(n):
        if windows[r, 1] <= windows[r, 0]:
            continue
        centre = roots[r] / a
        solve_window(
            q, pattern, root, windows[r, 0], windows[r, 1], centre, foreign[r], width, mixing,
            scratch, w, linear,
        )  # fmt: skip
        for i in range(windows[r, 0], windows[r, 1]):
            distance = q[i] - centre
            value = linear[LEVEL] + linear[SLOPE] * distance
            value += linear[PEAK] * value_and_slopes(distance, width, mixing)[0]
            if not math.isnan(foreign[r]):
                value += linear[FOREIGN] * value_and_slopes(q[i] - foreign[r], width, mixing)[0]
            out[i] = value

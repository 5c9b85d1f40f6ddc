"""Whole powder patterns, voxel by voxel: non-negative phases and the cell of one of them.

A pattern is a background, phases of fixed cell, and the working phase whose template moves with
its cell edges. Templates stand on a grid of cells (templates.py); between its nodes they are
polynomials through six of them (Lagrange), in either direction. Everything but the cell is linear
and solved exactly at every step, with scales that are not negative, so only the cell is searched:
variable projection with Kaufman's approximation (Golub and Pereyra, SIAM J. Numer. Anal. 1973, 10,
413; Kaufman, BIT 1975, 15, 49).

What a step needs of a pattern is its product with the template and that of its slopes. Products
with six nodes' templates (36 where two edges are free) give both, for a whole neighbourhood: after
them no step touches a channel again. Products among templates do not depend on the voxel; they
are tabulated on the nodes and interpolated alike.

Templates and patterns are weighted (each channel over its standard deviation) and templates are
orthogonal to the background, which therefore needs no column.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .nonnegative import BARRED, factorise, nonnegative, solve
from .options import SUMS, fresh, kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
STENCIL = 6
# columns of the nodes' table: the template's square, products of its slopes, density, and then
# the product with each phase of fixed cell
SQUARE, SLOPE_AA, SLOPE_AC, SLOPE_CC, DENSITY, FIXED = range(6)
A, C, VAR_A, VAR_C, CHI2, STEPS, LIKENESS = range(7)
OUTPUTS = 7


@fresh
@njit(**SUMS)
def product(x: F32, y: F32) -> float:
    """Sum of products, in single precision."""
    total = np.float32(0.0)
    for i in range(x.size):
        total += x[i] * y[i]
    return float(total)


@kernel
def lagrange(t: float, values: F64, slopes: F64) -> None:
    """Weights of nodes -2 to 3 for the polynomial's value and slope at t, both (6,)."""
    n = values.size
    if n == 1:
        values[0], slopes[0] = 1.0, 0.0
        return
    for j in range(n):
        value, slope = 1.0, 0.0
        for k in range(n):
            if k != j:
                part = 1.0 / (j - k)
                slope = (slope * (t - (k - 2)) + value) * part
                value *= (t - (k - 2)) * part
        values[j], slopes[j] = value, slope


@kernel
def stencil_base(x: float, nodes: int) -> int:
    """First node of the stencil around x."""
    if nodes == 1:
        return 0
    return min(max(math.floor(x) - 2, 0), nodes - STENCIL)


@kernel
def _interpolate(
    table: F64, at: F64, base: I64, weights: F64, stencil: F64, near: F64, local: F64
) -> None:
    """Values and slopes at a cell.

    table: (a, c, columns); at: (2,) [nodes]; base: (2,) first node of the stencil
    weights: (4, 6) scratch; stencil: (a, c) the pattern's products
    near: (3,) product of the pattern with the template, and with its slopes along a and c
    local: (3, columns) the same of the table
    """
    size_a, size_c = stencil.shape
    lagrange(at[0] - base[0] - 2, weights[0, :size_a], weights[1, :size_a])
    lagrange(at[1] - base[1] - 2, weights[2, :size_c], weights[3, :size_c])
    near[:] = 0.0
    local[:] = 0.0
    for i in range(size_a):
        for j in range(size_c):
            plain = weights[0, i] * weights[2, j]
            by_a = weights[1, i] * weights[2, j]
            by_c = weights[0, i] * weights[3, j]
            near[0] += plain * stencil[i, j]
            near[1] += by_a * stencil[i, j]
            near[2] += by_c * stencil[i, j]
            for k in range(table.shape[2]):
                value = table[base[0] + i, base[1] + j, k]
                local[0, k] += plain * value
                local[1, k] += by_a * value
                local[2, k] += by_c * value


@kernel
def projected(factor: F64, slopes: F64, scratch: F64) -> float:
    """The part of a product of slopes that the linear columns can make.

    slopes: (2, n): two slopes' products with the columns
    """
    solve(factor, slopes[1], scratch)
    total = 0.0
    for k in range(scratch.size):
        total += slopes[0, k] * scratch[k]
    return total


@kernel
def refine_patterns(
    patterns: F32,
    nodes: F32,
    table: F64,
    gram: F64,
    densities: F64,
    products: F64,
    rest: F64,
    starts: I64,
    limits: F64,
    tolerance: float,
    most: int,
    free_points: int,
    out: F64,
    scales: F64,
    fractions: F64,
) -> None:
    """Refine every row of patterns.

    patterns: (n, channels) weighted; nodes: (a * c, channels) the working phase's templates
    table: (a, c, columns) products among templates, see the columns above
    gram: (phases, phases) products among the phases of fixed cell; densities: (phases,) [g/cm3]
    products: (n, phases) of the patterns with them; rest: (n,) the patterns' squares beyond the
        background
    starts: (n, starts) nodes to begin at, the best is taken; below 0: none
    limits: (4,) first and last a, first and last c [nodes]
    tolerance: step, as a share of the standard uncertainty, at which a fit has converged
    most: steps at most; free_points: channels less parameters
    out: (n, OUTPUTS) nan where there is no fit; a and c and their variances in nodes, variances
        for patterns of unit variance; LIKENESS: the largest correlation with a fixed phase
    scales: (n, 2, phases + 1) and their variances, the working phase last; that one's scale is 0
        where no cell has a positive one
    fractions: (n, 2, phases + 1) Hill and Howard's mass fractions and their variances
    """
    count_a, count_c, columns = table.shape
    fixed = gram.shape[0]
    last = fixed
    stencil = np.zeros((min(count_a, STENCIL), min(count_c, STENCIL)))
    weights, near, local = np.zeros((4, STENCIL)), np.zeros(3), np.zeros((3, columns))
    normal, factor = np.zeros((fixed + 1, fixed + 1)), np.zeros((fixed + 1, fixed + 1))
    right, s, scratch = np.zeros(fixed + 1), np.zeros(fixed + 1), np.zeros(fixed + 1)
    slopes, both = np.zeros((2, fixed + 1)), np.zeros((2, fixed + 1))
    chosen = np.zeros(fixed + 1, np.bool_)
    at, trial, base = np.zeros(2), np.zeros(2), np.zeros(2, np.int64)
    curvature, gradient = np.zeros(3), np.zeros(2)
    normal[:fixed, :fixed] = gram
    for n in range(patterns.shape[0]):
        out[n], scales[n], fractions[n] = np.nan, np.nan, np.nan
        if not math.isfinite(rest[n]):
            continue
        right[:fixed] = products[n]
        # --- the best of the starts
        best, node = -1.0, -1
        for start in starts[n]:
            if start < 0 or start == node:
                continue
            i, j = start // count_c, start % count_c
            right[last] = product(patterns[n], nodes[start])
            for k in range(fixed):
                normal[last, k] = normal[k, last] = table[i, j, FIXED + k]
            normal[last, last] = table[i, j, SQUARE]
            chosen[:] = True
            nonnegative(normal, right, chosen, s, scratch, factor)
            explained = 0.0
            for k in range(fixed + 1):
                explained += right[k] * s[k]
            if explained > best and s[last] > 0.0:
                best, node = explained, start
        if node < 0:  # nowhere a positive scale
            scales[n, 0, last] = 0.0
            continue
        trial[0], trial[1] = node // count_c, node % count_c
        # --- down from there
        chosen[:] = True
        base[:] = -1
        explained, damping, converged, small, steps = -1.0, 1e-3, False, False, 0
        while True:
            first, second = stencil_base(trial[0], count_a), stencil_base(trial[1], count_c)
            if first != base[0] or second != base[1]:
                base[0], base[1] = first, second
                for i in range(stencil.shape[0]):
                    for j in range(stencil.shape[1]):
                        stencil[i, j] = product(
                            patterns[n], nodes[(first + i) * count_c + second + j]
                        )
            _interpolate(table, trial, base, weights, stencil, near, local)
            right[last] = near[0]
            for k in range(fixed):
                normal[last, k] = normal[k, last] = local[0, FIXED + k]
            normal[last, last] = local[0, SQUARE]
            nonnegative(normal, right, chosen, s, scratch, factor)
            found = 0.0
            for k in range(fixed + 1):
                found += right[k] * s[k]
            level = max(rest[n] - max(found, explained), 1e-12 * rest[n]) / free_points
            if found >= explained:
                at[:] = trial
                explained = found
                if not s[last] > 0.0:
                    break
                _curvatures(local, near, s, factor, slopes, both, scratch, gradient, curvature)
                damping = max(0.1 * damping, 1e-9)
                if steps > 0 and small:
                    converged = True
                    break
            elif small:  # a full step and not worth it: this is the minimum
                converged = True
                break
            else:
                damping *= 10.0
            steps += 1
            if steps > most:
                break
            aa, cc = curvature[0] * (1.0 + damping), curvature[2] * (1.0 + damping) + 1e-300
            det = aa * cc - curvature[1] * curvature[1]
            if not det > 0.0:
                break
            step_a = (cc * gradient[0] - curvature[1] * gradient[1]) / det
            step_c = (aa * gradient[1] - curvature[1] * gradient[0]) / det
            step_a, step_c = min(max(step_a, -3.0), 3.0), min(max(step_c, -3.0), 3.0)
            trial[0] = min(max(at[0] + step_a, limits[0]), limits[1])
            trial[1] = min(max(at[1] + step_c, limits[2]), limits[3])
            reach = tolerance * math.sqrt(level)
            small = (
                abs(trial[0] - at[0]) * math.sqrt(curvature[0]) <= reach
                and abs(trial[1] - at[1]) * math.sqrt(curvature[2]) <= reach
            )
        out[n, CHI2] = max(rest[n] - explained, 0.0)
        out[n, STEPS] = steps
        if converged:
            _interpolate(table, at, base, weights, stencil, near, local)
            _report(at, limits, near, local, gram, densities, products[n], curvature, normal,
                    factor, right, chosen, s, scratch, slopes, out[n], scales[n],
                    fractions[n])  # fmt: skip


@kernel
def _curvatures(
    local: F64,
    near: F64,
    s: F64,
    factor: F64,
    slopes: F64,
    both: F64,
    scratch: F64,
    gradient: F64,
    curvature: F64,
) -> None:
    """Half the slope of the explained square along a and c, and its curvature (aa, ac, cc)."""
    last = s.size - 1
    for axis in range(2):
        for k in range(last):
            slopes[axis, k] = local[1 + axis, FIXED + k]
        slopes[axis, last] = 0.5 * local[1 + axis, SQUARE]
        gradient[axis] = near[1 + axis]
        for k in range(last + 1):
            gradient[axis] -= slopes[axis, k] * s[k]
        gradient[axis] *= s[last]
    squared = s[last] * s[last]
    for place, first, second in ((0, 0, 0), (1, 0, 1), (2, 1, 1)):
        both[0], both[1] = slopes[first], slopes[second]
        part = local[0, SLOPE_AA + place] - projected(factor, both, scratch)
        curvature[place] = squared * (part if first != second else max(part, 0.0))


@kernel
def _report(
    at: F64,
    limits: F64,
    near: F64,
    local: F64,
    gram: F64,
    densities: F64,
    product: F64,
    curvature: F64,
    normal: F64,
    factor: F64,
    right: F64,
    chosen: NDArray[np.bool_],
    s: F64,
    scratch: F64,
    slopes: F64,
    out: F64,
    scales: F64,
    fractions: F64,
) -> None:
    """Write one voxel's values and variances; the cell only where it did not stop at a limit.

    Variances of the scales are those of all phases together, of those that are 0 as well: a phase
    that was not found has an uncertainty, too.
    """
    last = s.size - 1
    free_c = limits[3] > limits[2]
    right[last], normal[last, last] = near[0], local[0, SQUARE]
    for k in range(last):
        normal[last, k] = normal[k, last] = local[0, FIXED + k]
    nonnegative(normal, right, chosen, s, scratch, factor)
    likeness = 0.0
    for k in range(last):
        norm = math.sqrt(max(gram[k, k] * local[0, SQUARE], 1e-300))
        likeness = max(likeness, local[0, FIXED + k] / norm)
    out[LIKENESS] = likeness
    scales[0] = s
    det = curvature[0] * curvature[2] - curvature[1] * curvature[1] if free_c else curvature[0]
    inside = limits[0] < at[0] < limits[1] and (not free_c or limits[2] < at[1] < limits[3])
    if not det > 0.0 or not inside:
        return
    var_a = (curvature[2] if free_c else 1.0) / det
    var_c = curvature[0] / det if free_c else 0.0
    cov = -curvature[1] / det if free_c else 0.0
    out[A], out[C], out[VAR_A], out[VAR_C] = at[0], at[1], var_a, var_c
    # --- the scales: their own scatter, and what the cell's does to them
    chosen[:] = True
    factorise(normal, chosen, factor)
    covariance = np.zeros((last + 1, last + 1))
    for k in range(last + 1):
        right[:] = 0.0
        right[k] = 1.0
        solve(factor, right, covariance[k])
    moved = np.zeros((2, last + 1))
    for axis in range(2):
        for k in range(last + 1):
            slope = local[1 + axis, FIXED + k] if k < last else 0.5 * local[1 + axis, SQUARE]
            right[k] = slope * s[last]
        solve(factor, right, moved[axis])
    for i in range(last + 1):
        for j in range(last + 1):
            covariance[i, j] += (
                moved[0, i] * var_a * moved[0, j]
                + moved[1, i] * var_c * moved[1, j]
                + (moved[0, i] * moved[1, j] + moved[1, i] * moved[0, j]) * cov
            )
        scales[1, i] = covariance[i, i] if factor[i, i] < BARRED else np.inf
    # --- mass fractions: w = s rho / sum(s rho)
    total = 0.0
    for k in range(last + 1):
        right[k] = densities[k] if k < last else local[0, DENSITY]
        total += right[k] * s[k]
    for i in range(last + 1):
        share = right[i] * s[i] / total
        fractions[0, i] = share
        variance = 0.0
        for j in range(last + 1):
            by_j = right[j] * ((1.0 if i == j else 0.0) - share) / total
            for k in range(last + 1):
                by_k = right[k] * ((1.0 if i == k else 0.0) - share) / total
                variance += by_j * covariance[j, k] * by_k
        fractions[1, i] = variance

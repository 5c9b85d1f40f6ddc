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
from numpy.typing import NDArray

from .nonnegative import nonnegative
from .options import kernel
from .pattern_report import CHI2, STEPS, columns_at, curvatures, make_room, report, slopes_of
from .pattern_table import FIXED, SQUARE, STENCIL, interpolate, product, stencil_base

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@kernel
def refine_patterns(
    patterns: F32,
    columns: F32,
    nodes: F32,
    noise: F32,
    weight: F32,
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

    patterns: (n, channels) weighted
    columns: (phases, channels) templates of fixed cell
    nodes: (a * c, channels) the working phase's templates
    noise: (n, channels) variances of the patterns, or (0, channels) where the weights are one over
        them; weight: (channels,)
    table: (a, c, columns) products among templates, see the columns above
    gram: (phases, phases) products among the phases of fixed cell; densities: (phases,) [g/cm3]
    products: (n, phases) of the patterns with them; rest: (n,) the patterns' squares beyond the
        background
    starts: (n, starts) nodes to begin at, the best is taken; below 0: none
    limits: (4,) first and last a, first and last c [nodes]
    tolerance: step, as a share of the standard uncertainty, at which a fit has converged
    most: steps at most; free_points: channels less parameters
    out: (n, OUTPUTS) nan where there is no fit; a and c and their variances in nodes, variances
        for weighted patterns of that noise; LIKENESS: the largest correlation with a fixed phase
    scales: (n, 2, phases + 1) and their variances, the working phase last; that one's scale is 0
        where no cell has a positive one
    fractions: (n, 2, phases + 1) Hill and Howard's mass fractions and their variances
    """
    count_a, count_c, table_columns = table.shape
    fixed = gram.shape[0]
    last = fixed
    stencil = np.zeros((min(count_a, STENCIL), min(count_c, STENCIL)))
    weights, near, local = np.zeros((4, STENCIL)), np.zeros(3), np.zeros((3, table_columns))
    normal, factor = np.zeros((fixed + 1, fixed + 1)), np.zeros((fixed + 1, fixed + 1))
    right, s, scratch = np.zeros(fixed + 1), np.zeros(fixed + 1), np.zeros(fixed + 1)
    slopes, both = np.zeros((2, fixed + 1)), np.zeros((2, fixed + 1))
    chosen = np.zeros(fixed + 1, np.bool_)
    at, trial, base = np.zeros(2), np.zeros(2), np.zeros(2, np.int64)
    curvature, gradient = np.zeros(3), np.zeros(2)
    normal[:fixed, :fixed] = gram
    nothing = np.zeros(0, np.float32)
    room = make_room(fixed + 1, table_columns, 2 if limits[3] > limits[2] else 1)
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
            interpolate(table, trial, base, weights, stencil, near, local)
            columns_at(local, near, normal, right)
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
                slopes_of(local, near, s, slopes, gradient)
                curvatures(local, s, factor, slopes, both, scratch, curvature)
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
            interpolate(table, at, base, weights, stencil, near, local)
            mine = noise[n] if n < noise.shape[0] else nothing
            report(
                at, base, limits, table, stencil, near, local, gram, densities, curvature, normal,
                factor, right, chosen, s, scratch, slopes, both, columns, nodes, mine, weight, room,
                out[n], scales[n], fractions[n],
            )  # fmt: skip

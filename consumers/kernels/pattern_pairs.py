"""Two crystals of the working phase in one pattern, each with a cell edge of its own.

As pattern_map.py, with two templates that move instead of one, for cubic phases. All products come
from one table, that of the nodes' templates with each other, by the same polynomials. The search
looks at every pair of searched nodes that are far enough apart.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .nonnegative import factorise, nonnegative, solve
from .options import kernel
from .pattern_table import STENCIL, lagrange, product, projected, stencil_base

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
FIRST, SECOND, VAR_FIRST, VAR_SECOND, CHI2 = range(5)
OUTPUTS = 5


@kernel
def search_pairs(found: F64, own: F64, apart: int, pairs: I64, explained: F64) -> None:
    """The pair of searched nodes that lowers chi2 most.

    found: (n, searched) products of the patterns with the searched templates, own: (searched,
        searched) of these with each other, both without what the other phases can make
    apart: least distance of the two, in searched nodes
    pairs: (n, 2), -1 where no pair has two positive scales; explained: (n,)
    """
    count = own.shape[0]
    for n in range(found.shape[0]):
        pairs[n] = -1
        explained[n] = 0.0
        for i in range(count):
            first = found[n, i]
            if first <= 0.0:
                continue
            for j in range(i + apart, count):
                second = found[n, j]
                det = own[i, i] * own[j, j] - own[i, j] * own[i, j]
                scale_i = first * own[j, j] - second * own[i, j]
                scale_j = second * own[i, i] - first * own[i, j]
                if scale_i > 0.0 and scale_j > 0.0:
                    gain = (scale_i * first + scale_j * second) / det
                    if gain > explained[n]:
                        explained[n] = gain
                        pairs[n, 0], pairs[n, 1] = i, j


@kernel
def search_second(
    residual: F64,
    cell: F64,
    scale: F64,
    square: F64,
    searched: I64,
    apart: float,
    pairs: I64,
) -> None:
    """The searched node that what one cell leaves over looks like most.

    residual: (n, searched) products of the searched templates with the patterns less all phases but
        the working one; cell, scale: (n,) of that one [nodes], nan where there is none
    square: (nodes, nodes) products of the nodes; searched: (searched,) nodes
    pairs: (n, 2) nodes, that of the cell and the one found, the lower first; -1: none
    """
    values, slopes = np.zeros(STENCIL), np.zeros(STENCIL)
    for n in range(residual.shape[0]):
        pairs[n] = -1
        if math.isnan(cell[n]):
            continue
        base = stencil_base(cell[n], square.shape[0])
        lagrange(cell[n] - base - 2, values, slopes)
        best, chosen = 0.0, -1
        for j in range(searched.size):
            node = searched[j]
            if abs(node - cell[n]) < apart:
                continue
            left = residual[n, j]
            for i in range(STENCIL):
                left -= scale[n] * values[i] * square[base + i, node]
            left /= math.sqrt(square[node, node])
            if left > best:
                best, chosen = left, node
        if chosen >= 0:
            own = round(cell[n])
            pairs[n, 0], pairs[n, 1] = min(own, chosen), max(own, chosen)


@kernel
def refine_pairs(
    patterns: F32,
    nodes: F32,
    square: F64,
    shared: F64,
    gram: F64,
    products: F64,
    rest: F64,
    starts: I64,
    limits: F64,
    apart: float,
    most: int,
    out: F64,
    scales: F64,
) -> None:
    """Refine two cells in every row of patterns.

    patterns: (n, channels) weighted; nodes: (nodes, channels) templates
    square: (nodes, nodes) products of the nodes; shared: (nodes, phases) with the other phases
    gram, products, rest: as in refine_patterns
    starts: (n, 2) nodes; limits: (2,) first and last [nodes]; apart: least distance [nodes]
    most: steps
    out: (n, OUTPUTS) cells and variances in nodes, the lower first; nan where there is no fit
    scales: (n, 2, phases + 2) and their variances, the two last
    """
    fixed = gram.shape[0]
    size = fixed + 2
    at, trial = np.zeros(2), np.zeros(2)
    base = np.full(2, -1)
    stencil = np.zeros((2, STENCIL))
    values, by = np.zeros((2, STENCIL)), np.zeros((2, STENCIL))
    normal, factor = np.zeros((size, size)), np.zeros((size, size))
    right, s, scratch = np.zeros(size), np.zeros(size), np.zeros(size)
    slopes, both, kept = np.zeros((2, size)), np.zeros((2, size)), np.zeros(size)
    curvature, gradient = np.zeros(3), np.zeros(2)
    crossed, near = np.zeros(3), np.zeros(2)
    chosen = np.zeros(size, np.bool_)
    normal[:fixed, :fixed] = gram
    for n in range(patterns.shape[0]):
        out[n], scales[n] = np.nan, np.nan
        if starts[n, 0] < 0:
            continue
        trial[0], trial[1] = starts[n, 0], starts[n, 1]
        chosen[:] = True
        base[:] = -1
        explained, damping, steps = -1.0, 1e-3, 0
        while True:
            for which in range(2):
                first = stencil_base(trial[which], nodes.shape[0])
                if first != base[which]:
                    base[which] = first
                    for i in range(STENCIL):
                        stencil[which, i] = product(patterns[n], nodes[first + i])
                lagrange(trial[which] - base[which] - 2, values[which], by[which])
            right[:fixed] = products[n]
            _fill(square, shared, base, stencil, values, by, normal, right, slopes, near, crossed)
            nonnegative(normal, right, chosen, s, scratch, factor)
            found = 0.0
            for k in range(size):
                found += right[k] * s[k]
            if found >= explained:
                gained = found - explained
                at[:], kept[:] = trial, s
                explained = found
                if not (s[fixed] > 0.0 and s[fixed + 1] > 0.0):
                    break
                _curvatures(s, factor, slopes, near, crossed, both, scratch, gradient, curvature)
                damping = max(0.1 * damping, 1e-9)
                if steps > 0 and gained < 1e-9 * explained:
                    break
            else:
                damping *= 10.0
            steps += 1
            if steps > most or damping > 1e6:
                break
            aa, cc = curvature[0] * (1.0 + damping), curvature[2] * (1.0 + damping)
            det = aa * cc - curvature[1] * curvature[1]
            if not det > 0.0:
                break
            step = (cc * gradient[0] - curvature[1] * gradient[1]) / det
            trial[0] = min(max(at[0] + min(max(step, -3.0), 3.0), limits[0]), limits[1])
            step = (aa * gradient[1] - curvature[1] * gradient[0]) / det
            trial[1] = min(max(at[1] + min(max(step, -3.0), 3.0), limits[0]), limits[1])
        det = curvature[0] * curvature[2] - curvature[1] * curvature[1]
        inside = limits[0] < at[0] and at[1] < limits[1] and at[1] - at[0] >= apart
        if not (kept[fixed] > 0.0 and kept[fixed + 1] > 0.0 and det > 0.0 and inside):
            continue
        out[n, FIRST], out[n, SECOND] = at[0], at[1]
        out[n, VAR_FIRST], out[n, VAR_SECOND] = curvature[2] / det, curvature[0] / det
        out[n, CHI2] = max(rest[n] - explained, 0.0)
        scales[n, 0] = kept
        chosen[:] = True
        factorise(normal, chosen, factor)
        for k in range(size):
            right[:] = 0.0
            right[k] = 1.0
            solve(factor, right, scratch)
            scales[n, 1, k] = scratch[k]


@kernel
def _fill(
    square: F64,
    shared: F64,
    base: I64,
    stencil: F64,
    values: F64,
    by: F64,
    normal: F64,
    right: F64,
    slopes: F64,
    near: F64,
    crossed: F64,
) -> None:
    """Products at a pair of cells.

    normal and right: of the columns; slopes: (2, columns) of either template's slope with them
    near: (2,) of these slopes with the pattern; crossed: (3,) with each other
    """
    fixed = shared.shape[1]
    for which in range(2):
        right[fixed + which] = near[which] = 0.0
        for k in range(fixed):
            normal[fixed + which, k] = slopes[which, k] = 0.0
        for i in range(STENCIL):
            right[fixed + which] += values[which, i] * stencil[which, i]
            near[which] += by[which, i] * stencil[which, i]
            for k in range(fixed):
                normal[fixed + which, k] += values[which, i] * shared[base[which] + i, k]
                slopes[which, k] += by[which, i] * shared[base[which] + i, k]
        for k in range(fixed):
            normal[k, fixed + which] = normal[fixed + which, k]
    place = 0
    for first in range(2):
        for second in range(2):
            plain = sloped = twice = 0.0
            for i in range(STENCIL):
                for j in range(STENCIL):
                    value = square[base[first] + i, base[second] + j]
                    plain += values[first, i] * values[second, j] * value
                    sloped += by[first, i] * values[second, j] * value
                    twice += by[first, i] * by[second, j] * value
            normal[fixed + first, fixed + second] = plain
            slopes[first, fixed + second] = sloped
            if second >= first:
                crossed[place] = twice
                place += 1


@kernel
def _curvatures(
    s: F64,
    factor: F64,
    slopes: F64,
    near: F64,
    crossed: F64,
    both: F64,
    scratch: F64,
    gradient: F64,
    curvature: F64,
) -> None:
    """Half the gradient of the explained square along both cells, and its curvature."""
    last = s.size - 2
    for which in range(2):
        gradient[which] = near[which]
        for k in range(s.size):
            gradient[which] -= slopes[which, k] * s[k]
        gradient[which] *= s[last + which]
    place = 0
    for first in range(2):
        for second in range(first, 2):
            both[0], both[1] = slopes[first], slopes[second]
            part = crossed[place] - projected(factor, both, scratch)
            curvature[place] = part * s[last + first] * s[last + second]
            place += 1

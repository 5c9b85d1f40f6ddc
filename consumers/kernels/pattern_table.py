"""Reading templates, and their products, between the nodes of a grid of cells.

What of a pattern's refinement does not depend on how it is searched (pattern_map.py, and
pattern_pairs.py for two cells at once).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .nonnegative import solve
from .options import SUMS, fresh, kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
STENCIL = 6
# columns of the nodes' table: the template's square, products of its slopes, density, and then
# the product with each phase of fixed cell
SQUARE, SLOPE_AA, SLOPE_AC, SLOPE_CC, DENSITY, FIXED = range(6)
# weights of the slope at a node, from two on either side (fourth order)
SLOPE_NODES, SLOPE_WEIGHTS = (-2, -1, 1, 2), (1 / 12, -2 / 3, 2 / 3, -1 / 12)


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
def interpolate(
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

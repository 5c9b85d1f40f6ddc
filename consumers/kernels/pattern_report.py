"""What a refined pattern says: cell, scales and mass fractions, and how noise scatters them.

Data that change by dy move the parameters by H^-1 J^T W dy, J being the model's slopes, H the
second derivatives of chi2 / 2 and W the weights: the implicit function theorem at the minimum. So
data whose covariance is V scatter them by the sandwich of Huber (Proc. Fifth Berkeley Symp. 1967,
1, 221) and White (Econometrica 1982, 50, 1),

    H^-1 (J^T W V W J) H^-1.

It is H^-1 where 1 / W is the variance and the model holds, and neither is so of a voxel: weights
are common to many, while a voxel's own noise is largest under its own lines; and what other voxels'
streaks leave in its pattern puts residuals times the model's second derivatives into H. The latter
come from slopes of chi2 on either side of the minimum, the former from one look at the channels.

The cell scatters with the phases that were found (a scale that is held at 0 takes nothing up); the
scales as if all were free, because a phase that was not found has an uncertainty, too.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .nonnegative import BARRED, factorise, nonnegative, solve
from .options import kernel
from .pattern_table import (
    DENSITY,
    FIXED,
    SLOPE_AA,
    SLOPE_NODES,
    SLOPE_WEIGHTS,
    SQUARE,
    STENCIL,
    interpolate,
    product,
    projected,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
A, C, VAR_A, VAR_C, CHI2, STEPS, LIKENESS = range(7)
OUTPUTS = 7
# products, responses, one times the other; slopes, right sides, factor, weights and table of a
# place aside; small ones, a row each; covariance
Room = tuple[F64, F64, F64, F64, F64, F64, F64, F64, F64, F64]
_ASIDE = 0.25  # nodes, from the minimum to where slopes of chi2 are compared


@kernel
def make_room(phases: int, table_columns: int, cells: int) -> Room:
    """Scratch of report(), for so many phases and free edges."""
    size = phases + cells
    return (
        np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size)),
        np.zeros((2, phases)), np.zeros((2, phases)), np.zeros((phases, phases)),
        np.zeros((4, STENCIL)), np.zeros((3, table_columns)), np.zeros((8, 3)),
        np.zeros((size, size)),
    )  # fmt: skip


@kernel
def slopes_of(local: F64, near: F64, s: F64, slopes: F64, gradient: F64) -> None:
    """Half the slope of the explained square along a and c.

    slopes: (2, columns) of the working template's slopes with the columns
    """
    last = s.size - 1
    for axis in range(2):
        for k in range(last):
            slopes[axis, k] = local[1 + axis, FIXED + k]
        slopes[axis, last] = 0.5 * local[1 + axis, SQUARE]
        gradient[axis] = near[1 + axis]
        for k in range(last + 1):
            gradient[axis] -= slopes[axis, k] * s[k]
        gradient[axis] *= s[last]


@kernel
def curvatures(
    local: F64, s: F64, factor: F64, slopes: F64, both: F64, scratch: F64, curvature: F64
) -> None:
    """Curvature (aa, ac, cc) of half the explained square where the model holds.

    slopes: of slopes_of()
    """
    last = s.size - 1
    squared = s[last] * s[last]
    for place, first, second in ((0, 0, 0), (1, 0, 1), (2, 1, 1)):
        both[0], both[1] = slopes[first], slopes[second]
        part = local[0, SLOPE_AA + place] - projected(factor, both, scratch)
        curvature[place] = squared * (part if first != second else max(part, 0.0))


@kernel
def columns_at(local: F64, near: F64, normal: F64, right: F64) -> None:
    """Put the working template's products into the normal equations."""
    last = right.size - 1
    right[last], normal[last, last] = near[0], local[0, SQUARE]
    for k in range(last):
        normal[last, k] = normal[k, last] = local[0, FIXED + k]


@kernel
def _misfit(
    table: F64, at: F64, base: I64, stencil: F64, cells: int, normal: F64, right: F64,
    chosen: NDArray[np.bool_], curvature: F64, room: Room, more: F64,
) -> None:  # fmt: skip
    """What residuals add to the curvature, (aa, ac, cc)."""
    slopes, s, factor, weights = room[3], room[4][0], room[5], room[6]
    local, small = room[7], room[8]
    near, aside, low, high = small[4], small[5], small[6], small[7]
    more[:] = 0.0
    for axis in range(cells):
        for side in range(2):
            aside[:2] = at
            aside[axis] += _ASIDE * (2 * side - 1)
            interpolate(table, aside, base, weights, stencil, near, local)
            columns_at(local, near, normal, right)
            factorise(normal, chosen, factor)
            solve(factor, right, s)
            slopes_of(local, near, s, slopes, high if side else low)
        for other in range(cells):
            place = axis + other
            share = 0.5 if place == 1 else 1.0
            more[place] += share * (low[other] - high[other]) / (2.0 * _ASIDE)
    more -= curvature
    if cells == 1:
        more[1] = more[2] = 0.0


@kernel
def _noise_products(
    noise: F32, weight: F32, fixed: F32, nodes: F32, at: F64, count_c: int, cells: int,
    scale: float, out: F64,
) -> None:  # fmt: skip
    """J^T W V W J of one pattern, at the node nearest to its cell.

    noise: (channels,) variances; weight: (channels,)
    """
    size = fixed.shape[0] + 1
    columns = np.empty((size + cells, noise.size), np.float32)
    weighted = np.empty(noise.size, np.float32)
    node = round(at[0]) * count_c + round(at[1])
    for k in range(size):
        columns[k] = fixed[k] if k < size - 1 else nodes[node]
    for axis in range(cells):
        stride = count_c if axis == 0 else 1
        column = columns[size + axis]
        column[:] = 0.0
        for n in range(4):
            part = np.float32(SLOPE_WEIGHTS[n] * scale)
            other = nodes[node + SLOPE_NODES[n] * stride]
            for i in range(column.size):
                column[i] += part * other[i]
    for i in range(size + cells):
        for k in range(noise.size):
            weighted[k] = noise[k] * weight[k] * columns[i, k]
        for j in range(i + 1):
            out[i, j] = out[j, i] = product(weighted, columns[j])


@kernel
def _inverse(curvature: F64, cells: int, inverse: F64) -> bool:
    """That of a curvature (aa, ac, cc); False where chi2 has no minimum."""
    det = curvature[0]
    if cells > 1:
        det = curvature[0] * curvature[2] - curvature[1] * curvature[1]
    if not (det > 0.0 and curvature[0] > 0.0):
        return False
    inverse[0, 0] = (curvature[2] if cells > 1 else 1.0) / det
    inverse[1, 1] = curvature[0] / det if cells > 1 else 0.0
    inverse[0, 1] = inverse[1, 0] = -curvature[1] / det if cells > 1 else 0.0
    return True


@kernel
def _responses(
    factor: F64, slopes: F64, scale: float, inverse: F64, cells: int, room: Room, out: F64
) -> None:
    """H^-1, (columns + cells)^2, from the inverse curvature of the cell."""
    size = slopes.shape[1]
    right, moved = room[4][1], room[3]
    for axis in range(cells):
        for k in range(size):
            right[k] = slopes[axis, k] * scale
        solve(factor, right, moved[axis])
    for k in range(size):
        right[:] = 0.0
        right[k] = 1.0
        solve(factor, right, out[k, :size])
    for axis in range(cells):
        for other in range(cells):
            out[size + axis, size + other] = inverse[axis, other]
        for k in range(size):
            part = 0.0
            for other in range(cells):
                part -= inverse[axis, other] * moved[other, k]
            out[size + axis, k] = out[k, size + axis] = part
    for i in range(size):
        for k in range(size):
            for axis in range(cells):
                out[i, k] -= moved[axis, i] * out[size + axis, k]


@kernel
def _sandwich(responses: F64, products: F64, first: int, last: int, half: F64, out: F64) -> None:
    """Elements of H^-1 (J^T W V W J) H^-1, rows and columns from first to one before last."""
    size = products.shape[0]
    for i in range(first, last):
        for n in range(size):
            total = 0.0
            for m in range(size):
                total += responses[i, m] * products[m, n]
            half[i, n] = total
        for k in range(first, i + 1):
            total = 0.0
            for n in range(size):
                total += half[i, n] * responses[k, n]
            out[i, k] = out[k, i] = total


@kernel
def report(
    at: F64, base: I64, limits: F64, table: F64, stencil: F64, near: F64, local: F64, gram: F64,
    densities: F64, curvature: F64, normal: F64, factor: F64, right: F64,
    chosen: NDArray[np.bool_], s: F64, scratch: F64, slopes: F64, both: F64, fixed: F32,
    nodes: F32, noise: F32, weight: F32, room: Room, out: F64, scales: F64, fractions: F64,
) -> None:  # fmt: skip
    """Write one voxel's values and variances; the cell only where it did not stop at a limit.

    at, base, near, local: of the minimum; right: with the products of the fixed phases
    fixed: (phases, channels) templates
    noise: (channels,) variances; (0,) where the weights are one over them, up to a factor that the
        residual tells: H^-1 then, as if the model held
    weight: (channels,) of the fit
    """
    last = s.size - 1
    cells = 2 if limits[3] > limits[2] else 1
    columns_at(local, near, normal, right)
    nonnegative(normal, right, chosen, s, scratch, factor)
    likeness = 0.0
    for k in range(last):
        norm = math.sqrt(max(gram[k, k] * local[0, SQUARE], 1e-300))
        likeness = max(likeness, local[0, FIXED + k] / norm)
    out[LIKENESS] = likeness
    scales[0] = s
    inside = limits[0] < at[0] < limits[1] and (cells == 1 or limits[2] < at[1] < limits[3])
    if not inside:
        return
    size = last + 1 + cells
    products, responses, half, covariance, small = room[0], room[1], room[2], room[9], room[8]
    inverse, more, gradient = small[:2], small[2], small[3]
    slopes_of(local, near, s, slopes, gradient)
    curvatures(local, s, factor, slopes, both, scratch, curvature)
    more[:] = 0.0
    if noise.size:
        _misfit(table, at, base, stencil, cells, normal, right, chosen, curvature, room, more)
        columns_at(local, near, normal, right)
        _noise_products(noise, weight, fixed, nodes, at, table.shape[1], cells, s[last], products)
    # --- the cell
    curvature += more
    if not _inverse(curvature, cells, inverse):
        return
    out[A], out[C], out[VAR_A], out[VAR_C] = at[0], at[1], inverse[0, 0], inverse[1, 1]
    if noise.size:
        _responses(factor, slopes, s[last], inverse, cells, room, responses)
        _sandwich(responses, products, last + 1, size, half, covariance)
        out[VAR_A] = covariance[last + 1, last + 1]
        if cells > 1:
            out[VAR_C] = covariance[last + 2, last + 2]
    # --- the scales
    chosen[:] = True
    factorise(normal, chosen, factor)
    curvatures(local, s, factor, slopes, both, scratch, curvature)
    curvature += more
    if not _inverse(curvature, cells, inverse):
        return
    _responses(factor, slopes, s[last], inverse, cells, room, responses)
    if noise.size:
        _sandwich(responses, products, 0, last + 1, half, covariance)
    else:
        covariance[:] = responses
    for i in range(last + 1):
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

"""Least squares with non-negative coefficients, for a handful of columns.

Lawson and Hanson, Solving Least Squares Problems, 1974, ch. 23, on the normal equations: minimise
s G s - 2 r s over s >= 0. The set of positive coefficients is handed from call to call, so where a
fit takes small steps the answer is there at the first solution.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .options import kernel

F64 = NDArray[np.float64]
# a column whose part that the others cannot make is a smaller share than this of its square is one
# of them, in the digits of float32 products
COLLINEAR = 1e-6
BARRED = 1e100


@kernel
def factorise(gram: F64, chosen: NDArray[np.bool_], factor: F64) -> None:
    """Cholesky factor, lower, of the chosen rows and columns of gram; others become barred.

    gram, factor: (n, n); a barred coefficient comes out of solve() as 0.
    """
    n = gram.shape[0]
    for i in range(n):
        for j in range(i):
            total = gram[i, j] if chosen[i] and chosen[j] else 0.0
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = total / factor[j, j]
        pivot = gram[i, i]
        for k in range(i):
            pivot -= factor[i, k] * factor[i, k]
        good = chosen[i] and pivot > COLLINEAR * gram[i, i]
        factor[i, i] = math.sqrt(pivot) if good else BARRED


@kernel
def solve(factor: F64, right: F64, out: F64) -> None:
    """out = (factor factor^T)^-1 right, (n,)."""
    n = right.size
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]


@kernel
def nonnegative(
    gram: F64, right: F64, chosen: NDArray[np.bool_], s: F64, trial: F64, factor: F64
) -> None:
    """The non-negative coefficients s, (n,).

    gram: (n, n); right: (n,)
    chosen: (n,) the coefficients to begin with, afterwards those that are positive
    trial, factor: scratch, (n,) and (n, n); afterwards factor is that of the chosen
    """
    n = right.size
    while True:
        factorise(gram, chosen, factor)
        solve(factor, right, s)
        worst = -1
        for i in range(n):
            if not chosen[i]:
                s[i] = 0.0
            elif s[i] <= 0.0 and (worst < 0 or s[i] < s[worst]):
                worst = i
        if worst < 0:
            break
        chosen[worst] = False
    for _ in range(3 * n):
        best, most = -1, 0.0
        for i in range(n):
            if chosen[i] or not gram[i, i] > 0.0:
                continue
            slope = right[i]
            for k in range(n):
                slope -= gram[i, k] * s[k]
            slope /= math.sqrt(gram[i, i])
            if slope > most and slope > 1e-9 * abs(right[i]) / math.sqrt(gram[i, i]):
                best, most = i, slope
        if best < 0:
            return
        chosen[best] = True
        if not _settle(gram, right, chosen, s, trial, factor, best):
            chosen[best] = False
            s[best] = 0.0
            factorise(gram, chosen, factor)
            return


@kernel
def _settle(
    gram: F64,
    right: F64,
    chosen: NDArray[np.bool_],
    s: F64,
    trial: F64,
    factor: F64,
    newest: int,
) -> bool:
    """Walk from s, feasible, towards the chosen ones' solution, dropping those that reach 0."""
    n = right.size
    while True:
        factorise(gram, chosen, factor)
        solve(factor, right, trial)
        share, stopped = 1.0, -1
        for i in range(n):
            if chosen[i] and trial[i] <= 0.0:
                reach = s[i] / (s[i] - trial[i]) if s[i] > 0.0 else 0.0
                if stopped < 0 or reach < share:
                    share, stopped = reach, i
        if stopped == newest:
            return False
        for i in range(n):
            s[i] = s[i] + share * (trial[i] - s[i]) if chosen[i] else 0.0
        if stopped < 0:
            return True
        chosen[stopped] = False
        s[stopped] = 0.0

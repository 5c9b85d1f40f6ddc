"""The window around one reflection: a linear problem at every trial of position and width.

The columns are written side by side and multiplied with each other in vector instructions; the
solution is a 4 x 4 Cholesky factorisation. What kernels/lattice_fit.py searches with, and why
Kaufman's approximation, stands there.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED, KERNEL, SUMS
from .profile import value_and_slopes

F64 = NDArray[np.float64]
# columns of a window's linear problem; the reflection comes last, so that leaving it out is free
LEVEL, SLOPE, FOREIGN, PEAK, _DATA, _BY_CENTRE, _BY_WIDTH = range(7)


@njit(**KERNEL)
def make_scratch(points: int) -> tuple[F64, F64, F64, F64]:
    """Room for a window of so many points: its columns, and their products."""
    return np.zeros((7, points)), np.zeros((4, 4)), np.zeros((3, 4)), np.zeros(6)


@njit(**FUSED)
def _columns(
    q: F64,
    y: NDArray[np.float32],
    root: F64,
    first: int,
    last: int,
    centre: float,
    foreign: float,
    width: float,
    mixing: float,
    columns: F64,
) -> None:
    """A window's columns times the root of the weight, side by side, (7, points)."""
    inverse = 1.0 / width
    level, slope, peak = columns[LEVEL], columns[SLOPE], columns[PEAK]
    data, by_centre, by_width = columns[_DATA], columns[_BY_CENTRE], columns[_BY_WIDTH]
    for i in range(last - first):
        t = root[first + i]
        distance = q[first + i] - centre
        f, fc, fw, _ = value_and_slopes(distance, width, mixing)
        level[i] = t
        slope[i] = t * (distance * inverse)
        peak[i] = t * f
        data[i] = t * y[first + i]
        by_centre[i] = t * fc
        by_width[i] = t * fw
    other = columns[FOREIGN]
    if math.isnan(foreign):
        for i in range(last - first):
            other[i] = 0.0
    else:
        for i in range(last - first):
            f, fc, fw, _ = value_and_slopes(q[first + i] - foreign, width, mixing)
            other[i] = root[first + i] * f


@njit(**SUMS)
def _products(columns: F64, points: int, n: F64, u: F64, s: F64) -> None:
    """Products of a window's columns.

    n: (4, 4) linear columns with each other, lower half
    u: (3, 4) data, slope by centre and slope by width with the linear columns
    s: (6,) data squared, data with both slopes, slopes with each other (cc, cw, ww)
    """
    a, b, c, d = columns[LEVEL], columns[SLOPE], columns[FOREIGN], columns[PEAK]
    y, v, w = columns[_DATA], columns[_BY_CENTRE], columns[_BY_WIDTH]
    aa = ab = ac = ad = bb = bc = bd = cc = cd = dd = 0.0
    ya = yb = yc = yd = yy = yv = yw = 0.0
    for i in range(points):
        aa += a[i] * a[i]
        ab += a[i] * b[i]
        ac += a[i] * c[i]
        ad += a[i] * d[i]
        bb += b[i] * b[i]
        bc += b[i] * c[i]
        bd += b[i] * d[i]
        cc += c[i] * c[i]
        cd += c[i] * d[i]
        dd += d[i] * d[i]
        ya += y[i] * a[i]
        yb += y[i] * b[i]
        yc += y[i] * c[i]
        yd += y[i] * d[i]
        yy += y[i] * y[i]
    va = vb = vc = vd = vv = vw = wa = wb = wc = wd = ww = 0.0
    for i in range(points):
        va += v[i] * a[i]
        vb += v[i] * b[i]
        vc += v[i] * c[i]
        vd += v[i] * d[i]
        wa += w[i] * a[i]
        wb += w[i] * b[i]
        wc += w[i] * c[i]
        wd += w[i] * d[i]
        yv += y[i] * v[i]
        yw += y[i] * w[i]
        vv += v[i] * v[i]
        vw += v[i] * w[i]
        ww += w[i] * w[i]
    n[0, 0], n[1, 0], n[2, 0], n[3, 0] = aa, ab, ac, ad
    n[1, 1], n[2, 1], n[3, 1] = bb, bc, bd
    n[2, 2], n[3, 2], n[3, 3] = cc, cd, dd
    u[0, 0], u[0, 1], u[0, 2], u[0, 3] = ya, yb, yc, yd
    u[1, 0], u[1, 1], u[1, 2], u[1, 3] = va, vb, vc, vd
    u[2, 0], u[2, 1], u[2, 2], u[2, 3] = wa, wb, wc, wd
    s[0], s[1], s[2], s[3], s[4], s[5] = yy, yv, yw, vv, vw, ww


@njit(**FUSED)
def solve_window(
    q: F64,
    y: NDArray[np.float32],
    root: F64,
    first: int,
    last: int,
    centre: float,
    foreign: float,
    width: float,
    mixing: float,
    scratch: tuple[F64, F64, F64, F64],
    out: F64,
    linear: F64,
) -> None:
    """Solve one window's linear problem and project the two slopes on what it leaves.

    root: (channels,) of the weight; scratch: from make_scratch()
    out: (10,) chi2, gradient (by centre, by width), curvature (cc, cw, ww), height, its variance
        at fixed centre and width, change of height with width and with centre
    linear: (4,) level, slope, foreign height, height
    """
    columns, n, u, sums = scratch
    has_foreign = not math.isnan(foreign)
    _columns(q, y, root, first, last, centre, foreign, width, mixing, columns)
    _products(columns, last - first, n, u, sums)
    yy, cy, wy, cc, cw, ww = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    if not has_foreign:
        n[FOREIGN, FOREIGN] = 1.0
    for i in range(4):
        diagonal = n[i, i]
        for j in range(i + 1):
            total = n[i, j]
            for k in range(j):
                total -= n[i, k] * n[j, k]
            if i == j:
                n[i, i] = 1.0 / math.sqrt(max(total, 1e-9 * diagonal + 1e-300))
            else:
                n[i, j] = total * n[j, j]
    for r in range(3):
        for i in range(4):
            total = u[r, i]
            for k in range(i):
                total -= n[i, k] * u[r, k]
            u[r, i] = total * n[i, i]
    height = u[0, PEAK] * n[PEAK, PEAK]
    chi2 = yy
    used = 4 if height > 0.0 else 3
    for k in range(used):
        chi2 -= u[0, k] * u[0, k]
    out[:] = 0.0
    out[0] = chi2
    linear[PEAK] = max(height, 0.0)
    for i in range(2, -1, -1):
        total = u[0, i] - (n[PEAK, i] * height if used == 4 else 0.0)
        for k in range(i + 1, 3):
            total -= n[k, i] * linear[k]
        linear[i] = total * n[i, i]
    linear[SLOPE] /= width
    out[7] = n[PEAK, PEAK] * n[PEAK, PEAK]
    if used < 4:
        return
    for k in range(4):
        cy -= u[1, k] * u[0, k]
        wy -= u[2, k] * u[0, k]
        cc -= u[1, k] * u[1, k]
        cw -= u[1, k] * u[2, k]
        ww -= u[2, k] * u[2, k]
    out[1] = height * cy
    out[2] = height * wy
    out[3] = height * height * cc
    out[4] = height * height * cw
    out[5] = height * height * ww
    out[6] = height
    out[8] = -height * u[2, PEAK] * n[PEAK, PEAK]
    out[9] = -height * u[1, PEAK] * n[PEAK, PEAK]

"""What noise of a pattern does to a joint fit of reflections, whether or not its model holds.

chi2 / 2 of one window has the minimum (p, h) for its shape p = (centre, width) and its linear
columns C, of which the peak is one. By the implicit function theorem data that change by dy move
all parameters by H^-1 J^T W dy, with J the model's slopes and H the second derivatives of chi2 / 2.
So their covariance is

    H^-1 (J^T W J) H^-1,

the sandwich of Huber (Proc. Fifth Berkeley Symp. 1967, 1, 221) and White (Econometrica 1982, 50,
1). H is J^T W J only where the model holds: lines that are a tenth broader than the fit's, or a
spot that is left over in a ring, put the residual r times the model's second derivatives beside it.

The linear parameters are eliminated from both (Schur complement). With P what the columns leave
of a slope, b_i the peak's share in what they make of slope i, V the variance of the height h at a
fixed shape, and e_i = sum w r f_i, f_i the profile's slopes, f_ij its second derivatives,

    H_ij = h^2 P_i.P_j - h sum w r f_ij + h (b_i e_j + e_i b_j) - V e_i e_j
    (J^T W J)_ij = h^2 P_i.P_j + V e_i e_j.

Only sum w r f_ij is not known from the fit itself: one more look at the window's channels. Centres
are root / a, so that window adds up to a and the width they have in common by the chain rule.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .lattice_window import FOREIGN, LEVEL, PEAK, SLOPE
from .options import KERNEL, SUMS
from .profile import second_slopes, value_and_slopes

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@njit(**SUMS)
def _left_over(
    q: F64,
    y: NDArray[np.float32],
    root: F64,
    first: int,
    last: int,
    centre: float,
    foreign: float,
    width: float,
    mixing: float,
    linear: F64,
) -> tuple[float, float, float]:
    """sum w r f_ij of one window: centre twice, centre and width, width twice."""
    cc = cw = ww = 0.0
    for i in range(first, last):
        distance = q[i] - centre
        left = y[i] - linear[LEVEL] - linear[SLOPE] * distance
        left -= linear[PEAK] * value_and_slopes(distance, width, mixing)[0]
        if not math.isnan(foreign):
            left -= linear[FOREIGN] * value_and_slopes(q[i] - foreign, width, mixing)[0]
        left *= root[i] * root[i]
        f_cc, f_cw, f_ww = second_slopes(distance, width, mixing)
        cc += left * f_cc
        cw += left * f_cw
        ww += left * f_ww
    return cc, cw, ww


@njit(**KERNEL)
def covariance(
    q: F64,
    y: NDArray[np.float32],
    root: F64,
    windows: I64,
    roots: F64,
    foreign: F64,
    a: float,
    width: float,
    mixing: float,
    reflections: F64,
    linear: F64,
) -> tuple[float, float]:
    """Variances of a and of the width at the minimum (a, width), for the variances given.

    reflections: (reflections, 10) of solve_window(); linear: (reflections, 4) likewise
    nan where chi2 has no minimum there.
    """
    h_aa = h_aw = h_ww = m_aa = m_aw = m_ww = 0.0
    for r in range(roots.size):
        w, height = reflections[r], reflections[r, 6]
        if windows[r, 1] <= windows[r, 0] or not height > 0.0:
            continue
        centre = roots[r] / a
        by_a = -centre / a
        cc, cw, ww = _left_over(
            q, y, root, windows[r, 0], windows[r, 1], centre, foreign[r], width, mixing, linear[r]
        )
        # slopes of chi2 / 2 are -w[1], -w[2]; the height moves by w[9] and w[8] with centre and
        # width, to first order
        by_c, by_w = w[1] / height, w[2] / height
        spread_cc, spread_cw = w[7] * by_c * by_c, w[7] * by_c * by_w
        spread_ww = w[7] * by_w * by_w
        m_aa += (w[3] + spread_cc) * by_a * by_a
        m_aw += (w[4] + spread_cw) * by_a
        m_ww += w[5] + spread_ww
        found = w[3] - height * cc - 2.0 * w[9] * by_c - spread_cc
        h_aa += found * by_a * by_a - w[1] * 2.0 * centre / (a * a)
        h_aw += (w[4] - height * cw - w[9] * by_w - w[8] * by_c - spread_cw) * by_a
        h_ww += w[5] - height * ww - 2.0 * w[8] * by_w - spread_ww
    det = h_aa * h_ww - h_aw * h_aw
    if not (det > 0.0 and h_aa > 0.0):
        return math.nan, math.nan
    # rows of H^-1
    i_aa, i_aw, i_ww = h_ww / det, -h_aw / det, h_aa / det
    var_a = i_aa * i_aa * m_aa + 2.0 * i_aa * i_aw * m_aw + i_aw * i_aw * m_ww
    var_w = i_aw * i_aw * m_aa + 2.0 * i_aw * i_ww * m_aw + i_ww * i_ww * m_ww
    return var_a, var_w

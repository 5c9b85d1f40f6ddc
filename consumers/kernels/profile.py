"""The pseudo-Voigt profile, of unit height, and its derivatives.

f(u) = m / (1 + 4 u^2) + (1 - m) exp(-4 ln 2 u^2), with u the distance from the centre in full
widths at half maximum and m the Lorentzian's share (Wertheim et al., Rev. Sci. Instrum. 1974, 45,
1369, written for a common full width).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import FUSED

FOUR_LN_2 = 4.0 * math.log(2.0)
_LORENTZ_AREA = 0.5 * math.pi
_GAUSS_AREA = math.sqrt(math.pi / FOUR_LN_2)


_LOG2_E = 1.0 / math.log(2.0)
# ln 2 in two parts, the first short enough that its multiples are exact
_LN_2_HIGH = 6.93147180369123816490e-01
_LN_2_LOW = 1.90821492927058770002e-10
_ROUND = 1.5 * 2.0**52  # added, it leaves a whole number in the last bits


@njit(**FUSED)
def exp_of_negative(x: float) -> float:
    """exp(x) for x <= 0, to two units in the last place; 0 below -700.

    Without a branch or a call, so that loops around it become vector instructions:
    2^k exp(r), |r| <= ln 2 / 2, exp(r) by its series to r^12 (Horner).
    """
    shifted = max(x, -708.0) * _LOG2_E + _ROUND
    k = shifted - _ROUND
    r = (max(x, -708.0) - k * _LN_2_HIGH) - k * _LN_2_LOW
    series = 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    bits = np.float64(shifted).view(np.int64)
    exponent = np.int64((bits + np.int64(1023)) << np.int64(52))
    power = np.int64(exponent).view(np.float64)
    return series * power if x > -700.0 else 0.0


@njit(**FUSED)
def value_and_slopes(
    distance: float, width: float, mixing: float
) -> tuple[float, float, float, float]:
    """f, and its derivatives with respect to the centre, the width and the mixing.

    distance: x - centre; width: full width at half maximum, of the same unit
    """
    inverse = 1.0 / width
    u = distance * inverse
    lorentz = 1.0 / (1.0 + 4.0 * u * u)
    gauss = exp_of_negative(-FOUR_LN_2 * u * u)
    by_centre = (
        8.0 * u * (mixing * lorentz * lorentz) + 2.0 * FOUR_LN_2 * u * ((1.0 - mixing) * gauss)
    ) * inverse
    value = mixing * lorentz + (1.0 - mixing) * gauss
    return value, by_centre, by_centre * u, lorentz - gauss


@njit(**FUSED)
def second_slopes(distance: float, width: float, mixing: float) -> tuple[float, float, float]:
    """Second derivatives of f: by centre twice, by centre and width, by width twice."""
    inverse = 1.0 / width
    u = distance * inverse
    lorentz = 1.0 / (1.0 + 4.0 * u * u)
    gauss = exp_of_negative(-FOUR_LN_2 * u * u)
    tails = mixing * lorentz * lorentz
    core = (1.0 - mixing) * gauss
    once = -8.0 * u * tails - 2.0 * FOUR_LN_2 * u * core
    twice = (128.0 * u * u * lorentz - 8.0) * tails
    twice += (4.0 * FOUR_LN_2 * FOUR_LN_2 * u * u - 2.0 * FOUR_LN_2) * core
    square = inverse * inverse
    by_both = (once + u * twice) * square
    return twice * square, by_both, u * by_both + u * once * square


def area(width: float, mixing: float) -> float:
    """Area under the profile of unit height."""
    return width * (mixing * _LORENTZ_AREA + (1.0 - mixing) * _GAUSS_AREA)


def pseudo_voigt(
    x: NDArray[np.float64], centre: float, width: float, mixing: float
) -> NDArray[np.float64]:
    """The profile at x."""
    u2 = ((x - centre) / width) ** 2
    profile: NDArray[np.float64] = mixing / (1.0 + 4.0 * u2) + (1.0 - mixing) * np.exp(
        -FOUR_LN_2 * u2
    )
    return profile

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

from .options import KERNEL

FOUR_LN_2 = 4.0 * math.log(2.0)
_LORENTZ_AREA = 0.5 * math.pi
_GAUSS_AREA = math.sqrt(math.pi / FOUR_LN_2)


@njit(**KERNEL)
def value_and_slopes(
    distance: float, width: float, mixing: float
) -> tuple[float, float, float, float]:
    """f, and its derivatives with respect to the centre, the width and the mixing.

    distance: x - centre; width: full width at half maximum, of the same unit
    """
    u = distance / width
    lorentz = 1.0 / (1.0 + 4.0 * u * u)
    gauss = math.exp(-FOUR_LN_2 * u * u)
    by_centre = (
        8.0 * u * (mixing * lorentz * lorentz) + 2.0 * FOUR_LN_2 * u * ((1.0 - mixing) * gauss)
    ) / width
    value = mixing * lorentz + (1.0 - mixing) * gauss
    return value, by_centre, by_centre * u, lorentz - gauss


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

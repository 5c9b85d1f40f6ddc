"""What the simulated electrode scatters, as a slice shows it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def scale_of(
    filled: np.ndarray,
    place_um: np.ndarray,
    noise: float,
    seed: int,
    blur: float = 0.45,
    drift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """The filling blurred by beam and filter, with noise, in the circle that every angle sees.

    place_um: of rows and columns; blur, drift: [voxels], the latter (x, y)
    """
    random = np.random.default_rng(seed)
    blurred = ndimage.gaussian_filter(filled, blur)
    if any(drift):
        blurred = ndimage.shift(blurred, drift[::-1], order=1)
    noisy = blurred + random.normal(0, noise, blurred.shape)
    away = np.hypot(*np.meshgrid(place_um, place_um))
    return np.where(away <= place_um[-1] + 0.5, 3.7 * noisy, np.nan)

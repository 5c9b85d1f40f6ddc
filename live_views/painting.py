"""From values to colours: arrays in, RGBA out, no Qt.

A voxel is one of three things: a number (its colour), not measured yet (hatched), or measured
without an answer (grey: no sample there, or no peak to fit).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array

TARGET_PIXELS = 480  # side of a painted map: enough for a hatch that reads as a hatch
HATCH_PERIOD, HATCH_WIDTH = 12, 2  # painted pixels

Rgba = NDArray[np.uint8]


def rgba(colour: str) -> NDArray[np.uint8]:
    """(4,) uint8 of "#rrggbb"."""
    return np.array([*bytes.fromhex(colour.lstrip("#")), 255], np.uint8)


def enlargement(shape: tuple[int, int]) -> int:
    """Painted pixels along each side of a voxel."""
    return int(np.clip(TARGET_PIXELS // max(*shape, 1), 1, 16))


def paint(
    values: Array,
    low: float,
    high: float,
    table: Rgba,
    *,
    answered: NDArray[np.bool_],
    hatch: tuple[str, str],
    masked: str,
    fade: NDArray[np.bool_] | None = None,
    fade_to: str = "#000000",
) -> Rgba:
    """A map as a picture.

    values: (rows, cols) float, nan where there is no number
    table: (256, 4) colours of low .. high
    answered: (rows, cols), True where the voxel has been looked at: nan there is grey, not hatched
    hatch: (ground, line) colours
    fade: (rows, cols), True where the voxel steps back, because others are highlighted
    Returns (rows * k, cols * k, 4) uint8, k = enlargement(values.shape).
    """
    numbers = np.isfinite(values)
    scaled = (np.where(numbers, values, low) - low) * (255.0 / (high - low))
    picture = table[np.clip(np.rint(scaled), 0, 255).astype(np.uint8)]
    picture[~numbers] = rgba(masked)
    if fade is not None:
        mix = (0.22 * picture[fade] + 0.78 * rgba(fade_to)).astype(np.uint8)
        mix[:, 3] = 255
        picture[fade] = mix
    k = enlargement((values.shape[0], values.shape[1]))
    picture = picture.repeat(k, 0).repeat(k, 1)
    unmeasured = (~numbers & ~answered).repeat(k, 0).repeat(k, 1)
    if unmeasured.any():
        rows, cols = np.nonzero(unmeasured)
        on_line = (rows + cols) % HATCH_PERIOD < HATCH_WIDTH
        picture[rows, cols] = np.where(on_line[:, None], rgba(hatch[1]), rgba(hatch[0]))
    return picture


def log_levels(counts: Array, mask: NDArray[np.bool_] | None) -> tuple[NDArray[np.float32], float]:
    """log10(1 + counts) and its upper limit for the colours; masked pixels are nan."""
    values = np.log10(1.0 + counts.astype(np.float32))
    if mask is not None and mask.shape == values.shape:
        values[mask] = np.nan
    sample = values[::4, ::4]
    finite = sample[np.isfinite(sample)]
    top = float(np.percentile(finite, 99.7)) if finite.size else 1.0
    return values, max(top, 0.5)

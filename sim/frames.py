"""Frames: rings on pixels, counted by a photon-counting detector.

A pixel's mean is the pattern at its q times solid angle and polarisation, its count a Poisson
number of that. Then come what real frames have besides: zingers (a cosmic ray or a decay in the
sensor: one hot pixel, one frame) and, from the twin, the spots of single large grains. Counts stop
at saturation; masked pixels carry the largest number of their type, as DECTRIS detectors send it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry
from .poisson import poisson_frame, poisson_tables

Pixels = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Spot:
    """A Bragg spot of one grain on the detector.

    row, col: centre [pixels, first pixel's centre at 0]
    sigma_px: its width
    peak: mean counts in its middle
    """

    row: float
    col: float
    sigma_px: float
    peak: float


class FramePainter:
    """Paints frames of one detector; paint() may be called from several threads.

    geometry: where the pixels are
    q_grid: (n,) float64 evenly spaced [1/Å], from 0 to at least the detector's largest q; the
        patterns given to paint() stand on it
    mask: (rows, cols) bool, True where a pixel says nothing
    dtype: "uint16" or "uint32"
    saturation: largest count
    """

    def __init__(
        self,
        geometry: Geometry,
        q_grid: NDArray[np.float64],
        mask: NDArray[np.bool_],
        dtype: str,
        saturation: int,
    ) -> None:
        if dtype not in ("uint16", "uint32"):
            raise ValueError(f"frames of {dtype!r}, the twin's detector makes uint16 or uint32")
        self.dtype = np.dtype(dtype)
        self.masked_value = int(np.iinfo(self.dtype).max)
        if not 0 < saturation < self.masked_value:
            raise ValueError(f"saturation {saturation} must lie between 0 and {self.masked_value}")
        if mask.shape != geometry.shape:
            raise ValueError(f"mask is {mask.shape}, the detector {geometry.shape}")
        q = geometry.q()
        step = q_grid[1] - q_grid[0]
        if q_grid[0] != 0 or q.max() > q_grid[-2]:
            raise ValueError(
                f"patterns reach from {q_grid[0]:.3f} to {q_grid[-1]:.3f} 1/Å, "
                f"the detector to {q.max():.3f}"
            )
        self._points = len(q_grid)
        self.geometry = geometry
        self.q = q
        self.saturation = saturation
        self.mask = mask
        self._place = (q / step).astype(np.float32).ravel()
        correction = geometry.solid_angle() * geometry.polarised()
        correction[mask] = -1.0
        self._correction = correction.astype(np.float32).ravel()
        self._tables = poisson_tables()

    def paint(
        self, pattern: NDArray[np.float32], seed: int, zingers: float, spots: list[Spot]
    ) -> Pixels:
        """One frame, (rows, cols): the same for the same arguments.

        pattern: mean counts a pixel on q_grid, before solid angle and polarisation
        seed: 64 bits
        zingers: how many to expect
        Raises ValueError where the pattern has another length than q_grid, or is no intensity.
        """
        if pattern.shape != (self._points,) or not np.all((pattern >= 0) & (pattern < np.inf)):
            raise ValueError(
                f"pattern of shape {pattern.shape} from {pattern.min()} to {pattern.max()} counts, "
                f"{self._points} finite numbers of 0 or more are needed"
            )
        rows, cols = self.geometry.shape
        out = np.empty(rows * cols, self.dtype)
        poisson_frame(
            self._place,
            self._correction,
            np.ascontiguousarray(pattern, np.float32),
            self._tables,
            np.uint64(seed & 0xFFFFFFFFFFFFFFFF),
            self.masked_value,
            self.saturation,
            out,
        )
        frame = out.reshape(rows, cols)
        random = np.random.default_rng(seed)
        for spot in spots:
            self._add_spot(frame, spot, random)
        self._add_zingers(frame, zingers, random)
        return frame

    def _add_spot(self, frame: Pixels, spot: Spot, random: np.random.Generator) -> None:
        reach = int(np.ceil(4 * spot.sigma_px))
        rows, cols = frame.shape
        top, left = max(0, round(spot.row) - reach), max(0, round(spot.col) - reach)
        window = (
            slice(top, max(top, min(rows, round(spot.row) + reach + 1))),
            slice(left, max(left, min(cols, round(spot.col) + reach + 1))),
        )
        row, col = np.mgrid[window]
        away = ((row - spot.row) ** 2 + (col - spot.col) ** 2) / spot.sigma_px**2
        added = random.poisson(spot.peak * np.exp(-0.5 * away))
        total = np.minimum(frame[window].astype(np.int64) + added, self.saturation)
        frame[window] = np.where(self.mask[window], self.masked_value, total)

    def _add_zingers(self, frame: Pixels, expected: float, random: np.random.Generator) -> None:
        count = int(random.poisson(expected))
        row = random.integers(0, frame.shape[0], count)
        col = random.integers(0, frame.shape[1], count)
        # from barely visible to saturated, evenly in the logarithm
        size = np.exp(random.uniform(np.log(50), np.log(2 * self.saturation), count))
        hit = np.minimum(frame[row, col] + size.astype(np.int64), self.saturation)
        frame[row, col] = np.where(self.mask[row, col], self.masked_value, hit)


def detector_mask(
    shape: tuple[int, int],
    chip_px: tuple[int, int],
    gap_px: int,
    dead: tuple[tuple[int, int, int, int], ...],
    dead_pixels: int,
    beamstop: tuple[float, float, float],
    seed: int,
) -> NDArray[np.bool_]:
    """Which pixels say nothing, (rows, cols) bool.

    chip_px, gap_px: (rows, cols) of a readout chip, and the width of the seams between them
    dead: blocks that give nothing, (first row, last row + 1, first column, last column + 1)
    dead_pixels: single ones, anywhere
    beamstop: (row, col, radius) of the disc in front of the direct beam [pixels]
    """
    rows, cols = shape
    mask = np.zeros(shape, bool)
    if gap_px > 0:
        for seam in range(chip_px[0], rows - 1, chip_px[0]):
            mask[max(0, seam - gap_px // 2) : seam + (gap_px + 1) // 2] = True
        for seam in range(chip_px[1], cols - 1, chip_px[1]):
            mask[:, max(0, seam - gap_px // 2) : seam + (gap_px + 1) // 2] = True
    for top, bottom, left, right in dead:
        mask[top:bottom, left:right] = True
    random = np.random.default_rng((seed, 1))
    mask[random.integers(0, rows, dead_pixels), random.integers(0, cols, dead_pixels)] = True
    row, col = np.ogrid[:rows, :cols]
    mask |= np.hypot(row + 0.5 - beamstop[0], col + 0.5 - beamstop[1]) < beamstop[2]
    return mask

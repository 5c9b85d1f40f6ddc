"""Frames as cakes: the mean over azimuth and radius, for texture, strain and a crooked geometry.

A cake is a ring table of more rings: sector times bin. So the mean's kernel serves it as it is, in
the same time, and whole pixels belong to the cell of their centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .contract import ScanNotForThis
from .geometry import Binning, azimuths, ring_table, saturation_of
from .integration import MEAN, PIXELS, SIGMA_MEAN, check_frame
from .kernels.azimuthal import ROWS, mean_patterns

MOST_CELLS = 65534  # the cell of a pixel is 16 bits wide, and one stands for masked pixels


@dataclass(frozen=True, slots=True)
class CakeTable:
    """Which cell of the cake each pixel belongs to; see kernels/azimuthal.py.

    axis: "q" or "two_theta"; centres: (bins,) of the whole rings; azimuths: (sectors,) [deg]
    cell: (pixels,) uint16, sector * bins + bin; open: (pixels / 64,) uint64, width: (pixels,)
        uint32, both as in RingPixels and RingTable
    cell_width, cell_pixels: (cells,) int64
    """

    axis: str
    centres: NDArray[np.float64]
    azimuths: NDArray[np.float64]
    cell: NDArray[np.uint16]
    open: NDArray[np.uint64]
    width: NDArray[np.uint32]
    cell_width: NDArray[np.int64]
    cell_pixels: NDArray[np.int64]


def cake_table(start: ScanStart, binning: Binning, sectors: int, polarisation: float) -> CakeTable:
    """The table for a scan's detector and geometry, sectors of equal size from -180 to 180 deg.

    Raises ScanNotForThis where the scan has no geometry or contradicts it.
    """
    cells = sectors * binning.bins
    if sectors < 1 or cells > MOST_CELLS:
        raise ScanNotForThis(
            f"{sectors} sectors of {binning.bins} bins: 1 to {MOST_CELLS} cells are possible"
        )
    rings = ring_table(start, binning, polarisation)
    sector = np.floor((azimuths(start) + math.pi) * (sectors / (2.0 * math.pi))).astype(np.int64)
    sector = np.clip(sector, 0, sectors - 1)  # 180 deg belongs to the last
    hidden = rings.ring == binning.bins
    cell = np.where(hidden, cells, sector * binning.bins + rings.ring).astype(np.uint16)
    return CakeTable(
        axis=binning.axis,
        centres=rings.centres,
        azimuths=np.asarray((np.arange(sectors) + 0.5) * (360.0 / sectors) - 180.0, np.float64),
        cell=cell,
        open=rings.pixels.open,
        width=rings.width,
        cell_width=np.bincount(cell, rings.width, cells + 1)[:cells].astype(np.int64),
        cell_pixels=np.bincount(cell, minlength=cells + 1)[:cells].astype(np.int64),
    )


@dataclass(frozen=True, slots=True)
class Cake:
    """A frame over azimuth and radius, (sectors, bins) float32; nan where no pixel is."""

    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]
    pixels: NDArray[np.float32]


class CakeIntegrator:
    """Turns the frames of one scan into cakes. May be called by several threads at once."""

    def __init__(self, start: ScanStart, table: CakeTable) -> None:
        self._scan = start.scan
        self._shape = start.detector.shape
        self._table = table
        self._limit = np.uint64(saturation_of(start.detector))

    def __call__(self, index: int, pixels: NDArray[np.generic]) -> Cake:
        """The cake of one frame. Raises FrameError."""
        check_frame(self._scan, index, pixels, self._shape)
        table = self._table
        cells = table.cell_pixels.size
        out = np.empty((ROWS, cells), np.float32)
        mean_patterns(
            np.ascontiguousarray(pixels).reshape(-1), self._limit, table.cell, table.open,
            table.width, table.cell_width, table.cell_pixels, np.empty((3, cells + 1), np.int64),
            out,
        )  # fmt: skip
        shape = (table.azimuths.size, table.centres.size)
        return Cake(
            out[MEAN].reshape(shape), out[SIGMA_MEAN].reshape(shape), out[PIXELS].reshape(shape)
        )

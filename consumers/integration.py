"""Azimuthal integration of a scan's frames: the shared first step of powder techniques."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .contract import FrameError
from .geometry import RingTable, SplitTable, saturation_of
from .kernels.azimuthal import ROWS, Scratch, patterns, scratch_for
from .kernels.splitting import split_patterns

MEAN, TRIMMED, SIGMA_MEAN, SIGMA_TRIMMED, PIXELS = range(ROWS)


class Integrator:
    """Turns the frames of one scan into patterns.

    trim: share of every ring cut off in total, half at either end (kernels/azimuthal.py defines it)
    """

    def __init__(self, start: ScanStart, table: RingTable, trim: float) -> None:
        self._scan = start.scan
        self._shape = start.detector.shape
        self._table = table
        self._trim = trim
        self._limit = saturation_of(start.detector)
        self._own = threading.local()  # buffers of each thread that reduces

    def __call__(self, index: int, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """The pattern of one frame, (ROWS, rings): MEAN, TRIMMED, SIGMA_..., PIXELS.

        Raises FrameError.
        """
        check_frame(self._scan, index, pixels, self._shape)
        table = self._table
        out = np.empty((ROWS, table.centres.size), np.float32)
        patterns(
            np.ascontiguousarray(pixels).reshape(-1), np.uint64(self._limit), table.ring,
            table.width, table.per_width, table.ring_width, table.ring_pixels, self._trim,
            self._scratch(), out,
        )  # fmt: skip
        return out

    def _scratch(self) -> Scratch:
        scratch: Scratch | None = getattr(self._own, "scratch", None)
        if scratch is None:
            scratch = scratch_for(self._table.ring.size, self._table.centres.size)
            self._own.scratch = scratch
        return scratch


class SplittingIntegrator:
    """The same with pixels shared out over rings: mean only, see kernels/splitting.py."""

    def __init__(self, start: ScanStart, table: SplitTable) -> None:
        self._scan = start.scan
        self._shape = start.detector.shape
        self._table = table
        self._limit = saturation_of(start.detector)

    def __call__(self, index: int, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """The pattern of one frame, (ROWS, rings); TRIMMED and its sigma are nan.

        Raises FrameError.
        """
        check_frame(self._scan, index, pixels, self._shape)
        table = self._table
        out = np.empty((ROWS, table.centres.size), np.float32)
        split_patterns(
            np.ascontiguousarray(pixels).reshape(-1), np.uint64(self._limit), table.lower,
            table.upper, table.width, np.empty((4, table.centres.size)), out,
        )  # fmt: skip
        return out


def check_frame(scan: str, index: int, pixels: NDArray[np.generic], shape: tuple[int, int]) -> None:
    """Raise FrameError where pixels are not a frame of the announced detector."""
    if pixels.shape != shape or pixels.dtype.kind != "u":
        raise FrameError(
            f"frame {index} of scan {scan} is {pixels.shape} {pixels.dtype}, "
            f"the scan was announced as {shape} unsigned"
        )

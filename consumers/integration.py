"""Azimuthal integration of a scan's frames: the shared first step of powder techniques."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .contract import FrameError
from .geometry import RingTable, SplitTable, saturation_of
from .kernels.azimuthal import ROWS, mean_patterns
from .kernels.clipped import clipped_patterns
from .kernels.splitting import split_patterns
from .kernels.trimmed import Scratch, scratch_for, trimmed_patterns

MEAN, ROBUST, SIGMA_MEAN, SIGMA_ROBUST, PIXELS = range(ROWS)

# What a pattern's robust row holds. trimmed_fast differs from trimmed by less than a twentieth of
# its standard error up to 3000 counts a pixel, at 2000 pixels a ring: see kernels/trimmed.py.
ESTIMATORS = ("trimmed", "trimmed_fast", "clipped", "mean")
FEW_COUNTS = 5.0  # a pixel, below which a trimmed mean is biased by more than a hundredth


class Integrator:
    """Turns the frames of one scan into patterns. May be called by several threads at once.

    trim: share of every ring cut off in total, half at either end (kernels/azimuthal.py defines it)
    estimator: one of ESTIMATORS
    least: pixels that are cut off either end of a ring at least; 0: quantiles and nothing else
    """

    def __init__(
        self,
        start: ScanStart,
        table: RingTable,
        trim: float,
        estimator: str = "trimmed",
        least: float = 0.0,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator {estimator!r} is none of {', '.join(ESTIMATORS)}")
        self._scan = start.scan
        self._shape = start.detector.shape
        self._table = table
        self._trim = trim
        self._least = float(least)
        self._estimator = "mean" if trim == 0 and estimator != "clipped" else estimator
        self._limit = np.uint64(saturation_of(start.detector))
        self._own = threading.local()  # buffers of each thread that reduces

    def __call__(self, index: int, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """The pattern of one frame, (ROWS, rings): MEAN, ROBUST, SIGMA_..., PIXELS.

        Raises FrameError.
        """
        check_frame(self._scan, index, pixels, self._shape)
        table = self._table
        counts = np.ascontiguousarray(pixels).reshape(-1)
        out = np.empty((ROWS, table.centres.size), np.float32)
        if self._estimator == "mean":
            mean_patterns(
                counts, self._limit, table.ring, table.pixels.open, table.width, table.ring_width,
                table.ring_pixels, np.empty((3, table.centres.size + 1), np.int64), out,
            )  # fmt: skip
        else:
            scratch = self._scratch()
            if self._estimator == "clipped":
                clipped_patterns(counts, self._limit, table.pixels, scratch.tally, out)
            else:
                exact = self._estimator == "trimmed"
                trimmed_patterns(
                    counts, self._limit, table.pixels, self._trim, exact, scratch, out, self._least
                )
        return out

    def _scratch(self) -> Scratch:
        scratch: Scratch | None = getattr(self._own, "scratch", None)
        if scratch is None:
            scratch = scratch_for(self._table.pixels)
            self._own.scratch = scratch
        return scratch


class SplittingIntegrator:
    """The same with pixels shared out over rings: mean only, see kernels/splitting.py."""

    def __init__(self, start: ScanStart, table: SplitTable) -> None:
        self._scan = start.scan
        self._shape = start.detector.shape
        self._table = table
        self._limit = np.uint64(saturation_of(start.detector))

    def __call__(self, index: int, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """The pattern of one frame, (ROWS, rings); ROBUST and its sigma are nan.

        Raises FrameError.
        """
        check_frame(self._scan, index, pixels, self._shape)
        table = self._table
        out = np.empty((ROWS, table.centres.size), np.float32)
        counts = np.ascontiguousarray(pixels).reshape(-1)
        split_patterns(counts, self._limit, table.shares, out)
        return out


def bias_warning(estimator: str, trim: float, counts: float) -> str:
    """What has to be said of an estimator at so many counts a pixel; "" where all is well."""
    if estimator.startswith("trimmed") and trim > 0 and counts < FEW_COUNTS:
        return f"trimmed mean of {counts:.2g} counts a pixel is biased low; 'clipped' is not"
    return ""


def check_frame(scan: str, index: int, pixels: NDArray[np.generic], shape: tuple[int, int]) -> None:
    """Raise FrameError where pixels are not a frame of the announced detector."""
    if pixels.shape != shape or pixels.dtype.kind != "u":
        raise FrameError(
            f"frame {index} of scan {scan} is {pixels.shape} {pixels.dtype}, "
            f"the scan was announced as {shape} unsigned"
        )

"""Powder patterns of any frames with a geometry: one pattern a frame, their mean, and its peaks.

The same integration as XRD-CT's, for calibrants, single images and series that are no tomogram.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Positions, Result, Scalar, ScanStart
from .contract import ScanNotForThis
from .findings import Findings
from .geometry import UNITS, Binning, ring_table, split_table
from .integration import (
    ESTIMATORS,
    MEAN,
    ROBUST,
    SIGMA_MEAN,
    SIGMA_ROBUST,
    Integrator,
    SplittingIntegrator,
    bias_warning,
)
from .kernels.azimuthal import ROWS
from .labels import Labels
from .peaks import find_peaks, fit_peaks_at

MOST_LIVE_VALUES = 1 << 20  # beyond, the patterns of all frames go to the file only


@dataclass(frozen=True, slots=True)
class PowderConfig:
    """How powder patterns are made.

    axis: "q" [1/Å] or "two_theta" [deg]; low, high in its unit; bins
    estimator, trim, polarisation: as in XrdctConfig
    split: share pixels out over bins, for bins narrower than a pixel; with the mean only
    peak_window: half width of the window around each peak of the mean, in the axis's unit
    """

    axis: str = "q"
    low: float = 0.5
    high: float = 5.0
    bins: int = 1000
    estimator: str = "mean"
    trim: float = 0.1
    polarisation: float = 0.99
    split: bool = False
    peak_window: float = 0.06

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS or not 0 <= self.trim < 1:
            raise ValueError(
                f"powder: estimator {self.estimator!r} and trim {self.trim}: "
                f"one of {', '.join(ESTIMATORS)}, "
                "and 0 <= trim < 1 are needed"
            )
        if self.split and self.estimator != "mean":
            raise ValueError("powder: shared pixels have no trimmed mean: split needs 'mean'")


class Powder:
    """The frames of one scan as patterns. Raises ScanNotForThis where it has no geometry."""

    name = "powder"

    def __init__(self, config: PowderConfig, start: ScanStart) -> None:
        if start.technique == "xrdct":
            raise ScanNotForThis("an XRD-CT scan has its own consumer")
        self._config = config
        self._start = start
        binning = Binning(config.axis, config.low, config.high, config.bins)
        self._integrate: Integrator | SplittingIntegrator
        if config.split:
            shares = split_table(start, binning, config.polarisation)
            self._centres = shares.centres
            self._integrate = SplittingIntegrator(start, shares)
        else:
            rings = ring_table(start, binning, config.polarisation)
            self._centres = rings.centres
            self._integrate = Integrator(start, rings, config.trim, config.estimator)
        plain = config.estimator == "mean"
        self._rows = (MEAN, SIGMA_MEAN) if plain else (ROBUST, SIGMA_ROBUST)
        self._patterns = np.full((start.frames, config.bins), np.nan, np.float32)
        self._sigmas = np.full_like(self._patterns, np.nan)
        self._seen = np.zeros(start.frames, np.bool_)
        self._labels = Labels(start, self.name)

    def reduce(self, index: int, pixels: NDArray[np.generic]) -> Array:
        """The frame's pattern, (5, bins): mean, trimmed mean, sigma of each, pixels."""
        return self._integrate(index, pixels)

    def _about(self, mean: NDArray[np.float64]) -> dict[str, Scalar]:
        """The estimator, and a warning where it is biased."""
        config, known = self._config, mean[np.isfinite(mean)]
        counts = float(np.median(known)) if known.size else float("nan")
        about: dict[str, Scalar] = {"estimator": config.estimator, "counts_per_pixel": counts}
        warning = bias_warning(config.estimator, config.trim, counts)
        if warning:
            about["warning"] = warning
            self._labels.warn(warning)
        return about

    def absorb(self, index: int, array: Array) -> None:
        """Keep a frame's pattern."""
        if array.shape != (ROWS, self._config.bins) or not 0 <= index < self._start.frames:
            raise ValueError(
                f"reduction {index} of scan {self._start.scan} is {array.shape}, "
                f"{(ROWS, self._config.bins)} and index below {self._start.frames} were expected"
            )
        self._patterns[index], self._sigmas[index] = array[self._rows[0]], array[self._rows[1]]
        self._seen[index] = True

    def place(self, positions: Positions) -> None:
        """Patterns are kept by frame: positions change nothing."""

    def details(self, focus: Focus) -> Iterable[Result]:
        """Patterns have no place to look at: nothing."""
        return ()

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Every scan stands for itself: nothing changes."""

    def findings(self) -> None:
        """Nothing that a later scan builds on."""

    def results(self, final: bool = False) -> Iterable[Result]:
        """All patterns, their mean with its uncertainty, and the mean's peaks."""
        self._labels.next_revision(int(self._seen.sum()), final)
        if not self._seen.any():
            return
        axis, x = self._config.axis, self._centres
        unit = UNITS[axis]
        seen = self._patterns[self._seen].astype(np.float64)
        mean = seen.mean(axis=0)
        sigma = np.sqrt((self._sigmas[self._seen].astype(np.float64) ** 2).sum(axis=0)) / len(seen)
        yield self._labels.result(
            "pattern", "photons/pixel", (axis,), {axis: x}, {axis: unit}, mean, uncertainty=sigma,
            attrs=self._about(mean),
        )  # fmt: skip
        if final or self._patterns.size <= MOST_LIVE_VALUES:
            yield self._labels.result(
                "patterns", "photons/pixel", ("frame", axis),
                {"frame": np.arange(self._start.frames), axis: x}, {"frame": "", axis: unit},
                self._patterns.copy(), live=self._patterns.size <= MOST_LIVE_VALUES,
            )  # fmt: skip
        places = x[find_peaks(mean, sigma)]
        peaks = fit_peaks_at(x, mean, sigma, places, self._config.peak_window)
        yield self._labels.result(
            "peaks", unit, ("peak",),
            {"peak": np.arange(places.size), "height": peaks.height, "width": peaks.width},
            {"peak": "", "height": "photons/pixel", "width": unit}, peaks.centre,
            uncertainty=peaks.centre_sigma,
        )  # fmt: skip

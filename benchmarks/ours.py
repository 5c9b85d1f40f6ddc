"""Our side of every comparison, in one place: what a benchmark calls, and nothing else of ours.

When a kernel gets a better entrance, this module changes and the benchmarks stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from operando.consumers import geometry, integration
from operando.consumers.kernels import fbp, peak_fit
from operando.consumers.kernels.azimuthal import WIDTH_UNIT
from operando.stream import compression
from operando.stream.messages import Detector as DetectorMessage
from operando.stream.messages import Frame, ScanStart, Trajectory

from . import data
from .machine import version_of

Pixels = NDArray[np.generic]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def version() -> str:
    """Ours."""
    return version_of("operando")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A frame's pattern, both (rings,)."""

    values: F32
    sigma: F32


class Powder:
    """Azimuthal integration for one detector in its geometry."""

    def __init__(self, camera: data.Camera, dtype: str = "uint32", bins: int = data.BINS) -> None:
        shape = camera.detector.shape()
        pixel = (camera.detector.pixel_m, camera.detector.pixel_m)
        self._start = ScanStart(
            "benchmark", "benchmark", 1, "frames", 1,
            DetectorMessage("", shape, dtype, pixel, data.SATURATION, camera.mask),
            Trajectory((), ()), camera.poni, data.ENERGY_EV, 0.01, None, 0.0,
        )  # fmt: skip
        self._binning = geometry.Binning("q", *camera.detector.q_range, bins)
        self._table = geometry.ring_table(self._start, self._binning, data.POLARISATION)

    def rings(self) -> tuple[NDArray[np.int64], F64]:
        """Ring and width of every pixel as the integrator has them, for the reference."""
        widths = self._table.width.astype(np.float64) * WIDTH_UNIT
        return self._table.ring.astype(np.int64), widths

    def mean(self) -> Callable[[Pixels], Pattern]:
        """Mean of every ring, whole pixels, with its sigma."""
        integrate = integration.Integrator(self._start, self._table, 0.0)

        def run(pixels: Pixels) -> Pattern:
            out = integrate(0, pixels)
            return Pattern(out[integration.MEAN], out[integration.SIGMA_MEAN])

        return run

    def split_mean(self) -> Callable[[Pixels], Pattern]:
        """Mean of every ring, pixels shared out over rings."""
        table = geometry.split_table(self._start, self._binning, data.POLARISATION)
        integrate = integration.SplittingIntegrator(self._start, table)

        def run(pixels: Pixels) -> Pattern:
            out = integrate(0, pixels)
            return Pattern(out[integration.MEAN], out[integration.SIGMA_MEAN])

        return run

    def trimmed(self, trim: float) -> Callable[[Pixels], Pattern]:
        """Trimmed mean of every ring, exact."""
        integrate = integration.Integrator(self._start, self._table, trim)

        def run(pixels: Pixels) -> Pattern:
            out = integrate(0, pixels)
            return Pattern(out[integration.TRIMMED], out[integration.SIGMA_TRIMMED])

        return run

    def fast_trimmed(self, trim: float) -> Callable[[Pixels], Pattern] | None:
        """The faster variant with a stated error bound; None where there is none."""
        return None

    def compressed_trimmed(self, trim: float) -> Callable[[bytes], Pattern]:
        """From a bslz4 payload to its trimmed pattern."""
        reduce = self.trimmed(trim)
        decode = decoder(self._start.detector.shape, self._start.detector.dtype)

        def run(payload: bytes) -> Pattern:
            return reduce(decode(payload))

        return run


def decoder(shape: tuple[int, int], dtype: str) -> Callable[[bytes], Pixels]:
    """From a bslz4 payload to pixels, hostile bytes included."""

    def run(payload: bytes) -> Pixels:
        return compression.decode_bytes(payload, shape, dtype, "bslz4")

    return run


def verified_decoder(shape: tuple[int, int], dtype: str) -> Callable[[bytes, int], Pixels]:
    """The same with the payload's checksum compared first, as a reducer does."""

    def run(payload: bytes, checksum: int) -> Pixels:
        frame = Frame("benchmark", 0, shape, dtype, "bslz4", payload, checksum)
        return compression.decode(frame, verify=True)

    return run


class StreamingFbp:
    """Filtered back-projection, projection by projection, zeros beyond the field's ends."""

    def __init__(self, translations: int, channels: int) -> None:
        self._matrix = fbp.ramp_matrix(translations, 1.0, edge=False)
        self._columns = fbp.circle(translations, 0.5 * (translations - 1))
        self._centre = 0.5 * (translations - 1)
        self._filtered = np.empty((translations, channels), np.float32)
        self._shape = (translations, translations, channels)

    def volume(self) -> F32:
        """An empty one, (rows, cols, channels)."""
        return np.zeros(self._shape, np.float32)

    def add(self, projection: F32, angle: float, volume: F32) -> None:
        """Add a projection, (translations, channels), at an angle [rad] to the volume's sum."""
        fbp.filtered(self._matrix, projection, self._filtered)
        fbp.back_project(
            self._filtered, float(np.cos(angle)), float(np.sin(angle)), self._centre,
            self._columns, 1.0, volume,
        )  # fmt: skip

    def reconstruct(self, sinogram: F32, angles: F64) -> F32:
        """All projections of sinogram, (angles, translations, channels), one after another."""
        volume = self.volume()
        for projection, angle in zip(sinogram, angles, strict=True):
            self.add(projection, float(angle), volume)
        volume *= np.float32(np.pi / len(angles))
        return volume


@dataclass(frozen=True, slots=True)
class PeakFits:
    """Fits of single peaks: parameters and sigma (peaks, 6), chi2 (peaks,), sum of squares."""

    parameters: F64
    sigma: F64
    chi2: F64


def guesses(x: F64, y: F64) -> F64:
    """Starts from moments, (peaks, 6): height, centre, width, mixing, level, slope."""
    out = np.empty((len(y), 6))
    for row, values in zip(out, y, strict=True):
        peak_fit.moment_guess(x, values, row)
    return out


def fit_peaks(x: F64, y: F64, weight: F64, start: F64, tolerance: float) -> PeakFits:
    """Fit a pseudo-Voigt on a straight background to every row of y, without limits that bind."""
    span = float(x[-1] - x[0])
    lower = np.array([-np.inf, x[0], 1e-3 * span, -5.0, -np.inf, -np.inf])
    upper = np.array([np.inf, x[-1], 10 * span, 5.0, np.inf, np.inf])
    rows = len(y)
    parameters, sigma, chi2 = np.empty((rows, 6)), np.empty((rows, 6)), np.empty(rows)
    status, steps = np.empty(rows, np.int64), np.empty(rows, np.int64)
    peak_fit.fit_peaks(
        x, y, weight, lower, upper, start, tolerance, 200, parameters, sigma, chi2, status, steps
    )
    return PeakFits(parameters, sigma, chi2 * (x.size - 6))

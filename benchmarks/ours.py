"""Our side of every comparison, in one place: what a benchmark calls, and nothing else of ours.

When a kernel gets a better entrance, this module changes and the benchmarks stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from operando.consumers import geometry, integration, phases, refinement, templates
from operando.consumers.decoding import FrameDecoder
from operando.consumers.kernels import fbp, peak_fit
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


def scan_start(
    shape: tuple[int, int],
    dtype: str,
    pixel_m: tuple[float, float],
    poni: str,
    mask: NDArray[np.bool_] | None = None,
) -> ScanStart:
    """A scan of one frame."""
    detector = DetectorMessage("", shape, dtype, pixel_m, data.SATURATION, mask)
    return ScanStart(
        "benchmark", "benchmark", 1, "frames", 1, detector, Trajectory((), ()), poni,
        data.ENERGY_EV, 0.01, None, 0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """A frame's pattern, both (rings,)."""

    values: F32
    sigma: F32


class Powder:
    """Azimuthal integration for one detector in its geometry; see of() for its arguments."""

    def __init__(self, start: ScanStart, q_range: tuple[float, float], bins: int) -> None:
        self._start = start
        self._binning = geometry.Binning("q", *q_range, bins)
        self._table = geometry.ring_table(start, self._binning, data.POLARISATION)

    @classmethod
    def of(cls, camera: data.Camera, dtype: str = "uint32", bins: int = data.BINS) -> Powder:
        """For a camera's frames."""
        detector = camera.detector
        pixel = (detector.pixel_m, detector.pixel_m)
        start = scan_start(detector.shape(), dtype, pixel, camera.poni, camera.mask)
        return cls(start, detector.q_range, bins)

    def rings(self) -> NDArray[np.int64]:
        """Ring of every pixel, (pixels,); bins for those that belong to none."""
        return self._table.ring.astype(np.int64)

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
        return self._robust(trim, "trimmed")

    def fast_trimmed(self, trim: float) -> Callable[[Pixels], Pattern] | None:
        """The faster variant with a stated error bound; None where there is none."""
        return self._robust(trim, "trimmed_fast")

    def _robust(self, trim: float, estimator: str) -> Callable[[Pixels], Pattern]:
        integrate = integration.Integrator(self._start, self._table, trim, estimator)

        def run(pixels: Pixels) -> Pattern:
            out = integrate(0, pixels)
            return Pattern(out[integration.ROBUST], out[integration.SIGMA_ROBUST])

        return run

    def compressed_trimmed(self, trim: float) -> Callable[[bytes], Pattern]:
        """From a bslz4 payload to its trimmed pattern."""
        reduce = self.trimmed(trim)
        decode = decoder(self._start.detector.shape, self._start.detector.dtype)

        def run(payload: bytes) -> Pattern:
            return reduce(decode(payload))

        return run


def decoder(shape: tuple[int, int], dtype: str) -> Callable[[bytes], Pixels]:
    """From a bslz4 payload to pixels, hostile bytes included, as a reducer does it.

    The pixels stand until the next call.
    """
    decode = FrameDecoder()

    def run(payload: bytes) -> Pixels:
        return decode(Frame("benchmark", 0, shape, dtype, "bslz4", payload, 0, 0.0))

    return run


def checksum(payload: bytes) -> int:
    """Of a payload, as a reducer compares it before it decodes."""
    return compression.checksum(payload)


class StreamingFbp:
    """Filtered back-projection of projections as they come, zeros beyond the field's ends."""

    def __init__(self, translations: int, channels: int) -> None:
        self._matrix = fbp.ramp_matrix(translations, 1.0, edge=False)
        self._columns = fbp.circle(translations, 0.5 * (translations - 1))
        self._centre = 0.5 * (translations - 1)
        self._channels = channels
        # a consumer keeps its channels in multiples of what a vector register holds
        self._group = fbp.channel_array(fbp.GROUP, translations, fbp.padded(channels))
        self._even = fbp.channel_array(translations, fbp.padded(channels))

    def volume(self) -> F32:
        """An empty one, (rows, cols, channels and what fills the last register)."""
        size = len(self._columns)
        return fbp.channel_array(size, size, fbp.padded(self._channels))

    def add(self, projections: F32, angles: F64, volume: F32) -> None:
        """Add at most GROUP waiting projections, (n, translations, channels), at angles [rad]."""
        for filtered, projection in zip(self._group, projections, strict=False):
            self._even[:, : self._channels] = projection
            fbp.filtered(self._matrix, self._even, filtered)
        fbp.back_project(
            self._group[: len(angles)], np.cos(angles), np.sin(angles), self._centre,
            self._columns, np.ones(len(angles)), volume,
        )  # fmt: skip

    def reconstruct(self, sinogram: F32, angles: F64, together: int = fbp.GROUP) -> F32:
        """All projections of sinogram, (angles, translations, channels), so many at a time."""
        if self._channels == 1:
            return self._image(sinogram[:, :, 0], angles)
        volume = self.volume()
        for first in range(0, len(angles), together):
            part = slice(first, first + together)
            self.add(sinogram[part], angles[part], volume)
        volume *= np.float32(np.pi / len(angles))
        return volume[:, :, : self._channels]

    def _image(self, sinogram: F32, angles: F64) -> F32:
        """The path of a single channel: projections lie side by side where channels did."""
        columns = np.ascontiguousarray(sinogram.T)
        filtered = np.empty_like(columns)
        fbp.filtered(self._matrix, columns, filtered)
        size = len(self._columns)
        image = np.zeros((size, size), np.float32)
        fbp.back_project_image(
            np.ascontiguousarray(filtered.T), np.cos(angles), np.sin(angles), self._centre,
            self._columns, np.full(len(angles), np.pi / len(angles)), image,
        )  # fmt: skip
        return image[:, :, None]


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


@dataclass(frozen=True, slots=True)
class PatternAnswers:
    """Whole-pattern refinements: a, a_sigma [Å] and the spinel's scale, all (patterns,)."""

    a: F64
    a_sigma: F64
    scale: F64


BENCH_PHASES = ("limno2_rock_salt", "li2mno3", "aluminium", "limn2o4")
BENCH_PROFILE = templates.Profile(0.012, 0.002, 0.3)


def _bench_phases(q: F64) -> tuple[phases.Phase, ...]:
    configs = {name: phases.PhaseConfig(working=name == "limn2o4") for name in BENCH_PHASES}
    return phases.read_phases(configs, float(q[-1]), (7.95, 8.30))


def whole_patterns(a: F64, points: int) -> F64:
    """Clean patterns, (n, points), of spinels with 3 % rock salt and 2 % Li2MnO3 by volume."""
    q = np.linspace(1.1, 4.7, points)
    made = _bench_phases(q)
    drawn = [templates.draw(q, p.crystal.lines(), BENCH_PROFILE) for p in made[:2]]
    spinels = [templates.draw(q, made[-1].crystal.lines(each), BENCH_PROFILE) for each in a]
    return np.array(spinels) + 0.03 * drawn[0] + 0.02 * drawn[1]


class PatternFits:
    """Refinement of patterns that are weighted by the mean of some of them."""

    def __init__(self, some: F32, points: int) -> None:
        q = np.linspace(1.1, 4.7, points)
        made = templates.Templates(q, some.mean(axis=0), _bench_phases(q), BENCH_PROFILE)
        self._refinement = refinement.Refinement(made)
        self.nodes, self.fixed = made.nodes, made.fixed
        self.background, self.root_weight = made.background, made.root_weight
        self.first_a, self.step_a = float(made.a_axis[0]), float(made.a_axis[1] - made.a_axis[0])

    def __call__(self, patterns: F32) -> PatternAnswers:
        """Refine patterns, (n, points)."""
        found = self._refinement.refine(patterns)
        return PatternAnswers(found.a, found.a_sigma, found.scale[:, -1])

"""Operando X-ray diffraction computed tomography: maps of a cubic phase's lattice parameter.

reduce: azimuthal integration of a frame, mean and trimmed mean of every ring.
absorb: one slot of the sinogram; a finished projection goes into the q-resolved volume.
results: in every voxel that scatters, one lattice parameter for all reflections chosen.

Units: a pattern is in photons per pixel of full solid angle, a voxel's pattern in that per um, and
a peak's area in the latter per Å.

Why the trimmed mean is the default, and when it is not the right one: docs/explanations/xrdct.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Positions, Result, Scalar, ScanStart
from .contract import ScanNotForThis
from .geometry import Binning, ring_table
from .integration import MEAN, TRIMMED, Integrator
from .kernels.azimuthal import ROWS
from .labels import Labels
from .lattice import (
    ALUMINIUM_A,
    ALUMINIUM_HKL,
    FINAL_TOLERANCE,
    LIVE_TOLERANCE,
    Hkl,
    LatticeFits,
    LatticeModel,
    LatticeSearch,
    peak_sum_weights,
    roots_of,
)
from .tomogram import Tomogram, sinogram_grid

FEW_COUNTS = 5.0  # a pixel, below which a trimmed mean is biased by more than a hundredth

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class XrdctConfig:
    """How XRD-CT scans are analysed.

    q_min, q_max [1/Å], bins: the pattern's axis
    estimator: "trimmed" or "mean", which of the two makes the volume
    trim: share of a ring's width cut off in total; 0.1 is 5 % at either end
    polarisation: degree of horizontal polarisation of the beam, -1 to 1
    rotation, translation: names of the trajectory's axes, in deg and um
    rotation_centre_um: translation at which the rotation axis is in the beam
    edge_padding: continue projections beyond the field by their last values instead of zeros
    reflections: of the cubic phase; strong ones of LiMn2O4, (5,1,1) standing for (3,3,3) as well
    a_min, a_max [Å]: lattice parameters that are looked for; spinel LixMn2O4 has 8.03 to 8.25
    forbidden_low, forbidden_high [Å]: what a pure spinel cannot have (Finegan et al., Nat. Commun.
        2020, 11, 631)
    peak_width [1/Å]: start of the full width at half maximum; width_min, width_max: its limits
    mixing: Lorentzian share of the peaks
    half_window [1/Å]: of the window around a reflection
    foreign_lines: further lines to fit where they fall into a window [1/Å]; aluminium: add its own
    threshold: voxels with less than this share of the strong ones' intensity are pores
    histogram_bins: of the lattice parameter, from a_min to a_max
    volume: put the q-resolved volume into the final results
    """

    q_min: float = 1.1
    q_max: float = 4.7
    bins: int = 720
    estimator: str = "trimmed"
    trim: float = 0.1
    polarisation: float = 0.99
    rotation: str = "rotation"
    translation: str = "translation"
    rotation_centre_um: float = 0.0
    edge_padding: bool = True
    reflections: tuple[Hkl, ...] = (
        (1, 1, 1),
        (3, 1, 1),
        (4, 0, 0),
        (3, 3, 1),
        (5, 1, 1),
        (4, 4, 0),
        (5, 3, 1),
    )
    a_min: float = 7.95
    a_max: float = 8.30
    forbidden_low: float = 8.076
    forbidden_high: float = 8.145
    peak_width: float = 0.015
    width_min: float = 0.006
    width_max: float = 0.06
    mixing: float = 0.4
    half_window: float = 0.045
    foreign_lines: tuple[float, ...] = ()
    aluminium: bool = True
    threshold: float = 0.2
    histogram_bins: int = 70
    volume: bool = True

    def __post_init__(self) -> None:
        problems = {
            "estimator is 'trimmed' or 'mean'": self.estimator in ("trimmed", "mean"),
            "0 <= trim < 1": 0 <= self.trim < 1,
            "0 < a_min < a_max": 0 < self.a_min < self.a_max,
            "0 < width_min <= peak_width <= width_max": 0
            < self.width_min
            <= self.peak_width
            <= self.width_max,
            "0 <= mixing <= 1": 0 <= self.mixing <= 1,
            "at least one reflection": len(self.reflections) > 0,
            "0 <= threshold < 1": 0 <= self.threshold < 1,
            "histogram_bins >= 1": self.histogram_bins >= 1,
        }
        broken = [rule for rule, holds in problems.items() if not holds]
        if broken:
            raise ValueError(f"xrdct: {'; '.join(broken)} does not hold")

    def lattice_model(self) -> LatticeModel:
        """What the fits are to look for."""
        lines = [*self.foreign_lines]
        if self.aluminium:
            lines += (roots_of(ALUMINIUM_HKL) / ALUMINIUM_A).tolist()
        return LatticeModel(
            reflections=tuple(sorted(self.reflections, key=lambda hkl: sum(i * i for i in hkl))),
            lines=np.sort(np.array(lines, np.float64)),
            a_limits=(self.a_min, self.a_max),
            width_limits=(self.width_min, self.width_max),
            width=self.peak_width,
            mixing=self.mixing,
            half_window=self.half_window,
        )


class Xrdct:
    """One XRD-CT scan. Raises ScanNotForThis where the scan is none."""

    name = "xrdct"

    def __init__(self, config: XrdctConfig, start: ScanStart) -> None:
        if start.technique != "xrdct":
            raise ScanNotForThis(f"technique is {start.technique!r}, 'xrdct' is needed")
        grid = sinogram_grid(start.trajectory, config.rotation, config.translation)
        if len(grid.slots) != start.frames:
            raise ScanNotForThis(f"{start.frames} frames at {len(grid.slots)} positions")
        self._config = config
        self._start = start
        self._table = ring_table(
            start, Binning("q", config.q_min, config.q_max, config.bins), config.polarisation
        )
        self._integrate = Integrator(start, self._table, config.trim)
        self._row = TRIMMED if config.estimator == "trimmed" else MEAN
        self._tomogram = Tomogram(grid, config.bins, config.rotation_centre_um, config.edge_padding)
        self._model = config.lattice_model()
        self._inside = np.zeros((grid.translations_um.size,) * 2, np.bool_)
        for row, (first, last) in enumerate(self._tomogram.columns):
            self._inside[row, first:last] = True
        self._seen = np.zeros(start.frames, np.bool_)
        self._sum = np.zeros(config.bins)
        self._search: LatticeSearch | None = None
        self._search_frames = 0
        self._previous: LatticeFits | None = None
        self._record: tuple[F32, int] | None = None
        self._labels = Labels(start, self.name)
        self._peak_sum = peak_sum_weights(self._model, self._table.centres)

    @property
    def q(self) -> F64:
        """Axis of the patterns, (bins,) [1/Å]: mean q of each ring's pixels."""
        return self._table.centres

    def reduce(self, index: int, pixels: NDArray[np.generic]) -> F32:
        """The frame's pattern, (5, bins): mean, trimmed mean, sigma of each, pixels."""
        return self._integrate(index, pixels)

    def absorb(self, index: int, array: Array) -> None:
        """Take a frame's pattern into the sinogram, and into the volume if it completes a line."""
        if array.shape != (ROWS, self._config.bins) or not 0 <= index < self._start.frames:
            raise ValueError(
                f"reduction {index} of scan {self._start.scan} is {array.shape}, "
                f"{(ROWS, self._config.bins)} and index below {self._start.frames} were expected"
            )
        pattern = self._without_gaps(np.asarray(array[self._row], np.float32))
        row, column = self._tomogram.grid.slots[index]
        if self._seen[index]:
            self._sum -= self._tomogram.sinogram[row, column]
        self._tomogram.absorb(index, pattern)
        self._sum += pattern
        self._seen[index] = True
        self._record = None

    def place(self, positions: Positions) -> None:
        """Take measured rotations or translations."""
        self._tomogram.place(positions, self._config.rotation, self._config.translation)
        self._record = None

    def results(self, final: bool = False) -> Iterable[Result]:
        """Maps, patterns and histogram so far; final: from the rebuilt volume, fitted anew."""
        self._labels.next_revision(int(self._seen.sum()), final)
        if not self._seen.any():
            return []
        results = list(self._pattern_results(final))
        if final and self._record is None:
            self._record = self._tomogram.final_volume()
        volume, projections = self._volume() if final else self._live()
        fits = self._fit_map(volume, projections, final)
        results += self._map_results(fits, projections)
        if final and self._config.volume:
            results.append(self._volume_result(volume))
        return results

    def details(self, focus: Focus) -> Iterable[Result]:
        """The pattern of one voxel, from the final volume where it stands, and its fit."""
        volume, projections = self._volume()
        if not projections or not self._has_voxel(focus):
            return []
        self._labels.next_revision(int(self._seen.sum()), final=False)
        return list(self._voxel_results(volume, focus, final=self._record is not None))

    # --- what goes into the fits

    def _live(self) -> tuple[F32, int]:
        """The volume as it is shown, and the projections in it."""
        return self._tomogram.live_volume(), self._tomogram.projections()

    def _volume(self) -> tuple[F32, int]:
        """The rebuilt volume where nothing has changed since, else the live one."""
        return self._live() if self._record is None else self._record

    def _without_gaps(self, pattern: F32) -> F32:
        """The pattern with rings that this frame has no pixel for filled from their neighbours.

        Rings that have no pixel in any frame are 0 and take no part in fits.
        """
        if not np.isfinite(pattern).all():
            good = np.isfinite(pattern)
            pattern = np.where(
                self._table.ring_pixels > 0,
                np.interp(self._table.centres, self._table.centres[good], pattern[good])
                if good.any()
                else 0.0,
                0.0,
            ).astype(np.float32)
        return pattern

    def _mean_pattern(self, final: bool) -> F64:
        """Mean over the frames absorbed; final: summed in the sinogram's order."""
        if not final:
            mean: F64 = self._sum / self._seen.sum()
            return mean
        measured = self._tomogram.sinogram[self._tomogram.measured]
        return np.asarray(measured.mean(axis=0, dtype=np.float64))

    def _counting(self, mean: F64) -> dict[str, Scalar]:
        """What a reader has to know about the estimator; a warning where it is biased."""
        counts = float(np.median(mean[self._table.ring_pixels > 0]))
        about: dict[str, Scalar] = {
            "estimator": self._config.estimator,
            "counts_per_pixel": counts,
        }
        if self._config.estimator == "trimmed" and self._config.trim > 0 and counts < FEW_COUNTS:
            about["warning"] = f"trimmed mean of {counts:.2g} counts a pixel is biased low"
        return about

    def _searcher(self, final: bool) -> LatticeSearch:
        """Search and fit with weights from the mean pattern, renewed when the frames doubled.

        A channel's variance in every voxel goes like that of the patterns that were added:
        mean counts over the ring's width (counting statistics).
        """
        frames = int(self._seen.sum())
        if final or self._search is None or frames >= 2 * self._search_frames:
            mean = self._mean_pattern(final)
            floor = max(1e-3 * float(mean.max()), 1e-12)
            weight = np.where(
                self._table.ring_pixels > 0, self._table.ring_width / np.maximum(mean, floor), 0.0
            )
            weight /= max(float(weight.max()), 1e-300)
            self._search = LatticeSearch(self._model, self._table.centres, weight)
            self._search_frames = frames
        return self._search

    def _fit_map(self, volume: F32, projections: int, final: bool) -> LatticeFits:
        patterns = volume[self._inside]
        if projections == 0:
            nothing = np.full(len(patterns), np.nan)
            return LatticeFits(*[nothing] * 8)
        search = self._searcher(final)
        near, heights = search.scores(patterns)
        bright = self._threshold(heights)
        near[heights < 0.5 * bright] = np.nan
        if final:
            fits = search.fit(patterns, near, tolerance=FINAL_TOLERANCE)
        else:
            fits = search.fit(patterns, near, self._previous, LIVE_TOLERANCE)
            self._previous = fits
        bad = ~(fits.area >= self._threshold(fits.area)) | ~(fits.fitted >= 2)
        for values in (fits.a, fits.a_sigma, fits.width, fits.width_sigma):
            values[bad] = np.nan
        return fits

    def _threshold(self, values: F64) -> float:
        """The share of the strong voxels' value below which a voxel is a pore."""
        known = values[np.isfinite(values)]
        return self._config.threshold * float(np.percentile(known, 95)) if known.size else 0.0

    def _has_voxel(self, focus: Focus) -> bool:
        rows, columns = self._inside.shape
        inside = 0 <= focus.row < rows and 0 <= focus.column < columns
        return inside and bool(self._inside[focus.row, focus.column])

    # --- what comes out

    def _map_results(self, fits: LatticeFits, projections: int) -> Iterable[Result]:
        config = self._config
        window = {"forbidden_low": config.forbidden_low, "forbidden_high": config.forbidden_high}
        counted = {"projections": projections}
        maps: list[tuple[str, str, F64, F64 | None, Mapping[str, Scalar]]] = [
            ("lattice_parameter", "Å", fits.a, fits.a_sigma, {**window, **counted}),
            ("peak_intensity", "photons/(pixel um Å)", fits.area, fits.area_sigma, counted),
            ("peak_width", "1/Å", fits.width, fits.width_sigma, counted),
            ("fit_status", "", fits.fitted, None, counted),
        ]
        for name, unit, values, sigma, attrs in maps:
            yield self._labels.result(
                name, unit, ("y", "x"), self._map_coords(), {"y": "um", "x": "um"},
                self._spread(values), attrs=attrs,
                uncertainty=None if sigma is None else self._spread(sigma),
            )  # fmt: skip
        edges = np.linspace(config.a_min, config.a_max, config.histogram_bins + 1)
        voxels, _ = np.histogram(fits.a[np.isfinite(fits.a)], edges)
        yield self._labels.result(
            "lattice_histogram", "voxels", ("a",), {"a": 0.5 * (edges[1:] + edges[:-1])},
            {"a": "Å"}, voxels if projections else np.full(voxels.size, np.nan), attrs=window,
        )  # fmt: skip

    def _pattern_results(self, final: bool) -> Iterable[Result]:
        mean = self._mean_pattern(final)
        fits, curve = self._searcher(final).fit_one(mean.astype(np.float32))
        attrs: dict[str, Scalar] = {
            "a": float(fits.a[0]),
            "a_sigma": float(fits.a_sigma[0]),
            **self._counting(mean),
        }
        shown = np.where(self._table.ring_pixels > 0, mean, np.nan)
        for name, values in (("pattern", shown), ("pattern_fit", curve)):
            yield self._on_q(name, "photons/pixel", values, attrs)
        places = roots_of(self._model.reflections) / fits.a[0]
        indices = np.array(self._model.reflections, np.int64)
        yield self._labels.result(
            "reflections", "1/Å", ("reflection",),
            {name: indices[:, i] for i, name in enumerate("hkl")}, {"h": "", "k": "", "l": ""},
            places, attrs=attrs,
        )  # fmt: skip
        grid = self._tomogram.grid
        yield self._labels.result(
            "sinogram", "photons/(pixel Å)", ("rotation", "translation"),
            {"rotation": grid.rotations_deg, "translation": grid.translations_um},
            {"rotation": "deg", "translation": "um"}, self._tomogram.sinogram @ self._peak_sum,
        )  # fmt: skip

    def _voxel_results(self, volume: F32, focus: Focus, final: bool) -> Iterable[Result]:
        pattern = volume[focus.row, focus.column]
        fits, curve = self._searcher(final).fit_one(pattern)
        attrs: dict[str, Scalar] = {
            "row": focus.row,
            "column": focus.column,
            "a": float(fits.a[0]),
            "a_sigma": float(fits.a_sigma[0]),
        }
        shown = np.where(self._table.ring_pixels > 0, pattern, np.nan)
        for name, values in (("voxel_pattern", shown), ("voxel_fit", curve)):
            yield self._on_q(name, "photons/(pixel um)", values, attrs)

    def _volume_result(self, volume: F32) -> Result:
        shown = np.where(self._inside[:, :, None], volume, np.float32(np.nan))
        coords = {**self._map_coords(), "q": self._table.centres}
        units = {"y": "um", "x": "um", "q": "1/Å"}
        return self._labels.result(
            "volume", "photons/(pixel um)", ("y", "x", "q"), coords, units, shown, live=False
        )

    def _on_q(self, name: str, unit: str, values: Array, attrs: Mapping[str, Scalar]) -> Result:
        coords, units = {"q": self._table.centres}, {"q": "1/Å"}
        return self._labels.result(name, unit, ("q",), coords, units, values, attrs=attrs)

    def _spread(self, values: F64) -> F32:
        """Values of the voxels inside the circle as a map, nan outside."""
        shown = np.full(self._inside.shape, np.nan, np.float32)
        shown[self._inside] = values
        return shown

    def _map_coords(self) -> dict[str, Array]:
        grid = self._tomogram.grid
        points = grid.translations_um.size
        coordinate = (np.arange(points) - 0.5 * (points - 1)) * grid.step_um()
        return {"y": coordinate, "x": coordinate}

"""Operando X-ray diffraction computed tomography: maps of a cubic phase's lattice parameter.

reduce: azimuthal integration of a frame, mean and trimmed mean of every ring.
absorb: one slot of the sinogram; a finished projection goes into the q-resolved volume.
results: in every voxel that scatters, one lattice parameter for all reflections chosen; where
    phases are configured, that of a whole-pattern refinement, and these phases. Live, a bounded
    share of what waits is worked through each time; "unfinished" says whether more waits.

Units: a pattern is in photons per pixel of full solid angle, a voxel's pattern in that per um, and
a peak's area in the latter per Å.

Why the trimmed mean is the default, and when it is not the right one: docs/explanations/xrdct.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Positions, Result, Scalar, ScanStart
from .contract import ScanNotForThis
from .field import Field
from .findings import Findings
from .geometry import Binning, ring_table
from .integration import Integrator, bias_warning
from .kernels.azimuthal import ROWS
from .kernels.fbp import GROUP
from .labels import Labels
from .lattice import LatticeFits, LatticeSearch, channels_used, peak_sum_weights
from .lattice_map import LatticeMap
from .phase_maps import PhaseMaps
from .rebuild import Reconstruction, rebuild
from .region_noise import region_variances
from .sample_results import SampleResults
from .scan_field import field_of_scan
from .sinogram_grid import sinogram_grid
from .spectrum import Spectrum
from .surroundings import Outside, fields_around
from .tomogram import Tomogram
from .xrdct_config import XrdctConfig
from .xrdct_results import XrdctResults

LIVE_WORK = (
    1.2e9  # voxels times channels times projections for one live answer; a tenth of a second
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


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
        self._integrate = Integrator(
            start, self._table, config.trim, config.estimator, config.trim_pixels
        )
        self._model = config.lattice_model()
        self._phases = self._phase_maps()
        self._used = (
            np.arange(config.bins)  # a whole pattern has no windows
            if self._phases
            else channels_used(self._model, self._table.centres)
        )
        self._spectrum = Spectrum(self._table, self._used, config.estimator)
        sums = peak_sum_weights(self._model, self._table.centres)
        fixed = config.rotation_centre_um
        self._tomogram = Tomogram(
            grid,
            config.bins,
            None if fixed == "track" else float(fixed),
            config.edge_padding,
            self._used,
            sums,
            self._spectrum.width,
        )
        voxels = float(np.diff(self._tomogram.columns, axis=1).sum())
        most = round(LIVE_WORK / (voxels * max(self._used.size, 1)))
        # one more than whole groups would cost a pass through the volume of its own
        self._most = most - most % GROUP if most > GROUP else max(1, most)
        self._inside = self._circle(self._tomogram.columns)
        self._new_map()
        self._seen = np.zeros(start.frames, np.bool_)
        self._sum = np.zeros(config.bins)
        self._search: LatticeSearch | None = None
        self._search_frames = 0
        self._record: Reconstruction | None = None
        self._record_phases: PhaseMaps | None = None
        self._fields: list[Findings] = []
        self._labels = Labels(start, self.name)
        self._sample = SampleResults(config, start, self._labels, sums[self._used])
        self._shown = XrdctResults(self._labels, config, grid, self._table)

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
        pattern, excess = self._spectrum(array)
        row, column = self._tomogram.grid.slots[index]
        if self._seen[index]:
            self._sum -= self._tomogram.sinogram[row, column]
        self._tomogram.absorb(index, pattern, excess)
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
        if final:
            return list(self._final_results())
        if self._tomogram.advance(self._most):
            self._take_circle()
            self._map.renew()
            if self._phases:
                self._phases.renew()
        search = self._searcher(final)
        self._map.advance(self._live_patterns, search)
        waiting = self._tomogram.waiting() + self._map.unfinished()
        if self._phases:
            self._phases.advance(self._live_patterns)
            waiting += self._phases.unfinished()
        counted: dict[str, Scalar] = {
            "projections": self._tomogram.projections(),
            "unfinished": waiting,
            "sharpness": self._tomogram.sharpness(),
            "rotation_centre_um": self._tomogram.centre_um(),
            "roi_correction": self._correction(),
        }
        maps = list(self._map_results(self._map.shown(), self._phases, self._inside, counted))
        sample = self._sample.live(maps, self._inside, self._live_patterns)
        return [*self._pattern_results(search, final), *maps, *sample]

    def details(self, focus: Focus) -> Iterable[Result]:
        """The pattern of one voxel, from the final volume where it stands, and its fit."""
        record, where = self._record, (np.array([focus.row]), np.array([focus.column]))
        inside = self._inside if record is None else self._circle(record.columns)
        if not self._has_voxel(inside, focus):
            return []
        variance: F32 | None = None
        if record is not None and self._config.volume:
            pattern = record.volume[focus.row, focus.column]
            variance = record.variances(*where)[0]
        elif self._tomogram.complete():
            pattern = self._tomogram.live_voxel(focus.row, focus.column)
            if self._tomogram.projections():
                variance = self._tomogram.live_variances(*where)[0]
        else:
            return []
        self._labels.next_revision(int(self._seen.sum()), final=False)
        phases = self._phases if record is None else self._record_phases
        if phases:
            fits, curve = phases.refine_one(pattern, variance)
        else:
            fits, curve = self._fit_one(self._searcher(record is not None), pattern, variance)
        sigma = np.full(self._config.bins, np.nan)
        if variance is not None:
            sigma[self._used] = np.sqrt(variance)
        return list(self._shown.voxel(pattern, sigma, fits, curve, focus))

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Know what earlier scans of the run have found."""
        self._sample.follow(tuple(earlier))
        fields = fields_around(self._start, earlier, self.q)
        if fields != self._fields:
            self._fields = fields
            self._tomogram.surround(self._outside_of(fields) if fields else None)
            self._record = None

    def findings(self) -> Findings:
        """What later scans of the run may build on."""
        return dataclasses.replace(
            Findings.of(self._start), particles=self._sample.particles, field=self._field()
        )

    def _field(self) -> Field | None:
        """The final volume as rescans and finer scans of the run may use it."""
        record = self._record
        if record is None or not record.projections:
            return None
        channels = np.arange(self._config.bins) if self._config.volume else self._used
        return field_of_scan(
            self._start, self._tomogram, record, self._circle(record.columns), channels, self.q,
            self._labels.region_um(), tuple(found.scan for found in self._fields),
        )  # fmt: skip

    def _outside_of(self, fields: list[Findings]) -> Outside:
        widest = float(np.diff(self._tomogram.columns, axis=1).max())
        radius = 0.5 * widest * self._tomogram.grid.step_um()
        circle = (*self._labels.region_um(), radius)
        return Outside(fields, circle, self._start.exposure_s, self._config.bins)

    def _correction(self) -> str:
        """What was done about what lies outside the field, for attrs."""
        plain = "edge" if self._config.edge_padding else "none"
        return "+".join(found.role for found in self._fields) or plain

    # --- what goes into the fits

    def _live_patterns(self, chosen: slice) -> tuple[F32, F32]:
        rows, columns = np.nonzero(self._inside)
        where = rows[chosen], columns[chosen]
        return self._tomogram.live_voxels(*where), self._tomogram.live_variances(*where)

    def _take_circle(self) -> None:
        """Take the circle of a rotation centre that has moved."""
        inside = self._circle(self._tomogram.columns)
        if not np.array_equal(inside, self._inside):
            self._inside = inside
            self._new_map()

    def _new_map(self) -> None:
        voxels = int(self._inside.sum())
        self._map = LatticeMap(voxels, self._config.threshold)
        if self._phases:
            self._phases.start(voxels)

    def _phase_maps(self) -> PhaseMaps | None:
        """A whole-pattern refinement without answers yet; None where no phases are configured."""
        config = self._config
        phases = config.read_phases()
        if not phases:
            return None
        return PhaseMaps(
            self._table.centres, phases, config.profile, config.background_terms, config.threshold
        )

    def _circle(self, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which voxels every angle sees, (rows, columns)."""
        place = np.arange(len(columns))
        inside: NDArray[np.bool_] = (place >= columns[:, :1]) & (place < columns[:, 1:])
        return inside

    def _final_results(self) -> Iterable[Result]:
        self._tomogram.measured_places.tell(self._start.scan)
        if self._record is None:
            self._record = rebuild(
                self._tomogram, None if self._config.volume else self._used, self._used
            )
        record = self._record
        used = self._used if self._config.volume else np.arange(self._used.size)
        inside = self._circle(record.columns)
        rows, columns = np.nonzero(inside)
        search = self._searcher(final=True)
        final_map = LatticeMap(rows.size, self._config.threshold)
        phases = self._record_phases = self._phase_maps()

        def patterns(chosen: slice) -> tuple[F32, F32]:
            row, column = rows[chosen], columns[chosen]
            return record.volume[row[:, None], column[:, None], used], record.variances(row, column)

        def region_noise(region: NDArray[np.int32], count: int) -> F64:
            whole = np.full(inside.shape, -1, np.int32)
            whole[inside] = region
            return region_variances(self._tomogram, record, whole, count, self._used)

        if record.projections:
            final_map.fit_all(patterns, search)
        if phases:
            phases.start(rows.size)
            phases.weigh(_variance(search.weight), patterns, record.projections > 0)
            if record.projections:
                phases.refine_all(patterns)
        counted: dict[str, Scalar] = {
            "projections": record.projections,
            "unfinished": 0,
            "sharpness": 1.0,
            "rotation_centre_um": record.centre_um,
            "roi_correction": self._correction(),
        }
        yield from self._pattern_results(search, final=True)
        maps = list(self._map_results(final_map.shown(), phases, inside, counted))
        yield from maps
        yield from self._sample.final(maps, inside, patterns)
        if phases:
            yield from self._sample.regions(phases, patterns, inside, region_noise)
        if self._config.volume:
            yield self._shown.volume(record.volume, inside)

    def _mean_pattern(self, final: bool) -> F64:
        """Mean over the frames absorbed; final: summed in the sinogram's order."""
        if not final:
            mean: F64 = self._sum / self._seen.sum()
            return mean
        total = np.zeros(self._config.bins)
        for projection, measured in zip(
            self._tomogram.sinogram, self._tomogram.measured, strict=True
        ):
            total += projection[measured].sum(axis=0, dtype=np.float64)
        return np.asarray(total / self._tomogram.measured.sum())

    def _counting(self, mean: F64) -> dict[str, Scalar]:
        """What a reader has to know about the estimator; a warning where it is biased."""
        counts = float(np.median(mean[self._table.ring_pixels > 0]))
        about: dict[str, Scalar] = {
            "estimator": self._config.estimator,
            "counts_per_pixel": counts,
        }
        warning = bias_warning(self._config.estimator, self._config.trim, counts)
        if warning:
            about["warning"] = warning
            self._labels.warn(warning)
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
            used = self._used
            self._search = LatticeSearch(self._model, self._table.centres[used], weight[used])
            self._search_frames = frames
            if self._phases and not final:
                tells = 4 * frames >= self._start.frames  # early volumes are streaks
                self._phases.weigh(_variance(weight), self._live_patterns, tells)
        return self._search

    def _has_voxel(self, inside: NDArray[np.bool_], focus: Focus) -> bool:
        rows, columns = inside.shape
        within = 0 <= focus.row < rows and 0 <= focus.column < columns
        return within and bool(inside[focus.row, focus.column])

    def _fit_one(
        self, search: LatticeSearch, pattern: NDArray[np.floating], variance: F32 | None = None
    ) -> tuple[LatticeFits, F64]:
        """The fit of one pattern and its curve over the whole axis, nan between windows."""
        fits, drawn = search.fit_one(pattern[self._used].astype(np.float32), variance)
        curve = np.full(self._config.bins, np.nan)
        curve[self._used] = drawn
        return fits, curve

    def _map_results(
        self,
        fits: LatticeFits,
        phases: PhaseMaps | None,
        inside: NDArray[np.bool_],
        counted: dict[str, Scalar],
    ) -> Iterable[Result]:
        if phases:
            a, a_sigma = phases.lattice_parameter()
            fits = dataclasses.replace(fits, a=a, a_sigma=a_sigma)
        yield from self._shown.maps(fits, inside, counted)
        if phases:
            yield from phases.results(self._shown, inside, counted)

    def _pattern_results(self, search: LatticeSearch, final: bool) -> Iterable[Result]:
        mean = self._mean_pattern(final)
        fits, curve = self._fit_one(search, mean)
        yield from self._shown.pattern(mean, fits, curve, self._counting(mean))
        yield self._shown.sinogram(self._tomogram.mass.copy())


def _variance(weight: F64) -> F64:
    """Of the channels, relative; nan for those that are left out."""
    return np.where(weight > 0, 1 / np.where(weight > 0, weight, 1.0), np.nan)

"""What a scan's maps say about the sample: its particles, its states of charge, its segments.

Final results have all of it. Live ones have the states of charge, and, from half of the scan on,
the particles of maps that are small enough for it to take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Result, ScanStart
from .classification import Rule
from .findings import Findings, role_of
from .labels import Labels
from .lattice_map import HAND, Patterns
from .particle_regions import refine_particles, refine_segments, shell_fractions
from .particle_results import Slice, particle_results, shell_fraction_results
from .phase_maps import PhaseMaps, RegionNoise
from .segments import segments_of
from .soc_results import soc_results
from .tracking import ParticleFindings
from .xrdct_config import XrdctConfig

F64 = NDArray[np.float64]
LIVE_VOXELS = 10_000  # of a map whose particles are looked for live
LIVE_SHARE = 0.5  # of the scan that is needed for it


def rule_of(config: XrdctConfig) -> Rule:
    """What particles are judged by: the forbidden window, and the steps of the calibration."""
    window = config.forbidden_low, config.forbidden_high
    curve = config.calibration.curve()
    known = curve.steps() if curve is not None and curve.parameter == "a" else ()
    apart = [step for step in known if step[1] <= window[0] or step[0] >= window[1]]
    steps = sorted([*apart, window] if window[0] < window[1] else apart)
    return Rule(window, tuple(steps), config.particles.systematic, config.particles.alarm)


class SampleResults:
    """The part of one scan's results that rests on its maps."""

    def __init__(
        self, config: XrdctConfig, start: ScanStart, labels: Labels, sums: NDArray[np.float32]
    ) -> None:
        """sums: (channels,) weights that sum a voxel's pattern to what its reflections scatter."""
        self._config = config
        self._start = start
        self._labels = labels
        self._sums = sums
        self._rule = rule_of(config)
        self._fine = role_of(start) in ("slice", "roi")
        self._earlier: ParticleFindings | None = None
        self._slice: Slice | None = None
        self._segment: NDArray[np.int32] | None = None  # (rows, cols) after final(), -1 for none

    @property
    def particles(self) -> ParticleFindings | None:
        """What later scans of the run may build on, after final()."""
        return self._slice.findings if self._slice else None

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Take the identities of the last earlier scan that has any."""
        known = [each.particles for each in earlier if each.particles is not None]
        self._earlier = known[-1] if known else None

    def live(
        self, maps: Iterable[Result], inside: NDArray[np.bool_], patterns: Patterns
    ) -> list[Result]:
        """What the maps so far say at little cost.

        inside: (rows, cols) the circle; patterns: of the voxels inside it
        """
        found = {result.name: result for result in maps}
        enough = any(result.completeness >= LIVE_SHARE for result in found.values())
        particles = self._fine and enough and inside.size <= LIVE_VOXELS
        if not particles and not self._config.calibration.table:
            return []
        strength = self._strength(inside, patterns)
        made = self._states(found, strength)
        return [*made, *self._particles(found, strength)[0]] if particles else made

    def final(
        self, maps: Iterable[Result], inside: NDArray[np.bool_], patterns: Patterns
    ) -> list[Result]:
        """What the final maps say; afterwards `particles` is what later scans may build on."""
        found = {result.name: result for result in maps}
        strength = self._strength(inside, patterns)
        made = self._states(found, strength)
        if self._fine:
            more, self._slice = self._particles(found, strength)
            made += [*more, *self._segments(found)]
        return made

    def regions(
        self,
        phases: PhaseMaps,
        patterns: Patterns,
        inside: NDArray[np.bool_],
        noise: RegionNoise,
    ) -> Iterable[Result]:
        """The refinement table of the bulk and, after final(), of particles, shells, segments."""
        slice_, shells = self._slice, self._config.particles.shells
        table = phases.bulk(patterns, noise)
        if slice_ is not None and slice_.found.count:
            more = refine_particles(
                phases, patterns, slice_.found.label[inside], slice_.shell[inside], shells,
                slice_.identity, slice_.order(), noise,
            )  # fmt: skip
            table = table.followed_by(more)
            names = slice_.identity[1:]
            fractions = shell_fractions(table, names.tolist(), shells)
            yield from shell_fraction_results(self._labels, fractions, names)
        if self._segment is not None:
            more = refine_segments(phases, patterns, self._segment[inside], noise)
            table = table.followed_by(more)
        if table.regions:
            yield table.result(self._labels)

    def _strength(self, inside: NDArray[np.bool_], patterns: Patterns) -> F64:
        voxels = int(inside.sum())
        parts = [patterns(slice(n, n + HAND))[0] @ self._sums for n in range(0, voxels, HAND)]
        strength = np.full(inside.shape, np.nan)
        if parts:
            strength[inside] = np.concatenate(parts)
        return strength

    def _states(self, found: dict[str, Result], strength: F64) -> list[Result]:
        return soc_results(self._config.calibration, self._labels, found, strength, self._start)

    def _particles(
        self, found: dict[str, Result], strength: F64
    ) -> tuple[list[Result], Slice | None]:
        return particle_results(
            self._config.particles, self._rule, self._labels, found, strength, self._earlier
        )

    def _segments(self, found: dict[str, Result]) -> Iterable[Result]:
        a, most = found.get("lattice_parameter"), self._config.particles.segments
        if a is None or most == 0:
            return
        sorted_ = segments_of(np.asarray(a.values, np.float64).ravel(), most)
        self._segment = sorted_.of.reshape(a.values.shape).astype(np.int32)
        of = np.where(self._segment >= 0, self._segment, np.nan)
        columns = np.stack([sorted_.mean, sorted_.spread, sorted_.share], axis=1)
        yield self._labels.result("segments", "", ("y", "x"), a.coords, a.units, of)
        yield self._labels.result(
            "segment_table", "", ("segment", "column"),
            {"segment": np.arange(len(columns)), "column": np.arange(3)},
            {"segment": "", "column": ""}, columns, attrs={"columns": "a,a_spread,share"},
        )  # fmt: skip

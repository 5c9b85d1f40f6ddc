"""What a scan's maps say about the sample: its particles, its states of charge, its segments.

Final results have all of it. Live ones have the states of charge, and, from half of the scan on,
the particles of maps that are small enough for it to take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..stream.messages import Result, ScanStart
from .classification import Rule
from .findings import Findings, role_of
from .labels import Labels
from .particle_results import Fractions, particle_results
from .segments import segments_of
from .soc_results import soc_results
from .tracking import ParticleFindings
from .xrdct_config import XrdctConfig

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

    def __init__(self, config: XrdctConfig, start: ScanStart, labels: Labels) -> None:
        self._config = config
        self._start = start
        self._labels = labels
        self._rule = rule_of(config)
        self._fine = role_of(start) in ("slice", "roi")
        self._earlier: ParticleFindings | None = None
        self.particles: ParticleFindings | None = None

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Take the identities of the last earlier scan that has any."""
        known = [each.particles for each in earlier if each.particles is not None]
        self._earlier = known[-1] if known else None

    def live(self, maps: Iterable[Result]) -> list[Result]:
        """What the maps so far say at little cost."""
        found = {result.name: result for result in maps}
        made = soc_results(self._config.calibration, self._labels, found, self._start)
        a = found.get("lattice_parameter")
        small = a is not None and a.values.size <= LIVE_VOXELS
        if self._fine and small and a is not None and a.completeness >= LIVE_SHARE:
            made += self._particles(found)[0]
        return made

    def final(self, maps: Iterable[Result], fractions: Fractions | None = None) -> list[Result]:
        """What the final maps say; afterwards `particles` is what later scans may build on.

        fractions: mass fractions of regions of voxels, see particle_results
        """
        found = {result.name: result for result in maps}
        made = soc_results(self._config.calibration, self._labels, found, self._start)
        if self._fine:
            more, self.particles = self._particles(found, fractions)
            made += [*more, *self._segments(found)]
        return made

    def _particles(
        self, found: dict[str, Result], fractions: Fractions | None = None
    ) -> tuple[list[Result], ParticleFindings | None]:
        return particle_results(
            self._config.particles, self._rule, self._labels, found, self._earlier, fractions
        )

    def _segments(self, found: dict[str, Result]) -> Iterable[Result]:
        a, most = found.get("lattice_parameter"), self._config.particles.segments
        if a is None or most == 0:
            return
        sorted_ = segments_of(np.asarray(a.values, np.float64).ravel(), most)
        of = np.where(sorted_.of >= 0, sorted_.of, np.nan).reshape(a.values.shape)
        columns = np.stack([sorted_.mean, sorted_.spread, sorted_.share], axis=1)
        yield self._labels.result("segments", "", ("y", "x"), a.coords, a.units, of)
        yield self._labels.result(
            "segment_table", "", ("segment", "column"),
            {"segment": np.arange(len(columns)), "column": np.arange(3)},
            {"segment": "", "column": ""}, columns, attrs={"columns": "a,a_spread,share"},
        )  # fmt: skip

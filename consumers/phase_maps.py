"""Maps of phases: the whole-pattern refinement of every voxel, a share of the voxels at a time.

As in lattice_map.py the voxels are dealt out to hands, one of which is refined at a time, and the
maps hold the newest answer of every voxel. Final maps are made of all hands anew, with a profile
fitted to the final volume itself: they do not know what the live ones were.

Not shown are voxels where the working phase does not stand out of the noise, pores (less of it
than a share of the strong voxels'), and, with "ambiguous" 1, voxels at whose lattice parameter it
cannot be told from another phase.

Final maps know of voxels that hold the working phase twice (coexistence.py): a is that of which
there is more, the other one and its share of the two stand in maps of their own, and mass fractions
are not shown, because they come from the refinement with one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Result, Scalar
from .coexistence import Coexistence, Pairs
from .lattice import LatticeFits
from .lattice_map import HAND, Patterns
from .phases import Phase, ProfileConfig
from .profile_fit import settled
from .refinement import Refined, Refinement
from .regions import Region, RegionTable, refine_regions
from .templates import Profile, Templates
from .xrdct_results import XrdctResults

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
# variances of the sums over so many regions, (regions, channels), from (n,) which region the voxels
# inside the circle are in, below 0 none
RegionNoise = Callable[[I32, int], F64]
COST_OF_TWO = 6  # how many times longer a pattern takes with two free edges
SAMPLE = 4096  # voxels that tell the profile


class PhaseMaps:
    """Refinements of the voxels of one scan.

    q: (channels,) of the patterns [1/Å]; phases: the working one last
    background_terms: of the Chebyshev polynomial
    threshold: share of the strong voxels' scale below which a voxel is a pore
    """

    def __init__(
        self,
        q: F64,
        phases: tuple[Phase, ...],
        profile: ProfileConfig,
        background_terms: int,
        threshold: float,
    ) -> None:
        self._q, self._phases = q, phases
        self._begin = Profile(profile.width, profile.strain, profile.mixing)
        self._fitted = profile.fitted
        self._terms = background_terms
        self._share = threshold
        self._refinement: Refinement | None = None
        self._absolute = False
        self.start(0)

    def start(self, voxels: int) -> None:
        """Forget all answers; so many voxels are inside the circle from now on."""
        self.refined = Refined.none(voxels, len(self._phases))
        self.pairs = Pairs.none(voxels)
        two = self._phases[-1].c_limits is not None
        hand = HAND // COST_OF_TWO if two else HAND
        count = max(1, -(-voxels // hand))
        self._hands = [slice(start, None, count) for start in range(count)]
        self._next = 0
        self._old = 0

    def renew(self) -> None:
        """Say that the patterns have changed: every hand is to be refined again."""
        self._old = len(self._hands)

    def unfinished(self) -> int:
        """How many hands rest on patterns that have changed since."""
        return self._old

    @property
    def refinement(self) -> Refinement:
        """The one in use. Raises RuntimeError before weigh()."""
        if self._refinement is None:
            raise RuntimeError("phase maps were asked for a refinement before they had weights")
        return self._refinement

    def weigh(self, variance: F64, patterns: Patterns, fit_profile: bool) -> None:
        """Make templates weighted by the channels' variances.

        variance: (channels,) up to a factor, nan to leave a channel out; used as long as the
            patterns come without variances of their own
        fit_profile: to the patterns, where the configuration allows it
        """
        profile = self._refinement.templates.profile if self._refinement else self._begin
        thin = slice(0, None, max(1, -(-len(self.refined.a) // SAMPLE)))
        sample, variances = patterns(thin)
        shape = variances.mean(axis=0, dtype=np.float64) if len(variances) else np.zeros(1)
        self._absolute = bool((shape > 0).any())
        if self._absolute:
            variance = np.where(np.isfinite(variance) & (shape > 0), shape, np.nan)

        def make(changed: Profile) -> Templates:
            return Templates(self._q, variance, self._phases, changed, self._terms)

        templates = make(profile)
        if self._fitted and fit_profile and len(sample):
            templates = settled(templates, make, sample)
        self._refinement = Refinement(templates)

    def advance(self, patterns: Patterns) -> None:
        """Refine the next hand, if any is old."""
        if self._old:
            chosen = self._hands[self._next]
            mine, variances = patterns(chosen)
            self.refined.put(chosen, self._refine(mine, variances, tolerance=0.05))
            self._next = (self._next + 1) % len(self._hands)
            self._old -= 1

    def refine_all(self, patterns: Patterns) -> None:
        """Refine every voxel from nothing, to the final tolerance, and look for pairs."""
        for chosen in self._hands:
            mine, variances = patterns(chosen)
            self.refined.put(chosen, self._refine(mine, variances, tolerance=1e-3))
        if self.refinement.templates.shape[1] == 1:
            shown, search = self.shown(), Coexistence(self.refinement)
            for chosen in self._hands:
                found = Pairs.none(len(shown[chosen]))
                there = np.flatnonzero(shown[chosen])
                mine, variances = patterns(chosen)
                part = self.refined.part(chosen).part(there)
                levels = self.refinement.levels(variances[there]) if self._absolute else None
                found.put(there, search.find(mine[there], part, levels))
                self.pairs.put(chosen, found)
        self._old = 0

    def _refine(self, patterns: F32, variances: F32 | None, tolerance: float) -> Refined:
        """Refinements with the patterns' own variances, where there are any."""
        known = variances if self._absolute else None
        return self.refinement.refine(patterns, known, tolerance)

    def shown(self) -> NDArray[np.bool_]:
        """Voxels that hold enough of the working phase to speak of."""
        refined = self.refined
        scale = np.where(refined.seen(), refined.scale[:, -1], np.nan)
        known = scale[np.isfinite(scale)]
        least = self._share * float(np.percentile(known, 95)) if known.size else 0.0
        above: NDArray[np.bool_] = scale >= least
        return above

    def lattice_parameter(self) -> tuple[F64, F64]:
        """a and its standard uncertainty of every voxel [Å], nan where not shown.

        Of two working phases in a voxel, that of which there is more.
        """
        told = self.shown() & ~self.refined.alike()
        pairs, two = self.pairs, self.pairs.found()
        high = pairs.high_share > 0.5
        a = np.where(two, np.where(high, pairs.high, pairs.low), self.refined.a)
        sigma = np.where(two, np.where(high, pairs.high_sigma, pairs.low_sigma),
                         self.refined.a_sigma)  # fmt: skip
        return np.where(told, a, np.nan), np.where(told, sigma, np.nan)

    def table(
        self, regions: Mapping[str, NDArray[np.bool_]], patterns: Patterns, noise: RegionNoise
    ) -> RegionTable:
        """The refinement of regions as wholes.

        regions: name -> (n,) which of the voxels inside the circle; empty ones are left out
        """
        sums = {name: np.zeros(self._q.size) for name, voxels in regions.items() if voxels.any()}
        for chosen in self._hands:
            mine, _ = patterns(chosen)
            for name, total in sums.items():
                total += mine[regions[name][chosen]].sum(axis=0, dtype=np.float64)
        named = [
            self.region(
                name,
                regions[name],
                total,
                noise(np.where(regions[name], 0, -1).astype(np.int32), 1)[0],
            )
            for name, total in sums.items()
        ]
        return refine_regions(named, self.refinement)

    def bulk(self, patterns: Patterns, noise: RegionNoise) -> RegionTable:
        """The refinement of all voxels shown as one region; of none where there are none."""
        return self.table({"bulk": self.shown()}, patterns, noise)

    def region(self, name: str, voxels: NDArray[np.bool_], total: F64, variance: F64) -> Region:
        """Some voxels, (n,) of those inside the circle.

        total: (channels,) the sum of their patterns; variance: of the sum
        """
        count = int(voxels.sum())
        part, pairs, two = self.refined.part(voxels), self.pairs, self.pairs.found()[voxels]
        share = np.where(two, pairs.high_share[voxels], 0.0)
        scale = part.scale[:, -1]
        a = [np.where(two, pairs.low[voxels], part.a), pairs.high[voxels]]
        weights = [scale * (1 - share), scale * share]
        return Region(
            name,
            count,
            total / count,
            variance / count**2 if self._absolute else None,
            np.concatenate(a),
            np.concatenate(weights),
        )

    def refine_one(self, pattern: F32, variance: F32 | None) -> tuple[LatticeFits, F64]:
        """The refinement of one voxel's pattern: its lattice parameter, and the curve.

        pattern, variance: (channels,), the latter None where it is not known
        """
        variances = None if variance is None else variance[None]
        found = self._refine(pattern.astype(np.float32)[None], variances, tolerance=1e-4)
        fits = dataclasses.replace(LatticeFits.none(1), a=found.a, a_sigma=found.a_sigma)
        if not np.isfinite(found.a[0]):
            return fits, np.full(self._q.size, np.nan)
        return fits, self.refinement.curve(found, pattern.astype(np.float64))[0]

    def results(
        self, labelled: XrdctResults, inside: NDArray[np.bool_], counted: Mapping[str, Scalar]
    ) -> Iterable[Result]:
        """The maps but that of a, which has its own window; inside: (rows, cols) the circle."""
        refined, shown = self.refined, self.shown()
        alike = shown & refined.alike()
        told = shown & ~alike
        profile = self.refinement.templates.profile
        about: dict[str, Scalar] = {
            **counted,
            "working_phase": self._phases[-1].key,
            "profile_width": profile.width,
            "profile_strain": profile.strain,
            "profile_mixing": profile.mixing,
        }
        maps: list[tuple[str, str, F64, F64 | None, Mapping[str, Scalar]]] = [
            ("phase_scale", "photons/(pixel um)", refined.scale[:, -1],
             refined.scale_sigma[:, -1], about),
            ("rwp", "%", np.where(shown, refined.rwp, np.nan), None, about),
            ("ambiguous", "", np.where(alike, 1.0, 0.0), None, about),
        ]  # fmt: skip
        pairs, two = self.pairs, told & self.pairs.found()
        if pairs.found().any():
            high = pairs.high_share > 0.5
            second = np.where(high, pairs.low, pairs.high)
            sigma = np.where(high, pairs.low_sigma, pairs.high_sigma)
            maps.append(("lattice_parameter_second", "Å", np.where(two, second, np.nan),
                         np.where(two, sigma, np.nan), about))  # fmt: skip
            share = np.where(two, np.where(high, 1 - pairs.high_share, pairs.high_share), 0.0)
            maps.append(("second_share", "", np.where(told, share, np.nan),
                         np.where(two, pairs.high_share_sigma, np.nan), about))  # fmt: skip
        if self.refinement.templates.shape[1] > 1:
            c, sigma = (np.where(told, x, np.nan) for x in (refined.c, refined.c_sigma))
            maps.append(("lattice_parameter_c", "Å", c, sigma, about))
        for n, phase in enumerate(self._phases):
            attrs = {**about, "phase": phase.key, "formula": phase.crystal.formula, "hint": True}
            value, sigma = (
                np.where(told & ~two, x[:, n], np.nan)
                for x in (refined.fraction, refined.fraction_sigma)
            )
            maps.append((f"mass_fraction_{phase.key}", "", value, sigma, attrs))
        for name, unit, values, uncertainty, more in maps:
            yield labelled.map_of(name, unit, inside, values, uncertainty, more)

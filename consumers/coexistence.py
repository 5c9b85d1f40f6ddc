"""Where a voxel holds the working phase twice, each with a lattice parameter of its own.

A spinel that is halfway through a two-phase step has two lattice parameters; one template fits
neither and lands between them, where no spinel can be. So two are tried (kernels/pattern_pairs.py)
and taken where that is not chance: where chi2 falls by more than LEAST_FALL for the two parameters
more, both scales stand three standard uncertainties out of the noise, and the two are so far apart
that a broader line would not do as well.

LEAST_FALL: two parameters more lower chi2 of pure noise by more than x with probability
exp(-x / 2); a map of 1e5 voxels, each with some 200 distinguishable pairs to choose from, has that
by chance in one voxel at x = 34 (which counts the pairs as if they were independent: an upper
bound). APART is in widths of the line at the end of the pattern.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .kernels import pattern_pairs as kernel
from .kernels.pattern_table import FIXED
from .refinement import CHUNK, MOST_STEPS, SEEN, Products, Refined, Refinement

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
LEAST_FALL = 34.0
APART = 0.6  # full widths at half maximum at the last channel


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two crystals of the working phase in n patterns; all (n,) float64, nan where there is one.

    low, high, low_sigma, high_sigma: lattice parameters, the lower first [Å]
    high_share: of the higher one in the volume of both; high_share_sigma
    fall: by how much chi2 is lower than with one, in units of the patterns' variance, or of what
        the residual says it is, whichever is larger; uncertainties likewise
    """

    low: F64
    low_sigma: F64
    high: F64
    high_sigma: F64
    high_share: F64
    high_share_sigma: F64
    fall: F64

    @classmethod
    def none(cls, number: int) -> Pairs:
        """No pairs in so many patterns."""
        return cls(*[np.full(number, np.nan) for _ in fields(cls)])

    def found(self) -> NDArray[np.bool_]:
        """Where there are two."""
        there: NDArray[np.bool_] = np.isfinite(self.low)
        return there

    def put(self, chosen: slice | NDArray[np.intp], others: Pairs) -> None:
        """Replace some of them."""
        for field in fields(Pairs):
            getattr(self, field.name)[chosen] = getattr(others, field.name)


class Coexistence:
    """Looks for pairs with the templates of a refinement whose working phase is cubic."""

    def __init__(self, refinement: Refinement) -> None:
        t = refinement.templates
        if t.shape[1] > 1:
            raise ValueError(f"{t.phases[-1].key} has two free edges, pairs are found by one only")
        self._refinement = refinement
        nodes = t.nodes.astype(np.float64)
        self._square = nodes @ nodes.T
        self._shared = np.ascontiguousarray(t.table[:, 0, FIXED:])
        inverse = np.linalg.pinv(t.gram, rcond=1e-6, hermitian=True) if len(t.fixed) else t.gram
        at = t.searched
        shared = self._shared[at]
        self._given = inverse @ shared.T
        self._own = self._square[np.ix_(at, at)] - shared @ self._given
        width = t.profile.widths(t.q[-1:])[0] / t.q[-1] * t.a_axis.mean()
        self._apart = APART * width / float(t.a_axis[1] - t.a_axis[0])

    def find(self, patterns: F32, refined: Refined, level: F64 | None = None) -> Pairs:
        """Pairs in patterns, (n, channels), that were refined with one working phase.

        level: (n,) of Refinement.levels(); None: the residual tells it
        """
        found = Pairs.none(len(patterns))
        for first in range(0, max(len(patterns), 1), CHUNK):  # none at all warms the kernels
            part = slice(first, first + CHUNK)
            mine = None if level is None else level[part]
            found.put(part, self._find_chunk(patterns[part], refined.part(part), mine))
        return found

    def _find_chunk(self, patterns: F32, refined: Refined, level: F64 | None) -> Pairs:
        t = self._refinement.templates
        made = self._refinement.products(patterns)
        out, scales = self._refined_pairs(made, self._starts(made, refined))
        again, other = self._refined_pairs(made, self._seconds(made, refined))
        better = ~(out[:, kernel.CHI2] <= again[:, kernel.CHI2])
        out[better], scales[better] = again[better], other[better]
        free = self._refinement.free_points - 2
        # what two spinels do not explain either is no reason to believe in them
        own_level = out[:, kernel.CHI2] / free
        own_level = own_level if level is None else np.maximum(own_level, level)
        one = refined.chi2 * (1.0 if level is None else level) * (free + 2)
        fall = (one - out[:, kernel.CHI2]) / own_level
        spread = np.sqrt(own_level)
        two, sigma = scales[:, 0, -2:], np.sqrt(scales[:, 1, -2:]) * spread[:, None]
        real = (fall > LEAST_FALL) & (two > SEEN * sigma).all(axis=1)
        step = float(t.a_axis[1] - t.a_axis[0])
        total = two.sum(axis=1)
        share = two[:, 1] / total
        share_sigma = np.hypot(share * sigma[:, 0], (1 - share) * sigma[:, 1]) / total
        columns = (
            t.a_axis[0] + step * out[:, kernel.FIRST],
            step * np.sqrt(out[:, kernel.VAR_FIRST]) * spread,
            t.a_axis[0] + step * out[:, kernel.SECOND],
            step * np.sqrt(out[:, kernel.VAR_SECOND]) * spread,
            share,
            share_sigma,
            fall,
        )
        return Pairs(*[np.where(real, values, np.nan) for values in columns])

    def _starts(self, made: Products, refined: Refined) -> I64:
        """The pair on the search's grid that lowers chi2 most, (n, 2) nodes."""
        searched = self._refinement.templates.searched
        found = np.ascontiguousarray(made.searched - made.fixed @ self._given)
        pairs, gains = np.empty((len(found), 2), np.int64), np.empty(len(found))
        apart = max(1, round(self._apart / int(searched[1] - searched[0])))
        kernel.search_pairs(found, self._own, apart, pairs, gains)
        starts: I64 = np.where(pairs >= 0, searched[pairs], -1)
        starts[~refined.seen()] = -1
        return starts

    def _seconds(self, made: Products, refined: Refined) -> I64:
        """The one cell that was refined and what is left over then, (n, 2) nodes.

        Where the pattern is strong, the search's grid is too coarse to see a weak second one.
        """
        t = self._refinement.templates
        cell = np.where(refined.seen(), refined.a - t.a_axis[0], np.nan) / (
            t.a_axis[1] - t.a_axis[0]
        )
        scale = np.nan_to_num(refined.scale)
        residual = made.searched - scale[:, :-1] @ self._shared[t.searched].T
        pairs = np.empty((len(cell), 2), np.int64)
        kernel.search_second(
            residual, cell, scale[:, -1], self._square, t.searched, self._apart, pairs
        )
        return pairs

    def _refined_pairs(self, made: Products, starts: I64) -> tuple[F64, F64]:
        t, n = self._refinement.templates, len(starts)
        out, scales = np.empty((n, kernel.OUTPUTS)), np.empty((n, 2, len(t.fixed) + 2))
        kernel.refine_pairs(
            made.weighted, t.nodes, self._square, self._shared, t.gram, made.fixed, made.rest,
            starts, t.limits()[:2], self._apart, MOST_STEPS, out, scales,
        )  # fmt: skip
        return out, scales

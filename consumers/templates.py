"""The templates of a refinement: every phase's pattern, the working phase's on a grid of cells.

A template is a phase's pattern per volume, on the channels of the measured patterns, weighted like
them (each channel over its standard deviation), and orthogonal to the background. All have one
common unit: the height of the working phase's strongest line in the middle of its range is 1. So
the working phase's scale is that height, in the patterns' unit, and all scales are as volumes.

The grid's step is a tenth of a line's width at the last channel (0.15 where two edges are free);
polynomials through six nodes then follow a line to 1e-4 of its height. The search looks at every
third node: by then a line has moved by less than half its width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .crystal import Lines
from .kernels.line_patterns import line_patterns
from .kernels.pattern_table import (
    DENSITY,
    FIXED,
    SLOPE_AA,
    SLOPE_AC,
    SLOPE_CC,
    SLOPE_NODES,
    SLOPE_WEIGHTS,
    SQUARE,
)
from .pattern_fit import Radiation
from .phases import Phase

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
ONE_LINE = Radiation((1.0,), (1.0,))
STEP, STEP_OF_TWO = 0.1, 0.15  # of a full width at half maximum
SEARCH_EVERY = 3
MARGIN = 3  # nodes beyond the range on either side, for the polynomials
MOST_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Profile:
    """Pseudo-Voigt lines: full width^2 = width^2 + (strain q)^2 [1/Å]; mixing: Lorentzian share."""

    width: float
    strain: float
    mixing: float

    def widths(self, q: F64) -> F64:
        """Full width at half maximum of lines at q [1/Å]."""
        found: F64 = np.hypot(self.width, self.strain * q)
        return found


def draw(q: F64, lines: Lines, profile: Profile) -> F64:
    """The pattern of some lines on q, (channels,), per volume [electrons^2 / Å^6]."""
    out = np.empty((1, q.size))
    line_patterns(
        q, lines.q[None], lines.strength[None], profile.widths(lines.q)[None], profile.mixing, out
    )
    pattern: F64 = out[0]
    return pattern


class Templates:
    """All templates of one set of phases, one profile and one set of weights.

    q: (channels,) ascending [1/Å]
    root_weight: (channels,) one over the channels' standard deviations, 0 where left out
    background: (channels, terms) orthonormal, weighted
    fixed: (phases, channels) float32 of the phases of fixed cell; gram: their products
    nodes: (a * c, channels) float32 of the working phase
    table: (a, c, columns) products, see kernels/pattern_table.py
    searched: (n,) the nodes the search looks at
    densities: (phases,) of the fixed phases [g/cm3]
    """

    def __init__(
        self,
        q: F64,
        variance: F64,
        phases: Sequence[Phase],
        profile: Profile,
        background_terms: int = 6,
        radiation: Radiation = ONE_LINE,
    ) -> None:
        """variance: (channels,) of the patterns; not positive or not finite: left out.

        phases: the working one last
        radiation: of an X-ray tube; q is that of its first line
        Raises ValueError where the working phase's range is too wide.
        """
        self.q, self.phases, self.profile = q, tuple(phases), profile
        self._radiation = radiation
        good = np.isfinite(variance) & (variance > 0)
        self.root_weight = np.where(good, 1 / np.sqrt(np.where(good, variance, 1.0)), 0.0)
        scaled = np.interp(q, [q[0], q[-1]], [-1.0, 1.0])
        terms = np.polynomial.chebyshev.chebvander(scaled, background_terms - 1)
        self.background = np.linalg.qr(terms * self.root_weight[:, None])[0]
        working = phases[-1]
        if working.a_limits is None:
            raise ValueError(f"the last phase, {working.key}, is not the working one")
        self.a_axis = self._axis(working.a_limits)
        self.c_axis = np.zeros(1) if working.c_limits is None else self._axis(working.c_limits)
        if self.a_axis.size * self.c_axis.size > MOST_NODES:
            raise ValueError(
                f"phases.{working.key}: {self.a_axis.size} by {self.c_axis.size} cells to look at, "
                f"at most {MOST_NODES}: narrow a_min to a_max or c_min to c_max"
            )
        self.unit = 1.0 / float(draw(q, self._lines(*self._middle()), profile).max())
        drawn = [draw(q, self._lines_of(p), profile) for p in phases[:-1]]
        raw = np.array(drawn).reshape(-1, q.size)
        projected = self._weighted(raw)
        self.fixed: F32 = projected.astype(np.float32)
        self.gram: F64 = projected @ projected.T
        self.densities = np.array([p.crystal.density(p.a, p.c) for p in phases[:-1]])
        self.nodes: F32 = self._draw_nodes()
        self.table = self._products()
        self.searched = self._searched()

    @property
    def shape(self) -> tuple[int, int]:
        """How many cells the grid has along a and c."""
        return self.a_axis.size, self.c_axis.size

    @property
    def channels(self) -> int:
        """How many channels are used."""
        return int(np.count_nonzero(self.root_weight > 0))

    @property
    def parameters(self) -> int:
        """Of one fit: background, scales, cell edges."""
        return int(self.background.shape[1]) + len(self.phases) + (1 if self.shape[1] == 1 else 2)

    def limits(self) -> F64:
        """First and last a, first and last c [nodes]."""
        count_a, count_c = self.shape
        ends = (0.0, 0.0) if count_c == 1 else (MARGIN, count_c - 1.0 - MARGIN)
        return np.array([MARGIN, count_a - 1.0 - MARGIN, *ends])

    def curve(self, a: float, c: float, scales: F64, profile: Profile | None = None) -> F64:
        """The phases' patterns at a cell [Å], times their scales, (phases, channels), unweighted.

        profile: another one than the templates'
        """
        lines = [self._lines_of(p) for p in self.phases[:-1]] + [self._lines(a, c)]
        parts = [
            s * self.unit * draw(self.q, each, profile or self.profile)
            for s, each in zip(scales, lines, strict=True)
        ]
        return np.array(parts)

    def spread(self, offsets: F64, shares: F64) -> Templates:
        """Templates of a working phase that has many a at once; a is then their mean.

        offsets: (n,) from the mean [Å]; shares: (n,) how much of the phase has each
        """
        count = self.a_axis.size
        step = self.a_axis[1] - self.a_axis[0]
        mixed = np.zeros((count, count))
        for offset, share in zip(offsets / step, shares / shares.sum(), strict=True):
            whole = math.floor(offset)
            for place, part in ((whole, 1 - (offset - whole)), (whole + 1, offset - whole)):
                at = np.clip(np.arange(count) + place, 0, count - 1)
                np.add.at(mixed, (np.arange(count), at), share * part)
        other = copy.copy(self)
        count_c = self.c_axis.size
        nodes = self.nodes.reshape(count, -1)
        other.nodes = (mixed.astype(np.float32) @ nodes).reshape(count * count_c, -1)
        other.table = other._products()
        return other

    def _middle(self) -> tuple[float, float]:
        return float(self.a_axis.mean()), float(self.c_axis.mean())

    def _lines(self, a: float, c: float) -> Lines:
        lines = self.phases[-1].crystal.lines(a, c if self.c_axis.size > 1 else None)
        return _with_every_wavelength(lines, self._radiation)

    def _lines_of(self, phase: Phase) -> Lines:
        return _with_every_wavelength(phase.crystal.lines(phase.a, phase.c), self._radiation)

    def _axis(self, limits: tuple[float, float]) -> F64:
        low, high = limits
        two = self.phases[-1].c_limits is not None
        width = self.profile.widths(self.q[-1:])[0]
        step = (STEP_OF_TWO if two else STEP) * width / self.q[-1] * low
        count = max(math.ceil((high - low) / step), 6)
        axis: F64 = low + (high - low) / count * np.arange(-MARGIN, count + MARGIN + 1)
        return axis

    def _weighted(self, patterns: F64) -> F64:
        """Patterns (n, channels) in the common unit, weighted and without background."""
        weighted = patterns * (self.unit * self.root_weight)
        found: F64 = weighted - (weighted @ self.background) @ self.background.T
        return found

    def _draw_nodes(self) -> F32:
        count_a, count_c = self.shape
        nodes = np.empty((count_a * count_c, self.q.size), np.float32)
        drawn = np.empty((count_c, self.q.size))
        for i, a in enumerate(self.a_axis):
            lines = [self._lines(a, c) for c in self.c_axis]
            q = np.array([each.q for each in lines])
            strength = np.array([each.strength for each in lines])
            line_patterns(self.q, q, strength, self.profile.widths(q), self.profile.mixing, drawn)
            nodes[i * count_c : (i + 1) * count_c] = self._weighted(drawn)
        return nodes

    def _products(self) -> F64:
        count_a, count_c = self.shape
        nodes = self.nodes.reshape(count_a, count_c, -1)
        table = np.zeros((count_a, count_c, FIXED + len(self.fixed)))
        crystal = self.phases[-1].crystal
        for i, a in enumerate(self.a_axis):
            row = nodes[i].astype(np.float64)
            by_a = _slopes(nodes, i)
            table[i, :, SQUARE] = np.einsum("ij,ij->i", row, row)
            table[i, :, SLOPE_AA] = np.einsum("ij,ij->i", by_a, by_a)
            if count_c > 1:
                by_c = np.array([_slopes(row, j) for j in range(count_c)])
                table[i, :, SLOPE_AC] = np.einsum("ij,ij->i", by_a, by_c)
                table[i, :, SLOPE_CC] = np.einsum("ij,ij->i", by_c, by_c)
            table[i, :, FIXED:] = row @ self.fixed.T.astype(np.float64)
            for j, c in enumerate(self.c_axis):
                table[i, j, DENSITY] = crystal.density(a, c if count_c > 1 else None)
        return table

    def _searched(self) -> I64:
        count_a, count_c = self.shape
        along_a = np.arange(MARGIN, count_a - MARGIN, SEARCH_EVERY)
        along_c = np.arange(MARGIN, max(count_c - MARGIN, MARGIN + 1), SEARCH_EVERY)
        along_c = along_c if count_c > 1 else np.zeros(1, np.int64)
        return (along_a[:, None] * count_c + along_c[None, :]).ravel().astype(np.int64)


def _with_every_wavelength(lines: Lines, radiation: Radiation) -> Lines:
    """A line of spacing d stands for each wavelength where the first one would see another d."""
    first = radiation.wavelengths[0]
    factors = [wavelength / first for wavelength in radiation.wavelengths]
    return Lines(
        np.concatenate([lines.q * factor for factor in factors]),
        np.concatenate([lines.strength * weight for weight in radiation.weights]),
        np.concatenate([lines.hkl] * len(factors)),
    )


def _slopes(grid: NDArray[np.floating], place: int) -> F64:
    """Slope along the first axis at a node, in nodes; at the margin from what there is."""
    count = len(grid)
    if not 2 <= place < count - 2:
        place = min(max(place, 2), count - 3)
    total = np.zeros(grid.shape[1:])
    for offset, weight in zip(SLOPE_NODES, SLOPE_WEIGHTS, strict=True):
        total += weight * grid[place + offset]
    return total

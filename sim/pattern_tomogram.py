"""A tomogram made directly as patterns: what a scan's frames come to when their rings are added.

A scan of 351 x 350 frames takes long to paint. What reaches a reconstruction is a pattern a frame,
and that can be made at once: the mean photons of every ring, times the pixels of the ring, a
Poisson number of that, divided by the pixels again. Zingers, spots and what a detector's pixels
differ in are left out; photons are not.

A pattern is in photons per pixel of full solid angle and no loss to polarisation, as it is after an
integration that divides both out. A ring's pixels are counted by what they see: two that see half
are one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .content import Content
from .forward import line_weights
from .poisson import poisson_numbers, poisson_tables
from .powder import LineShape
from .sample import PatternTable, strongest_line
from .surroundings import Surroundings
from .truth import Truth

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
# where a pattern is taken in each channel (0 to 1), and what each point counts: Gauss-Legendre, as
# exact as 40 points side by side where a channel is as wide as a line
_NODES, _SHARES = np.polynomial.legendre.leggauss(4)
_NODES, _SHARES = (_NODES + 1) / 2, _SHARES / 2


@dataclass(frozen=True, slots=True)
class PatternTomogram:
    """One scan; every projection is made when it is asked for, and is the same each time.

    rotations_deg: (rotations,) in the order given
    translations_um: (translations,) ascending
    q_edges: (channels + 1,) [1/Å]
    pixels: (channels,) float32, pixels of each ring by what they see
    photons: photons a pixel for one um of spinel at the top of its strongest line
    longest_um: path through spinel of the ray that has the longest
    """

    rotations_deg: F64
    translations_um: F64
    q_edges: F64
    pixels: F32
    photons: float
    longest_um: float
    _weights: F32
    _rows: F32
    _background: F32
    _tables: NDArray[np.uint32]
    _seed: int | None

    def mean(self, rotation: int) -> F32:
        """Patterns of one projection without noise, (translations, channels)."""
        seen: F32 = self._weights[rotation] @ self._rows + self._background
        return seen

    def projection(self, rotation: int) -> F32:
        """Patterns of one projection, (translations, channels), nan where a ring has no pixel."""
        means = self.mean(rotation)
        if self._seed is not None:
            state = np.random.SeedSequence([self._seed, 6, rotation]).generate_state(1, np.uint64)
            counts = np.empty(means.size, np.int32)
            expected = (means * self.pixels).ravel()
            poisson_numbers(expected, state[0], self._tables, counts)
            means = counts.reshape(means.shape).astype(np.float32) / self._divisor()
        means[:, self.pixels <= 0] = np.nan
        return means

    def sigma(self, patterns: F32) -> F32:
        """Standard uncertainty of patterns, (..., channels): sqrt(counts) a pixel, 1 at least."""
        sigma: F32 = np.sqrt(np.maximum(patterns * self.pixels, np.float32(1))) / self._divisor()
        return sigma

    def _divisor(self) -> F32:
        """Pixels of each ring; where there are none patterns are nan and one will do."""
        return np.where(self.pixels > 0, self.pixels, np.float32(1)).astype(np.float32)

    def reductions(self, rotation: int) -> F32:
        """One projection as integrated frames, (translations, 5, channels).

        Rows: mean, robust mean, sigma of each, pixels. Nothing is trimmed: both means are the same.
        """
        patterns = self.projection(rotation)
        sigma = self.sigma(patterns)
        pixels = np.broadcast_to(self.pixels, patterns.shape)
        return np.stack([patterns, patterns, sigma, sigma, pixels], axis=1)

    def patterns(self) -> F32:
        """All of them, (rotations, translations, channels): 354 MB for 350 x 351 x 720."""
        return np.stack([self.projection(n) for n in range(len(self.rotations_deg))])


def pattern_tomogram(
    truth: Truth,
    q_edges: F64,
    rotations_deg: F64,
    translations_um: F64,
    counts: float = 3000.0,
    pixels: float | F64 = 500.0,
    background: float | F64 = 0.1,
    seed: int | None = 1,
    beam_um: float = 1.0,
    centre_um: float = 0.0,
    energy_ev: float = 50_000.0,
    surroundings: Surroundings | None = None,
) -> PatternTomogram:
    """The tomogram of a slice; some seconds for 350 x 351 rays.

    q_edges: (channels + 1,) ascending [1/Å]
    rotations_deg, translations_um: as in forward.py; translations ascending
    counts: photons of the spinel's strongest line in the ray with the longest path through spinel,
        summed over the line's channels and the pixels of their rings, background not counted
    pixels: of every ring, or (channels,); see PatternTomogram
    background: of every ray, flat or (channels,), in units of the top of the spinel's strongest
        line in the ray with the longest path through spinel
    seed: of the noise; None: no noise
    surroundings: of the electrode, their peek and aluminium in the units of background
    Raises ValueError where the arguments do not make a tomogram.
    """
    shifts = np.asarray(translations_um, np.float64) - centre_um
    edges = np.asarray(q_edges, np.float64)
    if np.any(np.diff(shifts) <= 0) or np.any(np.diff(edges) <= 0) or min(beam_um, counts) <= 0:
        raise ValueError(
            f"{shifts.size} translations and {edges.size} channel edges have to ascend, "
            f"beam {beam_um} um and counts {counts} to be more than 0"
        )
    shape, points = LineShape(), _points(edges)
    table = PatternTable(points, energy_ev, shape, 1.0, 1.0)
    weights = _collected(truth, table, rotations_deg, shifts, beam_um)
    longest = float(weights[..., : table.spinel_rows].sum(axis=2).max())
    if not longest > 0:
        raise ValueError("no ray of the tomogram meets any spinel")
    seen = np.broadcast_to(np.asarray(pixels, np.float32), (len(edges) - 1,))
    line = _by_channel(strongest_line(points, energy_ev, shape))
    photons = counts / (longest * float(line @ seen))
    rows = table.rows
    if surroundings is not None:
        around = [
            [surroundings.shares(float(angle), float(s), beam_um) for s in shifts]
            for angle in rotations_deg
        ]
        weights = np.concatenate([weights, np.array(around, np.float32)], axis=2)
        rows = np.concatenate([rows, longest * surroundings.patterns(points, energy_ev)])
    return PatternTomogram(
        rotations_deg=np.asarray(rotations_deg, np.float64),
        translations_um=np.asarray(translations_um, np.float64),
        q_edges=edges,
        pixels=seen.copy(),
        photons=photons,
        longest_um=longest,
        _weights=weights,
        _rows=_by_channel(rows) * np.float32(photons),
        _background=np.full(len(edges) - 1, background, np.float32) * np.float32(photons * longest),
        _tables=poisson_tables(),
        _seed=seed,
    )


def _points(q_edges: F64) -> F64:
    """Where the patterns of channels are taken, (channels * nodes,) [1/Å]."""
    points: F64 = (q_edges[:-1, None] + np.diff(q_edges)[:, None] * _NODES).ravel()
    return points


def _by_channel(values: NDArray[np.floating]) -> F32:
    """Means over the points of every channel, (..., channels)."""
    grouped = values.reshape(*values.shape[:-1], -1, len(_SHARES))
    means: F64 = grouped @ _SHARES
    return means.astype(np.float32)


def _collected(
    truth: Truth, table: PatternTable, rotations_deg: F64, shifts_um: F64, beam_um: float
) -> F32:
    """What each ray collects of the table's rows, (rotations, translations, rows) [um]."""
    content = Content(truth.phase_share, truth.phase_a)
    place = table.place(content)
    amount = (np.nan_to_num(content.share) * truth.filling).reshape(len(place), -1)
    filled = np.flatnonzero(amount.sum(axis=0) > 0)
    row, column = np.divmod(filled, len(truth.x_um))
    x, y = truth.x_um[column], truth.y_um[row]
    place, parts = place[:, filled].copy(), amount[:, filled].astype(np.float32)
    voxel = float(truth.x_um[1] - truth.x_um[0])
    lines = [
        line_weights(x, y, voxel, float(a), shifts_um, beam_um, place, parts, len(table.rows))
        for a in rotations_deg
    ]
    return np.array(lines)

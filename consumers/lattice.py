"""A map of lattice parameters from a volume of powder patterns.

First a search, then a fit. The search asks, for every lattice parameter on a grid, by how much its
reflections lower chi2, each in its own window and after a straight background and foreign lines
have had their part: one matrix product for all voxels, and no start value. The fit
(kernels/lattice_fit.py) refines lattice parameter and width from there. A previous map serves as a
warm start for the width always, and for the lattice parameter where the search agrees with it.

A limit to know: one lattice parameter is fitted. A voxel with two phases gets a value near the
stronger one, pulled towards the weaker by what low-angle reflections do not resolve: 0.010 Å for a
70:30 mixture of 8.076 and 8.145 Å with lines of 0.015 1/Å. Such a value can lie where no phase is.
It shows by chi2, which is many times that of its neighbours; not by its uncertainty, which is that
of counting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .kernels import lattice_fit as kernel
from .kernels.profile import area, pseudo_voigt

F64 = NDArray[np.float64]
Hkl = tuple[int, int, int]

# Aluminium, Fm-3m, a = 4.0495 Å (COD 9012955): what current collectors and cell windows scatter
ALUMINIUM_A = 4.0495
ALUMINIUM_HKL: tuple[Hkl, ...] = ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2))
SEARCH_STEP = 0.004  # Å; at the highest reflections a usual width, 0.015 1/Å, is seven steps
LIVE_TOLERANCE, FINAL_TOLERANCE = 0.1, 1e-4  # of a standard uncertainty


def roots_of(reflections: Sequence[Hkl]) -> F64:
    """2 pi sqrt(h^2 + k^2 + l^2) of each: a cubic cell's reflections stand at q = root / a."""
    return np.array([2 * math.pi * math.sqrt(h * h + k * k + m * m) for h, k, m in reflections])


@dataclass(frozen=True, slots=True)
class LatticeModel:
    """What is to be found in a pattern.

    reflections: Miller indices, in ascending order of h^2 + k^2 + l^2
    lines: (n,) foreign lines [1/Å]
    a_limits [Å], width_limits [1/Å]: beyond them there is no fit
    width: start of the full width at half maximum [1/Å]
    mixing: Lorentzian share of the profile, 0 to 1
    half_window: of a reflection's window [1/Å]
    """

    reflections: tuple[Hkl, ...]
    lines: F64
    a_limits: tuple[float, float]
    width_limits: tuple[float, float]
    width: float
    mixing: float
    half_window: float

    def summed(self) -> NDArray[np.bool_]:
        """The reflections that never come near a foreign line; all, where there are none such."""
        roots = roots_of(self.reflections)[:, None]
        low = roots / self.a_limits[1] - self.width
        high = roots / self.a_limits[0] + self.width
        clear: NDArray[np.bool_] = ~np.any((self.lines > low) & (self.lines < high), axis=1)
        return clear if clear.any() else np.ones_like(clear)


def peak_sum_weights(model: LatticeModel, q: F64) -> NDArray[np.float32]:
    """Weights (channels,) that sum a pattern's intensity in the reflections, [1/Å].

    The windows hold a reflection for any lattice parameter within the limits; the mean of what
    stands on either side of a window is taken off as background.
    """
    weights = np.zeros(q.size, np.float32)
    step = np.gradient(q)
    margin = 1.5 * model.width
    for root in roots_of(model.reflections):
        low, high = root / model.a_limits[1] - margin, root / model.a_limits[0] + margin
        inside = (q >= low) & (q <= high)
        left = (q >= low - margin) & (q < low)
        right = (q > high) & (q <= high + margin)
        if inside.any() and left.any() and right.any():
            wide = step[inside].sum()
            weights[inside] += step[inside]
            weights[left] -= 0.5 * wide / left.sum()
            weights[right] -= 0.5 * wide / right.sum()
    return weights


def channels_used(model: LatticeModel, q: F64) -> NDArray[np.intp]:
    """The channels that a fit can look at for any lattice parameter within the limits, ascending.

    LatticeSearch on these gives what it gives on all: no window and no edge of one is missing.
    """
    margin = model.half_window + 2 * float(np.max(np.diff(q)))
    used = np.zeros(q.size, np.bool_)
    for root in roots_of(model.reflections):
        low, high = root / model.a_limits[1] - margin, root / model.a_limits[0] + margin
        used |= (q >= low) & (q <= high)
    return np.flatnonzero(used)


@dataclass(frozen=True, slots=True)
class LatticeFits:
    """Fits of n patterns; every array (n,) float64, nan where there is no fit.

    a, a_sigma [Å]; width, width_sigma [1/Å]; area, area_sigma: of the summed reflections
    [pattern's unit / Å]; chi2: residual variance in units of the given variance
    fitted: reflections higher than three standard uncertainties
    Uncertainties are of counting only where the fit was given variances, see LatticeSearch.fit().
    """

    a: F64
    a_sigma: F64
    width: F64
    width_sigma: F64
    area: F64
    area_sigma: F64
    chi2: F64
    fitted: F64

    @classmethod
    def none(cls, number: int) -> LatticeFits:
        """No fit of so many patterns yet."""
        return cls(*[np.full(number, np.nan) for _ in range(8)])

    def part(self, chosen: slice) -> LatticeFits:
        """Some of them; values written there are written here."""
        return LatticeFits(
            self.a[chosen], self.a_sigma[chosen], self.width[chosen], self.width_sigma[chosen],
            self.area[chosen], self.area_sigma[chosen], self.chi2[chosen], self.fitted[chosen],
        )  # fmt: skip

    def put(self, chosen: slice, fits: LatticeFits) -> None:
        """Replace some of them."""
        for field in fields(LatticeFits):
            getattr(self, field.name)[chosen] = getattr(fits, field.name)


class LatticeSearch:
    """Search and fit on one q axis.

    q: (channels,) ascending [1/Å]
    weight: (channels,) relative 1 / variance of the channels, 0 for those to leave out
    """

    def __init__(self, model: LatticeModel, q: F64, weight: F64) -> None:
        self.model = model
        self.q = q
        self.weight = weight
        self._roots = roots_of(model.reflections)
        low, high = model.a_limits
        self._grid = np.linspace(low, high, round((high - low) / SEARCH_STEP) + 1)
        self._channels, self._templates, self._gains = self._make_templates()

    def scores(self, patterns: NDArray[np.float32]) -> tuple[F64, F64]:
        """The best lattice parameter on the grid for each pattern, and its summed heights.

        patterns: (n, channels)
        """
        best = np.zeros((len(patterns), self._grid.size), np.float32)
        heights = np.zeros_like(best)
        for channels, templates, gains in zip(
            self._channels, self._templates, self._gains, strict=True
        ):
            found = patterns[:, channels] @ templates
            np.maximum(found, 0.0, out=found)
            best += found * found
            heights += found * gains
        index = best.argmax(axis=1)
        rows = np.arange(len(patterns))
        return self._grid[index], heights[rows, index].astype(np.float64)

    def fit(
        self,
        patterns: NDArray[np.float32],
        near: F64,
        previous: LatticeFits | None = None,
        tolerance: float = LIVE_TOLERANCE,
        variances: NDArray[np.float32] | None = None,
    ) -> LatticeFits:
        """Refine the search's answers.

        near: (n,) lattice parameters to start at, nan for patterns to leave out
        previous: fits of the same patterns at an earlier time
        variances: (n, channels) of the patterns; None: 1 / weight tells them up to a factor, and
            uncertainties are made of the misfit
        """
        start = np.stack([near, np.full_like(near, self.model.width)], axis=1)
        if previous is not None:
            known = np.isfinite(previous.a)
            start[known, 1] = previous.width[known]
            same = known & (np.abs(previous.a - near) < 2 * SEARCH_STEP)
            start[same, 0] = previous.a[same]
        scaled = variances is None
        if variances is None:
            relative = np.where(self.weight > 0, 1.0 / np.maximum(self.weight, 1e-30), 0.0)
            variances = relative.astype(np.float32)[None, :]
        out = np.empty((len(patterns), kernel.OUTPUTS))
        heights = np.empty((len(patterns), self._roots.size))
        kernel.fit_lattices(
            self.q, patterns, variances, scaled, self.weight > 0, self._roots,
            self.model.summed(), self.model.lines, self.model.half_window, self.model.mixing,
            start, self._limits(), tolerance, 60, out, heights,
        )  # fmt: skip
        unit_area = area(1.0, self.model.mixing)
        return LatticeFits(
            a=out[:, kernel.A],
            a_sigma=out[:, kernel.A_SIGMA],
            width=out[:, kernel.WIDTH],
            width_sigma=out[:, kernel.WIDTH_SIGMA],
            area=out[:, kernel.AREA] * unit_area,
            area_sigma=out[:, kernel.AREA_SIGMA] * unit_area,
            chi2=out[:, kernel.CHI2],
            fitted=out[:, kernel.FITTED],
        )

    def fit_one(
        self, pattern: NDArray[np.float32], variance: NDArray[np.float32] | None = None
    ) -> tuple[LatticeFits, F64]:
        """Search, fit and draw a single pattern: its fit, and the curve, nan between windows."""
        patterns = np.ascontiguousarray(pattern, np.float32)[None, :]
        fits = self.fit(
            patterns, self.scores(patterns)[0], tolerance=FINAL_TOLERANCE,
            variances=None if variance is None else variance[None, :],
        )  # fmt: skip
        curve = np.full(self.q.size, np.nan)
        if np.isfinite(fits.a[0]):
            weight = self.weight
            if variance is not None:
                known = (weight > 0) & (variance > 0)
                weight = np.where(known, 1.0 / np.maximum(variance, 1e-30), 0.0)
            kernel.model(
                self.q, patterns[0], weight, self._roots, self.model.lines,
                self.model.half_window, self.model.mixing, fits.a[0], fits.width[0], curve,
            )  # fmt: skip
        return fits, curve

    def _limits(self) -> F64:
        return np.array([*self.model.a_limits, *self.model.width_limits])

    def _make_templates(
        self,
    ) -> tuple[list[slice], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """For each reflection: its channels, and a column for every lattice parameter.

        A pattern times a column is the square root of the fall of chi2 (negative for a dip);
        times the gain it is the height of the reflection.
        """
        model, q = self.model, self.q
        channels, columns, gains = [], [], []
        windows, foreign = np.zeros((1, 2), np.int64), np.zeros(1)
        for root in self._roots:
            low = np.searchsorted(q, root / self._grid[-1] - model.half_window)
            high = np.searchsorted(q, root / self._grid[0] + model.half_window)
            template = np.zeros((high - low, self._grid.size), np.float32)
            gain = np.zeros(self._grid.size, np.float32)
            for n, a in enumerate(self._grid):
                points = kernel.choose_windows(
                    q, self.weight, np.array([root]), model.lines, a, model.width,
                    model.half_window, windows, foreign,
                )  # fmt: skip
                if points == 0:
                    continue
                part = slice(*windows[0])
                column, gain[n] = self._column(q[part], self.weight[part], root / a, foreign[0])
                template[windows[0, 0] - low : windows[0, 1] - low, n] = column
            channels.append(slice(int(low), int(high)))
            columns.append(template)
            gains.append(gain)
        return channels, columns, gains

    def _column(self, q: F64, weight: F64, centre: float, line: float) -> tuple[F64, float]:
        model = self.model
        root_weight = np.sqrt(weight)
        others = [root_weight, root_weight * (q - centre)]
        if np.isfinite(line):
            others.append(root_weight * pseudo_voigt(q, line, model.width, model.mixing))
        basis = np.linalg.qr(np.stack(others, axis=1))[0]
        peak = root_weight * pseudo_voigt(q, centre, model.width, model.mixing)
        peak -= basis @ (basis.T @ peak)
        norm = float(np.linalg.norm(peak))
        if norm == 0.0:
            return np.zeros_like(q), 0.0
        # the data, too, stand under the root of the weight
        return root_weight * peak / norm, 1.0 / norm

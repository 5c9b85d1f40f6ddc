"""Whole-pattern refinement of many patterns at once: cell, phases, and how sure they are.

First a search over all cells of the grid, then the refinement (kernels/pattern_map.py). The search
asks for every cell by how much the working phase lowers chi2, once with the other phases free and
once without them: two matrix products for all patterns and no start value. Other phases that are
free may go negative there and hide the truth; without them they may pull it. The refinement begins
at whichever of the two fits better with scales that are not negative.

Mass fractions: w = S Z M V / sum(S Z M V) with Rietveld's scales S (Hill and Howard, J. Appl.
Cryst. 1987, 20, 467). The scales here are as volumes, v = S V^2 up to a common factor, so S Z M V
is v times the density Z M / V, V at the refined cell. Uncertainties are the least-squares
covariance carried through this formula.

Rwp = sqrt(sum w (y - f)^2 / sum w y^2), background included (Toby, Powder Diffr. 2006, 21, 67).

Two phases are alike where their templates, weighted and without background, point the same way:
LIKE_LIMIT says from what correlation on their shares are not reported.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .kernels import pattern_report as kernel
from .kernels.pattern_map import refine_patterns
from .kernels.pattern_table import FIXED, SQUARE
from .templates import Templates

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
CHUNK = 1024  # patterns at a time: their weighted copy stays in the cache's neighbourhood
MOST_STEPS = 30
SEEN = 3.0  # standard uncertainties from which on the working phase is there
# Of a correlation r only 1 - r^2 of a template's square tells two phases apart: at 0.9 the
# uncertainty of their shares is 2.3 times what it would be for lines that do not overlap. For
# LiMn2O4 and P2_13 Li0.5Mn2O4, lines of 0.012 1/Å, it is reached 0.013 Å apart.
LIKE_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class Products:
    """What a chunk of patterns has in common with the templates.

    weighted: (n, channels) the patterns; square: (n,) their squares
    rest: (n,) what of the squares the background does not make
    fixed: (n, phases) products with the phases of fixed cell
    searched: (n, nodes) products with the searched templates
    """

    weighted: F32
    square: F64
    rest: F64
    fixed: F64
    searched: F64


@dataclass(frozen=True, slots=True)
class Refined:
    """Refinements of n patterns; every array float64, nan where there is none.

    a, a_sigma, c, c_sigma: (n,) [Å]; c only where it is free
    scale, scale_sigma: (n, phases) in the pattern's unit, see Templates; the working phase last
    fraction, fraction_sigma: (n, phases) by mass
    chi2: (n,) sum of squared residuals over the free channels, in units of the variance given
    Uncertainties: kernels/pattern_report.py
    rwp: (n,) [%]
    likeness: (n,) largest correlation of the working phase's template with another phase's
    """

    a: F64
    a_sigma: F64
    c: F64
    c_sigma: F64
    scale: F64
    scale_sigma: F64
    fraction: F64
    fraction_sigma: F64
    chi2: F64
    rwp: F64
    likeness: F64

    @classmethod
    def none(cls, number: int, phases: int) -> Refined:
        """No refinement of so many patterns yet."""
        wide = ("scale", "scale_sigma", "fraction", "fraction_sigma")
        return cls(
            *[np.full((number, phases) if f.name in wide else number, np.nan) for f in fields(cls)]
        )

    def part(self, chosen: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Refined:
        """Some of them."""
        return Refined(*[getattr(self, f.name)[chosen] for f in fields(Refined)])

    def put(self, chosen: slice, others: Refined) -> None:
        """Replace some of them."""
        for field in fields(Refined):
            getattr(self, field.name)[chosen] = getattr(others, field.name)

    def alike(self) -> NDArray[np.bool_]:
        """Where the working phase cannot be told from another one."""
        found: NDArray[np.bool_] = self.likeness > LIKE_LIMIT
        return found

    def seen(self) -> NDArray[np.bool_]:
        """Where the working phase is there: a is finite and the scale stands out of its noise."""
        found: NDArray[np.bool_] = np.isfinite(self.a) & (
            self.scale[:, -1] > SEEN * self.scale_sigma[:, -1]
        )
        return found


class Refinement:
    """Search and refinement with one set of templates."""

    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        t = templates
        self._phases = len(t.fixed)
        self._weight = (t.root_weight**2).astype(np.float32)
        searched = t.nodes[t.searched]
        self._columns = np.ascontiguousarray(
            np.concatenate([t.background.T.astype(np.float32), t.fixed, searched]).T
        )
        table = t.table.reshape(-1, t.table.shape[-1])[t.searched]
        self._square = table[:, SQUARE]
        shared = table[:, FIXED:].T
        inverse = np.linalg.pinv(t.gram, rcond=1e-6, hermitian=True) if self._phases else t.gram
        self._given = inverse @ shared
        self._own = np.maximum(
            self._square - np.einsum("ij,ij->j", shared, self._given), 1e-3 * self._square
        )

    def refine(
        self, patterns: F32, variances: F32 | None = None, tolerance: float = 1e-3
    ) -> Refined:
        """Refine patterns, (n, channels).

        variances: (n, channels) of the patterns; None: those of the templates are known up to a
            factor only, which the residual tells for each pattern
        tolerance: of the cell, as a share of its standard uncertainty
        """
        found = Refined.none(len(patterns), self._phases + 1)
        for first in range(0, max(len(patterns), 1), CHUNK):  # none at all warms the kernels
            part = slice(first, first + CHUNK)
            mine = None if variances is None else variances[part]
            found.put(part, self._refine_chunk(patterns[part], mine, tolerance))
        return found

    def levels(self, variances: F32) -> F64:
        """Factors of patterns' variances, (n, channels), to those of the templates, (n,)."""
        levels: F64 = (variances @ self._weight).astype(np.float64)
        return levels / self.templates.channels

    def curve(self, refined: Refined, pattern: F64) -> tuple[F64, F64]:
        """The curve of one refined pattern, (channels,), and its phases' parts, (phases, channels).

        pattern: (channels,) what was refined: it fixes the background
        """
        t = self.templates
        c = float(refined.c[0]) if t.shape[1] > 1 else 0.0
        parts = t.curve(float(refined.a[0]), c, refined.scale[0])
        left = (pattern - parts.sum(axis=0)) * t.root_weight
        smooth = t.background @ (t.background.T @ left)
        with np.errstate(divide="ignore", invalid="ignore"):
            background = np.where(t.root_weight > 0, smooth / t.root_weight, np.nan)
        return background + parts.sum(axis=0), parts

    @property
    def free_points(self) -> int:
        """Channels less parameters."""
        return max(self.templates.channels - self.templates.parameters, 1)

    def products(self, patterns: F32) -> Products:
        """Patterns (n, channels), weighted, and their products with templates."""
        t, phases = self.templates, self._phases
        weighted = patterns * t.root_weight.astype(np.float32)
        weighted[:, t.root_weight == 0] = 0.0
        square = np.einsum("ij,ij->i", weighted, weighted).astype(np.float64)
        all_products = (weighted @ self._columns).astype(np.float64)
        terms = t.background.shape[1]
        smooth = all_products[:, :terms]
        return Products(
            weighted,
            square,
            np.maximum(square - np.einsum("ij,ij->i", smooth, smooth), 0.0),
            np.ascontiguousarray(all_products[:, terms : terms + phases]),
            all_products[:, terms + phases :],
        )

    def _refine_chunk(self, patterns: F32, variances: F32 | None, tolerance: float) -> Refined:
        t, n, phases = self.templates, len(patterns), self._phases
        made, free_points = self.products(patterns), self.free_points
        out = np.empty((n, kernel.OUTPUTS))
        scales, fractions = np.empty((n, 2, phases + 1)), np.empty((n, 2, phases + 1))
        known = variances is not None
        noise = variances if variances is not None else np.empty((0, t.q.size), np.float32)
        refine_patterns(
            made.weighted, t.fixed, t.nodes, noise, self._weight, t.table, t.gram, t.densities,
            made.fixed, made.rest, self._starts(made.fixed, made.searched), t.limits(), tolerance,
            MOST_STEPS, free_points, out, scales, fractions,
        )  # fmt: skip
        chi2 = out[:, kernel.CHI2] / free_points
        spread = np.ones(n) if known else np.sqrt(chi2)
        step_a = t.a_axis[1] - t.a_axis[0]
        two = t.shape[1] > 1
        step_c = t.c_axis[1] - t.c_axis[0] if two else np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            rwp = 100 * np.sqrt(out[:, kernel.CHI2] / made.square)
            chi2 = chi2 / self.levels(noise) if known else chi2
        return Refined(
            a=t.a_axis[0] + step_a * out[:, kernel.A],
            a_sigma=step_a * np.sqrt(out[:, kernel.VAR_A]) * spread,
            c=t.c_axis[0] + step_c * out[:, kernel.C],
            c_sigma=step_c * np.sqrt(out[:, kernel.VAR_C]) * spread,
            scale=scales[:, 0],
            scale_sigma=np.sqrt(scales[:, 1]) * spread[:, None],
            fraction=fractions[:, 0],
            fraction_sigma=np.sqrt(fractions[:, 1]) * spread[:, None],
            chi2=chi2,
            rwp=rwp,
            likeness=out[:, kernel.LIKENESS],
        )

    def _starts(self, fixed: F64, searched: F64) -> NDArray[np.int64]:
        """The two cells to begin at, (n, 2) nodes."""
        alone = np.maximum(searched, 0.0) ** 2 / self._square
        both = np.maximum(searched - fixed @ self._given, 0.0) ** 2 / self._own
        best = np.stack([alone.argmax(axis=1), both.argmax(axis=1)], axis=1)
        starts: NDArray[np.int64] = self.templates.searched[best]
        return starts

"""Whole powder patterns in batches: four phases, one lattice parameter, the same templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ours
from .harness import Agreement, Comparison, Contender
from .machine import version_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
POINTS = 1200
NODES = 6  # of the polynomial between templates, as ours


def patterns(number: int) -> F32:
    """Spinels of all lattice parameters and some counts, each with a little of other phases."""
    random = np.random.default_rng(9)
    clean = ours.whole_patterns(random.uniform(8.03, 8.25, number), POINTS)
    level = np.exp(random.uniform(np.log(300), np.log(10_000), (number, 1)))
    clean = clean * level / clean.max()
    return random.poisson(clean + 0.1 * level + 20.0).astype(np.float32)


def pattern_fit(quick: bool) -> Iterator[Comparison]:
    """Background, four non-negative phases and a lattice parameter, 1200 points."""
    number, together = (24, 512) if quick else (60, 4096)
    few = patterns(number)
    many = np.resize(few, (together, POINTS))
    refine = ours.PatternFits(few, POINTS)
    yield Comparison(
        work=f"whole-pattern refinement, {POINTS} points, four phases, a pattern",
        ours=Contender(
            "operando", ours.version(), lambda _: refine(many), scale=1.0 / together,
            note=f"{together} patterns at a time",
        ),
        peers=[_scipy(few, refine)],
        agree=_same_minimum(number),
        rounds=3 if quick else 7,
        budget_s=90.0,
    )  # fmt: skip


def _scipy(measured: F32, refine: ours.PatternFits, goal: float = 72.0) -> Contender:
    """Variable projection: nnls inside, least_squares for the lattice parameter.

    Its start is our search's, in one matrix product for all patterns; that time is part of it.
    """
    from scipy.optimize import least_squares, nnls

    nodes, fixed = refine.nodes.astype(np.float64), refine.fixed.astype(np.float64)
    basis, root = refine.background, refine.root_weight
    searched = np.arange(3, len(nodes) - 3, 3)
    norms = np.linalg.norm(nodes[searched], axis=1)
    weights = np.arange(NODES) - 2

    def solve(place: float, target: F64) -> tuple[F64, float]:
        first = min(max(int(place) - 2, 0), len(nodes) - NODES)
        t = place - first - 2
        polynomial = [np.prod([(t - k) / (j - k) for k in weights if k != j]) for j in weights]
        template = polynomial @ nodes[first : first + NODES]
        columns = np.column_stack([fixed.T, template])
        scales, _ = nnls(columns, target)
        left: F64 = columns @ scales - target
        return left, float(scales[-1])

    def run(_: int) -> F64:
        weighted = measured.astype(np.float64) * root
        targets = weighted - (weighted @ basis) @ basis.T
        starts = searched[((targets @ nodes[searched].T) / norms).argmax(axis=1)]
        out = np.empty((len(measured), 3))
        for n, (target, start) in enumerate(zip(targets, starts, strict=True)):
            best = least_squares(
                lambda p, target=target: solve(p[0], target)[0], [float(start)], method="lm",
                xtol=1e-6, ftol=1e-8,
            )  # fmt: skip
            _, scale = solve(best.x[0], target)
            out[n] = refine.first_a + refine.step_a * best.x[0], scale, 2 * best.cost
        return out

    return Contender("scipy nnls in least_squares", version_of("scipy"), run, goal=goal,
                     scale=1.0 / len(measured))  # fmt: skip


def _same_minimum(number: int) -> Callable[[Any, Any], Agreement]:
    """Lattice parameters equal to a twentieth of a sigma in nearly all patterns, and the scales."""

    def agree(mine: ours.PatternAnswers, theirs: F64) -> Agreement:
        away = np.abs(mine.a[:number] - theirs[:, 0]) / mine.a_sigma[:number]
        scale = np.abs(mine.scale[:number] / theirs[:, 1] - 1)
        said = (
            f"lattice parameters: median {np.median(away):.0e}, 95 % within "
            f"{np.quantile(away, 0.95):.0e} sigma; scales {np.median(scale):.0e} apart"
        )
        return Agreement(bool(np.quantile(away, 0.95) < 0.05 and np.median(scale) < 1e-3), said)

    return agree

"""The lines' shape, from the sample's own strong voxels.

A mean over the whole sample will not do: its lines are as wide as the lattice parameter spreads.
So voxels that were refined with a first guess of the shape are sorted by lattice parameter, those
within a narrow range are added up (counts of hundreds of voxels, lines no wider than one's), and
width, strain and mixing are fitted to a few such sums together. A width that is wrong by a tenth
biases mass fractions and hardly a, so the sorting may rest on the guess.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from .refinement import Refined, Refinement
from .templates import Profile, Templates

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
GROUPS = 4
GROUP_WIDTH = 0.25  # of the search grid's step: a line's broadening by it is below 1 %
LEAST = 8  # voxels
FACTOR = 3.0  # by which width and strain may differ from the guess

# templates with another profile
Remake = Callable[[Profile], Templates]


def settled(templates: Templates, remake: Remake, patterns: F32) -> Templates:
    """Templates with the profile of these patterns; the same ones where they do not tell.

    patterns: (n, channels) of voxels
    """
    refined = Refinement(templates).refine(patterns)
    groups = _groups(refined, templates)
    if not groups:
        return templates
    sums = np.array([patterns[chosen].mean(axis=0, dtype=np.float64) for chosen in groups])
    first = Refinement(templates).refine(sums.astype(np.float32))
    if not np.isfinite(first.a).all():
        return templates
    return remake(fit_profile(templates, sums, first.a, first.c))


def fit_profile(templates: Templates, patterns: F64, a: F64, c: F64) -> Profile:
    """The profile that fits patterns of known cells best.

    patterns: (n, channels); a, c: (n,) [Å], c not used where it is not free
    """
    own, weight = templates.profile, templates.root_weight
    basis = templates.background
    edges = c if templates.shape[1] > 1 else np.zeros(len(a))
    targets = [_without(basis, pattern * weight) for pattern in patterns]
    guess = np.array([own.width, max(own.strain, 1e-4), own.mixing])

    def residuals(p: F64) -> F64:
        changed = Profile(float(p[0]), float(p[1]), float(p[2]))
        rows = []
        for target, cell_a, cell_c in zip(targets, a, edges, strict=True):
            parts = templates.curve(
                float(cell_a), float(cell_c), np.ones(len(templates.phases)), changed
            )
            columns = _without(basis, (parts * weight).T)
            scales = np.linalg.lstsq(columns, target, rcond=1e-9)[0]
            rows.append(columns @ scales - target)
        return np.concatenate(rows)

    found = least_squares(
        residuals, guess, x_scale=[own.width, own.width / 4, 0.2], max_nfev=12, xtol=1e-3,
        bounds=([guess[0] / FACTOR, 0.0, 0.0], [guess[0] * FACTOR, guess[1] * FACTOR, 1.0]),
    ).x  # fmt: skip
    return Profile(float(found[0]), float(found[1]), float(found[2]))


def _without(basis: F64, columns: F64) -> F64:
    left: F64 = columns - basis @ (basis.T @ columns)
    return left


def _groups(refined: Refined, templates: Templates) -> list[NDArray[np.intp]]:
    """Strong voxels of nearly the same cell, the heaviest groups first."""
    good = refined.seen() & ~refined.alike()
    if good.sum() < LEAST:
        return []
    strong = good & (refined.scale[:, -1] >= np.median(refined.scale[good, -1]))
    width_a = GROUP_WIDTH * 3 * float(np.diff(templates.a_axis[:2])[0])
    key = np.round(refined.a / width_a)
    if templates.shape[1] > 1:
        width_c = GROUP_WIDTH * 3 * float(np.diff(templates.c_axis[:2])[0])
        key = key + 1e6 * np.round(refined.c / width_c)
    keys, place = np.unique(key[strong], return_inverse=True)
    weight = np.bincount(place, refined.scale[strong, -1], keys.size)
    members = np.flatnonzero(strong)
    heaviest = np.argsort(-weight, kind="stable")[:GROUPS]
    groups = [members[place == n] for n in heaviest]
    return [group for group in groups if group.size >= 2]

"""Which particles are not like the others, by the material's rule and by the population.

Policy. Two questions, each answered with a probability, none by a colour:

- the rule: pure spinel passes the forbidden window in a two-phase step, so no voxel of it can have
  a lattice parameter inside. A particle breaks the rule where most of its voxels' probability lies
  inside (each voxel a normal distribution of its own uncertainty) and its mean lies inside by more
  than chance allows. A voxel that holds two phases has a mean that may lie inside although neither
  phase does: such voxels are told by their width (mixed_voxels) and bear no witness; where they
  would have decided, the answer is "cannot tell". So it is where a particle's voxels scatter over
  more than SCATTERED of the window, as those of a mixture do that the width has not told.
- the population: how far a particle's mean stands from the median of all the others, in units of
  their median absolute deviation, the steps of the material taken out first: particles of one
  population stand on either side of a step at most moments. Leaving one out keeps it from widening
  its own measure. Particles inside a step are not asked, and where they are more than half, nobody
  is: what is left are the population's two ends. Differences within `systematic` are none.

False alarms are counted family-wise: `alarm` is the probability that any particle at all of an
ordinary slice is accused, half of it for each question (Holm, Scand. J. Statist. 1979, 6, 65).

The tail of the population's statistic is Student's t. The median absolute deviation of m normal
values knows their standard deviation as well as 0.37 m squares would (its asymptotic efficiency is
0.3675, and m / (m - 0.8) takes its bias off: Croux & Rousseeuw, Compstat 1992, 411), and the median
adds pi / (2 m) to the variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, stdtr

from .particle_statistics import GroupMeans, group_means
from .particles import I32

F64 = NDArray[np.float64]

NORMAL, RULE, OUTLIER, BOTH, CANNOT_TELL = 0, 1, 2, 3, -1
CODES = "0 normal, 1 breaks the rule, 2 population outlier, 3 both, -1 cannot tell"
MOST = 0.5  # of a particle's voxels
SCATTERED = 0.3  # of the window's width: more than a solid solution's gradient, less than a step
WIDER = 1.25  # than usual, times: a voxel of two phases
WIDER_SIGMA = 3.0  # and by so many of its uncertainties
MISFIT = 4.0  # times the usual chi2: a voxel of two phases; of one, 95 % stay below 2.5
FEW = 0.2  # of a particle's voxels of two phases: it still has a place in the population
LEAST_OTHERS = 5  # particles that make a population
MAD_TO_SIGMA = 1.4826  # of a normal distribution
MAD_EFFICIENCY = 0.3675


@dataclass(frozen=True, slots=True)
class Rule:
    """What the particles are judged by.

    window: lattice parameters that the pure material cannot have [Å]
    steps: every two-phase step of the material [Å], the window among them; ascending
    systematic: uncertainty that all lattice parameters have in common [Å]
    alarm: probability that any particle of an ordinary slice is accused
    """

    window: tuple[float, float]
    steps: tuple[tuple[float, float], ...]
    systematic: float = 0.0015
    alarm: float = 0.01


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One a particle; every array (particles,).

    code: see CODES
    inside_share: of its voxels' probability, in the forbidden window and of one phase
    mixed_share: of its voxels, of two phases
    rule_p: probability that a mean outside the window would have come out so far inside
    outlier_z: robust distance from the others; outlier_p: that one of them would be as far
    """

    code: I32
    inside_share: F64
    mixed_share: F64
    rule_p: F64
    outlier_z: F64
    outlier_p: F64


def classify(
    label: I32, count: int, a: F64, a_sigma: F64, mixed: NDArray[np.bool_], rule: Rule
) -> Verdicts:
    """Judge particles 1 to count.

    label: (n,) of the voxels; a, a_sigma: (n,) [Å], nan where there is none
    mixed: (n,) True where a voxel holds two phases, see mixed_voxels()
    """
    known = (label > 0) & np.isfinite(a) & np.isfinite(a_sigma) & (a_sigma > 0)
    where, value, sigma, two = label[known], a[known], a_sigma[known], mixed[known]
    voxels = np.bincount(where, minlength=count + 1)[1:].astype(np.float64)

    def share(amount: F64) -> F64:
        found = np.bincount(where, amount, count + 1)[1:] / np.maximum(voxels, 1)
        return np.where(voxels > 0, found, np.nan)

    inside = _probability_inside(value, np.hypot(sigma, rule.systematic), rule.window)
    pure = np.where(two, -1, where - 1).astype(np.int32)
    means = group_means(pure, count, value, sigma)
    inside_share, mixed_share = share(np.where(two, 0.0, inside)), share(two.astype(np.float64))
    rule_p = _rule_p(means, rule)
    breaks = (inside_share > MOST) & _holm(rule_p, 0.5 * rule.alarm)
    scattered = means.spread > SCATTERED * (rule.window[1] - rule.window[0])
    breaks &= ~scattered
    z, outlier_p = _population(means, mixed_share, rule)
    stands_out = _holm(outlier_p, 0.5 * rule.alarm)
    would_have = ~breaks & (share(inside) > MOST) & ((mixed_share > 0) | scattered)
    silent = (voxels == 0) | (mixed_share > MOST) | would_have
    code = np.where(breaks, RULE, NORMAL) + np.where(stands_out, OUTLIER, NORMAL)
    code = np.where((code == NORMAL) & silent, CANNOT_TELL, code)
    return Verdicts(code.astype(np.int32), inside_share, mixed_share, rule_p, z, outlier_p)


def mixed_voxels(
    width: F64, width_sigma: F64, told: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Voxels of two phases by their peaks' width, (n,) each; told: those that are known anyway.

    Usual is the median of the narrower half: a two-phase voxel is only ever wider.
    """
    finite = np.isfinite(width)
    if finite.any():
        narrow = width[finite & (width <= np.median(width[finite]))]
        usual = float(np.median(narrow))
        error = np.nan_to_num(width_sigma, nan=np.inf)
        mixed = finite & (width > WIDER * usual) & (width - usual > WIDER_SIGMA * error)
    else:
        mixed = np.zeros(width.shape, bool)
    return mixed if told is None else mixed | told


def misfit_voxels(chi2: F64) -> NDArray[np.bool_]:
    """Voxels that one phase does not describe, by the reduced chi2 of their fits, (n,).

    Usual is the median of the better half, but not below 1: what all lines have in common, such as
    their shape, is in every voxel, and a second phase only ever adds.
    """
    finite = np.isfinite(chi2)
    if not finite.any():
        return np.zeros(chi2.shape, bool)
    better = chi2[finite & (chi2 <= np.median(chi2[finite]))]
    return finite & (chi2 > MISFIT * max(1.0, float(np.median(better))))


def without_steps(a: F64, steps: Sequence[tuple[float, float]]) -> F64:
    """Lattice parameters with every two-phase step taken out of the axis; inside one: its edge."""
    path = np.array(a, np.float64)
    for low, high in steps:
        path -= np.clip(a - low, 0.0, high - low)
    return path


def _probability_inside(a: F64, sigma: F64, window: tuple[float, float]) -> F64:
    low, high = window
    below, above = (0.5 * (1 + erf((edge - a) / (sigma * math.sqrt(2)))) for edge in window)
    found: F64 = above - below if high > low else np.zeros_like(a)
    return found


def _rule_p(means: GroupMeans, rule: Rule) -> F64:
    low, high = rule.window
    depth = np.minimum(means.mean - low, high - means.mean)
    error = np.hypot(means.sigma, rule.systematic)
    found: F64 = np.nan_to_num(0.5 * (1 - erf(depth / (error * math.sqrt(2)))), nan=1.0)
    return found


def _population(means: GroupMeans, mixed_share: F64, rule: Rule) -> tuple[F64, F64]:
    """Distance of each particle from the others and its probability; nan and 1 where untold."""
    path = without_steps(means.mean, rule.steps)
    z, p = np.full(path.size, np.nan), np.ones(path.size)
    apart = np.isfinite(path) & (mixed_share <= FEW)
    for low, high in rule.steps:
        apart &= (means.mean <= low) | (means.mean >= high)
    members = np.flatnonzero(apart)
    if members.size <= LEAST_OTHERS or 2 * members.size < np.isfinite(mixed_share).sum():
        return z, p
    usual_error = float(np.median(means.sigma[members]))
    for each in members.tolist():
        others = path[members[members != each]]
        m = others.size
        middle = float(np.median(others))
        scale = MAD_TO_SIGMA * _small_sample(m) * float(np.median(np.abs(others - middle)))
        more = max(0.0, float(means.sigma[each]) ** 2 - usual_error**2)
        scale = math.sqrt(scale**2 * (1 + math.pi / (2 * m)) + more + rule.systematic**2)
        away = path[each] - middle
        z[each] = away / scale if scale > 0 else math.copysign(math.inf, away) if away else 0.0
        p[each] = 2 * stdtr(MAD_EFFICIENCY * m, -abs(z[each])) if math.isfinite(z[each]) else 0.0
    return z, p


def _small_sample(m: int) -> float:
    """By how much the median absolute deviation of m normal values falls short, times."""
    return m / (m - 0.8)


def _holm(p: F64, alarm: float) -> NDArray[np.bool_]:
    """Which of several hypotheses fall, so that any false one falls with probability alarm."""
    order = np.argsort(p, kind="stable")
    limits = alarm / np.arange(p.size, 0, -1)
    holds = p[order] > limits
    falls = np.zeros(p.size, bool)
    falls[order[: int(np.argmax(holds)) if holds.any() else p.size]] = True
    return falls

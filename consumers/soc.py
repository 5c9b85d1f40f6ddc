"""State of charge of every voxel from its lattice parameter, and of the whole map.

Policy. A calibration curve gives the lattice parameter for a lithium content (materials/
calibration.py). Read backwards it has an answer only where one content fits: each stretch of the
curve that rises or falls throughout is asked for the content at the measured value, its own ends
counting as far as REACH standard uncertainties beyond them. One answer is the content. Several that
lie close together (on either side of a flat top) are their mean; several that do not are no answer
but a range. A value inside a two-phase step, and any voxel that is known to hold two phases, has
the step's two ends as its range. A range is shown as such and never as a number.

The balance compares the map's mean with the coulomb count. Voxels that have only a range enter with
its middle, and half of the ranges' widths over sqrt(3) (an even distribution) as one common
uncertainty, since what a lattice parameter hides it hides in all of them alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..materials.calibration import Calibration, Segment, calibration

F64 = NDArray[np.float64]

KNOWN, TWO_PHASE, SEVERAL, OUTSIDE = 0.0, 1.0, 2.0, 3.0
CODES = "0 known, 1 two phases, 2 several answers, 3 outside the table"
REACH = 2.0  # standard uncertainties within which a value still belongs to a stretch's end
SAME_SHARE = 0.04  # of the table's whole range: answers closer than this are one


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """How lattice parameters become states of charge.

    table: "limn2o4", or CSV text; in an experiment file also the name of a CSV file
        (docs/how-to/calibration-table.md). Empty: no states of charge
    initial: the quantity at the run's start, where the charge passed is 0
    final: the quantity after capacity_mAh of discharge
    capacity_mAh: charge between the two [mAh]; 0: no comparison with the coulomb count
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    table: str = ""
    initial: float = 0.19
    final: float = 0.99
    capacity_mAh: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.capacity_mAh) or self.capacity_mAh < 0:
            raise ValueError(f"capacity_mAh is {self.capacity_mAh}, 0 or more is needed")
        if self.table:
            calibration(self.table)  # a table that cannot be used stops before the first frame

    def curve(self) -> Calibration | None:
        """The table, None where there is none."""
        return calibration(self.table) if self.table else None

    def by_coulombs(self, charge_ah: float) -> float:
        """The quantity after charge_ah (discharge negative) [A h]; nan without a capacity."""
        if not self.capacity_mAh:
            return math.nan
        passed = -1e3 * charge_ah / self.capacity_mAh
        return self.initial + passed * (self.final - self.initial)


@dataclass(frozen=True, slots=True)
class SocMap:
    """What lattice parameters say; every array has the shape of the parameters given.

    value, sigma: the quantity and its standard uncertainty by the measurement's, nan where it is
        not known
    table_sigma: standard uncertainty by the table's, common to voxels of like values
    low, high: the range it lies in; both are value where it is known, nan outside the table
    code: KNOWN, TWO_PHASE, SEVERAL, OUTSIDE; nan where no lattice parameter was given
    """

    value: F64
    sigma: F64
    table_sigma: F64
    low: F64
    high: F64
    code: F64


@dataclass(frozen=True, slots=True)
class SocBalance:
    """The map's mean against the coulomb count, in the calibration's quantity.

    mean, mean_sigma: of all voxels, those with a range at its middle
    low, high: the mean if every range were at its lower or upper end
    coulomb: nan where it is not known
    ambiguous_share: of the weight, in voxels that have a range only
    """

    mean: float
    mean_sigma: float
    low: float
    high: float
    coulomb: float
    ambiguous_share: float

    @property
    def difference(self) -> float:
        """Map less coulomb count."""
        return self.mean - self.coulomb


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a segment along which the parameter only rises or only falls, as rising arrays."""

    parameter: F64
    quantity: F64
    sigma: F64


def soc_of(
    curve: Calibration,
    parameter: F64,
    parameter_sigma: F64,
    two_phase: NDArray[np.bool_] | None = None,
) -> SocMap:
    """The quantity for each lattice parameter [Å] and its standard uncertainty.

    two_phase: voxels that are known to hold two phases, whatever their parameter says
    """
    shape = parameter.shape
    a, spread = parameter.ravel(), np.nan_to_num(parameter_sigma.ravel(), nan=0.0)
    answers, errors, table_errors = _answers(curve, a, spread)
    have = np.isfinite(answers)
    count = have.sum(axis=0)
    low = np.where(have, answers, np.inf).min(axis=0)
    high = np.where(have, answers, -np.inf).max(axis=0)
    whole = curve.segments[-1].quantity[-1] - curve.segments[0].quantity[0]
    near = (count > 0) & (high - low <= SAME_SHARE * whole)
    code = np.where(near, KNOWN, np.where(count > 0, SEVERAL, OUTSIDE))
    step_low, step_high = _step_around(curve, a)
    mixed = np.isfinite(step_low) & (count == 0)
    if two_phase is not None:
        nearest_low, nearest_high = _nearest_step(curve, a)
        told = two_phase.ravel() & np.isfinite(nearest_low)
        step_low = np.where(told, nearest_low, step_low)
        step_high = np.where(told, nearest_high, step_high)
        mixed |= told
    low, high = np.where(mixed, step_low, low), np.where(mixed, step_high, high)
    code = np.where(mixed, TWO_PHASE, code)
    known = code == KNOWN
    with np.errstate(invalid="ignore"):
        value = np.where(known, 0.5 * (low + high), np.nan)
    half = np.where(known & (high > low), 0.5 * (high - low), 0.0)
    error = _largest(errors)
    sigma = np.where(known, np.hypot(error, half / math.sqrt(3)), np.nan)
    absent = ~np.isfinite(a)
    ranged = (code != OUTSIDE) & ~absent
    fields = (
        value,
        sigma,
        np.where(known, _largest(table_errors), np.nan),
        np.where(known, value, np.where(ranged, low, np.nan)),
        np.where(known, value, np.where(ranged, high, np.nan)),
        code,
    )
    return SocMap(*[np.where(absent, np.nan, field).reshape(shape) for field in fields])


def balance_of(soc: SocMap, weight: F64, coulomb: float) -> SocBalance:
    """The mean over the map, weight: the active material in each voxel, same shape."""
    use = (soc.code != OUTSIDE) & np.isfinite(soc.code) & (weight > 0)
    if not use.any():
        nan = math.nan
        return SocBalance(nan, nan, nan, nan, coulomb, nan)
    w = weight[use] / weight[use].sum()
    known = soc.code[use] == KNOWN
    low, high = soc.low[use], soc.high[use]
    mean = float(w @ (0.5 * (low + high)))
    counting = float(np.sqrt(np.sum((w * np.where(known, soc.sigma[use], 0.0)) ** 2)))
    table = float(w @ np.where(known, soc.table_sigma[use], 0.0))
    hidden = float(w @ np.where(known, 0.0, high - low)) / (2 * math.sqrt(3))
    return SocBalance(
        mean,
        math.sqrt(counting**2 + table**2 + hidden**2),
        float(w @ low),
        float(w @ high),
        coulomb,
        float(w[~known].sum()),
    )


def _stretches(segment: Segment) -> list[_Stretch]:
    parameter, quantity = np.array(segment.parameter), np.array(segment.quantity)
    sigma = np.array(segment.sigma)
    direction = np.sign(np.diff(parameter))
    slanted = np.flatnonzero(direction)  # a level piece goes with the one before it
    before = np.searchsorted(slanted, np.arange(direction.size), side="right") - 1
    direction = direction[slanted[np.maximum(before, 0)]]
    turns = np.flatnonzero(np.diff(direction) != 0) + 1
    edges = [0, *turns.tolist(), parameter.size - 1]
    found = []
    for first, last in pairwise(edges):
        part = slice(first, last + 1)
        order = np.argsort(parameter[part], kind="stable")
        found.append(_Stretch(parameter[part][order], quantity[part][order], sigma[part][order]))
    return found


def _answers(curve: Calibration, a: F64, spread: F64) -> tuple[F64, F64, F64]:
    """Each stretch's answer, its uncertainty by that of a, and by the table's; (stretches, n)."""
    answers, errors, table_errors = [], [], []
    for segment in curve.segments:
        for stretch in _stretches(segment):
            low, high = stretch.parameter[0], stretch.parameter[-1]
            inside = (a >= low - REACH * spread) & (a <= high + REACH * spread)
            place = np.clip(a, low, high)
            answer, less, more = (
                np.interp(place + moved, stretch.parameter, stretch.quantity)
                for moved in (0.0, -spread, spread)
            )
            error = np.maximum(np.abs(more - answer), np.abs(answer - less))
            answers.append(np.where(inside, answer, np.nan))
            errors.append(np.where(inside, error, np.nan))
            table = np.interp(a, stretch.parameter, stretch.sigma)
            table_errors.append(np.where(inside, table, np.nan))
    return np.array(answers), np.array(errors), np.array(table_errors)


def _largest(values: F64) -> F64:
    found: F64 = np.where(np.isfinite(values), values, 0.0).max(axis=0)
    return found


def _step_around(curve: Calibration, a: F64) -> tuple[F64, F64]:
    """The quantity at both ends of the two-phase step that a lies in, nan where in none."""
    low, high = np.full(a.size, np.nan), np.full(a.size, np.nan)
    for (first, then), (below, above) in zip(pairwise(curve.segments), curve.steps(), strict=True):
        inside = (a > below) & (a < above)
        low[inside], high[inside] = first.quantity[-1], then.quantity[0]
    return low, high


def _nearest_step(curve: Calibration, a: F64) -> tuple[F64, F64]:
    """The same of the step whose middle a is nearest to, nan where the curve has no step."""
    steps = curve.steps()
    if not steps:
        return np.full(a.size, np.nan), np.full(a.size, np.nan)
    middle = np.array([0.5 * (below + above) for below, above in steps])
    nearest = np.abs(np.nan_to_num(a)[:, None] - middle).argmin(axis=1)
    low = np.array([segment.quantity[-1] for segment in curve.segments[:-1]])
    high = np.array([segment.quantity[0] for segment in curve.segments[1:]])
    return low[nearest], high[nearest]

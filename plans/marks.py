"""Decisions about marks: which are given, can they be met, are they met, when; pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..detectors.techniques import Mark
from ..stream.messages import CellState

__all__ = ["Mark", "check_marks", "parse_marks", "passed", "seconds_left"]

_KEYS = ("capacity_ah", "voltage_v", "time_s")


def parse_marks(marks: Sequence[Mark | Mapping[str, float]]) -> tuple[Mark, ...]:
    """Marks as a plan gets them, as JSON or as they are. Raises ValueError naming the mark."""
    return tuple(_parse(i, mark) for i, mark in enumerate(marks, 1))


def _parse(place: int, mark: Mark | Mapping[str, float]) -> Mark:
    if isinstance(mark, Mark):
        return mark
    if not isinstance(mark, Mapping) or set(mark) - set(_KEYS):
        raise ValueError(f"mark {place} is {mark!r}, it needs one of {list(_KEYS)}")
    try:
        return Mark(**{key: float(value) for key, value in mark.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"mark {place}: {error}") from None


def check_marks(marks: Sequence[Mark], current_a: float, cutoff_v: float) -> None:
    """Raises ValueError where the marks cannot be met in this order at this current."""
    if current_a == 0 or not math.isfinite(current_a):
        raise ValueError(f"current of {current_a} A leads to no mark")
    falling = current_a < 0
    last: dict[str, float] = {}
    for place, mark in enumerate(marks, 1):
        kind, value = mark.kind(), mark.value()
        if kind == "voltage" and (value <= cutoff_v if falling else value >= cutoff_v):
            raise ValueError(f"mark {place} at {mark.words()} lies beyond the cut-off {cutoff_v} V")
        if kind in last:
            before = last[kind]
            behind = value < before if kind == "voltage" and falling else value > before
            if not behind:
                raise ValueError(
                    f"mark {place} at {mark.words()} does not come after the mark at {before:g}"
                )
        last[kind] = value


def passed(mark: Mark, cell: CellState, current_a: float) -> bool:
    """Whether the cell has reached mark when it is driven with current_a."""
    if mark.capacity_ah is not None:
        return abs(cell.charge_ah) >= mark.capacity_ah * (1 - 1e-9)
    if mark.time_s is not None:
        return cell.time_s >= mark.time_s
    value = mark.value()
    return cell.voltage_v <= value if current_a < 0 else cell.voltage_v >= value


def seconds_left(mark: Mark, cell: CellState, current_a: float) -> float:
    """Cell time until mark at current_a [s], 0 where it is passed; nan for a voltage mark."""
    if passed(mark, cell, current_a):
        return 0.0
    if mark.capacity_ah is not None:
        return 3600 * (mark.capacity_ah - abs(cell.charge_ah)) / abs(current_a)
    return mark.time_s - cell.time_s if mark.time_s is not None else math.nan

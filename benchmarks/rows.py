"""One line of the table: a piece of work, done by a peer and by us on the same data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison with one peer; what was not measured is nan.

    work: what is done, with size and unit of work, e.g. "... , a frame"
    ours_s, peer_s: median wall time of the work [s]; ours_range_s, peer_range_s: least and most
    ratio: peer_s / ours_s; nan where the peer is absent or disagrees
    goal: the least ratio wanted; nan where the row only informs
    agrees: whether the results agree; None where they could not be compared
    ours_cpu_s, peer_cpu_s: median processor time of the process; above the wall time where more
        than one thread ran, below it where others took the cores
    difference: how far the results are apart, in words and numbers
    note: why there is no ratio, or what is particular about it
    """

    work: str
    peer: str
    peer_version: str = ""
    ours_s: float = NAN
    peer_s: float = NAN
    ratio: float = NAN
    goal: float = NAN
    agrees: bool | None = None
    ours_range_s: tuple[float, float] = (NAN, NAN)
    peer_range_s: tuple[float, float] = (NAN, NAN)
    ours_cpu_s: float = NAN
    peer_cpu_s: float = NAN
    repetitions: int = 0
    threads: int = 1
    difference: str = ""
    note: str = ""

    def cpu_ratio(self) -> float:
        """The ratio by processor time, which other programs disturb less."""
        return self.peer_cpu_s / self.ours_cpu_s if self.ours_cpu_s > 0 else NAN

    def verdict(self) -> str:
        """In one or two words: whether the goal is met, or why that cannot be said."""
        if self.agrees is False:
            return "disagrees"
        if math.isnan(self.ratio):
            return self.note.split(":")[0] if self.note else "not measured"
        if math.isnan(self.goal):
            return "for information"
        return "met" if self.ratio >= self.goal else f"missed, {self.ratio / self.goal:.0%} of it"


def to_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as plain values; nan becomes null."""
    return [plain(dataclasses.asdict(row)) for row in rows]


def from_json(raw: Iterable[dict[str, Any]]) -> list[Row]:
    """The inverse of to_json()."""
    return [Row(**{name: _value(name, value) for name, value in entry.items()}) for entry in raw]


def plain(value: Any) -> Any:
    """value with tuples as lists, and None in place of what is not finite."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _value(name: str, value: Any) -> Any:
    if name.endswith("_range_s"):
        return tuple(NAN if each is None else each for each in value)
    if value is None and name != "agrees":
        return NAN
    return value

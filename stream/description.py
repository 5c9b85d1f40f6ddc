"""What a plan tells the detector to pass on: the scan's description as JSON text.

It travels inside the vendor's own stream (the header appendix of a DECTRIS detector, which comes
back as user_data in its start message), so that a scan's description and its frames cannot be
joined wrongly. Axes of a grid are given once a dimension, not once a frame: 350 x 351 points are
701 numbers. to_json() and from_json() are exact inverses.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .messages import Axis, CellState, Scalar, Trajectory

VERSION = 1
MAX_FRAMES = 100_000_000
_MAX_NUMBER = 1 << 31
_NO_DESCRIPTION = (
    ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError,
)  # fmt: skip


class DescriptionError(ValueError):
    """Text that is no description of a scan; the message says which part is wrong."""


@dataclass(frozen=True, slots=True)
class GridAxis:
    """One axis of a planned trajectory.

    dimension: the grid's dimension along which this axis moves, 0 the slowest
    values: one value for each point along that dimension [unit]
    """

    name: str
    unit: str
    dimension: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ScanDescription:
    """A scan as its plan means it; what the detector knows itself is not in here.

    grid: points along each dimension, slowest first; their product is the number of frames
    snake: odd lines of the fastest dimension run backwards
    """

    run: str
    scan: str
    number: int
    technique: str
    grid: tuple[int, ...]
    axes: tuple[GridAxis, ...]
    snake: bool = False
    poni: str = ""
    cell: CellState | None = None
    notes: dict[str, Scalar] = field(default_factory=dict)

    def frames(self) -> int:
        """How many frames the scan has."""
        return math.prod(self.grid)

    def trajectory(self) -> Trajectory:
        """The planned position of every frame."""
        where = np.unravel_index(np.arange(self.frames()), self.grid)
        if self.snake and len(self.grid) > 1:
            lines = np.ravel_multi_index(where[:-1], self.grid[:-1])
            fast = np.where(lines % 2 == 1, self.grid[-1] - 1 - where[-1], where[-1])
            where = (*where[:-1], fast)
        axes = tuple(
            Axis(a.name, a.unit, np.asarray(a.values, np.float64)[where[a.dimension]])
            for a in self.axes
        )
        return Trajectory(self.grid, axes)

    def to_json(self) -> str:
        """This description as text."""
        return json.dumps({"operando": VERSION, **dataclasses.asdict(self)})


def from_json(text: str) -> ScanDescription:
    """The description in text. Raises DescriptionError where it is none."""
    try:
        raw: dict[str, Any] = json.loads(text)
        json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair travels no further
        if not isinstance(raw, dict) or raw.pop("operando") != VERSION:
            raise ValueError(f"not a version {VERSION} description")
        description = ScanDescription(
            run=str(raw.pop("run")),
            scan=str(raw.pop("scan")),
            number=int(raw.pop("number")),
            technique=str(raw.pop("technique")),
            grid=tuple(int(n) for n in raw.pop("grid")),
            axes=tuple(_axis(a) for a in raw.pop("axes")),
            snake=bool(raw.pop("snake")),
            poni=str(raw.pop("poni")),
            cell=_cell(raw.pop("cell")),
            notes=_notes(raw.pop("notes")),
        )
        if raw:
            raise ValueError(f"unknown keys {sorted(raw)}")
        _check(description)
    except _NO_DESCRIPTION as error:
        raise DescriptionError(f"scan description: {type(error).__name__}: {error}") from None
    return description


def _axis(raw: dict[str, Any]) -> GridAxis:
    values = tuple(float(v) for v in raw["values"])
    return GridAxis(str(raw["name"]), str(raw["unit"]), int(raw["dimension"]), values)


def _cell(raw: dict[str, Any] | None) -> CellState | None:
    if raw is None:
        return None
    numbers = ("time_s", "voltage_v", "current_a", "charge_ah", "temperature_c")
    return CellState(**{n: float(raw[n]) for n in numbers}, state=str(raw["state"]))


def _notes(raw: dict[str, Any]) -> dict[str, Scalar]:
    for name, value in raw.items():
        if not isinstance(value, (str, int, float, bool)):
            raise ValueError(f"note {name!r} is a {type(value).__name__}")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise ValueError(f"note {name!r} is a number of over 63 bits")
    return dict(raw)


def _check(description: ScanDescription) -> None:
    grid = description.grid
    if not 0 <= description.number < _MAX_NUMBER:
        raise ValueError(f"number {str(description.number)[:40]} is none of a scan")
    if not grid or any(n < 1 for n in grid) or math.prod(grid) > MAX_FRAMES:
        raise ValueError(f"grid {grid} holds no scan")
    for axis in description.axes:
        if not 0 <= axis.dimension < len(grid):
            raise ValueError(f"axis {axis.name!r} moves along dimension {axis.dimension} of {grid}")
        if len(axis.values) != grid[axis.dimension]:
            raise ValueError(
                f"axis {axis.name!r} has {len(axis.values)} values, "
                f"the grid {grid[axis.dimension]} points there"
            )
        if not all(math.isfinite(v) for v in axis.values):
            raise ValueError(f"axis {axis.name!r} has a position that is no number")

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from operando.plans.marks import Mark, check_marks, parse_marks, passed, seconds_left
from operando.stream.messages import CellState

CELL = CellState(1000.0, 3.95, -8e-6, -4e-6, 25.0, "RUNNING")


def test_marks_come_as_json_or_as_they_are() -> None:
    marks = parse_marks([{"capacity_ah": 1e-6}, Mark(voltage_v=3.9), {"time_s": 60}])
    assert [m.kind() for m in marks] == ["capacity", "voltage", "time"]


@pytest.mark.parametrize("bad", [{"capacity": 1}, {}, {"time_s": "soon"}, 3.9, {"time_s": None}])
def test_a_wrong_mark_is_named_by_its_place(bad: Any) -> None:
    with pytest.raises(ValueError, match="mark 2"):
        parse_marks([{"time_s": 1.0}, bad])


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ([{"capacity_ah": 2e-6}, {"capacity_ah": 1e-6}], "mark 2"),
        ([{"capacity_ah": 2e-6}, {"capacity_ah": 2e-6}], "mark 2"),
        ([{"voltage_v": 3.9}, {"voltage_v": 4.0}], "mark 2"),
        ([{"voltage_v": 2.9}], "beyond the cut-off"),
        ([{"time_s": 60.0}, {"time_s": 30.0}], "mark 2"),
    ],
)
def test_marks_that_cannot_be_met_in_their_order_are_refused(
    marks: list[dict[str, float]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        check_marks(parse_marks(marks), -8e-6, 3.0)


def test_charging_meets_its_voltages_from_below() -> None:
    check_marks(parse_marks([{"voltage_v": 3.9}, {"voltage_v": 4.0}]), 8e-6, 4.2)
    assert not passed(Mark(voltage_v=4.0), CELL, 8e-6)
    assert passed(Mark(voltage_v=4.0), CELL, -8e-6)


def test_time_left_follows_from_the_current() -> None:
    assert seconds_left(Mark(capacity_ah=5e-6), CELL, -8e-6) == pytest.approx(450.0)
    assert seconds_left(Mark(time_s=1600.0), CELL, -8e-6) == 600.0
    assert math.isnan(seconds_left(Mark(voltage_v=3.9), CELL, -8e-6))
    assert seconds_left(Mark(capacity_ah=4e-6), CELL, -8e-6) == 0.0
    late = dataclasses.replace(CELL, time_s=2000.0)
    assert seconds_left(Mark(time_s=1600.0), late, -8e-6) == 0.0

from __future__ import annotations

import math
from typing import Any

import pytest
from operando.detectors.techniques import (
    Galvanostatic,
    Limits,
    Mark,
    OpenCircuit,
    Potentiostatic,
    Technique,
)

LIMITS = Limits(2.8, 4.3, 1e-5, 2e-5, 50.0)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"capacity_ah": 1e-6, "time_s": 3.0},
        {"capacity_ah": -1e-6},
        {"capacity_ah": 0.0},
        {"voltage_v": math.nan},
        {"time_s": math.inf},
    ],
)
def test_a_mark_is_exactly_one_number(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="mark"):
        Mark(**given)


def test_marks_have_words_and_values() -> None:
    assert Mark(capacity_ah=2e-6).words() == "0.002 mAh"
    assert (Mark(voltage_v=3.9).kind(), Mark(voltage_v=3.9).value()) == ("voltage", 3.9)
    assert Mark(time_s=0.0).value() == 0.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Galvanostatic(0.0),
        lambda: Galvanostatic(math.nan),
        lambda: Potentiostatic(3.9, Mark(voltage_v=3.8)),
        lambda: OpenCircuit(Mark(capacity_ah=1e-6)),
    ],
)
def test_techniques_that_make_no_sense_cannot_be_written_down(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    ("technique", "word"),
    [
        (Galvanostatic(-2e-5), "current"),
        (Galvanostatic(-8e-6, cutoff_v=2.0), "cut-off"),
        (Galvanostatic(-8e-6, Mark(voltage_v=2.0)), "mark"),
        (Galvanostatic(-8e-6, Mark(capacity_ah=1e-3)), "mark"),
        (Potentiostatic(4.4), "voltage"),
    ],
)
def test_requests_beyond_the_limits_are_refused_in_words(technique: Technique, word: str) -> None:
    assert word in LIMITS.refuse(technique)


def test_requests_inside_the_limits_and_open_circuit_are_not_refused() -> None:
    for technique in (Galvanostatic(-8e-6, Mark(voltage_v=3.9), 3.0), OpenCircuit()):
        assert LIMITS.refuse(technique) == ""

"""A scan's description as text, and what it unfolds to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.stream.description import DescriptionError, GridAxis, ScanDescription, from_json
from operando.stream.messages import CellState

WORDS = st.text(max_size=10)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers(1 - (1 << 63), (1 << 63) - 1)


@st.composite
def descriptions(draw: st.DrawFn) -> ScanDescription:
    grid = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    axes = []
    for dimension, points in enumerate(grid):
        if draw(st.booleans()):
            values = tuple(draw(st.lists(FINITE, min_size=points, max_size=points)))
            axes.append(GridAxis(draw(WORDS), draw(WORDS), dimension, values))
    cell = draw(st.none() | st.builds(CellState, FINITE, FINITE, FINITE, FINITE, FINITE, WORDS))
    notes = draw(st.dictionaries(WORDS, st.one_of(WORDS, NUMBERS, st.booleans()), max_size=3))
    return ScanDescription(
        *(draw(WORDS), draw(WORDS), draw(st.integers(0, 99)), draw(WORDS), grid, tuple(axes)),
        *(draw(st.booleans()), draw(WORDS), cell, notes),
    )


SOUND = ScanDescription(
    *("run", "scan", 1, "xrdct", (2, 3)),
    (
        GridAxis("rotation", "deg", 0, (0.0, 90.0)),
        GridAxis("translation", "um", 1, (-1.0, 0.0, 1.0)),
    ),
)


@settings(deadline=None)
@given(description=descriptions())
def test_text_and_description_are_exact_inverses(description):
    assert from_json(description.to_json()) == description


@settings(deadline=None)
@given(description=descriptions())
def test_every_axis_has_one_position_a_frame(description):
    trajectory = description.trajectory()
    assert trajectory.grid == description.grid
    assert all(a.values.shape == (description.frames(),) for a in trajectory.axes)


def test_frames_of_a_grid_run_in_row_major_order():
    trajectory = SOUND.trajectory()
    np.testing.assert_array_equal(trajectory.axis("rotation").values, [0, 0, 0, 90, 90, 90])
    np.testing.assert_array_equal(trajectory.axis("translation").values, [-1, 0, 1, -1, 0, 1])


def test_odd_lines_of_a_snake_run_backwards():
    trajectory = dataclasses.replace(SOUND, snake=True).trajectory()
    np.testing.assert_array_equal(trajectory.axis("rotation").values, [0, 0, 0, 90, 90, 90])
    np.testing.assert_array_equal(trajectory.axis("translation").values, [-1, 0, 1, 1, 0, -1])


def test_an_unmeasured_temperature_survives():
    cell = CellState(1.0, 3.9, 0.0, 0.0, float("nan"), "HOLD_OCV")
    back = from_json(dataclasses.replace(SOUND, cell=cell).to_json())
    assert back.cell is not None
    assert np.isnan(back.cell.temperature_c)


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(SOUND.to_json()), **fields})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSONDecodeError"),
        ("[]", "not a version 1"),
        ("{}", "operando"),
        (changed(operando=2), "not a version 1"),
        (changed(extra=1), r"unknown keys \['extra'\]"),
        (changed(grid=[]), "holds no scan"),
        (changed(grid=[0, 3]), "holds no scan"),
        (changed(grid=[10**9, 10**9]), "holds no scan"),
        (changed(grid=[2, 4]), "3 values, the grid 4 points"),
        (changed(axes=[{"name": "x", "unit": "", "dimension": 2, "values": []}]), "dimension 2"),
        (
            changed(axes=[{"name": "x", "unit": "", "dimension": 0, "values": [0, float("nan")]}]),
            "no number",
        ),
        (changed(notes={"a": [1]}), "note 'a' is a list"),
        (changed(cell={"time_s": 0}), "voltage_v"),
        (changed(axes=5), "TypeError"),
        (changed(number=float("inf")), "OverflowError"),
        (changed(number=-1), "none of a scan"),
        (changed(number=10**400), "none of a scan"),
        (changed(notes={"a": 2**64}), "over 63 bits"),
        (changed(run="\ud800"), "UnicodeEncodeError"),
    ],
)
def test_a_wrong_description_is_refused_by_reason(text, words):
    with pytest.raises(DescriptionError, match=words):
        from_json(text)


def test_every_truncation_is_refused():
    text = SOUND.to_json()
    for length in range(len(text)):
        with pytest.raises(DescriptionError):
            from_json(text[:length])


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_mutated_text_is_refused_or_is_a_description(data):
    text = list(SOUND.to_json())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.characters(codec="ascii"))
    try:
        assert from_json("".join(text)).frames() > 0
    except DescriptionError:
        return

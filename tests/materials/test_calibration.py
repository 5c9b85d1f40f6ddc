"""Calibration tables: the shipped one, and those that cannot be used."""

from __future__ import annotations

import pytest
from operando.materials import structures
from operando.materials.calibration import calibration, read_calibration

HEAD = "segment,a,y,sigma\n"


def test_the_shipped_table_has_the_cited_lattice_parameters():
    table = calibration("limn2o4")
    assert table.steps() == (structures.SPINEL_FIRST_STEP_A, structures.SPINEL_SECOND_STEP_A)
    assert table.segments[0].parameter[0] == structures.SPINEL_DELITHIATED_A
    assert table.segments[-1].parameter[-1] == structures.SPINEL_LITHIATED_A
    assert (table.parameter, table.quantity, table.unit) == ("a", "y", "")
    assert (table.segments[0].quantity[0], table.segments[-1].quantity[-1]) == (0.0, 1.0)
    assert all(sigma > 0 for segment in table.segments for sigma in segment.sigma)


def test_a_table_of_ones_own_is_read():
    table = calibration("# mine\nsegment,c,charge [mAh/g]\n1,14.19,0\n1,14.48,177\n1,14.01,242.4\n")
    assert (table.name, table.parameter, table.quantity, table.unit) == (
        "of the experiment", "c", "charge", "mAh/g",
    )  # fmt: skip
    assert table.segments[0].parameter == (14.19, 14.48, 14.01)
    assert table.segments[0].sigma == (0.0, 0.0, 0.0)
    assert table.steps() == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "header '' is needed|is needed"),
        ("a,y\n", "header 'a,y'"),
        (HEAD, "no rows"),
        (HEAD + "1,8.1,0,0\n", "a segment of one row"),
        (HEAD + "1,8.1,0,0\n1,8.2,zero,0\n", "row 2: '1,8.2,zero,0', 4 numbers"),
        (HEAD + "1,8.1,0\n", "row 1: '1,8.1,0', 4 numbers"),
        (HEAD + "1,8.1,nan,0\n", "row 1"),
        (HEAD + "1,8.1,0.5,0\n1,8.2,0.4,0\n", "does not ascend"),
        (HEAD + "1,8.1,0,0\n1,8.2,.5,0\n2,8.2,.4,0\n2,8.3,.6,0\n", "does not ascend"),
        (HEAD + "1,-8.1,0,0\n1,8.2,1,0\n", "not above 0"),
        (HEAD + "1,8.1,0,-1\n1,8.2,1,0\n", "sigma is below 0"),
        (HEAD + "1,8.1,0,0\n1,8.1,1,0\n", "nothing changes"),
    ],
)
def test_what_is_no_table_says_why_in_one_line(text: str, why: str):
    with pytest.raises(ValueError, match=why) as caught:
        read_calibration(text, "t.csv")
    assert str(caught.value).startswith("calibration table t.csv")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_nowhere_is_named():
    with pytest.raises(ValueError, match=r"'nowhere' is neither shipped \(limn2o4\) nor CSV text"):
        calibration("nowhere")

import dataclasses

import numpy as np
import pytest
from operando.live_views import words
from operando.live_views.model import RunModel
from operando.live_views.scan_words import called, ended_early, provisional, with_voltage

WHY = "not taken: map good enough after 8 projections: median uncertainty 0.0019 Å (wanted 0.002)"


def ended(small, why, taken=8, role="slice"):
    """A scan that took so many of its twelve lines, on purpose."""
    model = RunModel()
    start = dataclasses.replace(small.start(1), notes={"role": role, "mark": 3})
    share = taken / small.angles
    whole = small.account(1, 1.0, closed=True)
    account = dataclasses.replace(
        whole, announced=taken * small.n, received=taken * small.n,
        withdrawn=(small.angles - taken) * small.n, why_withdrawn=why,
    )  # fmt: skip
    results = [dataclasses.replace(r, completeness=share)
               for r in small.results(1, 1.0, 2, final=True)]  # fmt: skip
    for message in (start, *results, small.stop(1), account):
        model.take(message)
    return model


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (WHY, "ended early: good enough (8 of 12 angles)"),
        ("not taken: vetoed by window: too long", "ended early: vetoed by window (8 of 12 angles)"),
        ("", "ended early (8 of 12 angles)"),
    ],
)
def test_a_scan_that_was_ended_on_purpose_says_so_and_is_not_called_incomplete(small, why, said):
    model = ended(small, why)
    scan = model.scan(1)
    assert ended_early(scan) == said
    assert provisional(scan, scan.result("lattice_parameter")) == said
    said = "1: ended early, 8 of 12 angles, account closed"
    assert words.progress(model) == words.Said(said, "good")


def test_a_scan_that_lost_frames_is_incomplete_and_a_growing_one_provisional(small):
    scan = ended(small, WHY).scan(1)
    scan.account = small.account(1, 0.5)
    lattice = scan.result("lattice_parameter")
    assert ended_early(scan) == ""
    assert provisional(scan, lattice) == "incomplete · 67 %"
    growing = dataclasses.replace(lattice, final=False, completeness=0.3)
    assert provisional(scan, growing) == "provisional · 30 %"
    assert provisional(scan, dataclasses.replace(lattice, completeness=1.0)) == ""


@pytest.mark.parametrize(
    ("role", "name"),
    [("slice", "Pause 3"), ("roi", "Region in pause 3"), ("coarse", "Coarse scan")],
)
def test_a_scan_is_called_by_what_it_is_for(small, role, name):
    scan = ended(small, WHY, role=role).scan(1)
    assert called(scan) == name
    assert with_voltage(scan) == f"{name}, 4.160 V"
    scan.start = None
    assert called(scan) == "Pause 1"
    assert with_voltage(scan) == "Pause 1"


def test_frames_are_counted_where_there_are_no_lines(small):
    scan = ended(small, WHY).scan(1)
    trajectory = dataclasses.replace(scan.start.trajectory, grid=())
    scan.start = dataclasses.replace(scan.start, trajectory=trajectory)
    assert ended_early(scan) == f"ended early: good enough ({8 * small.n} of 180 frames)"
    assert np.isfinite(scan.completeness())

import dataclasses

import pytest
from operando.live_views.model import RunModel
from operando.live_views.plan_report import PlanReport, Short
from operando.live_views.trend_panel import pauses_shown
from operando.stream.messages import Status


def scanning(frames, scan=1):
    return Status("plan", "scanning", 0.0, {"scan": scan, "frames_done": frames, "frames": 500})


@pytest.fixture
def report():
    return PlanReport()


def test_frames_are_missed_when_they_are_ten_seconds_late_and_not_before(report):
    for second in range(15):
        report.said(scanning(10 * (second + 1)), 1, float(second))
        report.came(1, 20)
        late = report.short(float(second))
        assert late == ([] if second <= 12 else [Short(1, 10 * (second + 1), 20)])
    assert report.short(14.0)[0].text() == "detector took 150 frames, only 20 arrived"


def test_a_scan_of_which_nothing_arrived_at_all_is_missed_too(report):
    for second in range(13):
        report.said(scanning(10 * (second + 1)), 1, float(second))
    assert report.short(12.0) == [Short(1, 130, 0)]


def test_frames_that_are_late_but_catch_up_are_not_missed(report):
    for second in range(30):
        report.said(scanning(min(10 * (second + 1), 200)), 1, float(second))
    assert report.short(29.0)
    for second in range(30, 40):
        report.said(scanning(200), 1, float(second))
        report.came(1, 10 * (second - 29) + 80)
    assert report.lateness(1, 39.0) > 10
    assert report.short(39.0) == []
    report.came(1, 200)
    assert report.short(60.0) == []


def test_after_the_end_of_the_scan_what_is_late_is_missed(report):
    report.said(scanning(500), 1, 0.0)
    report.came(1, 499)
    report.said(Status("plan", "discharging", 1.0), 1, 1.0)
    assert report.short(9.0) == []
    assert report.short(10.5) == [Short(1, 500, 499)]


def test_the_next_scan_does_not_hide_what_the_one_before_is_short_of(report):
    report.said(scanning(500), 1, 0.0)
    report.came(1, 400)
    report.said(scanning(10, 2), 2, 60.0)
    report.came(2, 10)
    assert report.short(61.0) == [Short(1, 500, 400)]


def test_frames_that_are_known_to_be_lost_are_not_missed_as_well(small):
    now = [0.0]
    model = RunModel(lambda: now[0], lambda: 0.0)
    model.take(small.start(1))
    model.take(scanning(small.frames))
    model.take(small.account(1, 1.0, closed=True, lost=7))
    now[0] = 100.0
    assert model.plan.short(now[0]) == []


def test_another_run_forgets_the_frames_of_the_one_before(small):
    now = [0.0]
    model = RunModel(lambda: now[0], lambda: 0.0)
    model.take(small.start(1))
    model.take(scanning(100))
    now[0] = 100.0
    assert model.plan.short(now[0])
    model.take(dataclasses.replace(small.start(1), run="run-2", scan="other"))
    assert model.plan.short(now[0]) == []


def test_the_axis_of_pauses_has_those_that_are_planned(report):
    assert pauses_shown([1.0, 2.0], 2) == (1, 2)
    assert pauses_shown([1.0], 5) == (1, 5)
    assert pauses_shown([1.0, 2.0, 3.0], 2) == (1, 3)
    assert pauses_shown([2.0], 0) == (2, 5)

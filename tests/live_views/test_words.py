import dataclasses
import math

import pytest
from operando.live_views import words
from operando.live_views.model import RunModel
from operando.live_views.next_panel import plan_words
from operando.stream.messages import Status

NOW = 1_795_000_000.0


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def model(clock):
    return RunModel(clock, lambda: NOW)


def take(model, messages):
    for message in messages:
        model.take(message)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41, "0:41"), (134, "2:14"), (3725, "1:02:05"), (math.nan, "–"), (-1, "–")],
)
def test_durations_read_like_a_clock(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (8.13424, 0.00081, "8.1342(8) Å"),
        (8.13424, 0.00098, "8.134(1) Å"),
        (8.13424, math.nan, "8.1342 Å"),
        (math.nan, 0.1, "–"),
    ],
)
def test_a_value_is_written_to_the_digit_its_uncertainty_reaches(value, sigma, text):
    assert words.with_uncertainty(value, sigma, "Å") == text


@pytest.mark.parametrize(("octets", "text"), [(950, "950 B"), (412e9, "412 GB"), (2e12, "2.0 TB")])
def test_sizes_have_the_unit_that_fits(octets, text):
    assert words.size(octets) == text


@pytest.mark.parametrize(
    ("state", "current", "text", "level"),
    [
        ("HOLD_OCV", 0.0, "PAUSED AT OPEN CIRCUIT", "good"),
        ("RUNNING", -8e-6, "DISCHARGING", "active"),
        ("RUNNING", 8e-6, "CHARGING", "active"),
        ("RUNNING", 0.0, "RUNNING, NO CURRENT", "active"),
        ("LIMIT", 0.0, "LIMIT REACHED", "fault"),
        ("DISCONNECTED", 0.0, "POTENTIOSTAT DISCONNECTED", "fault"),
        ("FINISHED", 0.0, "FINISHED, OPEN CIRCUIT", "good"),
        ("HOLD_POTENTIAL", 1e-7, "HOLDING ITS SAFE POTENTIAL", "warning"),
    ],
)
def test_the_cells_state_is_a_word_and_a_colour(model, small, state, current, text, level):
    samples = small.samples(40.0)
    n = samples.time_s.size
    model.take(
        dataclasses.replace(samples, states=(state,) * n, current_a=samples.time_s * 0 + current)
    )
    assert words.cell(model) == words.Said(text, level)


@pytest.mark.parametrize(
    ("state", "text", "level"),
    [
        ("finished", "AT OPEN CIRCUIT · RUN FINISHED", "good"),
        ("stopped", "AT OPEN CIRCUIT · RUN STOPPED", "warning"),
        ("failed", "AT OPEN CIRCUIT · RUN FAILED", "warning"),
        ("relaxing", "PAUSED AT OPEN CIRCUIT", "good"),
    ],
)
def test_open_circuit_after_the_run_is_no_pause(model, small, state, text, level):
    samples = small.samples(40.0)
    n = samples.time_s.size
    model.take(dataclasses.replace(samples, states=("HOLD_OCV",) * n))
    model.take(Status("plan", state, NOW))
    assert words.cell(model) == words.Said(text, level)


def test_a_silent_hub_is_said_in_words(model, clock, small):
    assert words.trouble(model).text == "waiting for the first message from the hub"
    take(model, small.statuses(NOW))
    assert words.trouble(model) == words.Said("connected", "good")
    clock.now += 4.0
    assert words.trouble(model) == words.Said("no data from the hub for 4 s", "fault")


def test_a_silent_processor_is_said_in_words_while_the_others_go_on(model, clock, small):
    take(model, small.statuses(NOW))
    clock.now += 4.0
    take(model, [s for s in small.statuses(NOW + 4) if s.component != "absorber"])
    assert words.trouble(model) == words.Said("no data from the processor for 4 s", "fault")
    assert "absorber" not in words.connected(model)
    assert "2 reducers" in words.connected(model)


def test_a_component_that_said_goodbye_is_not_missed(model, clock, small):
    statuses = small.statuses(NOW)
    take(model, [dataclasses.replace(s, state="stopped") if "red" in s.component else s
                 for s in statuses])  # fmt: skip
    clock.now += 4.0
    take(model, [s for s in small.statuses(NOW + 4) if "red" not in s.component])
    assert words.trouble(model).level == "good"


def test_after_the_plans_end_silence_is_no_fault(model, clock, small):
    take(model, [dataclasses.replace(s, state="finished") for s in small.statuses(NOW)])
    clock.now += 600.0
    assert words.trouble(model) == words.Said("run finished, hub closed")


def test_a_plan_that_failed_is_a_fault_however_long_ago(model, clock, small):
    take(model, [dataclasses.replace(s, state="failed") for s in small.statuses(NOW)])
    assert words.trouble(model) == words.Said("run failed", "fault")
    clock.now += 600.0
    assert words.trouble(model) == words.Said("run failed, hub closed", "fault")


def test_progress_says_scan_share_and_time_left(model, small):
    assert words.progress(model).text == "none yet"
    take(model, small.statuses(NOW, 2, 0.63))
    model.take(small.start(2))
    model.take(small.account(2, 0.63))
    assert words.progress(model).text == "2 of 4: 63 %, 0:01 left"


def test_an_aborted_scan_is_a_fault_in_the_status_line(model, small):
    model.take(small.start(1))
    model.take(small.stop(1, "aborted"))
    assert words.progress(model) == words.Said("1: aborted", "fault")


def test_lag_is_what_is_reported_or_the_waiting_frames_by_their_rate(model, small):
    hub = next(s for s in small.statuses(NOW) if s.component == "hub")
    values = {"outstanding": 50, "frames_per_s": 100.0}
    model.take(dataclasses.replace(hub, values=values))
    assert words.lag_s(model) == pytest.approx(0.5)
    take(model, [s for s in small.statuses(NOW) if s.component == "absorber"])
    assert words.lag_s(model) == pytest.approx(0.2)


def test_an_empty_map_says_what_it_waits_for(model, small):
    assert words.empty_map(model, None) == "waiting for the hub"
    model.take(small.start(1))
    model.take(small.account(1, 12 / small.frames))
    said = words.empty_map(model, model.scan())
    assert said == "waiting for the first projection:\n12 of 15 points"


def test_the_plans_next_step_is_told_in_its_own_words(model, small):
    assert plan_words(model) == ("No word from the plan yet", "")
    take(model, small.statuses(NOW, 2, 0.5))
    now, then = plan_words(model)
    assert now == "Scanning · mark 2 of 4 · 90 of 180 frames"
    assert then == "next: resume the discharge to mark 3 (3.97 V), 0:01 left"
    values = {"mark": 1, "marks": 3, "next_mark": "capacity 0.004 mA h", "cell_seconds_left": 75.0}
    model.take(Status("plan", "discharging", NOW + 9, values))
    now, then = plan_words(model)
    assert now == "Discharging to mark 2 of 3"
    assert then == "next mark: capacity 0.004 mA h, 1:15 of cell time until then"
    model.take(Status("plan", "relaxing", NOW + 10, values))
    now, then = plan_words(model)
    assert now == "Relaxing · mark 1 of 3"
    assert then == "1:15 of cell time until the scan, next mark: capacity 0.004 mA h"
    last = {"mark": 3, "marks": 3, "next_mark": "cut-off 3 V"}
    model.take(Status("plan", "discharging", NOW + 11, last))
    assert plan_words(model) == ("Discharging to the cut-off", "next: cut-off 3 V")


def test_a_plan_that_ends_badly_is_asked_for_its_marks_though_it_says_only_why(model):
    model.take(Status("plan", "scanning", NOW, {"mark": 2, "marks": 3, "marks_taken": 1}))
    model.take(Status("plan", "failed", NOW + 1, {"reason": "the sample fell off"}))
    assert plan_words(model) == ("Failed · 1 of 3 marks taken", "the sample fell off")
    assert model.log[-1].text == "plan: failed · 1 of 3 marks taken"
    assert model.log[-1].level == "fault"


def test_a_plan_that_took_all_its_marks_is_just_finished(model):
    values = {"mark": 3, "marks": 3, "marks_taken": 3}
    model.take(Status("plan", "finished", NOW, values))
    assert plan_words(model) == ("Finished · mark 3 of 3", "")
    assert model.log[-1].level == "info"


def test_what_is_lost_is_said_with_its_reasons_and_so_in_the_log(model, small):
    assert words.lost_why(model) == ""
    take(model, [small.start(1), small.account(1, 1.0, lost=3)])
    assert words.lost_why(model) == "scan 1, lost: 0-2: sequence gap"
    assert model.log[-1].text == "scan 1: 3 frames lost or failed: lost: 0-2: sequence gap"


def test_a_recorder_that_waits_or_is_slow_is_said_before_anything_is_lost(model, small):
    model.take(Status("recorder", "recording", NOW, {}))
    assert words.trouble(model).text == "connected"
    for after, key, said in ((1, "warning", "the disk is slow"), (2, "held", "12 MB free")):
        model.take(Status("recorder", "recording", NOW + after, {key: said}))
        assert words.trouble(model) == words.Said(f"recorder: {said}", "warning")
    model.take(Status("recorder", "recording", NOW + 100, {}))
    assert words.trouble(model).text == "connected"

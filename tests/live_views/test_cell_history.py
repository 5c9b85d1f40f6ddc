import dataclasses

import numpy as np
import pytest
from operando.live_views.cell_history import CellHistory
from operando.stream.messages import Samples


def test_a_stretch_that_comes_twice_is_taken_once(small):
    history = CellHistory()
    assert history.add(small.samples(400.0))
    before = len(history)
    assert not history.add(small.samples(400.0))
    assert len(history) == before


def test_stretches_that_overlap_or_come_late_end_up_in_order(small):
    history = CellHistory()
    history.add(small.samples(800.0, 400.0))
    history.add(small.samples(500.0))
    whole = small.samples(800.0)
    np.testing.assert_array_equal(history.time_s, whole.time_s)
    np.testing.assert_array_equal(history.voltage_v, whole.voltage_v)


def test_after_a_glitch_or_a_new_beginning_of_its_clock_the_newest_is_the_newest(small):
    history = CellHistory()
    whole = small.samples(400.0)
    clock = whole.time_s.copy()
    clock[40] = 1e12
    clock[70:] -= clock[70]
    for stretch in (slice(0, 45), slice(45, 100), slice(30, 60)):
        columns = {f.name: getattr(whole, f.name)[stretch] for f in dataclasses.fields(whole)[2:]}
        history.add(Samples(whole.run, clock[stretch], **columns))
    np.testing.assert_array_equal(history.time_s, clock)
    np.testing.assert_array_equal(history.voltage_v, whole.voltage_v)
    assert not history.add(Samples(whole.run, clock, **{
        f.name: getattr(whole, f.name) for f in dataclasses.fields(whole)[2:]
    }))  # fmt: skip


def test_memory_is_bounded_and_the_last_hour_stays_fine(small):
    history = CellHistory(capacity=1000)
    for begin in range(0, 100_000, 1000):
        history.add(small.samples(begin + 1000.0, float(begin)))
    assert len(history) <= 1000
    assert history.time_s[0] == 0.0
    np.testing.assert_allclose(np.diff(history.time_s[-200:]), 4.0)
    assert np.all(np.diff(history.time_s) > 0)


def test_the_state_that_holds_is_timed_on_the_potentiostats_own_clock(small):
    history = CellHistory()
    begin = small.mark_s(1)
    history.add(small.samples(begin + 101.0))
    assert history.states[-1] == "HOLD_OCV"
    assert history.state_since() == pytest.approx(100.0)


def test_a_pause_ends_where_its_state_ends(small):
    history = CellHistory()
    begin = small.mark_s(1)
    history.add(small.samples(begin + 900.0))
    assert history.end_of_state(begin + 8) == pytest.approx(begin + small.pause_s, abs=5)


def test_samples_without_a_time_are_left_out(small):
    samples = small.samples(40.0)
    time_s = samples.time_s.copy()
    time_s[3] = np.nan
    history = CellHistory()
    history.add(dataclasses.replace(samples, time_s=time_s))
    assert len(history) == time_s.size - 1


def test_wall_time_outside_what_is_known_has_no_place(small):
    history = CellHistory()
    history.add(small.samples(400.0))
    assert history.at_wall(small.began + 200.0) == pytest.approx(200.0)
    assert np.isnan(history.at_wall(small.began + 9000.0))

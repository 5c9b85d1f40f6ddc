from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from operando.plans.cell_watch import CellWatch, SampleJoiner
from operando.stream.messages import Message, Samples
from operando.stream.packing import pack, unpack

Make = Callable[..., Any]


def test_a_sample_is_made_of_one_tick_even_when_the_next_has_begun() -> None:
    joiner = SampleJoiner()
    for name, value in (("voltage", 4.0), ("current", -1.0), ("charge", 0.0), ("state", "RUNNING")):
        joiner.value(name, value, 10.0)
    joiner.value("voltage", 3.9, 10.05)  # of the next tick, early
    sample = joiner.time(100.0, 10.0, "run")
    assert sample is not None
    assert sample.values[:2] == (4.0, -1.0)
    assert np.isnan(sample.values[3])


def test_repeated_and_returning_times_are_dropped() -> None:
    joiner = SampleJoiner()
    assert joiner.time(1.0, 1.0, "") is None  # nothing else is known yet
    for name in ("voltage", "current", "charge"):
        joiner.value(name, 0.0, 1.0)
    joiner.value("state", "IDLE", 1.0)
    kept = [joiner.time(t, 1.0 + t, "") for t in (2.0, 2.0, 1.5, 3.0, 3.0)]
    assert [s.time_s for s in kept if s is not None] == [2.0, 3.0]


def test_a_clock_that_jumps_or_begins_again_ends_no_history() -> None:
    joiner = SampleJoiner()
    for name in ("voltage", "current", "charge"):
        joiner.value(name, 0.0, 1.0)
    joiner.value("state", "IDLE", 1.0)
    times = (2.0, np.nan, 1e12, 3.0, np.inf, 0.0, 0.5, 0.5)
    kept = [joiner.time(t, 2.0 + i, "") for i, t in enumerate(times)]
    assert [s.time_s for s in kept if s is not None] == [2.0, 1e12, 3.0, 0.0, 0.5]
    assert joiner.time(0.5, 9.0, "") is None  # a monitor that repeats itself


def test_the_history_goes_on_before_inside_and_after_a_run(
    beamline: Make, until: Callable[..., None]
) -> None:
    line = beamline(receive=False)
    cell = line.potentiostat()
    got: list[Message] = []
    more = threading.Condition()

    def put(message: Message) -> None:
        with more:
            got.append(message)
            more.notify_all()

    watch = CellWatch(cell, put)
    watch.start()
    until(lambda: len(got) >= 2)
    watch("start", {"uid": "outer"})
    watch("start", {"uid": "inner", "operando_run": "outer"})
    until(lambda: sum(getattr(m, "run", "") == "outer" for m in got) >= 2)
    watch("stop", {"run_start": "inner"})
    assert watch.run == "outer"
    watch("stop", {"run_start": "outer"})
    assert watch.run == "outer"  # how the cell was left belongs to the run
    watch.stop()
    samples = [m for m in got if isinstance(m, Samples)]
    times = np.concatenate([s.time_s for s in samples])
    assert np.all(np.diff(times) > 0)
    assert {s.run for s in samples} == {"", "outer"}
    assert all(len(s.states) == len(s.time_s) for s in samples)
    assert samples[0].states[0] == "IDLE"
    assert isinstance(unpack(pack(samples[0])), Samples)

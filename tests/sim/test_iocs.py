from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from operando.sim.fly import Flight, FlyProgram, Line

Make = Callable[..., Any]


def pv(name: str, **kwargs: Any) -> Any:
    epics = pytest.importorskip("epics")
    found = epics.PV(name, auto_monitor=True, **kwargs)
    assert found.wait_for_connection(timeout=10)
    return found


def test_a_tick_has_one_time_stamp_and_its_clock_comes_last(
    beamline: Make, until: Callable[..., None]
) -> None:
    line = beamline(receive=False)
    arrived: list[tuple[str, float]] = []
    names = ("E", "I", "Q", "T", "STATE", "TIME")
    pvs = [
        pv(
            line.cell_prefix + name,
            callback=lambda name=name, timestamp=0.0, **_: arrived.append((name, timestamp)),
        )
        for name in names
    ]
    until(lambda: sum(name == "TIME" for name, _ in arrived) > 12)
    for one in pvs:
        one.disconnect()
    ticks: dict[float, list[str]] = {}
    for name, stamp in tuple(arrived):
        ticks.setdefault(stamp, []).append(name)
    whole = [order for order in ticks.values() if len(order) == len(names)]
    assert len(whole) >= 5
    assert all(order[-1] == "TIME" for order in whole)


def test_a_server_that_stops_hangs_up(beamline: Make, until: Callable[..., None]) -> None:
    line = beamline(receive=False)
    voltage = pv(line.cell_prefix + "E")
    gc.disable()  # which would hang up for it, some time later
    try:
        line.simulation.stop()
        until(lambda: not voltage.connected)
    finally:
        gc.enable()


def test_limits_beyond_the_instrument_s_own_are_not_taken(beamline: Make) -> None:
    line = beamline(receive=False)
    limit = pv(line.cell_prefix + "LIMIT:E_HIGH")
    limit.put(9.0, wait=True)
    assert limit.get(use_monitor=False) == 4.5
    limit.put(4.25, wait=True)
    assert limit.get(use_monitor=False) == 4.25
    assert line.simulation.instrument.limits.voltage_high_v == 4.25


def test_a_motor_moves_and_stops(beamline: Make, until: Callable[..., None]) -> None:
    line = beamline(receive=False)
    value, stop = pv(line.stage_prefix + "TRANS"), pv(line.stage_prefix + "TRANS.STOP")
    readback, done = pv(line.stage_prefix + "TRANS.RBV"), pv(line.stage_prefix + "TRANS.DMOV")
    velocity = pv(line.stage_prefix + "TRANS.VELO")
    value.put(20.0, wait=True)
    until(lambda: readback.get() == 20.0 and done.get() == 1)
    velocity.put(10.0, wait=True)
    value.put(1000.0)
    until(lambda: done.get() == 0)
    stop.put(1, wait=True)
    until(lambda: done.get() == 1)
    assert readback.get(use_monitor=False) < 1000.0


def test_measured_positions_are_where_the_detector_was_exposed() -> None:
    program = FlyProgram(7, (0.0, 90.0, 45.0), -2.0, 2.0, 5, 1e-4, snake=True)
    exposed: list[tuple[float, float]] = []
    lines: list[Line] = []
    flight = Flight(program, lambda r, t: exposed.append((r, t)) is None, seed=3)
    assert flight.run(lines.append)
    assert flight.pulses == flight.taken == 15
    told = [
        (float(r), float(t))
        for line in lines
        for r, t in zip(line.rotations_deg, line.translations_um, strict=True)
    ]
    assert told == exposed
    assert [line.first for line in lines] == [0, 5, 10]
    assert lines[1].translations_um[0] > lines[1].translations_um[-1]
    planned = [p for i in range(3) for p in program.line_um(i)]
    assert max(abs(t - p) for (_, t), p in zip(told, planned, strict=True)) < 0.2


def test_a_stage_waits_for_a_slow_detector_and_says_what_rate_it_reached() -> None:
    def slow(rotation: float, translation: float) -> bool:
        time.sleep(0.01)
        return True

    flight = Flight(FlyProgram(1, (0.0,), 0.0, 9.0, 20, 1e-4, False), slow)
    assert flight.run(lambda line: None)
    assert flight.pulses == 20
    assert 10 < flight.frames_per_s < 100


def test_an_aborted_flight_stands_within_a_point() -> None:
    flight = Flight(FlyProgram(1, (0.0,), 0.0, 9.0, 1000, 0.01, False), lambda r, t: True)

    def stop(rotation: float, translation: float) -> bool:
        flight.abort()
        return True

    flight._trigger = stop
    assert not flight.run(lambda line: None)
    assert flight.pulses == 1


@pytest.mark.parametrize(
    "bad", [{"angles_deg": ()}, {"points": 0}, {"dwell_s": 0.0}, {"start_um": float("nan")}]
)
def test_impossible_flights_are_refused(bad: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "number": 1, "angles_deg": (0.0,), "start_um": 0.0, "stop_um": 1.0, "points": 2,
        "dwell_s": 0.1, "snake": False,
    }  # fmt: skip
    with pytest.raises(ValueError):
        FlyProgram(**{**good, **bad})


def test_the_beam_gets_another_width_with_the_next_scan(beamline: Make) -> None:
    line = beamline(receive=False)
    twin, detector = line.simulation.twin, line.simulation.detector
    width = pv(line.stage_prefix + "FLY:BEAM")
    assert width.get(use_monitor=False) == twin.config.beam_um == 1.0
    detector.arm()
    width.put(5.0, wait=True)
    assert twin.truth().beam_um == 1.0
    detector.end_series("disarm")
    detector.arm()
    assert twin.truth().beam_um == 5.0
    width.put(-3.0, wait=True)
    assert width.get(use_monitor=False) == 5.0
    assert "beam of -3.0 um" in pv(line.stage_prefix + "FLY:MESSAGE").get(as_string=True)

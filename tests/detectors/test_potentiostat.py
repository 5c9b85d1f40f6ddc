from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from bluesky.protocols import Movable, Readable, Stoppable
from operando.detectors.potentiostat import LimitError, PotentiostatError
from operando.detectors.techniques import Galvanostatic, Mark, OpenCircuit, Potentiostatic

Make = Callable[..., Any]
Until = Callable[..., None]


def test_it_is_itself_what_is_set_and_what_is_stopped(beamline: Make) -> None:
    cell = beamline(receive=False).potentiostat()
    assert isinstance(cell, Movable)
    assert isinstance(cell, Stoppable)
    assert isinstance(cell, Readable)
    assert cell.hints == {"fields": ["cell_voltage"]}
    units = {name: key.get("units") for name, key in cell.describe().items()}
    assert units["cell_voltage"] == "V"
    assert units["cell_current"] == "A"
    assert units["cell_charge"] == "A h"
    assert units["cell_time"] == "s"


def test_the_status_is_done_when_the_mark_is_reached(beamline: Make) -> None:
    line = beamline(receive=False)
    cell = line.potentiostat()
    status = cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    assert line.simulation.instrument.mode.name == "CC"
    status.wait(60)
    assert cell.outcome.get() == "REACHED"
    assert line.simulation.instrument.charge_ah == pytest.approx(-2e-6, rel=1e-6)
    assert line.simulation.instrument.mode.name == "OCV"
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0)).wait(60)
    assert line.simulation.instrument.charge_ah == pytest.approx(-2e-6, rel=1e-6)


def test_a_mark_alone_goes_on_with_the_technique(beamline: Make) -> None:
    line = beamline(receive=False)
    cell = line.potentiostat()
    with pytest.raises(PotentiostatError, match="before any technique"):
        cell.set(Mark(capacity_ah=1e-6))
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=1e-6), 3.0)).wait(60)
    cell.set(Mark(capacity_ah=3e-6)).wait(60)
    assert line.simulation.instrument.charge_ah == pytest.approx(-3e-6, rel=1e-6)


def test_the_cut_off_ends_a_discharge(beamline: Make) -> None:
    cell = beamline(receive=False).potentiostat()
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=5e-5), 3.0)).wait(60)
    assert cell.outcome.get() == "CUTOFF"


def test_stop_is_open_circuit_and_ends_the_waiting(beamline: Make) -> None:
    line = beamline(receive=False, clock=1.0)
    cell = line.potentiostat()
    status = cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    cell.stop(success=True)
    status.wait(60)
    assert line.cell == "HOLD_OCV"
    assert line.simulation.instrument.mode.name == "OCV"
    assert cell.outcome.get() == "STOPPED"


def test_open_circuit_and_holding_a_potential_are_not_the_same(beamline: Make) -> None:
    line = beamline(receive=False, clock=1.0)
    cell = line.potentiostat()
    cell.set(Potentiostatic(4.15)).wait(60)
    assert line.simulation.instrument.mode.name == "CV"
    cell.set(OpenCircuit()).wait(60)
    assert line.cell == "HOLD_OCV"
    cell.set(Potentiostatic(4.15)).wait(60)
    cell.hold()
    assert line.cell == "HOLD_OCV"


def test_relaxation_counts_on_the_potentiostat_s_clock(beamline: Make) -> None:
    line = beamline(receive=False)
    cell, instrument = line.potentiostat(), line.simulation.instrument
    until_s = instrument.cell.time_s + 900
    cell.set(OpenCircuit(Mark(time_s=until_s))).wait(60)
    assert instrument.cell.time_s >= until_s


def test_somebody_else_s_stop_fails_the_status(beamline: Make) -> None:
    line = beamline(receive=False, clock=1.0)
    status = line.potentiostat().set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    line.simulation.instrument.open()
    with pytest.raises(PotentiostatError, match="was stopped before"):
        status.wait(60)


def test_a_request_beyond_the_limits_is_refused_before_it_reaches_the_wire(beamline: Make) -> None:
    line = beamline(receive=False)
    cell = line.potentiostat()
    with pytest.raises(LimitError, match="current"):
        cell.set(Galvanostatic(-1.0))
    assert line.simulation.instrument.number == 0


LIMITS = {  # of the device, each other than what the instrument has by itself
    "voltage_low_v": 2.95,
    "voltage_high_v": 4.38,
    "current_a": 2e-5,
    "charge_ah": 3e-5,
    "temperature_high_c": 41.5,
}


def test_all_five_limits_are_in_the_instrument_before_the_start(
    beamline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = beamline(receive=False)
    instrument, started = line.simulation.instrument, []
    own = {name: getattr(instrument.limits, name) for name in LIMITS}
    assert all(own[name] != LIMITS[name] for name in LIMITS)
    begin = instrument.start

    def start(program: Any, now: float) -> bool:
        started.append({name: getattr(instrument.limits, name) for name in LIMITS})
        return bool(begin(program, now))

    monkeypatch.setattr(instrument, "start", start)
    cell = line.potentiostat(**LIMITS)
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=1e-6), 3.0)).wait(60)
    assert started == [LIMITS]


@pytest.mark.parametrize(
    ("name", "value", "variable"),
    [
        ("voltage_low_v", 2.0, "E_LOW"),
        ("voltage_high_v", 9.0, "E_HIGH"),
        ("current_a", 1.0, "I"),
        ("charge_ah", 1.0, "Q"),
        ("temperature_high_c", 400.0, "T"),
    ],
)
def test_a_limit_that_does_not_read_back_prevents_the_start(
    beamline: Make, name: str, value: float, variable: str
) -> None:
    """The instrument keeps its own limit where it is asked for one beyond it."""
    line = beamline(receive=False)
    cell = line.potentiostat(**{name: value})
    with pytest.raises(LimitError, match=f"LIMIT:{variable} reads back .* after {value} was"):
        cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=1e-6), 3.0))
    assert line.simulation.instrument.mode.name == "OCV"
    assert line.simulation.instrument.number == 0


def test_a_passed_limit_opens_the_circuit_without_the_client_and_latches(
    beamline: Make, until: Until
) -> None:
    line = beamline(receive=False, clock=600.0)
    cell = line.potentiostat(voltage_low_v=4.0)
    status = cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=1.2e-5)))
    with pytest.raises(PotentiostatError, match="passed a limit: E = "):
        status.wait(60)
    assert line.cell == "LIMIT"
    assert line.simulation.instrument.mode.name == "OCV"
    with pytest.raises(PotentiostatError, match="acknowledge"):
        cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=1.3e-5)))
    cell.stop()
    assert line.cell == "LIMIT"
    cell.acknowledge()
    assert line.cell == "HOLD_OCV"


def test_the_lease_is_renewed_while_the_client_lives_and_opens_the_circuit_when_it_is_gone(
    beamline: Make, until: Until
) -> None:
    line = beamline(receive=False, clock=1.0, lease_s=1.0)
    cell = line.potentiostat()
    status = cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 2.5, 5)
    assert line.cell == "RUNNING"
    cell._closed.set()  # the renewing thread dies
    until(lambda: line.cell == "DISCONNECTED", 4)
    assert line.simulation.instrument.mode.name == "OCV"
    with pytest.raises(PotentiostatError, match="lost its client"):
        status.wait(60)


def test_the_safe_state_is_read_back_before_a_start_and_stop_leads_to_it(beamline: Make) -> None:
    line = beamline(receive=False, clock=1.0)
    cell, instrument = line.potentiostat(), line.simulation.instrument
    cell.safe = Potentiostatic(4.0)
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    assert (instrument.safe_state.name, instrument.safe_voltage_v) == ("HOLD_POTENTIAL", 4.0)
    cell.stop(success=True)
    assert (line.cell, instrument.mode.name) == ("HOLD_POTENTIAL", "CV")
    cell.hold()  # open circuit is still a command of its own
    assert (line.cell, instrument.mode.name) == ("HOLD_OCV", "OCV")
    cell.safe = OpenCircuit()
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    assert instrument.safe_state.name == "OPEN_CIRCUIT"


def test_a_safe_potential_that_the_instrument_does_not_take_prevents_the_start(
    beamline: Make,
) -> None:
    line = beamline(receive=False, clock=1.0)
    cell = line.potentiostat()
    cell.safe = Potentiostatic(9.0)
    with pytest.raises(LimitError, match="SAFE:VOLTAGE reads back"):
        cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    assert line.simulation.instrument.mode.name == "OCV"


def test_where_the_safe_state_is_not_confirmed_the_circuit_is_opened(
    beamline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = beamline(receive=False, clock=1.0)
    cell, instrument = line.potentiostat(), line.simulation.instrument
    cell.safe = Potentiostatic(4.0)
    cell.set(Galvanostatic(-8e-6, Mark(capacity_ah=2e-6), 3.0))
    monkeypatch.setattr(instrument, "safe", lambda: None)  # it does nothing, current flows on
    cell.stop()
    assert (line.cell, instrument.mode.name) == ("HOLD_OCV", "OCV")


def test_a_safe_potential_outside_the_limits_is_no_device(beamline: Make) -> None:
    from operando.detectors.potentiostat import Potentiostat
    from operando.detectors.techniques import Limits

    limits = Limits(2.9, 4.35, 1e-4, 1e-4, 50.0)
    with pytest.raises(LimitError, match=r"safe state's voltage 4\.4 V is outside"):
        Potentiostat("NONE:", name="cell", limits=limits, safe=Potentiostatic(4.4))

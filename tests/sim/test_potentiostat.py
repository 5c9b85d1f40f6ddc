from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.sim.cell import LmoCell
from operando.sim.potentiostat import (
    Instrument,
    InstrumentLimits,
    Mode,
    Outcome,
    Program,
    SafeState,
    State,
    Until,
)

NAN = math.nan


def discharge(number: int = 1, until: Until = Until.CAPACITY, value: float = 2e-6) -> Program:
    return Program(number, Mode.CC, -8e-6, until, value, 3.0)


def run(instrument: Instrument, wall_s: float, lease: bool = True, tick_s: float = 0.05) -> None:
    now = instrument._now
    for _ in range(round(wall_s / tick_s)):
        now += tick_s
        if lease:
            instrument.renew(now)
        instrument.tick(tick_s, now)


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(LmoCell(), clock=600.0)


def test_capacity_mark_is_met_exactly_and_opens_the_circuit(instrument: Instrument) -> None:
    assert instrument.start(discharge(), 0.0)
    assert instrument.state is State.RUNNING
    run(instrument, 3.0)
    assert instrument.outcome is Outcome.REACHED
    assert instrument.state is State.FINISHED
    assert instrument.mode is Mode.OCV
    assert instrument.charge_ah == pytest.approx(-2e-6, rel=1e-6)


def test_the_same_absolute_mark_twice_passes_no_charge_twice(instrument: Instrument) -> None:
    instrument.start(discharge(1), 0.0)
    run(instrument, 3.0)
    before = instrument.charge_ah
    instrument.start(discharge(2), instrument._now)
    assert instrument.outcome is Outcome.REACHED
    run(instrument, 1.0)
    assert instrument.charge_ah == before


def test_time_marks_are_met_to_the_second(instrument: Instrument) -> None:
    instrument.start(Program(1, Mode.OCV, 0.0, Until.TIME, 777.0, NAN), 0.0)
    while instrument.outcome is Outcome.RUNNING:
        before = instrument.cell.time_s
        run(instrument, 0.05)
    assert before < 777.0 <= instrument.cell.time_s
    assert instrument.state is State.HOLD_OCV


def test_cut_off_ends_a_discharge_before_its_mark(instrument: Instrument) -> None:
    instrument.start(discharge(value=9e-4), 0.0)
    run(instrument, 20.0)
    assert instrument.outcome is Outcome.CUTOFF
    assert instrument.mode is Mode.OCV
    assert abs(instrument.charge_ah) == pytest.approx(1.43e-5, rel=0.02)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (InstrumentLimits(voltage_low_v=3.98), "E = "),
        (InstrumentLimits(charge_ah=1e-6), "Q = "),
        (InstrumentLimits(temperature_high_c=20.0), "T = "),
    ],
)
def test_a_passed_limit_opens_the_circuit_and_latches(limits: InstrumentLimits, words: str) -> None:
    instrument = Instrument(LmoCell(), clock=600.0)
    instrument.start(discharge(value=9e-6), 0.0)
    instrument.limits = limits
    run(instrument, 8.0)
    assert instrument.state is State.LIMIT
    assert instrument.mode is Mode.OCV
    assert words in instrument.message
    assert instrument.cell.current_a == 0
    instrument.open()
    assert instrument.state is State.LIMIT
    assert not instrument.start(discharge(9), instrument._now)
    assert "acknowledged" in instrument.message
    assert instrument.mode is Mode.OCV


def test_current_beyond_the_limit_while_holding_a_voltage_opens_the_circuit() -> None:
    instrument = Instrument(LmoCell(), clock=1.0, limits=InstrumentLimits(current_a=2e-6))
    assert instrument.start(Program(1, Mode.CV, 3.5, Until.NONE, NAN, NAN), 0.0)
    run(instrument, 0.2)
    assert instrument.state is State.LIMIT
    assert "I = " in instrument.message


def test_lost_lease_opens_the_circuit_and_is_never_resumed(instrument: Instrument) -> None:
    instrument.clock = 1.0
    instrument.start(discharge(), 0.0)
    run(instrument, 4.9, lease=False)
    assert instrument.state is State.RUNNING
    run(instrument, 0.3, lease=False)
    assert instrument.state is State.DISCONNECTED
    assert instrument.mode is Mode.OCV
    charge = instrument.charge_ah
    run(instrument, 30.0, lease=True)
    assert instrument.state is State.DISCONNECTED
    assert instrument.charge_ah == charge
    instrument.acknowledge()
    assert instrument.state is State.HOLD_OCV


def test_a_lease_switched_off_does_not_end_a_discharge() -> None:
    instrument = Instrument(LmoCell(), clock=1.0, lease_s=0.0)
    instrument.start(discharge(), 0.0)
    run(instrument, 20.0, lease=False)
    assert instrument.state is State.RUNNING


@pytest.mark.parametrize(
    "program",
    [
        Program(1, Mode.CC, -1.0, Until.NONE, NAN, NAN),
        Program(1, Mode.CC, NAN, Until.NONE, NAN, NAN),
        Program(1, Mode.CV, 9.0, Until.NONE, NAN, NAN),
        Program(1, Mode.CC, -8e-6, Until.TIME, NAN, NAN),
    ],
)
def test_impossible_programs_are_refused(instrument: Instrument, program: Program) -> None:
    assert not instrument.start(program, 0.0)
    assert instrument.message.startswith("refused: ")
    assert instrument.mode is Mode.OCV


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["start", "open", "tick", "silence", "fault", "acknowledge", "limit"]),
        max_size=25,
    )
)
def test_current_flows_only_on_a_client_s_word_and_never_after_a_latch(acts: list[str]) -> None:
    instrument, asked = Instrument(LmoCell(), clock=60.0), False
    for number, act in enumerate(acts, 1):
        if act == "start":
            asked = instrument.start(discharge(number), instrument._now) or asked
        elif act == "open":
            instrument.open()
            asked = False
        elif act == "fault":
            instrument.fault("relay")
            asked = False
        elif act == "acknowledge":
            instrument.acknowledge()
        elif act == "limit":
            instrument.limits = InstrumentLimits(voltage_high_v=3.9)
        else:
            run(instrument, 6.0 if act == "silence" else 0.2, lease=act == "tick")
        if instrument.mode is not Mode.OCV:
            assert asked
            assert instrument.state is State.RUNNING
        if instrument.state in (State.LIMIT, State.FAULT, State.DISCONNECTED):
            assert instrument.mode is Mode.OCV


@pytest.fixture
def holding() -> Instrument:
    """Told to leave the cell at 4.0 V."""
    made = Instrument(LmoCell(), clock=1.0, lease_s=5.0)
    made.safe_state, made.safe_voltage_v = SafeState.HOLD_POTENTIAL, 4.0
    return made


def test_a_lost_lease_holds_the_declared_potential_and_latches(holding: Instrument) -> None:
    holding.start(discharge(), 0.0)
    run(holding, 5.5, lease=False)
    assert (holding.state, holding.mode) == (State.DISCONNECTED, Mode.CV)
    assert "4 V are held" in holding.message
    run(holding, 60.0, lease=False)  # it holds without a client
    assert holding.state is State.DISCONNECTED
    assert holding.cell.voltage_v == pytest.approx(4.0, abs=1e-3)
    assert not holding.start(discharge(2), holding._now)  # a person first
    holding.acknowledge()
    assert (holding.state, holding.mode) == (State.HOLD_POTENTIAL, Mode.CV)


@pytest.mark.parametrize("volts", [2.0, 4.6, NAN])
def test_a_safe_potential_beyond_the_limits_is_never_held(
    holding: Instrument, volts: float
) -> None:
    holding.safe_voltage_v = volts
    holding.safe()
    assert (holding.state, holding.mode) == (State.HOLD_OCV, Mode.OCV)


def test_a_limit_passed_while_a_potential_is_held_opens_the_circuit(holding: Instrument) -> None:
    holding.safe()
    assert holding.state is State.HOLD_POTENTIAL
    holding.limits = InstrumentLimits(charge_ah=1e-12)
    run(holding, 5.0, lease=False)
    assert (holding.state, holding.mode) == (State.LIMIT, Mode.OCV)
    holding.safe()  # a latched limit stays open, whatever is asked
    assert (holding.state, holding.mode) == (State.LIMIT, Mode.OCV)


def test_a_fault_opens_the_circuit_whatever_the_safe_state_is(holding: Instrument) -> None:
    holding.safe()
    holding.fault("relay")
    assert (holding.state, holding.mode) == (State.FAULT, Mode.OCV)

"""The simulated potentiostat as an instrument: programs, limits and the lease, without a network.

Policy, as real instruments keep it: limits are enforced in here at every step, whatever the client
does. Passing one, losing the client's lease or a fault opens the circuit and latches; a new
program is refused until a person acknowledges. A program that reaches its mark opens the circuit.
A lost lease leads to the declared safe state: open circuit, or a potential held inside the limits;
a passed limit or a fault always opens the circuit.
Nothing is ever resumed from in here. Wall time is handed in by the caller and only ever compared
with itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from threading import RLock

from .cell import LmoCell

MAX_STEP_S = 5.0  # cell time; limits are looked at this often however fast the clock runs
MIN_STEP_S = 0.02
CLOSE_LOOK_V = 0.01  # a step that moves the voltage more is followed by shorter ones: at the end
# of a discharge the voltage falls from the cut-off past the limit within seconds


class State(IntEnum):
    """What the potentiostat is doing, in its own words."""

    IDLE = 0
    RUNNING = 1
    HOLD_OCV = 2
    PAUSED = 3
    FINISHED = 4
    LIMIT = 5
    FAULT = 6
    DISCONNECTED = 7
    HOLD_POTENTIAL = 8


class Mode(IntEnum):
    """Which quantity is controlled: none, the current, the voltage."""

    OCV = 0
    CC = 1
    CV = 2


class Until(IntEnum):
    """What ends a program."""

    NONE = 0
    CAPACITY = 1
    VOLTAGE = 2
    TIME = 3


class SafeState(IntEnum):
    """What a cell is left in."""

    OPEN_CIRCUIT = 0
    HOLD_POTENTIAL = 1


class Outcome(IntEnum):
    """How a program ended."""

    NONE = 0
    RUNNING = 1
    REACHED = 2
    CUTOFF = 3
    STOPPED = 4
    LIMIT = 5
    LEASE = 6
    FAULT = 7


LATCHED = (State.LIMIT, State.FAULT, State.DISCONNECTED)


@dataclass(frozen=True, slots=True)
class Program:
    """One thing to do; cutoff_v and until_value are nan where they do not apply.

    setpoint: current [A, discharge negative] in CC, voltage [V] in CV
    """

    number: int
    mode: Mode
    setpoint: float
    until: Until
    until_value: float
    cutoff_v: float


@dataclass(frozen=True, slots=True)
class InstrumentLimits:
    """Same meaning as the client's limits; these are the ones that are enforced."""

    voltage_low_v: float = 2.5
    voltage_high_v: float = 4.5
    current_a: float = 1e-3
    charge_ah: float = 1e-3
    temperature_high_c: float = 60.0


class Instrument:
    """One potentiostat channel on one cell. All methods may be called from any thread."""

    def __init__(
        self,
        cell: LmoCell,
        clock: float = 1.0,
        limits: InstrumentLimits | None = None,
        lease_s: float = 5.0,
    ) -> None:
        """clock: cell seconds a wall second; lease_s: 0 switches the lease off."""
        self.cell = cell
        self.clock = clock
        self.limits = limits or InstrumentLimits()
        self.lease_s = lease_s
        self.state = State.IDLE
        self.mode = Mode.OCV
        self.message = ""
        self.number = 0
        self.outcome = Outcome.NONE
        self.safe_state = SafeState.OPEN_CIRCUIT
        self.safe_voltage_v = math.nan
        self.lock = RLock()
        self._program: Program | None = None
        self._holds_safely = False  # current may flow without a client: that is its purpose
        self._charge_zero_ah = cell.charge_ah
        self._leased_at = -math.inf
        self._now = 0.0
        self._longest_step_s = MAX_STEP_S

    @property
    def charge_ah(self) -> float:
        """Charge passed since zero() [A h], discharge negative."""
        return self.cell.charge_ah - self._charge_zero_ah

    def zero(self) -> None:
        """Count charge from here: the start of a run."""
        with self.lock:
            if self.mode is not Mode.OCV:
                self.message = "zero refused: current is flowing"
                return
            self._charge_zero_ah = self.cell.charge_ah

    def renew(self, now: float) -> None:
        """The client is there. now: a monotonic wall clock [s]."""
        with self.lock:
            self._leased_at = self._now = now

    def acknowledge(self) -> None:
        """A person has seen why the circuit was opened."""
        with self.lock:
            if self.state in LATCHED:
                self.state = State.HOLD_POTENTIAL if self._holds_safely else State.HOLD_OCV
                self.message = ""

    def start(self, program: Program, now: float) -> bool:
        """Begin program; False and a message where it is refused."""
        with self.lock:
            why = self._refusal(program)
            if why:
                self.message = f"refused: {why}"
                return False
            if self.outcome is Outcome.RUNNING:
                self.outcome = Outcome.STOPPED
            self._program, self._holds_safely = program, False
            self.number, self.outcome, self.message = program.number, Outcome.RUNNING, ""
            self.mode = program.mode
            self.state = State.HOLD_OCV if program.mode is Mode.OCV else State.RUNNING
            self._leased_at = self._now = now
            if program.mode is Mode.OCV and program.until is Until.NONE:
                self._finish(Outcome.REACHED)
            else:
                self._look_for_end(program)  # a mark already passed: no current at all
            return True

    def open(self) -> None:
        """Open the circuit now; this is always possible."""
        with self.lock:
            if self.outcome is Outcome.RUNNING:
                self.outcome = Outcome.STOPPED
            self._open_circuit()
            if self.state not in LATCHED:
                self.state = State.HOLD_OCV

    def safe(self) -> None:
        """Go to the declared safe state; to open circuit where a potential must not be held."""
        with self.lock:
            if self.state in LATCHED:
                return  # there it is as safe as it can be
            self.open()
            if self._hold_potential():
                self.state = State.HOLD_POTENTIAL

    def fault(self, why: str) -> None:
        """The instrument itself has failed: open the circuit and latch."""
        with self.lock:
            self._latch(State.FAULT, Outcome.FAULT, why)

    def tick(self, wall_s: float, now: float) -> None:
        """Let wall_s seconds of wall time pass. now: a monotonic wall clock [s]."""
        with self.lock:
            self._now = now
            silence_s = now - self._leased_at
            flows = self.mode is not Mode.OCV and not self._holds_safely
            if self.lease_s > 0 and flows and silence_s > self.lease_s:
                gone = f"no sign of the client for {silence_s:.1f} s"
                self._latch(State.DISCONNECTED, Outcome.LEASE, f"{gone}, circuit opened")
                if self._hold_potential():
                    self.message = f"{gone}, {self.safe_voltage_v:g} V are held"
            left_s = wall_s * self.clock
            while left_s > 1e-9:
                step_s = self._step_length(left_s)
                self._step(step_s)
                left_s -= step_s

    def _step_length(self, left_s: float) -> float:
        """As long as allowed, but ending exactly on a mark that can be foreseen."""
        step_s = min(left_s, self._longest_step_s)
        program = self._program
        if program is None:
            return step_s
        to_mark_s = math.inf
        if program.until is Until.TIME:
            to_mark_s = program.until_value - self.cell.time_s
        elif program.until is Until.CAPACITY and program.mode is Mode.CC:
            missing_ah = program.until_value - abs(self.charge_ah)
            to_mark_s = 3600 * missing_ah / abs(program.setpoint)
        return min(step_s, to_mark_s) if to_mark_s > 1e-6 else 1e-6

    def _step(self, step_s: float) -> None:
        program, before_v = self._program, self.cell.voltage_v
        if program is None or self.mode is Mode.OCV:
            self.cell.step(step_s, None)
        elif self.mode is Mode.CC:
            self.cell.step(step_s, program.setpoint)
        else:
            self.cell.hold_potential(step_s, program.setpoint)
        moved_v = abs(self.cell.voltage_v - before_v)
        scale = min(2.0, max(0.2, CLOSE_LOOK_V / moved_v)) if moved_v > 0 else 2.0
        self._longest_step_s = min(MAX_STEP_S, max(MIN_STEP_S, self._longest_step_s * scale))
        if why := self._beyond_limits():
            if self.mode is not Mode.OCV:
                self._latch(State.LIMIT, Outcome.LIMIT, f"{why}, circuit opened")
        elif program is not None:
            self._look_for_end(program)

    def _look_for_end(self, program: Program) -> None:
        falling = program.mode is Mode.CC and program.setpoint < 0
        voltage_v = self.cell.voltage_v
        reached = False
        if program.until is Until.TIME:
            reached = self.cell.time_s >= program.until_value - 1e-6
        elif program.until is Until.CAPACITY:
            reached = abs(self.charge_ah) >= program.until_value * (1 - 1e-9)
        elif program.until is Until.VOLTAGE:
            reached = _passed(voltage_v, program.until_value, falling)
        if reached:
            self._finish(Outcome.REACHED)
        elif program.mode is Mode.CC and _passed(voltage_v, program.cutoff_v, falling):
            self._finish(Outcome.CUTOFF)

    def _finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.state = State.HOLD_OCV if self.mode is Mode.OCV else State.FINISHED
        self._open_circuit()

    def _latch(self, state: State, outcome: Outcome, why: str) -> None:
        if self.outcome is Outcome.RUNNING:
            self.outcome = outcome
        self._open_circuit()
        self.state, self.message = state, why

    def _open_circuit(self) -> None:
        self.mode, self._program, self._holds_safely = Mode.OCV, None, False

    def _hold_potential(self) -> bool:
        """Hold the declared potential where one is, and the limits allow it; whether it is held."""
        limits, volts = self.limits, self.safe_voltage_v
        inside = limits.voltage_low_v <= volts <= limits.voltage_high_v
        if self.safe_state is not SafeState.HOLD_POTENTIAL or not inside or self._beyond_limits():
            return False
        self.mode, self._holds_safely = Mode.CV, True
        self._program = Program(self.number, Mode.CV, volts, Until.NONE, math.nan, math.nan)
        return True

    def _beyond_limits(self) -> str:
        limits, cell = self.limits, self.cell
        if not limits.voltage_low_v <= cell.voltage_v <= limits.voltage_high_v:
            return (
                f"E = {cell.voltage_v:.4f} V is outside "
                f"{limits.voltage_low_v:g} to {limits.voltage_high_v:g} V"
            )
        if abs(cell.current_a) > limits.current_a * (1 + 1e-9):
            return f"I = {cell.current_a:g} A is beyond ±{limits.current_a:g} A"
        if abs(self.charge_ah) > limits.charge_ah:
            return f"Q = {self.charge_ah:g} A h is beyond ±{limits.charge_ah:g} A h"
        if cell.temperature_c > limits.temperature_high_c:
            return f"T = {cell.temperature_c:g} °C is above {limits.temperature_high_c:g} °C"
        return ""

    def _refusal(self, program: Program) -> str:
        limits = self.limits
        if program.mode is Mode.OCV:
            return ""
        if self.state in LATCHED:
            return f"{self.state.name} ({self.message}) has not been acknowledged"
        if not math.isfinite(program.setpoint):
            return f"set point {program.setpoint} is no number"
        if program.until is not Until.NONE and not math.isfinite(program.until_value):
            return f"mark {program.until.name} = {program.until_value} is no number"
        if program.mode is Mode.CC and not 0 < abs(program.setpoint) <= limits.current_a:
            return f"current {program.setpoint:g} A is not within ±{limits.current_a:g} A"
        if program.mode is Mode.CV and not (
            limits.voltage_low_v <= program.setpoint <= limits.voltage_high_v
        ):
            return (
                f"voltage {program.setpoint:g} V is outside "
                f"{limits.voltage_low_v:g} to {limits.voltage_high_v:g} V"
            )
        return self._beyond_limits()


def _passed(voltage_v: float, mark_v: float, falling: bool) -> bool:
    """nan is never passed."""
    return voltage_v <= mark_v if falling else voltage_v >= mark_v

"""The potentiostat as an ophyd device over EPICS Channel Access.

Policy:
- The potentiostat itself is what a plan sets, and what is stopped: Bluesky calls stop() on the
  object that was set, so a set child signal would go on discharging through a pause.
- stop() is the declared safe state: open circuit, unless a person has declared for this cell that
  a potential is to be held. Where that is not confirmed the circuit is opened; opening is the one
  command that is never refused.
- Limits and safe state are written to the instrument and read back before any start; where they
  cannot be read back, nothing is started. A request beyond them is refused here, and again by the
  instrument.
- While current flows on this client's word, a lease is renewed; the instrument goes to the safe
  state by itself when it goes stale. This is no personnel or equipment safety system.
- Nothing is ever resumed from in here; a latched LIMIT, FAULT or DISCONNECTED must be
  acknowledged by a person.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, Kind
from ophyd.status import DeviceStatus

from .asked import Asked, AskedRO
from .epics_put import PutError, fresh, put_and_wait
from .techniques import (
    LEASE_RENEWED_S,
    Galvanostatic,
    Limits,
    Mark,
    OpenCircuit,
    Potentiostatic,
    Technique,
)

_RUNNING, _REACHED, _CUTOFF, _STOPPED, _LIMIT, _LEASE, _FAULT = range(1, 8)
_OUTCOMES = ("NONE", "RUNNING", "REACHED", "CUTOFF", "STOPPED", "LIMIT", "LEASE", "FAULT")
_LATCHED = ("LIMIT", "FAULT", "DISCONNECTED")
_SAFE_STATES = {OpenCircuit: "OPEN_CIRCUIT", Potentiostatic: "HOLD_POTENTIAL"}
_UNTIL = {"capacity": "CAPACITY", "voltage": "VOLTAGE", "time": "TIME"}


class PotentiostatError(RuntimeError):
    """The potentiostat cannot do, or did not finish, what it was asked; says why."""


class LimitError(PotentiostatError):
    """A request beyond the cell's limits, or limits that could not be verified."""


class Fresh(AskedRO):
    """A signal that is monitored, but asked of the IOC anew where it is read: for decisions."""

    def get(self, **kwargs: Any) -> Any:
        """The value as the IOC has it now."""
        return super().get(**{**kwargs, "use_monitor": False})


class Outcome(AskedRO):
    """How the last program ended, as a word: REACHED, CUTOFF, STOPPED, LIMIT, LEASE, FAULT."""

    def get(self, **kwargs: Any) -> str:
        """Always asked of the IOC anew: a plan decides on it."""
        kwargs["use_monitor"] = False
        _, code = super().get(**kwargs)
        return _OUTCOMES[int(code)]

    def describe(self) -> dict[str, Any]:
        """A word."""
        return {self.name: {"source": f"PV:{self.pvname}", "dtype": "string", "shape": []}}


class Potentiostat(Device):
    """One channel. Discharge is negative in current and charge (IUPAC)."""

    voltage = Cpt(AskedRO, "E", auto_monitor=True, kind=Kind.hinted)
    current = Cpt(AskedRO, "I", auto_monitor=True, kind=Kind.normal)
    charge = Cpt(AskedRO, "Q", auto_monitor=True, kind=Kind.normal)
    temperature = Cpt(AskedRO, "T", auto_monitor=True, kind=Kind.normal)
    time = Cpt(AskedRO, "TIME", auto_monitor=True, kind=Kind.normal)
    state = Cpt(Fresh, "STATE", auto_monitor=True, string=True, kind=Kind.normal)
    mode = Cpt(AskedRO, "MODE", auto_monitor=True, string=True, kind=Kind.normal)
    heartbeat = Cpt(AskedRO, "HEARTBEAT", auto_monitor=True, kind=Kind.omitted)
    message = Cpt(AskedRO, "MESSAGE", auto_monitor=True, string=True, kind=Kind.omitted)
    program = Cpt(AskedRO, "PROGRAM", auto_monitor=True, kind=Kind.omitted)
    outcome = Cpt(Outcome, "PROGRAM", kind=Kind.omitted)

    set_mode = Cpt(Asked, "SET:MODE", string=True, kind=Kind.omitted)
    set_current = Cpt(Asked, "SET:CURRENT", kind=Kind.config)
    set_voltage = Cpt(Asked, "SET:VOLTAGE", kind=Kind.config)
    set_until = Cpt(Asked, "SET:UNTIL", string=True, kind=Kind.omitted)
    set_until_value = Cpt(Asked, "SET:UNTIL_VALUE", kind=Kind.omitted)
    set_cutoff = Cpt(Asked, "SET:CUTOFF", kind=Kind.omitted)
    start = Cpt(Asked, "START", kind=Kind.omitted)
    open_circuit = Cpt(Asked, "OPEN", kind=Kind.omitted)
    zero_command = Cpt(Asked, "ZERO", kind=Kind.omitted)
    acknowledge_command = Cpt(Asked, "ACKNOWLEDGE", kind=Kind.omitted)

    limit_e_low = Cpt(Asked, "LIMIT:E_LOW", kind=Kind.config)
    limit_e_high = Cpt(Asked, "LIMIT:E_HIGH", kind=Kind.config)
    limit_i = Cpt(Asked, "LIMIT:I", kind=Kind.config)
    limit_q = Cpt(Asked, "LIMIT:Q", kind=Kind.config)
    limit_t = Cpt(Asked, "LIMIT:T", kind=Kind.config)
    safe_state = Cpt(Asked, "SAFE:STATE", string=True, kind=Kind.config)
    safe_voltage = Cpt(Asked, "SAFE:VOLTAGE", kind=Kind.config)
    safe_now = Cpt(Asked, "SAFE:NOW", kind=Kind.omitted)
    lease = Cpt(Asked, "LEASE", kind=Kind.omitted)
    lease_timeout = Cpt(Asked, "LEASE:TIMEOUT", kind=Kind.config)

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        limits: Limits,
        lease_s: float = 5.0,
        safe: OpenCircuit | Potentiostatic = OpenCircuit(),
        **kwargs: Any,
    ) -> None:
        """Raises LimitError where the safe state lies outside the limits.

        lease_s: silence after which the instrument goes to its safe state [s]; 0 is off
        safe: what stop() and a lost lease lead to
        """
        if why := limits.refuse(safe):
            raise LimitError(f"{name}: the safe state's {why}")
        super().__init__(prefix, name=name, **kwargs)
        self.limits = limits
        self.lease_s = lease_s
        self.safe = safe
        self._lock = threading.RLock()
        self._number = 0
        self._status: DeviceStatus | None = None
        self._stopping = False
        self._renewing = threading.Event()
        self._renewer: threading.Thread | None = None
        self._closed = threading.Event()
        self.program.subscribe(self._program_moved, run=False)

    # -- what a plan calls --------------------------------------------------------------------

    def set(self, value: Technique | Mark) -> DeviceStatus:
        """Start a technique; the status is done when its mark, or its cut-off, is reached.

        A Mark alone is: with the technique that was set last, go on until this mark.
        Raises LimitError or PotentiostatError where it is refused.
        """
        technique = self._at(value) if isinstance(value, Mark) else value
        if why := self.limits.refuse(technique):
            raise LimitError(f"{self.name}: {why}")
        if not isinstance(technique, OpenCircuit):
            self._verify_ready()
        with self._lock:
            status = DeviceStatus(self, call_stop_on_failure=False)
            self._technique = technique
            self._end_status_of_last_program()
            self._number = self._next_number()
            self._status, self._stopping = status, False
            self._write(technique)
            if not isinstance(technique, OpenCircuit):
                self._begin_renewing()
            put_and_wait(self.start, self._number)
            number, outcome = self._answer()
            if number != self._number:
                self._status = None
                refused = PotentiostatError(f"{self.name}: start {self._why()}")
                status.set_exception(refused)
                raise refused
        if isinstance(technique, OpenCircuit) and technique.until is None:
            self._settle(_REACHED)
        elif technique.until is None and getattr(technique, "cutoff_v", None) is None:
            self._settle(_REACHED)  # runs until somebody stops it: started is all there is
        else:
            self._settle(outcome)
        return status

    def hold(self) -> None:
        """Open the circuit and keep it open; not the same as holding the potential."""
        self._leave(True)
        self._open()
        self._settle(_STOPPED)

    def stop(self, *, success: bool = False) -> None:
        """Go to the safe state. Raises PutError or PotentiostatError where current flows on."""
        self._leave(success)
        if isinstance(self.safe, OpenCircuit) or not self._made_safe():
            self._open()
        self._settle(_STOPPED)

    def _leave(self, success: bool) -> None:
        with self._lock:
            self._stopping = success
            self._renewing.clear()

    def _made_safe(self) -> bool:
        """Whether the instrument says that it is where it was told to go."""
        try:
            put_and_wait(self.safe_now, 1)
            state = str(fresh(self.state))
        except PutError as error:
            self.log.error("%s: the safe state is not confirmed, circuit opened: %s", self, error)
            return False
        return state == "HOLD_POTENTIAL" or state in _LATCHED

    def _open(self) -> None:
        put_and_wait(self.open_circuit, 1)
        if (state := str(fresh(self.state))) == "RUNNING":
            raise PotentiostatError(f"{self.name} is {state} after it was told to open the circuit")

    def zero(self) -> None:
        """Count charge from here: the start of a run."""
        put_and_wait(self.zero_command, 1)

    def acknowledge(self) -> None:
        """A person has seen why the circuit was opened; does not start anything."""
        put_and_wait(self.acknowledge_command, 1)

    def destroy(self) -> None:
        """Let go of the instrument; an unrenewed lease opens the circuit."""
        self._closed.set()
        super().destroy()

    @property
    def hints(self) -> dict[str, Any]:
        """The voltage is what one wants to see."""
        return {"fields": [self.voltage.name]}

    # -- before a start -----------------------------------------------------------------------

    def _at(self, mark: Mark) -> Technique:
        last = getattr(self, "_technique", None)
        if isinstance(last, Galvanostatic):
            return Galvanostatic(last.current_a, mark, last.cutoff_v)
        if isinstance(last, Potentiostatic):
            return Potentiostatic(last.voltage_v, mark)
        if mark.time_s is not None:
            return OpenCircuit(mark)
        raise PotentiostatError(f"{self.name}: mark {mark.words()} came before any technique")

    def _wanted(self) -> tuple[tuple[Asked, float | str], ...]:
        """What has to read back before anything is started."""
        wanted: list[tuple[Asked, float | str]] = [
            (self.limit_e_low, self.limits.voltage_low_v),
            (self.limit_e_high, self.limits.voltage_high_v),
            (self.limit_i, self.limits.current_a),
            (self.limit_q, self.limits.charge_ah),
            (self.limit_t, self.limits.temperature_high_c),
            (self.lease_timeout, self.lease_s),
        ]
        if isinstance(self.safe, Potentiostatic):
            wanted += [(self.safe_voltage, self.safe.voltage_v)]
        return (*wanted, (self.safe_state, _SAFE_STATES[type(self.safe)]))

    def _verify_ready(self) -> None:
        state = str(fresh(self.state))
        if state in _LATCHED:
            raise PotentiostatError(
                f"{self.name} is at {state} ({self._why()}): a person must acknowledge it first"
            )
        for signal, value in self._wanted():
            if _same(fresh(signal), value):
                continue
            put_and_wait(signal, value)
            found = fresh(signal)
            if not _same(found, value):
                raise LimitError(
                    f"{signal.pvname} reads back {found} after {value} was written: not started"
                )

    def _write(self, technique: Technique) -> None:
        mark = technique.until
        if isinstance(technique, Galvanostatic):
            mode, cutoff = "CC", technique.cutoff_v
            put_and_wait(self.set_current, technique.current_a)
        elif isinstance(technique, Potentiostatic):
            mode, cutoff = "CV", None
            put_and_wait(self.set_voltage, technique.voltage_v)
        else:
            mode, cutoff = "OCV", None
        put_and_wait(self.set_mode, mode)
        put_and_wait(self.set_until, "NONE" if mark is None else _UNTIL[mark.kind()])
        put_and_wait(self.set_until_value, math.nan if mark is None else mark.value())
        put_and_wait(self.set_cutoff, math.nan if cutoff is None else cutoff)

    def _next_number(self) -> int:
        number, _ = self._answer()
        return max(number, self._number) + 1

    def _answer(self) -> tuple[int, int]:
        number, outcome = _pair(fresh(self.program))
        return number, outcome

    def _why(self) -> str:
        try:
            return str(fresh(self.message)) or "no reason given"
        except PutError as error:
            return str(error)

    # -- how a program ends -------------------------------------------------------------------

    def _program_moved(self, *, value: Any, **_: Any) -> None:
        number, outcome = _pair(value)
        if number == self._number:
            self._settle(outcome)

    def _end_status_of_last_program(self) -> None:
        """A new program ends the waiting for the last one."""
        last, self._status = self._status, None
        if last is not None and not last.done:
            last.set_finished()

    def _settle(self, outcome: int) -> None:
        if outcome in (0, _RUNNING):
            return
        with self._lock:
            status, self._status = self._status, None
            own_word = self._stopping
        if outcome != _RUNNING and not (outcome == _REACHED and self._flows_on()):
            self._renewing.clear()
        if status is None or status.done:
            return
        if outcome in (_REACHED, _CUTOFF) or (outcome == _STOPPED and own_word):
            status.set_finished()
            return
        words = {
            _STOPPED: "was stopped before the mark was reached",
            _LIMIT: "passed a limit",
            _LEASE: "lost its client",
            _FAULT: "has a fault",
        }.get(outcome, f"ended with {outcome}")
        said = str(self.message.get() or "") if outcome != _STOPPED else ""
        status.set_exception(PotentiostatError(f"{self.name} {words}{': ' + said if said else ''}"))

    def _flows_on(self) -> bool:
        technique = getattr(self, "_technique", None)
        return (
            isinstance(technique, (Galvanostatic, Potentiostatic))
            and technique.until is None
            and getattr(technique, "cutoff_v", None) is None
        )

    # -- the lease ----------------------------------------------------------------------------

    def _begin_renewing(self) -> None:
        self._renewing.set()
        if self.lease_s <= 0 or self._renewer is not None:
            return
        self._renewer = threading.Thread(
            target=_renew,
            args=(weakref.ref(self), self._renewing, self._closed, self.lease_s),
            name=f"{self.name}-lease",
            daemon=True,
        )
        self._renewer.start()


def _renew(
    device: weakref.ref[Potentiostat],
    renewing: threading.Event,
    closed: threading.Event,
    lease_s: float,
) -> None:
    """Say that the client lives, while it wants current: in a thread, once a second or oftener."""
    beat = 0
    while not closed.wait(min(LEASE_RENEWED_S, lease_s / 4)):
        potentiostat = device()
        if potentiostat is None:
            return
        if renewing.is_set():
            beat += 1
            try:
                potentiostat.lease.put(beat, connection_timeout=0.5)
            except Exception:  # the instrument notices the silence; that is what the lease is for
                potentiostat.log.warning("%s: lease could not be renewed", potentiostat.name)
        del potentiostat


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, Sequence) and not hasattr(value, "__len__"):
        return 0, 0
    return (int(value[0]), int(value[1])) if len(value) == 2 else (0, 0)


def _same(found: object, wanted: float | str) -> bool:
    if isinstance(wanted, str):
        return found == wanted
    return isinstance(found, (int, float)) and math.isclose(found, wanted, rel_tol=1e-9, abs_tol=0)

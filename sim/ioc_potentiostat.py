"""The potentiostat on EPICS Channel Access: process variables around the simulated instrument.

Rule for joining: at every tick E, I, Q, T, STATE and MODE are posted with one and the same time
stamp, and TIME (the potentiostat's own clock) last. Who sees TIME arrive has the whole sample.

Rule for programs: the client writes SET:… and then a number of its own to START. The IOC answers
in PROGRAM = [number, outcome], one array so that the two cannot be seen apart; MESSAGE is posted
before it. A refused start leaves PROGRAM as it was.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from .potentiostat import Instrument, InstrumentLimits, Mode, Program, SafeState, State, Until

_STATES = [state.name for state in State]
_MODES = [mode.name for mode in Mode]
_UNTILS = [until.name for until in Until]
_SAFE_STATES = [state.name for state in SafeState]


class PotentiostatIoc(PVGroup):  # type: ignore[misc]
    """One potentiostat channel. Units are in the PVs' own metadata."""

    voltage = pvproperty(name="E", value=0.0, units="V", precision=6, read_only=True)
    current = pvproperty(name="I", value=0.0, units="A", precision=12, read_only=True)
    charge = pvproperty(name="Q", value=0.0, units="A h", precision=12, read_only=True)
    temperature = pvproperty(name="T", value=0.0, units="degC", precision=2, read_only=True)
    clock = pvproperty(name="TIME", value=0.0, units="s", precision=3, read_only=True)
    state = pvproperty(name="STATE", value=_STATES[0], enum_strings=_STATES, record="mbbi",
                       dtype=ChannelType.ENUM, read_only=True)  # fmt: skip
    mode = pvproperty(name="MODE", value=_MODES[0], enum_strings=_MODES, record="mbbi",
                      dtype=ChannelType.ENUM, read_only=True)  # fmt: skip
    heartbeat = pvproperty(name="HEARTBEAT", value=0, read_only=True)
    message = pvproperty(
        name="MESSAGE", value="", max_length=200, dtype=ChannelType.CHAR,
        string_encoding="utf-8", report_as_string=True, read_only=True,
    )  # fmt: skip
    program = pvproperty(name="PROGRAM", value=[0, 0], read_only=True)

    set_mode = pvproperty(name="SET:MODE", value=_MODES[0], enum_strings=_MODES, record="mbbo",
                          dtype=ChannelType.ENUM)  # fmt: skip
    set_current = pvproperty(name="SET:CURRENT", value=0.0, units="A", precision=12)
    set_voltage = pvproperty(name="SET:VOLTAGE", value=0.0, units="V", precision=6)
    set_until = pvproperty(name="SET:UNTIL", value=_UNTILS[0], enum_strings=_UNTILS, record="mbbo",
                           dtype=ChannelType.ENUM)  # fmt: skip
    set_until_value = pvproperty(name="SET:UNTIL_VALUE", value=math.nan, precision=12)
    set_cutoff = pvproperty(name="SET:CUTOFF", value=math.nan, units="V", precision=6)

    start = pvproperty(name="START", value=0)
    open_circuit = pvproperty(name="OPEN", value=0)
    zero = pvproperty(name="ZERO", value=0)
    acknowledge = pvproperty(name="ACKNOWLEDGE", value=0)

    limit_e_low = pvproperty(name="LIMIT:E_LOW", value=0.0, units="V", precision=6)
    limit_e_high = pvproperty(name="LIMIT:E_HIGH", value=0.0, units="V", precision=6)
    limit_i = pvproperty(name="LIMIT:I", value=0.0, units="A", precision=12)
    limit_q = pvproperty(name="LIMIT:Q", value=0.0, units="A h", precision=12)
    limit_t = pvproperty(name="LIMIT:T", value=0.0, units="degC", precision=2)

    safe_state = pvproperty(name="SAFE:STATE", value=_SAFE_STATES[0], enum_strings=_SAFE_STATES,
                            record="mbbo", dtype=ChannelType.ENUM)  # fmt: skip
    safe_voltage = pvproperty(name="SAFE:VOLTAGE", value=math.nan, units="V", precision=6)
    safe_now = pvproperty(name="SAFE:NOW", value=0)

    lease = pvproperty(name="LEASE", value=0)
    lease_timeout = pvproperty(name="LEASE:TIMEOUT", value=5.0, units="s", precision=2)

    def __init__(self, prefix: str, instrument: Instrument, tick_hz: float = 20.0) -> None:
        super().__init__(prefix)
        self.instrument = instrument
        self.hard_limits = instrument.limits  # a client's limits lie inside the instrument's own
        self.tick_s = 1 / tick_hz

    @clock.startup  # type: ignore[no-redef]
    async def clock(self, instance: Any, async_lib: Any) -> None:
        """The tick."""
        await self._post_limits()
        await self.lease_timeout.write(self.instrument.lease_s)
        last = due = time.monotonic()
        beat = 0
        while True:
            due = max(due + self.tick_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            self.instrument.tick(now - last, now)
            last = now
            await self._post()
            beat += 1
            await self.heartbeat.write(beat)

    async def _post(self) -> None:
        instrument, cell = self.instrument, self.instrument.cell
        with instrument.lock:
            values = (
                (self.voltage, cell.voltage_v),
                (self.current, cell.current_a if instrument.mode is not Mode.OCV else 0.0),
                (self.charge, instrument.charge_ah),
                (self.temperature, cell.temperature_c),
                (self.state, int(instrument.state)),
                (self.mode, int(instrument.mode)),
                (self.clock, cell.time_s),
            )
            message, answer = instrument.message, [instrument.number, int(instrument.outcome)]
        stamp = time.time()
        for channel, value in values:
            await channel.write(value, timestamp=stamp)
        if self.message.value != message:
            await self.message.write(message)
        if list(self.program.value) != answer:
            await self.program.write(answer)

    @start.putter  # type: ignore[no-redef]
    async def start(self, instance: Any, number: int) -> None:
        """Begin the program that the settings describe, under the client's number."""
        mode = Mode(_MODES.index(_text(self.set_mode.value, _MODES)))
        program = Program(
            number=int(number),
            mode=mode,
            setpoint=float(
                {Mode.CC: self.set_current, Mode.CV: self.set_voltage}[mode].value
                if mode is not Mode.OCV
                else 0.0
            ),
            until=Until(_UNTILS.index(_text(self.set_until.value, _UNTILS))),
            until_value=float(self.set_until_value.value),
            cutoff_v=float(self.set_cutoff.value),
        )
        self.instrument.start(program, time.monotonic())
        await self._post()

    @open_circuit.putter  # type: ignore[no-redef]
    async def open_circuit(self, instance: Any, value: int) -> None:
        """Open the circuit, whatever is going on; the put is complete when STATE says so."""
        self.instrument.open()
        await self._post()

    @safe_state.putter  # type: ignore[no-redef]
    async def safe_state(self, instance: Any, value: str | int) -> None:
        """What a lost lease and SAFE:NOW lead to."""
        name = _text(value, _SAFE_STATES)
        self.instrument.safe_state = SafeState(_SAFE_STATES.index(name))

    @safe_voltage.putter  # type: ignore[no-redef]
    async def safe_voltage(self, instance: Any, value: float) -> float:
        """The potential to be held [V]; one beyond the instrument's own limits is not taken."""
        hard = self.hard_limits
        if hard.voltage_low_v <= float(value) <= hard.voltage_high_v:
            self.instrument.safe_voltage_v = float(value)
        return self.instrument.safe_voltage_v

    @safe_now.putter  # type: ignore[no-redef]
    async def safe_now(self, instance: Any, value: int) -> None:
        """Go to the safe state; the put is complete when STATE says so."""
        self.instrument.safe()
        await self._post()

    @zero.putter  # type: ignore[no-redef]
    async def zero(self, instance: Any, value: int) -> None:
        """Count charge from here."""
        self.instrument.zero()
        await self._post()

    @acknowledge.putter  # type: ignore[no-redef]
    async def acknowledge(self, instance: Any, value: int) -> None:
        """A person has seen why the circuit was opened."""
        self.instrument.acknowledge()
        await self._post()

    @lease.putter  # type: ignore[no-redef]
    async def lease(self, instance: Any, value: int) -> None:
        """The client is there."""
        self.instrument.renew(time.monotonic())

    @lease_timeout.putter  # type: ignore[no-redef]
    async def lease_timeout(self, instance: Any, value: float) -> float:
        """Silence after which the circuit is opened [s]; 0 switches the lease off."""
        self.instrument.lease_s = max(0.0, float(value))
        return self.instrument.lease_s

    async def _limit(self, name: str, value: float) -> float:
        """The limit that stands after a client asked for value: never beyond the hard ones."""
        limits, hard = self.instrument.limits, getattr(self.hard_limits, name)
        value = float(value)
        inside = value >= hard if name == "voltage_low_v" else value <= hard
        if math.isfinite(value) and inside:
            names = InstrumentLimits.__dataclass_fields__
            kept = {n: getattr(limits, n) for n in names}
            self.instrument.limits = InstrumentLimits(**{**kept, name: value})
        return float(getattr(self.instrument.limits, name))

    @limit_e_low.putter  # type: ignore[no-redef]
    async def limit_e_low(self, instance: Any, value: float) -> float:
        """Lowest voltage [V]."""
        return await self._limit("voltage_low_v", value)

    @limit_e_high.putter  # type: ignore[no-redef]
    async def limit_e_high(self, instance: Any, value: float) -> float:
        """Highest voltage [V]."""
        return await self._limit("voltage_high_v", value)

    @limit_i.putter  # type: ignore[no-redef]
    async def limit_i(self, instance: Any, value: float) -> float:
        """Largest current [A]."""
        return await self._limit("current_a", value)

    @limit_q.putter  # type: ignore[no-redef]
    async def limit_q(self, instance: Any, value: float) -> float:
        """Largest charge [A h]."""
        return await self._limit("charge_ah", value)

    @limit_t.putter  # type: ignore[no-redef]
    async def limit_t(self, instance: Any, value: float) -> float:
        """Highest temperature [deg C]."""
        return await self._limit("temperature_high_c", value)

    async def _post_limits(self) -> None:
        limits = self.instrument.limits
        for channel, value in (
            (self.limit_e_low, limits.voltage_low_v),
            (self.limit_e_high, limits.voltage_high_v),
            (self.limit_i, limits.current_a),
            (self.limit_q, limits.charge_ah),
            (self.limit_t, limits.temperature_high_c),
        ):
            await channel.write(value)


def _text(value: str | int, names: Sequence[str]) -> str:
    return value if isinstance(value, str) else names[value]

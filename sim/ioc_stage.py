"""The scan stage on EPICS Channel Access: two motor records and a fly program.

ROT [deg] and TRANS [um] are motor records as far as ophyd's EpicsMotor looks at them; so are CX and
CY [um], the place of the sample that the centring stages on top have put on the rotation axis.
FLY:RUN takes the client's number for the program that the FLY: settings describe. FLY:LINE carries
the measured positions of each finished line, posted once a line, as one array so that they cannot
be torn apart: [number, index of the line's first frame, translations …, rotations …]. FLY:HOLD at 1
lets the stage stand still before the next line, FLY:HELD says that it does; 0, and every new
flight, goes on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from .fly import Flight, FlyProgram, Line, Trigger

_STATES = ["IDLE", "RUNNING", "DONE", "ABORTED", "FAULT"]
MAX_LINES = 4096
MAX_POINTS = 4096
_POLL_S = 0.1
_MOVE_TICK_S = 0.02


class StageIoc(PVGroup):  # type: ignore[misc]
    """Rotation, translation and the flights over both."""

    rotation = pvproperty(name="ROT", value=0.0, record="motor", units="deg", precision=4)
    translation = pvproperty(name="TRANS", value=0.0, record="motor", units="um", precision=3)

    centre_x = pvproperty(name="CX", value=0.0, record="motor", units="um", precision=3)
    centre_y = pvproperty(name="CY", value=0.0, record="motor", units="um", precision=3)

    angles = pvproperty(name="FLY:ANGLES", value=[0.0], max_length=MAX_LINES, units="deg")
    start_um = pvproperty(name="FLY:START", value=0.0, units="um", precision=4)
    stop_um = pvproperty(name="FLY:STOP", value=0.0, units="um", precision=4)
    points = pvproperty(name="FLY:POINTS", value=1)
    dwell = pvproperty(name="FLY:DWELL", value=0.01, units="s", precision=6)
    snake = pvproperty(name="FLY:SNAKE", value=0)
    beam = pvproperty(name="FLY:BEAM", value=1.0, units="um", precision=3)
    run = pvproperty(name="FLY:RUN", value=0)
    abort = pvproperty(name="FLY:ABORT", value=0)
    hold = pvproperty(name="FLY:HOLD", value=0)
    finish = pvproperty(name="FLY:FINISH", value=0)

    state = pvproperty(name="FLY:STATE", value=_STATES[0], enum_strings=_STATES, record="mbbi",
                       dtype=ChannelType.ENUM, read_only=True)  # fmt: skip
    flight_state = pvproperty(name="FLY:PROGRAM", value=[0, 0], read_only=True)
    pulses = pvproperty(name="FLY:FRAMES", value=0, read_only=True)
    held = pvproperty(name="FLY:HELD", value=0, read_only=True)
    rate = pvproperty(name="FLY:RATE", value=math.nan, units="Hz", precision=2, read_only=True)
    message = pvproperty(
        name="FLY:MESSAGE", value="", max_length=200, dtype=ChannelType.CHAR,
        string_encoding="utf-8", report_as_string=True, read_only=True,
    )  # fmt: skip
    line = pvproperty(name="FLY:LINE", value=[0.0], max_length=2 + 2 * MAX_POINTS, read_only=True)

    def __init__(
        self,
        prefix: str,
        trigger: Trigger,
        wander_um: float = 0.02,
        seed: int = 0,
        beam: tuple[float, Callable[[float], None]] | None = None,
    ) -> None:
        """trigger: the cable to the detector.

        beam: its width at the beginning [um], and what sets another
        """
        super().__init__(prefix)
        self._beam = beam
        self._trigger = trigger
        self._wander_um = wander_um
        self._seed = seed
        self._flight: Flight | None = None
        self._task: asyncio.Task[None] | None = None

    def where(self) -> tuple[float, float]:
        """Rotation [deg] and translation [um] at this moment."""
        flight = self._flight
        if flight is not None:
            return flight.rotation_deg, flight.translation_um
        readbacks = (
            self.rotation.field_inst.user_readback_value.value,
            self.translation.field_inst.user_readback_value.value,
        )
        return float(readbacks[0]), float(readbacks[1])

    @rotation.startup  # type: ignore[no-redef]
    async def rotation(self, instance: Any, async_lib: Any) -> None:
        """The rotation's motor."""
        await _motor(instance, velocity=720.0, low=-1e4, high=1e4, unit="deg")

    @translation.startup  # type: ignore[no-redef]
    async def translation(self, instance: Any, async_lib: Any) -> None:
        """The translation's motor."""
        await _motor(instance, velocity=5000.0, low=-5e3, high=5e3, unit="um")

    @beam.startup  # type: ignore[no-redef]
    async def beam(self, instance: Any, async_lib: Any) -> None:
        """The beam as it is."""
        if self._beam is not None:
            await instance.write(self._beam[0])

    @beam.putter  # type: ignore[no-redef]
    async def beam(self, instance: Any, width_um: float) -> float | None:
        """Another width, from the next scan on; one that is none is not taken."""
        try:
            if self._beam is not None:
                self._beam[1](float(width_um))
        except ValueError as error:
            await self.message.write(f"refused: {error}")
            return float(instance.value)
        return None

    @centre_x.startup  # type: ignore[no-redef]
    async def centre_x(self, instance: Any, async_lib: Any) -> None:
        """One motor of the centring stage."""
        await _motor(instance, velocity=2000.0, low=-5e3, high=5e3, unit="um")

    @centre_y.startup  # type: ignore[no-redef]
    async def centre_y(self, instance: Any, async_lib: Any) -> None:
        """Its other motor."""
        await _motor(instance, velocity=2000.0, low=-5e3, high=5e3, unit="um")

    def _pulse(self, rotation_deg: float, translation_um: float) -> bool:
        """A pulse to the detector, which sees the sample where the centring stages hold it."""
        turned = math.radians(rotation_deg)
        x_um, y_um = (
            float(motor.field_inst.user_readback_value.value)
            for motor in (self.centre_x, self.centre_y)
        )
        beside_um = x_um * math.cos(turned) + y_um * math.sin(turned)
        return self._trigger(rotation_deg, translation_um + beside_um)

    @run.putter  # type: ignore[no-redef]
    async def run(self, instance: Any, number: int) -> None:
        """Fly the program that the settings describe, under the client's number."""
        if self._task is not None and not self._task.done():
            await self.message.write(f"refused: flight {self.flight_state.value[0]} is under way")
            return
        try:
            program = FlyProgram(
                number=int(number),
                angles_deg=tuple(float(a) for a in np.atleast_1d(self.angles.value)),
                start_um=float(self.start_um.value),
                stop_um=float(self.stop_um.value),
                points=int(self.points.value),
                dwell_s=float(self.dwell.value),
                snake=bool(self.snake.value),
            )
            if program.points > MAX_POINTS:
                raise ValueError(f"{program.points} points, at most {MAX_POINTS} are possible")
        except ValueError as error:
            await self.message.write(f"refused: {error}")
            return
        await self.pulses.write(0)
        await self.hold.write(0)
        await self.message.write("")
        await self._post_state(program.number, "RUNNING")
        self._task = asyncio.ensure_future(self._fly(program))

    @abort.putter  # type: ignore[no-redef]
    async def abort(self, instance: Any, value: int) -> None:
        """Stop the flight; the put is complete when the stage stands."""
        flight, task = self._flight, self._task
        if flight is not None and task is not None:
            flight.abort()
            await asyncio.wait([task], timeout=5.0)

    @hold.putter  # type: ignore[no-redef]
    async def hold(self, instance: Any, value: int) -> None:
        """Stand still before the next line, or go on."""
        if self._flight is not None:
            self._flight.hold(bool(value))

    @finish.putter  # type: ignore[no-redef]
    async def finish(self, instance: Any, value: int) -> None:
        """End the flight after the line that is being flown."""
        if self._flight is not None:
            self._flight.finish()

    async def _fly(self, program: FlyProgram) -> None:
        flight = self._flight = Flight(program, self._pulse, self._wander_um, self._seed)
        flight.hold(bool(self.hold.value))
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[Line] = asyncio.Queue()

        def line_done(line: Line) -> None:
            loop.call_soon_threadsafe(lines.put_nowait, line)

        flying = loop.run_in_executor(None, flight.run, line_done)
        try:
            while not flying.done():
                await asyncio.wait([flying], timeout=_POLL_S)
                await self._post(flight, lines)
            whole = await flying
            await asyncio.sleep(0)  # the last line is on its way into the queue
            await self._post(flight, lines)
            await self._post_state(program.number, "DONE" if whole else "ABORTED")
        except asyncio.CancelledError:
            flight.abort()
            raise
        except Exception as error:  # whatever fails in the twin ends this flight, not the IOC
            await self.message.write(f"{type(error).__name__}: {error}"[:200])
            await self._post_state(program.number, "FAULT")
        finally:
            self._flight = None
            await self.held.write(0)

    async def _post(self, flight: Flight, lines: asyncio.Queue[Line]) -> None:
        while not lines.empty():
            line = lines.get_nowait()
            await self.line.write(
                [float(line.number), float(line.first), *line.translations_um, *line.rotations_deg]
            )
        await self.pulses.write(flight.pulses)
        await self.held.write(int(flight.held))
        await self.rate.write(flight.frames_per_s)
        for motor, place in (
            (self.rotation, flight.rotation_deg),
            (self.translation, flight.translation_um),
        ):
            await motor.field_inst.user_readback_value.write(place)

    async def _post_state(self, number: int, state: str) -> None:
        await self.state.write(state)
        await self.flight_state.write([number, _STATES.index(state)])


async def _motor(motor: Any, velocity: float, low: float, high: float, unit: str) -> None:
    """The few things that a motor record does: go to VAL at VELO, tell RBV and DMOV, heed STOP."""
    fields = motor.field_inst
    wanted: asyncio.Queue[float] = asyncio.Queue()

    async def written(_: Any, value: float) -> None:
        await fields.done_moving_to_value.write(0)
        await wanted.put(float(value))

    await fields.velocity.write(velocity)
    await fields.user_low_limit.write(low)
    await fields.user_high_limit.write(high)
    await fields.engineering_units.write(unit)
    await fields.user_readback_value.write_metadata(units=unit)
    await fields.done_moving_to_value.write(1)
    fields.value_write_hook = written
    while True:
        target = await wanted.get()
        while not wanted.empty():
            target = wanted.get_nowait()
        await fields.stop.write(0)
        await fields.motor_is_moving.write(1)
        place, last = float(fields.user_readback_value.value), time.monotonic()
        while place != target and wanted.empty() and not fields.stop.value:
            await asyncio.sleep(_MOVE_TICK_S)
            now = time.monotonic()
            reach = float(fields.velocity.value) * (now - last)
            place += math.copysign(min(reach, abs(target - place)), target - place)
            last = now
            await fields.user_readback_value.write(place)
        if fields.stop.value:
            await fields.stop.write(0)
        if wanted.empty():
            await fields.motor_is_moving.write(0)
            await fields.done_moving_to_value.write(1)

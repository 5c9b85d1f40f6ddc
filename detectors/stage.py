"""The scan stage as an ophyd device: two motors, and a flight over both that pulses the detector.

Flyable: prepare(FlyScan), kickoff, complete. A pause or a stop aborts the flight; it is never
taken up again in the middle, a plan repeats the scan. A hold is something else: the stage finishes
its line, stands still before the next one, and goes on in the same flight. The simulated stage and
a real IOC with the same process variables differ in the prefix only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device, EpicsMotor, Kind
from ophyd.status import DeviceStatus

from .asked import Asked, AskedRO
from .epics_put import fresh, put_and_wait

_RUNNING, _DONE, _ABORTED, _FAULT = 1, 2, 3, 4


class StageError(RuntimeError):
    """The stage did not fly what it was asked to; says why."""


@dataclass(frozen=True, slots=True)
class FlyScan:
    """A tomogram as the stage flies it.

    scan: identifier of the scan, for those who join measured positions to frames
    angles_deg: rotation of every line, in the order of the lines
    start_um, stop_um, points: one line, ends included
    dwell_s: time at a point
    snake: odd lines run backwards
    beam_um: width of the beam; 0 leaves it as it is
    """

    scan: str
    angles_deg: tuple[float, ...]
    start_um: float
    stop_um: float
    points: int
    dwell_s: float
    snake: bool = False
    beam_um: float = 0.0

    def frames(self) -> int:
        """Points of the whole flight."""
        return len(self.angles_deg) * self.points


@dataclass(frozen=True, slots=True)
class MeasuredLine:
    """Where the stage was on one line: frame indices and both encoders."""

    scan: str
    indices: NDArray[np.int64]
    translations_um: NDArray[np.float64]
    rotations_deg: NDArray[np.float64]


class ScanStage(Device):
    """Rotation [deg] and translation [um]."""

    rotation = Cpt(EpicsMotor, "ROT", kind=Kind.hinted)
    translation = Cpt(EpicsMotor, "TRANS", kind=Kind.hinted)

    fly_angles = Cpt(Asked, "FLY:ANGLES", kind=Kind.omitted)
    fly_start = Cpt(Asked, "FLY:START", kind=Kind.config)
    fly_stop = Cpt(Asked, "FLY:STOP", kind=Kind.config)
    fly_points = Cpt(Asked, "FLY:POINTS", kind=Kind.config)
    fly_dwell = Cpt(Asked, "FLY:DWELL", kind=Kind.config)
    fly_snake = Cpt(Asked, "FLY:SNAKE", kind=Kind.config)
    fly_beam = Cpt(Asked, "FLY:BEAM", kind=Kind.config)
    fly_run = Cpt(Asked, "FLY:RUN", kind=Kind.omitted)
    fly_abort = Cpt(Asked, "FLY:ABORT", kind=Kind.omitted)
    hold = Cpt(Asked, "FLY:HOLD", kind=Kind.omitted)
    held = Cpt(AskedRO, "FLY:HELD", kind=Kind.omitted)
    # set to 1: the line that is being flown is the last; frames tells how many pulses there were
    finish = Cpt(Asked, "FLY:FINISH", kind=Kind.omitted)
    fly_state = Cpt(AskedRO, "FLY:STATE", string=True, auto_monitor=True, kind=Kind.omitted)
    fly_program = Cpt(AskedRO, "FLY:PROGRAM", auto_monitor=True, kind=Kind.omitted)
    frames = Cpt(AskedRO, "FLY:FRAMES", kind=Kind.omitted)
    rate = Cpt(AskedRO, "FLY:RATE", kind=Kind.omitted)
    message = Cpt(AskedRO, "FLY:MESSAGE", string=True, kind=Kind.omitted)
    line = Cpt(AskedRO, "FLY:LINE", auto_monitor=True, kind=Kind.omitted)

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._lock = threading.RLock()
        self._scan: FlyScan | None = None
        self._scans: dict[int, FlyScan] = {}
        self._number = 0
        self._status: DeviceStatus | None = None
        self._stopping = False
        self.fly_program.subscribe(self._program_moved, run=False)

    def prepare(self, value: FlyScan) -> DeviceStatus:
        """Write the flight to the stage; nothing moves yet."""
        for signal, setting in (
            (self.fly_angles, list(value.angles_deg)),
            (self.fly_start, value.start_um),
            (self.fly_stop, value.stop_um),
            (self.fly_points, value.points),
            (self.fly_dwell, value.dwell_s),
            (self.fly_snake, int(value.snake)),
            (self.hold, 0),
        ):
            put_and_wait(signal, setting)
        if value.beam_um > 0:
            put_and_wait(self.fly_beam, value.beam_um)
        self._scan = value
        status = DeviceStatus(self, call_stop_on_failure=False)
        status.set_finished()
        return status

    def kickoff(self) -> DeviceStatus:
        """Fly. Raises StageError where the stage refuses."""
        scan = self._scan
        if scan is None:
            raise StageError(f"{self.name}: kickoff without prepare")
        with self._lock:
            last, _ = self._answer()
            self._number = max(last, self._number) + 1
            self._scans = {self._number: scan}
            self._status = DeviceStatus(self, call_stop_on_failure=False)
            self._stopping = False
            put_and_wait(self.fly_run, self._number)
            number, _ = self._answer()
            if number != self._number:
                raise StageError(f"{self.name}: flight {fresh(self.message)}")
        started = DeviceStatus(self, call_stop_on_failure=False)
        started.set_finished()
        return started

    def complete(self) -> DeviceStatus:
        """Done when the flight is over; failed where it ended before its last point."""
        if self._status is None:
            raise StageError(f"{self.name}: complete without kickoff")
        return self._status

    def stop(self, *, success: bool = False) -> None:
        """Abort the flight and stop both motors."""
        with self._lock:
            self._stopping = True
        put_and_wait(self.fly_abort, 1, timeout_s=10.0)
        super().stop(success=success)

    def pause(self) -> None:
        """A flight is not interrupted and taken up again: it is aborted."""
        if self._status is not None and not self._status.done:
            self.stop(success=True)

    def resume(self) -> None:
        """Nothing: the plan flies the whole scan again."""

    def measured(self, value: Any) -> MeasuredLine | None:
        """What an update of FLY:LINE says; None where it is not of a flight of this client."""
        values = np.atleast_1d(np.asarray(value, np.float64))
        points = (len(values) - 2) // 2
        scan = self._scans.get(int(values[0])) if points >= 1 else None
        if scan is None or len(values) != 2 + 2 * points:
            return None
        first = int(values[1])
        return MeasuredLine(
            scan=scan.scan,
            indices=np.arange(first, first + points, dtype=np.int64),
            translations_um=values[2 : 2 + points].copy(),
            rotations_deg=values[2 + points :].copy(),
        )

    def _answer(self) -> tuple[int, int]:
        value: Any = fresh(self.fly_program)
        return int(value[0]), int(value[1])

    def _program_moved(self, *, value: Any, **_: Any) -> None:
        number, state = int(value[0]), int(value[1])
        with self._lock:
            status = self._status
            if number != self._number or status is None or status.done or state <= _RUNNING:
                return
            own_word = self._stopping
        if state == _DONE or (state == _ABORTED and own_word):
            status.set_finished()
            return
        word = "was aborted by somebody else" if state == _ABORTED else "failed"
        status.set_exception(StageError(f"{self.name}: flight {number} {word}"))


class CentringStage(ScanStage):
    """A scan stage with centring stages on top of its rotation.

    centre_x, centre_y: which place of the slice lies on the rotation axis [um]
    """

    centre_x = Cpt(EpicsMotor, "CX", kind=Kind.normal)
    centre_y = Cpt(EpicsMotor, "CY", kind=Kind.normal)

"""One tomogram as a Bluesky run of its own: describe, arm, fly, count."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ..detectors.exposure import Exposure
from ..detectors.stage import FlyScan
from ..stream.description import GridAxis, ScanDescription
from ..stream.messages import CellState, Scalar
from .devices import CellController, FlyDetector, FlyStage
from .hold import Hold
from .pause_witness import PauseWitness
from .safety import cause_of, end_asked
from .scan_account import AccountOf, closed_account, nobody_counts, write_account

Plan = Generator[Msg, Any, Any]

_POLL_S = 0.25
_ABORTED_CLOSING_S = 3.0  # wait for the account of a scan that did not end well
_FROM_OUTSIDE = "ended from outside before its last frame"  # abort or stop of the RunEngine
_STALLED_S = 60.0  # wall time without a new frame after which a flight is given up


class Incomplete(RuntimeError):
    """A scan that does not hold what it announced: it is taken again."""


@dataclass(slots=True)
class Taken:
    """A tomogram as it was taken.

    scan: its identifier; frames: that it holds
    ended: why it has fewer than were announced, "" where it has all
    """

    scan: str
    frames: int
    ended: str = ""


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """Who may end a tomogram between two lines.

    why: asked about four times a second with the scan's identifier; gives a reason, or "" to go on
    withdraw: told (scan, first frame that will not come, why), before the detector is told to end
    """

    why: Callable[[str], str]
    withdraw: Callable[[str, int, str], None]


@dataclass(frozen=True, slots=True)
class Tomogram:
    """What is the same for all tomograms of a run.

    angles_deg: in the order of visit
    start_um, stop_um, points: one line, ends included
    exposure_s, dwell_s: count time, and time at a point [s]
    energy_ev: 0 leaves the detector's as it is [eV]
    poni: text of the geometry
    beam_um: width of the beam; 0 leaves it as it is
    centre_um: (x, y) of the slice to be put on the rotation axis; None leaves the sample alone
    """

    angles_deg: tuple[float, ...]
    start_um: float
    stop_um: float
    points: int
    snake: bool
    exposure_s: float
    dwell_s: float
    energy_ev: float
    poni: str
    technique: str
    notes: dict[str, Scalar] = field(default_factory=dict)
    beam_um: float = 0.0
    centre_um: tuple[float, float] | None = None

    def frames(self) -> int:
        """Frames of one tomogram."""
        return len(self.angles_deg) * self.points

    @property
    def step_um(self) -> float:
        """Between the points of a line."""
        return (self.stop_um - self.start_um) / (self.points - 1)

    def described(
        self, run: str, scan: str, number: int, cell: CellState, notes: dict[str, Scalar]
    ) -> ScanDescription:
        """This tomogram as the detector's stream announces it."""
        places = np.linspace(self.start_um, self.stop_um, self.points)
        return ScanDescription(
            run=run,
            scan=scan,
            number=number,
            technique=self.technique,
            grid=(len(self.angles_deg), self.points),
            axes=(
                GridAxis("rotation", "deg", 0, self.angles_deg),
                GridAxis("translation", "um", 1, tuple(float(p) for p in places)),
            ),
            snake=self.snake,
            poni=self.poni,
            cell=cell,
            notes={**self.notes, **notes},
        )

    def flown(self, scan: str) -> FlyScan:
        """This tomogram as the stage flies it."""
        return FlyScan(
            scan=scan,
            angles_deg=self.angles_deg,
            start_um=self.start_um,
            stop_um=self.stop_um,
            points=self.points,
            dwell_s=self.dwell_s,
            snake=self.snake,
            beam_um=self.beam_um,
        )


def cell_state(potentiostat: CellController) -> Plan:
    """The cell as it is now, a CellState."""
    numbers = {}
    for name, signal in (
        ("time_s", potentiostat.time),
        ("voltage_v", potentiostat.voltage),
        ("current_a", potentiostat.current),
        ("charge_ah", potentiostat.charge),
        ("temperature_c", potentiostat.temperature),
    ):
        numbers[name] = float((yield from bps.rd(signal, default_value=0.0)))
    state = yield from bps.rd(potentiostat.state, default_value="IDLE")
    return CellState(**numbers, state=str(state))


def tomogram(
    potentiostat: CellController,
    stage: FlyStage,
    detector: FlyDetector,
    scan: Tomogram,
    run: str,
    number: int,
    notes: dict[str, Scalar],
    witness: PauseWitness,
    tell: Callable[[int], None],
    hold: Hold,
    account_of: AccountOf = nobody_counts,
    early: EarlyEnd | None = None,
) -> Plan:
    """Take one tomogram; a Taken. Raises Incomplete where it was interrupted or frames are missing.

    run: uid of the outer run; number: of the scan in it; tell: is told the frames done
    hold: asked between the lines whether there is room for the next. Raises HeldTooLong
    account_of: the account of a scan by its uid; it goes into the scan's stop document
    early: may end it between two lines
    """
    md = {
        "plan_name": "tomogram",
        "operando": "scan",
        "operando_run": run,
        "scan_number": number,
        "technique": scan.technique,
        "shape": [len(scan.angles_deg), scan.points],
        "num_points": scan.frames(),
        "notes": {**scan.notes, **notes},
    }
    uid = str((yield from bps.open_run(md)))
    taken = Taken(uid, scan.frames())

    def whole() -> Plan:
        yield from bps.stage(detector)
        cell = yield from cell_state(potentiostat)
        yield from bps.trigger_and_read([potentiostat], name="cell")
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.prepare(stage, scan.flown(uid), wait=True)
        description = scan.described(run, uid, number, cell, notes)
        exposure = Exposure(
            description, scan.exposure_s, frame_s=scan.dwell_s, energy_ev=scan.energy_ev
        )
        yield from bps.prepare(detector, exposure, wait=True)
        _not_interrupted(witness, number)
        tell(0)
        yield from _fly(stage, detector, scan, number, witness, tell, hold, taken, early)
        yield from bps.unstage(detector)

    def cleanly() -> Plan:
        yield from bpp.finalize_wrapper(whole(), lambda: _at_rest(hold, stage, detector))

    def ended() -> Plan:
        account = yield from closed_account(uid, account_of, waiting=lambda: tell(taken.frames))
        words = yield from write_account(account)
        yield from bps.close_run("success", "; ".join(w for w in (taken.ended, words) if w))

    def failed(error: Exception) -> Plan:
        if (request := end_asked(error)) is not None:
            words = yield from write_account(account_of(uid))  # not waited for: the end is urgent
            said = "; ".join(w for w in (_FROM_OUTSIDE, words) if w)
            yield from bps.close_run(getattr(request, "exit_status", "abort"), said)
            return
        account = yield from closed_account(uid, account_of, _ABORTED_CLOSING_S)
        words = yield from write_account(account)
        cause = str(cause_of(error))
        yield from bps.close_run("fail", f"{cause}; {words}" if words else cause)

    yield from bpp.contingency_wrapper(cleanly(), except_plan=failed, else_plan=ended)
    return taken


def _fly(
    stage: FlyStage,
    detector: FlyDetector,
    scan: Tomogram,
    number: int,
    witness: PauseWitness,
    tell: Callable[[int], None],
    hold: Hold,
    taken: Taken,
    early: EarlyEnd | None,
) -> Plan:
    group = f"flight-{number}"
    yield from bps.kickoff(detector, wait=True)
    _not_interrupted(witness, number)
    yield from bps.kickoff(stage, wait=True)
    yield from bps.complete(stage, group=group)
    yield from bps.complete(detector, group=group)
    pulses, moved = 0, time.monotonic()
    while True:
        done = yield from bps.wait(group=group, timeout=_POLL_S, error_on_timeout=False)
        _not_interrupted(witness, number)
        given = int((yield from bps.rd(stage.frames, default_value=scan.frames())))
        yield from hold.between_lines(stage, f"scan {number} at frame {given} of {scan.frames()}")
        if given != pulses or hold.reason:
            pulses, moved = given, time.monotonic()
        tell(pulses)
        if done is not False:
            break
        if early is not None and not taken.ended and pulses < scan.frames() - scan.points:
            yield from _end_early(stage, detector, scan, number, taken, early, tell)
        if time.monotonic() - moved > _STALLED_S + scan.dwell_s:
            raise Incomplete(f"scan {number} stands at frame {pulses} of {scan.frames()}")
    took = int((yield from bps.rd(detector.frames, default_value=taken.frames)))
    yield from bps.collect(detector, name="primary")
    if pulses != taken.frames or took != taken.frames:
        raise Incomplete(
            f"scan {number}: {taken.frames} frames announced, the stage gave {pulses} pulses, "
            f"the detector took {took}"
        )


def _end_early(
    stage: FlyStage,
    detector: FlyDetector,
    scan: Tomogram,
    number: int,
    taken: Taken,
    early: EarlyEnd,
    tell: Callable[[int], None],
) -> Plan:
    """End the flight after its present line where early has a reason, and the series with it.

    The frames that are not to come are withdrawn before the detector ends: nobody misses them.
    """
    why = early.why(taken.scan)
    if not why:
        return
    yield from bps.abs_set(stage.finish, 1, wait=True)
    flown = f"flown-{number}"
    yield from bps.complete(stage, group=flown)
    deadline = time.monotonic() + _STALLED_S + scan.points * scan.dwell_s
    done, pulses = False, 0
    while done is False and time.monotonic() < deadline:
        done = yield from bps.wait(group=flown, timeout=_POLL_S, error_on_timeout=False)
        pulses = int((yield from bps.rd(stage.frames, default_value=scan.frames())))
        tell(pulses)
    if done is False or pulses % scan.points:
        raise Incomplete(f"scan {number} did not end after a line, but at frame {pulses}")
    if pulses < scan.frames():
        taken.frames, taken.ended = pulses, why
        early.withdraw(taken.scan, pulses, why)
        yield from bps.abs_set(detector.end_early, pulses, wait=True)


def _not_interrupted(witness: PauseWitness, number: int) -> None:
    if witness.interrupted:
        raise Incomplete(f"scan {number} was interrupted by a pause")


def _at_rest(hold: Hold, stage: FlyStage, detector: FlyDetector) -> Plan:
    hold.over()
    yield from bps.stop(stage)
    yield from bps.unstage(detector)

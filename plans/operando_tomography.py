"""Discharge a cell, pause it at marks, take a tomogram at each pause, leave it safe.

The run as Bluesky sees it: one outer run spans the discharge, with E, I, Q and t monitored; each
tomogram is an inner run of its own. Marks are absolute, so that a pause and resume passes no
charge twice. A tomogram that was interrupted, or is short of frames, is taken again as a new run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ..detectors.techniques import Galvanostatic, Mark, OpenCircuit, Technique
from ..stream.messages import CellState, Scalar
from .angles import Order, scan_angles
from .devices import CellController, FlyDetector, FlyStage
from .hold import Hold
from .marks import check_marks, parse_marks, seconds_left
from .pause import scan_until_whole, scans_of_pause
from .progress import Progress, Report
from .rescans import Adaptive
from .safety import cause_of, safe_end
from .scan_account import AccountOf, nobody_counts
from .tomogram import Tomogram, cell_state
from .wide_scans import WideScan, in_order

Plan = Generator[Msg, Any, Any]

ATTEMPTS = 3  # at a tomogram
_POLL_S = 0.5
SILENCE_S = 15.0  # wall time after which a potentiostat whose clock stands still is given up
_LATCHED = ("LIMIT", "FAULT", "DISCONNECTED")


class CellSilent(RuntimeError):
    """The potentiostat's clock stands still."""


def _nobody(phase: str, values: dict[str, Scalar]) -> None:
    """Nobody watches."""


def operando_tomography(
    potentiostat: CellController,
    stage: FlyStage,
    detector: FlyDetector,
    marks: Sequence[Mark | Mapping[str, float]],
    *,
    current_a: float,
    cutoff_v: float,
    angles: int = 40,
    order: Order = "bit_reversed",
    span_deg: float = 180.0,
    sweeps: int = 7,
    translations: int = 41,
    step_um: float = 1.0,
    centre_um: float = 0.0,
    snake: bool = False,
    beam_um: float = 0.0,
    exposure_s: float = 0.01,
    dwell_s: float = 0.0,
    relaxation_s: float = 600.0,
    before: Sequence[WideScan] = (),
    energy_ev: float = 0.0,
    poni: str = "",
    technique: str = "xrdct",
    attempts: int = ATTEMPTS,
    notes: Mapping[str, Scalar] | None = None,
    md: Mapping[str, Any] | None = None,
    report: Report | None = None,
    why_hold: Callable[[], str] | None = None,
    hold_limit_s: float = math.inf,
    account_of: AccountOf = nobody_counts,
    adaptive: Adaptive | None = None,
) -> Plan:
    """Run the cell from mark to mark, with a tomogram at each, to the cut-off voltage.

    marks: where to pause; {"capacity_ah": ...}, {"voltage_v": ...} or {"time_s": ...}; the time
        counts from the start of the run [cell time]
    current_a: discharge negative [A]
    cutoff_v: the discharge ends here, before a mark or after the last one [V]
    angles, order, span_deg, sweeps: see scan_angles()
    translations, step_um, centre_um: points of a line, their distance, their middle [um]
    beam_um: width of the beam; 0 leaves it as it is
    exposure_s: [s] a frame; dwell_s: time at a point, 0 for exposure plus readout [s]
    relaxation_s: at open circuit before each tomogram [s of the potentiostat's clock]
    before: scans of what surrounds the slice, taken at open circuit before the discharge begins
    attempts: how often a tomogram is begun before the run is given up
    notes: for the file, with each scan
    report: called with the phase in words and numbers, about twice a second
    why_hold: asked before each tomogram and between its lines: while it gives a reason the cell
        stays at open circuit and no frame is taken
    hold_limit_s: the run is given up, and says why, when it has waited so long for room
    account_of: a scan's account by its uid, for the scan's stop document
    adaptive: proposals that may end a tomogram early or add others to a pause; None: nobody asks
    """
    wanted = parse_marks(marks)
    check_marks(wanted, current_a, cutoff_v)
    if attempts < 1 or not relaxation_s >= 0 or not hold_limit_s > 0:
        raise ValueError(
            f"attempts = {attempts}, relaxation_s = {relaxation_s}, hold_limit_s = {hold_limit_s}: "
            "impossible"
        )
    half_um = step_um * (translations - 1) / 2
    frame_s = dwell_s or exposure_s + 1e-3
    scan = Tomogram(
        angles_deg=scan_angles(angles, order, span_deg, 0.0, sweeps),
        start_um=centre_um - half_um,
        stop_um=centre_um + half_um,
        points=translations,
        snake=snake,
        exposure_s=exposure_s,
        dwell_s=frame_s,
        energy_ev=energy_ev,
        poni=poni,
        technique=technique,
        notes={"angle_order": order, "role": "slice", **(notes or {})},
        beam_um=beam_um,
    )
    hold = Hold(why_hold or str, hold_limit_s)
    progress = Progress(report or _nobody, len(wanted), hold, account_of, adaptive)
    about = {
        "plan_name": "operando_tomography",
        "operando": "run",
        "marks": [{f"{m.kind()}": m.value()} for m in wanted],
        "current_a": current_a,
        "cutoff_v": cutoff_v,
        "relaxation_s": relaxation_s,
        "frames_per_scan": scan.frames(),
        **(md or {}),
    }

    def experiment() -> Plan:
        yield from progress.witness.seen()
        yield from _ready(potentiostat)
        yield from bps.abs_set(potentiostat.zero_command, 1, wait=True)
        run = yield from bps.open_run(about)
        began = yield from cell_state(potentiostat)
        yield from _baseline(potentiostat, stage, detector)
        signals = _monitored(potentiostat)
        for name, signal in signals:
            yield from bps.monitor(signal, name=name)
        stops = [*(mark.words() for mark in wanted), f"cut-off {cutoff_v:g} V"]
        progress.next_mark = stops[0]
        for wide in in_order(before):
            around = wide.tomogram(scan)
            taken = yield from scan_until_whole(
                potentiostat, stage, detector, around, str(run), attempts, progress, None
            )
            if adaptive is not None:
                adaptive.count(str(run), progress.number, around, taken)
        for place, mark in enumerate(wanted, 1):
            absolute = Mark(time_s=began.time_s + mark.time_s) if mark.time_s else mark
            yield from bps.checkpoint()
            end = yield from _drive(
                potentiostat, Galvanostatic(current_a, absolute, cutoff_v), "discharging", progress
            )
            if end == "CUTOFF":
                break
            progress.mark, progress.mark_at = place, mark.words()
            progress.next_mark = stops[place]
            yield from _relax(potentiostat, relaxation_s, progress)
            yield from scans_of_pause(
                potentiostat, stage, detector, scan, str(run), attempts, progress
            )
            progress.marks_taken += 1
        else:
            yield from bps.checkpoint()
            yield from _drive(
                potentiostat, Galvanostatic(current_a, None, cutoff_v), "discharging", progress
            )
        yield from bps.stop(potentiostat)
        for _, signal in signals:
            yield from bps.unmonitor(signal)
        yield from _baseline(potentiostat, stage, detector)
        yield from bps.close_run()
        progress.next_mark = ""
        progress.tell("finished")

    def last_words(error: Exception) -> Plan:
        cause = cause_of(error)
        progress.tell("stopped", reason=str(cause) or type(cause).__name__)
        yield from bps.null()

    # the outer run is left for the RunEngine to close: the cell comes first
    yield from bpp.finalize_wrapper(
        bpp.contingency_wrapper(experiment(), except_plan=last_words),
        lambda: safe_end(potentiostat, stage, detector),
    )


def _ready(potentiostat: CellController) -> Plan:
    """The cell at open circuit. Raises RuntimeError where it is not at rest, or is latched."""
    state = yield from bps.rd(potentiostat.state)
    if state in _LATCHED:
        raise RuntimeError(
            f"{potentiostat.name} is at {state}: find out why and acknowledge it before a run"
        )
    if state == "RUNNING":
        raise RuntimeError(f"{potentiostat.name} is running something else: stop it before a run")
    if state == "HOLD_POTENTIAL":  # how a run before this one was told to leave it
        yield from bps.abs_set(potentiostat, OpenCircuit(), wait=True)


def _baseline(*devices: Any) -> Plan:
    """All that is known of the devices, in a stream of its own."""
    yield from bps.trigger_and_read(list(devices), name="baseline")


def _monitored(potentiostat: CellController) -> tuple[tuple[str, Any], ...]:
    return (
        ("voltage", potentiostat.voltage),
        ("current", potentiostat.current),
        ("charge", potentiostat.charge),
        ("cell_time", potentiostat.time),
    )


def _relax(potentiostat: CellController, relaxation_s: float, progress: Progress) -> Plan:
    """Wait at open circuit, in the potentiostat's time."""
    now = yield from cell_state(potentiostat)
    until = Mark(time_s=now.time_s + relaxation_s)
    yield from bps.checkpoint()
    yield from _drive(potentiostat, OpenCircuit(until), "relaxing", progress)


def _drive(
    potentiostat: CellController, technique: Technique, phase: str, progress: Progress
) -> Plan:
    """Set technique and wait for its end; its outcome, REACHED or CUTOFF.

    A pause opens the circuit, which ends the program as STOPPED; after the resume it is set again.
    Its mark is absolute, so nothing is passed twice.
    """
    while True:
        group = f"{phase}-{time.monotonic_ns()}"
        yield from bps.checkpoint()
        yield from bps.abs_set(potentiostat, technique, group=group)
        beats = _Heartbeat()
        while True:
            done = yield from bps.wait(group=group, timeout=_POLL_S, error_on_timeout=False)
            cell = yield from cell_state(potentiostat)
            _tell(progress, phase, technique, cell)
            if done is not False:
                break
            beats.check(cell.time_s, potentiostat.name)
            yield from bps.checkpoint()
        outcome = yield from bps.rd(potentiostat.outcome, default_value="REACHED")
        if outcome != "STOPPED" and outcome != "RUNNING":
            return outcome


class _Heartbeat:
    """Whether the potentiostat's clock moves on."""

    def __init__(self) -> None:
        self._last = math.nan
        self._seen = time.monotonic()

    def check(self, cell_time_s: float, name: str) -> None:
        """Raises CellSilent."""
        now = time.monotonic()
        if cell_time_s != self._last:
            self._last, self._seen = cell_time_s, now
        elif now - self._seen > SILENCE_S:
            raise CellSilent(f"{name}: its clock has stood at {cell_time_s} s for {SILENCE_S:g} s")


def _tell(progress: Progress, phase: str, technique: Technique, cell: CellState) -> None:
    values: dict[str, Scalar] = {
        "voltage_v": cell.voltage_v,
        "charge_ah": cell.charge_ah,
        "cell_time_s": cell.time_s,
    }
    if technique.until is not None:
        current_a = technique.current_a if isinstance(technique, Galvanostatic) else math.nan
        left_s = seconds_left(technique.until, cell, current_a)
        if math.isfinite(left_s):
            values["cell_seconds_left"] = left_s
    progress.tell(phase, **values)

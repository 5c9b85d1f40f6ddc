"""The scans of one pause: the tomogram until it is whole, and the rescans that may be taken."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg

from ..detectors.dectris import FramesMissing
from ..detectors.simplon import NoAnswer
from ..stream.messages import Scalar
from .devices import CellController, FlyDetector, FlyStage
from .progress import Progress
from .safety import cause_of, end_asked
from .tomogram import EarlyEnd, Incomplete, Tomogram, tomogram

Plan = Generator[Msg, Any, Any]

BACK_S = 180.0  # for a detector that does not answer; its control unit starts in a minute or two
_LOOK_S = 1.0


def scans_of_pause(
    potentiostat: CellController,
    stage: FlyStage,
    detector: FlyDetector,
    scan: Tomogram,
    run: str,
    attempts: int,
    progress: Progress,
) -> Plan:
    """All scans of one pause: the tomogram, and the rescans that may be taken."""
    devices = (potentiostat, stage, detector)
    adaptive = progress.adaptive
    if adaptive is None:
        yield from scan_until_whole(*devices, scan, run, attempts, progress, None)
        return
    adaptive.pause_begins()
    early = adaptive.early_end()
    taken = yield from scan_until_whole(*devices, scan, run, attempts, progress, early)
    number = progress.number
    adaptive.count(run, number, scan, taken)

    def tell(awaited: str) -> None:
        progress.tell("rescans are weighed", reason=f"waits for {awaited}")

    while asked := (yield from adaptive.rescans(scan, taken, number, tell)):
        proposal, finer = asked
        early = adaptive.rescan_end(proposal)
        once = scan_until_whole(*devices, finer, run, 1, progress, early, proposal.reason)
        again, why = yield from centred(stage, finer, _given_up_where_it_fails(once))
        if again is not None:
            adaptive.count(run, progress.number, finer, again)
        adaptive.rescanned(proposal, again, progress.number, why)


def _given_up_where_it_fails(rescan: Plan) -> Plan:
    """(Taken, ""), or (None, why) where a rescan failed: for it alone no run is given up.

    What is broken for good fails the next tomogram, too, and that is the run's own business.
    """
    try:
        return (yield from rescan), ""
    except Exception as error:
        if (request := end_asked(error)) is not None:
            raise request from error
        return None, str(cause_of(error)) or type(error).__name__


def scan_until_whole(
    potentiostat: CellController,
    stage: FlyStage,
    detector: FlyDetector,
    scan: Tomogram,
    run: str,
    attempts: int,
    progress: Progress,
    early: EarlyEnd | None,
    reason: str = "",
) -> Plan:
    """Take the tomogram; again, as a new run, where it was interrupted or frames are missing.

    early: may end it between two lines; reason: why it is taken, where it is a rescan
    Returns a Taken.
    """
    taking = "scanning again" if reason else "scanning"
    witness, hold = progress.witness, progress.hold
    for attempt in range(1, attempts + 1):
        progress.number += 1
        notes: dict[str, Scalar] = {"mark": progress.mark, "attempt": attempt}
        if progress.mark_at:
            notes["mark_at"] = progress.mark_at

        def tell(done: int) -> None:
            said = hold.reason or reason
            why: dict[str, Scalar] = {"reason": said} if said else {}
            phase = "holding" if hold.reason else taking
            progress.tell(phase, frames_done=done, frames=scan.frames(), **why)

        yield from bps.checkpoint()
        yield from hold.before_scan(
            progress.number, lambda reason: progress.tell("holding", reason=reason)
        )
        witness.begin()
        try:
            taken = yield from bpp.set_run_key_wrapper(
                tomogram(
                    potentiostat,
                    stage,
                    detector,
                    scan,
                    run,
                    progress.number,
                    notes,
                    witness,
                    tell,
                    hold,
                    progress.account_of,
                    early,
                ),
                f"scan-{progress.number}",
            )  # fmt: skip
            return taken
        except Exception as error:
            if (request := end_asked(error)) is not None:
                raise request from error
            if progress.adaptive is not None:
                progress.adaptive.book(scan, len(scan.angles_deg))  # at most: how far is not asked
            away = isinstance(cause_of(error), NoAnswer)
            if not (witness.interrupted or away or _is_short(error)) or attempt == attempts:
                raise
            if away and not (yield from _back(detector, progress, str(cause_of(error)))):
                raise
            progress.tell("scan is taken again", reason=str(cause_of(error)))
        finally:
            witness.end()


def _back(detector: FlyDetector, progress: Progress, why: str) -> Plan:
    """Wait for a detector that does not answer; whether it does again. The cell is at rest."""
    deadline = time.monotonic() + BACK_S
    while not detector.answers():
        if time.monotonic() > deadline:
            return False
        progress.tell("holding", reason=f"the detector is away: {why}")
        yield from bps.checkpoint()  # a pause from here must not begin the failed scan again
        yield from bps.sleep(_LOOK_S)
    return True


def _is_short(error: Exception) -> bool:
    """Whether a scan failed by missing frames, so that another attempt may do better."""
    return isinstance(error, Incomplete) or isinstance(cause_of(error), FramesMissing)


def centred(stage: Any, scan: Tomogram, inner: Plan) -> Plan:
    """inner with the place that scan looks at on the rotation axis; the sample is put back after.

    Returns what inner returns.
    """
    if scan.centre_um is None:
        return (yield from inner)
    x_um, y_um = scan.centre_um

    def moved() -> Plan:
        yield from bps.mv(stage.centre_x, x_um, stage.centre_y, y_um)
        return (yield from inner)

    def back() -> Plan:
        yield from bps.mv(stage.centre_x, 0.0, stage.centre_y, 0.0)

    return (yield from bpp.finalize_wrapper(moved(), back))

"""The scans of one pause: the tomogram until it is whole, and the rescans that may be taken."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg, RunEngineControlException

from ..detectors.dectris import FramesMissing
from ..stream.messages import Scalar
from .devices import CellController, FlyDetector, FlyStage
from .progress import Progress
from .safety import cause_of
from .tomogram import EarlyEnd, Incomplete, Tomogram, centred, tomogram

Plan = Generator[Msg, Any, Any]


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
    progress.tell("rescans are weighed")
    while asked := (yield from adaptive.rescans(scan, taken, number)):
        proposal, finer = asked
        early, again, why = adaptive.rescan_end(proposal), None, ""
        try:
            again = yield from centred(
                stage,
                finer,
                scan_until_whole(*devices, finer, run, 1, progress, early, proposal.reason),
            )
            adaptive.count(run, progress.number, finer, again)
        except RunEngineControlException:
            raise
        except Exception as error:
            if not (progress.witness.interrupted or _is_short(error)):
                raise
            why = str(cause_of(error))
        adaptive.rescanned(proposal, again, progress.number, why)
        progress.tell("rescans are weighed")


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
        except RunEngineControlException:
            raise
        except Exception as error:
            if progress.adaptive is not None:
                progress.adaptive.book(scan, len(scan.angles_deg))  # at most: how far is not asked
            if not (witness.interrupted or _is_short(error)) or attempt == attempts:
                raise
            progress.tell("scan is taken again", reason=str(cause_of(error)))
        finally:
            witness.end()


def _is_short(error: Exception) -> bool:
    """Whether a scan failed by missing frames, so that another attempt may do better."""
    return isinstance(error, Incomplete) or isinstance(cause_of(error), FramesMissing)

"""Leave the cell in its safe state and the detector disarmed, whatever happened.

The safe state is open circuit, unless the experiment file says that a potential is to be held.

Each step is taken even where another failed; what failed is raised at the end, all of it in one
line. The instrument's own limits and its lease stand behind this where the process itself dies.
This is no personnel or equipment safety system.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus, Msg, RunEngineControlException

from .devices import CellController, FlyDetector, FlyStage

_log = logging.getLogger(__name__)
Step = Callable[[], Generator[Msg, Any, Any]]


class NotSafe(RuntimeError):
    """Something could not be brought to its safe state; names it."""


def cause_of(error: BaseException) -> BaseException:
    """What really happened: a failed status only says which device it was of."""
    if isinstance(error, FailedStatus):
        return error.__cause__ or error.__context__ or error
    return error


def end_asked(error: BaseException) -> RunEngineControlException | None:
    """The request to end that error is, or hides; None where nobody asked.

    A finalizer that fails puts its own error in the place of the request that made it run. Who
    takes that for the scan's fault takes the scan again, and lets current flow in an ended run.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, RunEngineControlException):
        found = found.__context__
    return found


def safe_end(
    potentiostat: CellController, stage: FlyStage, detector: FlyDetector
) -> Generator[Msg, Any, None]:
    """Cell to its safe state, flight aborted, detector disarmed. Raises NotSafe."""
    steps: tuple[tuple[str, Step], ...] = (
        ("cell safe", lambda: bps.stop(potentiostat)),
        ("stage stopped", lambda: bps.stop(stage)),
        ("detector disarmed", lambda: bps.unstage(detector)),
    )
    failed = []
    for wanted, step in steps:
        try:
            yield from step()
        except RunEngineControlException:
            raise
        except Exception as error:
            _log.error("%s: %s", wanted, error)
            failed.append(f"{wanted}: {error}")
    if failed:
        raise NotSafe("not safe, look at the hardware: " + "; ".join(failed))

"""A RunEngine whose Ctrl-C leaves the cell safe.

The first SIGINT or SIGTERM pauses at once: Bluesky then calls stop() on the potentiostat, which
takes the cell to its safe state, and pause() on the detector, which disarms. Then the plan is
aborted, so that its finalizers run. Further signals are not listened to until that is over.

Windows live in other processes: nothing here knows Qt. Bluesky by default waits for a plan in Qt's
loop where matplotlib with a Qt backend is loaded, and whoever ends that loop would be told that the
plan is over; an engine made here waits for the plan itself.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bluesky import RunEngine
from bluesky.utils import DuringTask, FailedStatus, RunEngineInterrupted, TransitionError

from .devices import CellController
from .safety import cause_of

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 1.0  # a signal just before a plan begins is not to be lost
Callback = Callable[[str, Mapping[str, Any]], None]


class Stopped(RuntimeError):
    """The plan was stopped by a signal; the cell is in its safe state."""


@contextlib.contextmanager
def pause_on_signals(engine: RunEngine, last: bool = False) -> Iterator[None]:
    """A context manager for a RunEngine: signals pause it at once.

    last: the process ends with it, so that signals are ignored from then on
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause() -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                engine.request_pause(defer=False)
                return
            except TransitionError:  # not running: about to start, or already stopping
                if engine.state != "idle" or time.monotonic() > deadline:
                    _log.info("a signal came while the engine was %s", engine.state)
                    return
                time.sleep(0.01)

    def handler(number: int, frame: object) -> None:
        # the engine's lock may be held by the very code that the signal interrupts
        threading.Thread(target=pause, name="pause", daemon=True).start()

    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_IGN if last else old)


def make_engine(callbacks: Sequence[Callback] = ()) -> RunEngine:
    """A RunEngine with these callbacks; off the main thread it leaves signals alone."""
    main = threading.current_thread() is threading.main_thread()
    engine = RunEngine(
        {}, context_managers=[pause_on_signals] if main else [], during_task=DuringTask()
    )
    for callback in callbacks:
        engine.subscribe(callback)
    return engine


def run_safely(engine: RunEngine, plan: Any, potentiostat: CellController) -> tuple[str, ...]:
    """Run plan to its end; the uids of its runs. Raises Stopped after a signal.

    Whatever happens, the potentiostat is told once more to go to its safe state: also where the
    plan never came to its finalizers.
    """
    # the engine listens to signals while it runs; this one takes those that come in between
    with pause_on_signals(engine):
        try:
            return tuple(engine(plan))
        except RunEngineInterrupted:
            raise Stopped("stopped by a signal: the cell is in its safe state") from None
        except FailedStatus as error:
            raise cause_of(error) from error
        finally:
            try:
                if engine.state == "paused":
                    engine.abort("stopped by a signal")
            finally:  # also where the plan's own finalizers have failed
                potentiostat.stop(success=True)

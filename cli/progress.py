"""Progress of a run in the terminal: a moving bar where there is a screen, lines where not.

What a part waits for or is warned of (its disk is full, or slow) gets a line when it begins and one
when it is over, however the progress is shown.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from .observer import Observer

LINE_EVERY_S = 5.0
WARNINGS = ("held", "warning")  # values of a Status, in words for people


class Progress:
    """Shows where a run stands; use as a context manager.

    expected_s: how long the run will take by its experiment file [s]
    """

    def __init__(self, say: Callable[[str], None], expected_s: float) -> None:
        self._say = say
        self._expected_s = expected_s
        self._began = time.monotonic()
        self._next_line = 0.0
        self._last_line = ""
        self._warned: dict[tuple[str, str], str] = {}
        self._bar: RichProgress | None = None
        if sys.stderr.isatty():
            self._bar = RichProgress(
                TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
            )
            self._task = self._bar.add_task("starting", total=max(expected_s, 1.0))

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, observer: Observer) -> None:
        """Bring the display up to date; cheap enough to be called ten times a second."""
        self._warn(observer)
        line = in_one_line(observer)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=now - self._began, description=line)
        elif now >= self._next_line and line != self._last_line:
            self._say(f"{now - self._began:5.0f} s  {line}")
            self._next_line, self._last_line = now + LINE_EVERY_S, line

    def _warn(self, observer: Observer) -> None:
        """Say what has begun, and what is over, of all that parts are held or warned by."""
        for name, status in observer.statuses.items():
            for key in WARNINGS:
                words, before = str(status.values.get(key, "")), self._warned.get((name, key), "")
                if words and not before:
                    self._warned[name, key] = words  # the numbers in it move: it is said once
                    self._say(f"{name}: {words}")
                elif before and not words:
                    del self._warned[name, key]
                    self._say(f"{name}: no longer: {before}")


def in_one_line(observer: Observer) -> str:
    """Cell, phase, frames and losses in one line."""
    plan = observer.statuses.get("plan")
    voltage = "" if math.isnan(observer.voltage_v) else f" {observer.voltage_v:.3f} V"
    words = [f"cell {observer.cell_state}{voltage}"] if observer.cell_state else []
    words.append(plan.state if plan else "starting")
    totals = observer.totals()
    if totals["announced"]:
        words[-1] = plan.state if plan else "reading files"
        words.append(f"{totals['in_results']} of {totals['announced']} frames in the results")
        words.append(f"lost {totals['lost']}")
    return " · ".join(words)

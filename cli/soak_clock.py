"""Wall clocks that jump: every part of a run sees a time of day that is off by what a file says.

The operating system's own clock is not touched: a `sitecustomize` that Python loads at its start
puts the offset on time.time() and time.time_ns(), in processes whose PYTHONPATH begins with folder.
Monotonic time, which all waiting and all time-outs of operando go by, is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .environment import environment

_CODE = '''\
"""The time of day, off by the seconds that the file beside this one holds."""

import time
from pathlib import Path

_offset = Path(__file__).with_name("offset_s")
_time, _time_ns = time.time, time.time_ns


def _off():
    try:
        return int(_offset.read_text())
    except (OSError, ValueError):
        return 0


time.time = lambda: _time() + _off()
time.time_ns = lambda: _time_ns() + _off() * 1_000_000_000
'''


class WallClock:
    """The time of day of the processes started inside shown().

    folder: gets the code and the offset
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.offset_s = 0
        (folder / "sitecustomize.py").write_text(_CODE, encoding="utf-8")
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Set the clock forward, or back."""
        self.offset_s += seconds
        new = self._folder / "offset_s.new"
        new.write_text(str(self.offset_s), encoding="utf-8")
        os.replace(new, self._folder / "offset_s")  # never half written

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Processes started meanwhile by this one go by this clock."""
        others = os.environ.get("PYTHONPATH")
        paths = [str(self._folder), others] if others else [str(self._folder)]
        with environment({"PYTHONPATH": os.pathsep.join(paths)}):
            yield

"""An object that sees the RunEngine pause, so that a scan is never patched from two passes.

A pause in a fly scan, replayed, silently mixes two passes. While a scan is under way the witness
forbids the replay and remembers the pause; the plan then takes the whole scan again. It does so
whatever the detector's own class does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bluesky.utils import Msg, NoReplayAllowed


class PauseWitness:
    """Shown to the RunEngine once with seen(); begin() and end() around every scan."""

    name = "pause_witness"
    parent = None

    def __init__(self) -> None:
        self.interrupted = False
        self._scanning = False

    def seen(self) -> Generator[Msg, Any, None]:
        """Make the RunEngine know this object."""
        yield Msg("null", self)

    def begin(self) -> None:
        """A scan begins."""
        self.interrupted, self._scanning = False, True

    def end(self) -> None:
        """The scan is over."""
        self._scanning = False

    def pause(self) -> None:
        """The RunEngine pauses."""
        if self._scanning:
            self.interrupted = True
            raise NoReplayAllowed("a scan under way is taken again as a whole")

    def resume(self) -> None:
        """Nothing."""

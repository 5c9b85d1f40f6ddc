"""Measured positions of a flight as messages, joined to frames by index, never by time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..detectors.stage import ScanStage
from ..stream.messages import Message, Positions


class PositionWatch:
    """Follows a stage from start() to stop(); put must be safe to call from any thread."""

    def __init__(self, stage: ScanStage, put: Callable[[Message], None]) -> None:
        self._stage = stage
        self._put = put
        self._cid: int | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._cid = self._stage.line.subscribe(self._line, run=False)

    def stop(self) -> None:
        """Let go."""
        if self._cid is not None:
            self._stage.line.unsubscribe(self._cid)
            self._cid = None

    def _line(self, *, value: Any, **_: Any) -> None:
        line = self._stage.measured(value)
        if line is None:
            return
        for axis, unit, values in (
            ("translation", "um", line.translations_um),
            ("rotation", "deg", line.rotations_deg),
        ):
            self._put(Positions(line.scan, axis, unit, line.indices, values))

"""Waiting for room: before a scan, and between the lines of one. When, is decided in backlog.py.

A hold is no pause: the stage finishes its line, stands still, and goes on in the same flight; the
detector stays armed, and the cell stays as it is, at open circuit. It has an end: a plan that has
waited longer than it may gives up, and says for what.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from .devices import FlyStage

Plan = Generator[Msg, Any, Any]

_POLL_S = 0.5


class HeldTooLong(RuntimeError):
    """There was no room for so long that the plan gives up; says where and why."""


class Hold:
    """Waits while why() gives a reason, at most limit_s at a time.

    why: asked twice a second and oftener; "" where there is room
    limit_s: the longest single wait [s]
    """

    def __init__(self, why: Callable[[], str], limit_s: float = math.inf) -> None:
        self.reason = ""
        self._why = why
        self._limit_s = limit_s
        self._began = 0.0

    def before_scan(self, number: int, tell: Callable[[str], None]) -> Plan:
        """Wait for room before scan number; tell gets the reason. Raises HeldTooLong."""
        while self._look(f"scan {number} was not begun"):
            tell(self.reason)
            yield from bps.sleep(_POLL_S)
            yield from bps.checkpoint()

    def between_lines(self, stage: FlyStage, where: str) -> Plan:
        """Let a stage that flies stand still before its next line, or go on; does not wait.

        where: what is under way, for the error. Raises HeldTooLong.
        """
        before = self.reason
        self._look(where)
        if bool(before) != bool(self.reason):
            yield from bps.abs_set(stage.hold, int(bool(self.reason)), wait=True)

    def over(self) -> None:
        """What was held is over, one way or another."""
        self.reason = ""

    def _look(self, where: str) -> str:
        reason, now = self._why(), time.monotonic()
        if not reason:
            self.over()
            return ""
        if not self.reason:
            self._began = now
        self.reason = reason
        if now - self._began > self._limit_s:
            raise HeldTooLong(f"{where}: held for {self._limit_s:g} s, {reason}")
        return reason

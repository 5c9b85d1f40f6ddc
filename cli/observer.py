"""What the supervisor sees of a run: the live messages, boiled down to progress and a summary."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from ..stream.messages import (
    Account,
    Frame,
    Message,
    Result,
    Samples,
    ScanStart,
    Status,
)

Statuses = dict[str, Status]


@dataclass(slots=True)
class ScanSeen:
    """The times of one scan as they passed on this machine [s, monotonic]; nan where not yet."""

    start: ScanStart
    account: Account | None = None
    first_frame: float = float("nan")
    last_frame: float = float("nan")
    first_map: float = float("nan")

    def complete(self) -> bool:
        """Whether every announced frame came that was not withdrawn."""
        return self.account is not None and self.account.received == self.account.announced

    def announced(self) -> int:
        """Frames that were to come, less those withdrawn."""
        return self.account.announced if self.account is not None else self.start.frames

    def saved_s(self) -> float:
        """Time that the withdrawn frames would have taken at the rate of those that came [s]."""
        withdrawn = self.account.withdrawn if self.account is not None else 0
        return withdrawn / self.frames_per_s() if withdrawn else 0.0

    def frames_per_s(self) -> float:
        """Mean rate of frames from the first to the last; nan where there were none."""
        seen = self.account.received if self.account else 0
        span = self.last_frame - self.first_frame
        return (seen - 1) / span if seen > 1 and span > 0 else float("nan")


@dataclass(slots=True)
class Observer:
    """Takes live messages; repeats and replays change nothing.

    cell_state: in the potentiostat's words, "" while nothing is known of it
    """

    scans: dict[str, ScanSeen] = field(default_factory=dict)
    statuses: Statuses = field(default_factory=dict)
    cell_state: str = ""
    voltage_v: float = float("nan")
    time_s: float = float("nan")
    finals: dict[tuple[int, str, str], Result] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Note one message."""
        now = time.monotonic()
        if isinstance(message, ScanStart):
            self.scans.setdefault(message.scan, ScanSeen(message))
        elif isinstance(message, Frame) and message.scan in self.scans:
            scan = self.scans[message.scan]
            if np.isnan(scan.first_frame):
                scan.first_frame = now
        elif isinstance(message, Account) and message.scan in self.scans:
            self._count(self.scans[message.scan], message, now)
        elif isinstance(message, Result):
            self._result(message, now)
        elif isinstance(message, Status):
            self.statuses[message.component] = message
        elif isinstance(message, Samples) and message.states:
            self._sample(message)

    def _sample(self, samples: Samples) -> None:
        if not samples.time_s[-1] <= self.time_s:  # true also for the first, against nan
            self.cell_state = samples.states[-1]
            self.voltage_v = float(samples.voltage_v[-1])
            self.time_s = float(samples.time_s[-1])

    def _count(self, scan: ScanSeen, account: Account, now: float) -> None:
        before = scan.account.received if scan.account else 0
        if account.received > before:
            scan.last_frame = now
            if np.isnan(scan.first_frame):
                scan.first_frame = now
        scan.account = account

    def _result(self, result: Result, now: float) -> None:
        scan = self.scans.get(result.scan)
        if scan is None:
            return
        is_map = result.name == "lattice_parameter" and bool(np.isfinite(result.values).any())
        if is_map and np.isnan(scan.first_map):
            scan.first_map = now
        if result.final:
            self.finals[(result.number, result.consumer, result.name)] = result

    def outstanding(self) -> int:
        """Deliveries that the hub still waits for; -1 before it has reported."""
        hub = self.statuses.get("hub")
        return int(hub.values.get("outstanding", -1)) if hub else -1

    def settled(self) -> bool:
        """Every scan's account is closed and the hub waits for nothing."""
        closed = all(s.account is not None and s.account.closed for s in self.scans.values())
        return closed and self.outstanding() == 0

    def totals(self) -> dict[str, int]:
        """The account over all scans: announced, received, recorded, in_results, lost, failed.

        lost: frames that never came, and frames that came and could not be recorded
        """
        accounts = [s.account for s in self.scans.values() if s.account is not None]
        process = [a.group("process") for a in accounts]
        return {
            "announced": sum(s.announced() for s in self.scans.values()),
            "received": sum(a.received for a in accounts),
            "recorded": sum(a.group("record").done for a in accounts),
            "in_results": sum(g.done for g in process),
            "lost": sum(len(a.lost) + len(a.group("record").failed) for a in accounts),
            "failed": sum(len(g.failed) for g in process),
        }

    def not_recorded(self) -> int:
        """Frames that came and could not be written to the file."""
        accounts = [s.account for s in self.scans.values() if s.account is not None]
        return sum(len(a.group("record").failed) for a in accounts)

    def first_map_s(self) -> float:
        """From the run's first frame to its first map [s]; nan where there was none."""
        for scan in self.scans.values():
            if not np.isnan(scan.first_map):
                return scan.first_map - scan.first_frame
        return float("nan")

    def frames_per_s(self) -> float:
        """Median rate of the scans' frames; nan where there were none."""
        rates = [r for r in (s.frames_per_s() for s in self.scans.values()) if not np.isnan(r)]
        return float(np.median(rates)) if rates else float("nan")

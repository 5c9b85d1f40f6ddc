"""What the window knows of a run: plain state, no Qt.

Policy. Messages may come twice, late, or again after a reconnection; taking one twice changes
nothing. Of each result of a scan the newest is kept:
- a final one replaces every provisional one, and no provisional one replaces a final one;
- otherwise a higher revision wins;
- a lower revision wins too where it rests on more frames: that is a restarted processor, which
  counts its revisions anew and has caught up. Until then the fuller, older picture stays.
- results about a picked voxel (attrs row, column) win whenever the voxel is another one.
A message of another run starts the model anew; messages of runs that were left are ignored, and
samples of no run (the cell is watched before and after it too) belong to the one that is shown.
Memory is bounded: scans, samples, log lines and bytes have limits, and the oldest go first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..stream.account_words import account_reasons
from ..stream.messages import (
    Account,
    Decision,
    Frame,
    Message,
    Proposal,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
)
from .cell_history import CellHistory
from .plan_report import PlanReport
from .request_queue import RequestQueue

MAX_SCANS = 100
MAX_RESULT_BYTES = 64 << 20
MAX_RESULTS_PER_SCAN = 64
MAX_LOG = 200
MAX_REASON = 300  # characters of why frames are lost, in the log
MAX_COMPONENTS = 256
STALE_S = 30.0  # a first report older than this is a last value of somebody who may be gone


@dataclass(slots=True)
class ScanRecord:
    """One scan as far as it is known; start is None for who joined after it was announced.

    stopped_wall_s: unix time at which its stop was seen here; nan while it runs
    """

    run: str
    scan: str
    number: int
    start: ScanStart | None = None
    stop: ScanStop | None = None
    account: Account | None = None
    stopped_wall_s: float = float("nan")
    results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def result(self, name: str, consumer: str = "") -> Result | None:
        """The newest result called name, of any consumer or of the one given."""
        for (maker, called), result in self.results.items():
            if called == name and consumer in ("", maker):
                return result
        return None

    def completeness(self) -> float:
        """Share of the scan's frames that have come, 0 to 1."""
        if self.account is not None and self.account.announced:
            return min(1.0, self.account.received / self.account.announced)
        return max((r.completeness for r in self.results.values()), default=0.0)

    def lost(self) -> int:
        """Frames lost on the way, and frames that a group failed on."""
        if self.account is None:
            return len(self.stop.lost) if self.stop else 0
        return len(self.account.lost) + sum(len(g.failed) for g in self.account.groups)


@dataclass(frozen=True, slots=True)
class Heard:
    """A component's newest report and when it came here [s, the model's clock]."""

    status: Status
    at_s: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """level: "info", "warning" or "fault"."""

    wall_s: float
    level: str
    text: str


class RunModel:
    """The state of the newest run, made of messages."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.clock, self.wall = clock, wall
        self.run = ""
        self.history = CellHistory()
        self.plan = PlanReport()
        self.requests = RequestQueue()
        self.components: dict[str, Heard] = {}
        self.frame: Frame | None = None
        self.log: deque[LogLine] = deque(maxlen=MAX_LOG)
        self.messages = 0
        self.last_heard_s = float("nan")
        self.last_result_s = float("nan")
        self._scans: dict[str, ScanRecord] = {}
        self._left_runs: deque[str] = deque(maxlen=32)
        self._changed: set[str] = set()
        self._missed: set[int] = set()

    def take(self, message: Message) -> None:
        """Take one message of any kind."""
        self.messages += 1
        self.last_heard_s = self.clock()
        match message:
            case Result():
                self._take_result(message)
            case Samples():
                self._take_samples(message)
            case Status():
                self._take_status(message)
            case Account():
                self._take_account(message)
            case Frame():
                self.frame = message
                self._changed.add("frame")
            case ScanStart():
                self._take_start(message)
            case ScanStop():
                self._take_stop(message)
            case Proposal() | Decision():
                self._take_request(message)
            case _:
                pass

    def changes(self) -> set[str]:
        """What changed since the last call: "samples", "frame", "scan", "status", "log",
        "requests", and "result" together with the results' names."""
        changed, self._changed = self._changed, set()
        return changed

    # -- asking ---------------------------------------------------------------------------------

    def scans(self) -> list[ScanRecord]:
        """All scans of the run, in their order."""
        return sorted(self._scans.values(), key=lambda s: s.number)

    def scan(self, number: int | None = None) -> ScanRecord | None:
        """The scan of that number; without one, the newest."""
        scans = self.scans()
        if number is None:
            return scans[-1] if scans else None
        return next((s for s in scans if s.number == number), None)

    def status(self, component: str) -> Status | None:
        """The newest report of a component."""
        heard = self.components.get(component)
        return heard.status if heard else None

    def age_s(self, component: str) -> float:
        """How long ago a component was last heard [s]; nan where it never was."""
        heard = self.components.get(component)
        return self.clock() - heard.at_s if heard else float("nan")

    def silence_s(self) -> float:
        """How long ago anything was heard [s]; nan where nothing ever was."""
        return self.clock() - self.last_heard_s

    def values(self, key: str) -> Iterator[str | int | float | bool]:
        """Every component's value of that name, e.g. "disk_free_bytes"."""
        for heard in self.components.values():
            if key in heard.status.values:
                yield heard.status.values[key]

    def lost(self) -> int:
        """Frames lost or failed in all scans of the run."""
        return sum(s.lost() for s in self._scans.values())

    # -- taking ---------------------------------------------------------------------------------

    def _in_run(self, run: str) -> bool:
        if run == self.run:
            return True
        if run in self._left_runs:
            return False
        if self.run:
            self._left_runs.append(self.run)
            self._scans.clear()
            self.history.clear()
            self.plan.clear()
            self.requests.clear()
            self._missed.clear()
            self.frame = None
            self._say("info", f"another run begins: {run}")
        self.run = run
        self._changed |= {"scan", "samples", "frame", "result", "requests"}
        return True

    def _record(self, run: str, scan: str, number: int) -> ScanRecord | None:
        if not self._in_run(run):
            return None
        record = self._scans.get(scan)
        if record is None:
            record = self._scans[scan] = ScanRecord(run, scan, number)
            if len(self._scans) > MAX_SCANS:
                oldest = min(self._scans.values(), key=lambda s: s.number)
                del self._scans[oldest.scan]
            self._changed.add("scan")
        return record

    def _take_start(self, start: ScanStart) -> None:
        record = self._record(start.run, start.scan, start.number)
        if record is None or record.start is not None:
            return
        record.start, record.number = start, start.number
        self._changed.add("scan")
        self._say("info", f"scan {start.number} announced: {start.frames} frames", start.time)

    def _take_stop(self, stop: ScanStop) -> None:
        record = self._scans.get(stop.scan)
        if record is None or record.stop is not None:
            return
        record.stop, record.stopped_wall_s = stop, self.wall()
        self._changed.add("scan")
        bad = stop.reason != "complete" or bool(stop.lost)
        lost = f", {len(stop.lost)} lost" if stop.lost else ""
        words = f"scan {record.number} {stop.reason}: {stop.frames} frames{lost}"
        self._say("fault" if bad else "info", words)

    def _take_account(self, account: Account) -> None:
        record = self._record(account.run, account.scan, account.number)
        if record is None or (record.account and record.account.closed and not account.closed):
            return
        before = record.lost()
        closed = record.account is not None and record.account.closed
        record.account = account
        self.plan.came(account.number, account.received + len(account.lost))
        self._changed.add("scan")
        if record.lost() > before:
            why = "; ".join(account_reasons(account))[:MAX_REASON]
            words = f"scan {record.number}: {record.lost()} frames lost or failed: {why}"
            self._say("fault", words)
        if account.closed and not closed:
            self._say("info", f"scan {account.number} accounted for: {_account(account)}")

    def _take_result(self, result: Result) -> None:
        record = self._record(result.run, result.scan, result.number)
        if record is None or result.values.nbytes > MAX_RESULT_BYTES:
            return
        key = (result.consumer, result.name)
        known = record.results.get(key)
        if known is None and len(record.results) >= MAX_RESULTS_PER_SCAN:
            return
        self.last_result_s = self.clock()
        if known is None or _is_better(result, known):
            record.results[key] = result
            self._changed |= {"result", result.name}

    def _take_request(self, message: Proposal | Decision) -> None:
        if not self._in_run(message.run) or not self.requests.take(message, self.clock()):
            return
        self._changed.add("requests")
        if isinstance(message, Proposal):
            said = f"proposed: {message.kind}, {message.reason}"
        else:
            why = f": {message.reason}" if message.reason else ""
            said = f"{message.id} {message.verdict} by {message.by}{why}"
        self._say("info", said, message.time)

    def _take_samples(self, samples: Samples) -> None:
        if samples.run and not self._in_run(samples.run):
            return  # samples of no run come before it and after it, on the same clock: they stay
        before = self.history.states[-1] if len(self.history) else ""
        if not self.history.add(samples):
            return
        self._changed.add("samples")
        state = self.history.states[-1]
        if state != before:
            level = "fault" if is_cell_fault(state) else "info"
            at, volts = float(self.history.wall_s[-1]), float(self.history.voltage_v[-1])
            self._say(level, f"cell: {state}, {volts:.3f} V", at)

    def _take_status(self, status: Status) -> None:
        known = self.components.get(status.component)
        if known is None and len(self.components) >= MAX_COMPONENTS:
            quietest = min(self.components, key=lambda c: self.components[c].at_s)
            del self.components[quietest]
        if known is not None and status.time <= known.status.time:
            return  # the hub's last value again: it says nothing about who is alive now
        heard_s = self.clock()
        if known is None and self.wall() - status.time > STALE_S:
            heard_s -= self.wall() - status.time
        self.components[status.component] = Heard(status, heard_s)
        self._changed.add("status")
        missed = self._take_plan(status, heard_s) if status.component == "plan" else ""
        if known is None or known.status.state != status.state:
            fault = any(w in status.state.lower() for w in ("fault", "failed", "error", "limit"))
            level = "fault" if fault else "warning" if missed else "info"
            self._say(level, f"{status.component}: {status.state}{missed}", status.time)

    def _take_plan(self, status: Status, heard_s: float) -> str:
        """Compare what the plan says with what came; what to add to its state in the log."""
        newest = self.scan()
        self.plan.said(status, newest.number if newest else 1, heard_s)
        for short in self.plan.short(self.clock()):
            if short.scan not in self._missed:
                self._missed.add(short.scan)
                self._say("fault", f"scan {short.scan}: {short.text()}")
        missed = self.plan.marks_missed(status.state)
        return f" · {missed}" if missed else ""

    def _say(self, level: str, text: str, wall_s: float | None = None) -> None:
        self.log.append(LogLine(self.wall() if wall_s is None else wall_s, level, text))
        self._changed.add("log")


def is_cell_fault(state: str) -> bool:
    """True where a potentiostat's state means that something is wrong."""
    return any(word in state.upper() for word in ("LIMIT", "FAULT", "DISCONNECT", "ERROR"))


def _is_better(new: Result, known: Result) -> bool:
    if any(new.attrs.get(k) != known.attrs.get(k) for k in ("row", "column")):
        return True
    if new.final != known.final:
        return new.final
    return new.revision > known.revision or new.completeness > known.completeness


def _account(account: Account) -> str:
    done = "".join(f", {g.name} {g.done}" for g in account.groups)
    return f"{account.announced} announced{done}, {len(account.lost)} lost"

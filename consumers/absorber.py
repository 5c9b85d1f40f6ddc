"""The one place where reductions come together: absorb, answer, acknowledge.

A frame is acknowledged after it has been absorbed (or its failure noted), never before: what a
crash takes with it is delivered again, and absorbing twice changes nothing. A scan's stop comes
after all its frames, and is acknowledged after the final results have been handed to the hub.
Measured positions travel on their own and may come later still: then the final results are made
once more, so that the record never rests on planned positions where measured ones exist.

Final results of a large scan take seconds. They are made in a thread of their own, in which the
kernels run without the interpreter's lock, so that the next scan's frames are absorbed meanwhile.
Nothing else touches that scan's consumers until they are done.

What a scan hands down (findings.py) is taken in the same thread, after its final results, and given
to the later scans of its run: to those that have begun as soon as it is there, to the others before
their first frame. Final results are made in the order of the scans in their run, so those of a
later scan rest on the same findings however fast the scans came. A process that was started in
the middle of a run knows no findings of what was finished before; it says so and goes on without.
"""

from __future__ import annotations

import logging
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ..stream.link import insist
from ..stream.members import Delivery, Member
from ..stream.messages import (
    Focus,
    Positions,
    Reduction,
    Result,
    Scalar,
    ScanStart,
    ScanStop,
    Status,
)
from .contract import Consumer
from .earlier_scans import EarlierScans
from .findings import Findings
from .pace import Pace
from .reducer import consumers_of

SCANS_KEPT = 12  # whose details can still be asked for, where there is memory
MEMORY_BYTES = 4 << 30
STATUS_INTERVAL_S = 1.0
GATHER_S = 0.5  # positions that come line by line after the stop are placed together

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenScan:
    """What the absorber knows of one scan.

    seen: frames taken, whether absorbed or failed
    changed: something came since the last results
    stopped: the scan's stop has come
    owed: deliveries to be acknowledged after the next final results
    due: when these are to be made [s, monotonic]
    final: final results that are being made
    paid: what is acknowledged when they have been sent
    followed: the findings that each consumer was given last
    """

    start: ScanStart
    consumers: dict[str, Consumer]
    seen: set[int] = field(default_factory=set)
    changed: bool = False
    stopped: bool = False
    owed: list[Delivery] = field(default_factory=list)
    due: float = 0.0
    final: Future[list[Result]] | None = None
    paid: list[Delivery] = field(default_factory=list)
    followed: dict[str, tuple[Findings, ...]] = field(default_factory=dict)


class Absorber:
    """Absorbs what the reducers send and publishes results while frames arrive.

    interval_s: shortest time between two live results of a scan
    findings: folder for what scans hand down, for this process started again; None: memory only
    memory_bytes: of this process, above which it lets go of finished scans but the last one
    settings: checksum of the settings that configs were made from. What was reduced with others is
        failed by name: of the same shape, it would make a wrong map without a word. 0: any will do
    """

    def __init__(
        self,
        configs: Mapping[str, object],
        interval_s: float = 0.4,
        findings: Path | None = None,
        memory_bytes: int = MEMORY_BYTES,
        settings: int = 0,
    ) -> None:
        self._configs = dict(configs)
        self._settings = settings
        self._refused = 0
        self._interval_s = interval_s
        self._pace = Pace(interval_s)
        self._scans: OrderedDict[str, OpenScan] = OrderedDict()
        self._memory_bytes = memory_bytes
        self._focus: Focus | None = None
        self._newest = ""
        self._absorb_s = 0.0
        self._results_s = 0.0
        self._earlier = EarlierScans(findings)
        self._finals = ThreadPoolExecutor(1, "final-results")
        self._stop = threading.Event()

    def run(self, member: Member, stop: threading.Event) -> None:
        """Serve member until stop is set. Raises HubUnreachable where the hub is away even then."""
        self._stop = stop
        try:
            self._serve(member, stop)
        finally:
            self._finals.shutdown(wait=True, cancel_futures=True)

    def _serve(self, member: Member, stop: threading.Event) -> None:
        next_status = 0.0
        while not stop.is_set():
            delivery = member.receive(min(0.2, self._interval_s))
            if delivery is not None:
                self._take(member, delivery)
            now = time.monotonic()
            if self._pace.due(now):
                self._publish(member)
                self._pace.answered(now, time.monotonic())
            self._finish(member)
            if now >= next_status:
                self._tell(member, self._status())
                next_status = now + STATUS_INTERVAL_S

    def _take(self, member: Member, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, Reduction):
            self._absorb(member, message)
            return
        if isinstance(message, (ScanStop, Positions)):
            scan = self._scans.get(message.scan)
            if scan is not None:
                self._conclude(member, scan)
                if isinstance(message, Positions):
                    for consumer in scan.consumers.values():
                        consumer.place(message)
                else:
                    scan.stopped = True
                scan.changed = True
                if scan.stopped:
                    scan.owed.append(delivery)
                    scan.due = time.monotonic() + GATHER_S
                    return
        elif isinstance(message, ScanStart):
            self._open(message)
        elif isinstance(message, Focus):
            self._look(member, message)
        member.acknowledge(delivery)

    def _open(self, start: ScanStart) -> None:
        if start.scan in self._scans:
            return
        self._make_room()
        scan = self._scans[start.scan] = OpenScan(start, consumers_of(start, self._configs))
        if self._earlier.unknown(start) and not self._before(scan):
            log.warning(
                "scan %d (%s): nothing is known here of the run's earlier scans: it goes without",
                start.number,
                start.scan,
            )
        self._follow(scan)
        self._newest = start.scan

    def _make_room(self) -> None:
        """Before another scan: let go of the oldest, finished ones first."""
        finished = [
            name
            for name, scan in self._scans.items()
            if scan.stopped and not scan.owed and scan.final is None
        ]
        for name in finished[:-1]:
            if len(self._scans) < SCANS_KEPT and resident_bytes() <= self._memory_bytes:
                return
            del self._scans[name]
        while len(self._scans) >= SCANS_KEPT:
            self._scans.popitem(last=False)

    def _before(self, scan: OpenScan) -> list[OpenScan]:
        """Earlier scans of the same run, as far as they are still here."""
        run, number = scan.start.run, scan.start.number
        return [
            other
            for other in self._scans.values()
            if other.start.run == run and other.start.number < number
        ]

    def _follow(self, scan: OpenScan) -> None:
        """Give a scan's consumers the findings of earlier scans, where there are new ones."""
        for name, consumer in scan.consumers.items():
            earlier = self._earlier.before(scan.start, name)
            if earlier != scan.followed.get(name, ()):
                consumer.follow(earlier)
                scan.followed[name] = earlier
                scan.changed = True

    def _absorb(self, member: Member, reduction: Reduction) -> None:
        scan = self._scans.get(reduction.scan)
        if scan is None:
            reason = f"frame {reduction.index} of scan {reduction.scan}: never announced here"
            member.acknowledge_frame(reduction.scan, reduction.index, reason)
            return
        self._conclude(member, scan)
        began = time.perf_counter()
        other = self._other_settings(reduction)
        failed = {"": other} if other else dict(reduction.failed)
        for name, array in reduction.arrays.items() if not other else ():
            try:
                if name in scan.consumers:
                    scan.consumers[name].absorb(reduction.index, array)
            except ValueError as error:  # a reducer of another version
                failed[name] = str(error)
        self._absorb_s += time.perf_counter() - began
        scan.seen.add(reduction.index)
        scan.changed = True
        self._pace.frame()
        reasons = sorted(set(failed.values()))
        for reason in reasons:
            log.warning("%s", reason)
        member.acknowledge_frame(reduction.scan, reduction.index, "; ".join(reasons))

    def _other_settings(self, reduction: Reduction) -> str:
        """Why a reduction is of no use here; "" where it is."""
        if 0 in (self._settings, reduction.settings) or self._settings == reduction.settings:
            return ""
        self._refused += 1
        return (
            f"reduced with other settings ({reduction.settings:016x} instead of "
            f"{self._settings:016x}) by an old reducer: restart it"
        )

    def _look(self, member: Member, focus: Focus) -> None:
        self._focus = focus
        scan = self._scans.get(focus.scan or self._newest)
        if scan is not None and scan.final is None:  # else with the results that are being made
            self._show_details(member, scan)

    def _publish(self, member: Member) -> None:
        for scan in self._scans.values():
            if scan.changed and not scan.stopped:
                # an answer that is not finished asks for the next one itself
                scan.changed = self._answer(member, scan)

    def _finish(self, member: Member) -> None:
        for scan in self._scans.values():
            if scan.final is not None and scan.final.done():
                self._conclude(member, scan)
            if scan.final is not None or not scan.owed or time.monotonic() < scan.due:
                continue
            if not any(other.owed or other.final for other in self._before(scan)):
                self._follow(scan)
                scan.final = self._finals.submit(self._final_results, scan)
                scan.paid, scan.owed = scan.owed, []

    def _conclude(self, member: Member, scan: OpenScan) -> None:
        """Send final results that are being made, waiting for them; nothing if there are none."""
        if scan.final is not None:
            while not wait((scan.final,), STATUS_INTERVAL_S).done:
                member.working()  # others make them, however long they take: this thread is well
            results, scan.final = scan.final.result(), None
            for other in self._scans.values():
                if other.start.run == scan.start.run and not other.stopped:
                    self._follow(other)
            self._send(member, scan, results)
            member.acknowledge(scan.paid)
            scan.paid = []

    def _answer(self, member: Member, scan: OpenScan) -> bool:
        """Send a scan's live results; True where more would come without another frame."""
        results = self._results(scan, final=False)
        self._send(member, scan, results)
        return any(result.attrs.get("unfinished", 0) for result in results)

    def _final_results(self, scan: OpenScan) -> list[Result]:
        results = self._results(scan, final=True)
        found = {name: consumer.findings() for name, consumer in scan.consumers.items()}
        known = {name: each for name, each in found.items() if each is not None}
        self._earlier.keep(scan.start, known)  # before anybody is told that this scan is done
        return results

    def _results(self, scan: OpenScan, final: bool) -> list[Result]:
        began = time.perf_counter()
        results = [
            result for consumer in scan.consumers.values() for result in consumer.results(final)
        ]
        self._results_s += time.perf_counter() - began
        return results

    def _send(self, member: Member, scan: OpenScan, results: list[Result]) -> None:
        for result in results:
            self._tell(member, result)
        if self._focus is not None and self._focus.scan in ("", scan.start.scan):
            self._show_details(member, scan)

    def _show_details(self, member: Member, scan: OpenScan) -> None:
        for consumer in scan.consumers.values():
            for result in consumer.details(self._focus) if self._focus is not None else ():
                self._tell(member, result)

    def _tell(self, member: Member, message: Result | Status) -> None:
        """Hand message to the hub, however long that takes: what has been absorbed must stay."""
        insist(member.send, message, self._stop)

    def _status(self) -> Status:
        values: dict[str, Scalar] = {
            "absorb_s": round(self._absorb_s, 3),
            "results_s": round(self._results_s, 3),
            "other_settings": self._refused,
        }
        scan = self._scans.get(self._newest)
        if scan is None:
            return Status("absorber", "waiting for a scan", time.time(), values)
        values |= {"scan": scan.start.number, "frames_done": len(scan.seen)}
        values["frames"] = scan.start.frames
        return Status("absorber", "absorbing", time.time(), values)


def resident_bytes() -> int:
    """Memory of this process [B]; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()

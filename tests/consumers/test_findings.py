"""What passes from scan to scan: kept by run, in the order of scans, bounded, and handed over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from operando.consumers import absorber as absorber_module
from operando.consumers.absorber import SCANS_KEPT, Absorber, resident_bytes
from operando.consumers.findings import Findings, role_of
from operando.stream.members import Delivery
from operando.stream.messages import (
    Focus,
    Message,
    Positions,
    Reduction,
    Result,
    ScanStart,
    ScanStop,
)


def numbers(found: Sequence[Findings]) -> list[int]:
    return [findings.number for findings in found]


def test_a_scan_without_a_role_is_a_slice(scan) -> None:
    assert [role_of(scan(1)), role_of(scan(1, role="roi")), role_of(scan(1, role=7))] == [
        "slice", "roi", "slice",
    ]  # fmt: skip
    found = Findings.of(scan(3, role="coarse", sample="cell 4"))
    assert (found.scan, found.number, found.role, found.sample) == (
        "run-3", 3, "coarse", "cell 4",
    )  # fmt: skip


class Diary:
    """A consumer that writes down what it is asked, and hands down its scan."""

    name = "diary"

    def __init__(self, start: ScanStart, events: list[str]) -> None:
        self._start, self._events = start, events
        self._earlier: Sequence[Findings] = ()

    def _write(self, what: str) -> None:
        self._events.append(f"{self._start.number} {what} {numbers(self._earlier)}")

    def reduce(self, index: int, pixels: np.ndarray) -> np.ndarray:
        return np.zeros(1)

    def absorb(self, index: int, array: np.ndarray) -> None:
        self._write("absorb")

    def place(self, positions: Positions) -> None: ...

    def results(self, final: bool = False) -> Iterable[Result]:
        if final:
            self._write("final")
        return ()

    def details(self, focus: Focus) -> Iterable[Result]:
        self._events.append(f"{self._start.number} details")
        return ()

    def follow(self, earlier: Sequence[Findings]) -> None:
        self._earlier = earlier

    def findings(self) -> Findings:
        return Findings.of(self._start)


class Wire:
    """A member's end of a hub: each batch of messages comes when all before are acknowledged."""

    def __init__(self, batches: Sequence[Sequence[Message]]) -> None:
        self._batches = [list(batch) for batch in batches]
        self._coming: list[Delivery] = []
        self._open: set[int] = set()
        self.end = threading.Event()

    def receive(self, timeout_s: float) -> Delivery | None:
        if not self._coming and not self._open:
            if not self._batches:
                self.end.set()
                return None
            batch = self._batches.pop(0)
            self._coming = [Delivery(m, n + 1) for n, m in enumerate(batch)]
            self._open = {d.tag for d in self._coming if not isinstance(d.message, Reduction)}
        return self._coming.pop(0) if self._coming else None

    def acknowledge(self, deliveries: Delivery | Sequence[Delivery], failed: str = "") -> None:
        several = [deliveries] if isinstance(deliveries, Delivery) else deliveries
        self._open -= {d.tag for d in several}

    def acknowledge_frame(self, scan: str, index: int, failed: str = "") -> None: ...

    def working(self) -> None: ...

    def send(self, message: Message) -> None: ...


@pytest.fixture
def serve(monkeypatch):
    """Let a new absorber take batches of messages; what its consumers wrote down."""

    def run(*batches: Sequence[Message], memory_bytes: int = 1 << 40) -> list[str]:
        events: list[str] = []
        monkeypatch.setattr(
            absorber_module, "consumers_of", lambda start, _: {"diary": Diary(start, events)}
        )
        wire = Wire(batches)
        absorber = Absorber({}, interval_s=0.01, memory_bytes=memory_bytes)
        absorber.run(wire, wire.end)
        return events

    return run


def scans(*starts: ScanStart) -> list[Message]:
    """Their beginnings, a frame of each, their ends in reversed order."""
    frames = [Reduction(start.scan, 0, {"diary": np.zeros(1)}) for start in starts]
    return [*starts, *frames, *(ScanStop(s.scan, 1, "complete") for s in starts[::-1])]


def test_final_results_know_all_earlier_scans_however_fast_these_came(serve, scan) -> None:
    """As in a replay: all scans are there before the first has its final results."""
    events = serve(scans(scan(1), scan(2), scan(3)))
    assert events[:3] == ["1 absorb []", "2 absorb []", "3 absorb []"]
    assert events[3:] == ["1 final []", "2 final [1]", "3 final [1, 2]"]


def test_a_scan_that_begins_after_another_ended_knows_it_before_its_first_frame(
    serve, scan
) -> None:
    events = serve(scans(scan(1)), scans(scan(2)))
    assert events == ["1 absorb []", "1 final []", "2 absorb [1]", "2 final [1]"]


def test_scans_of_another_run_and_later_scans_are_not_earlier_ones(serve, scan) -> None:
    events = serve(scans(scan(2), scan(1), scan(3, run="other")))
    assert sorted(e for e in events if "final" in e) == [
        "1 final []", "2 final [1]", "3 final []",
    ]  # fmt: skip


def test_an_earlier_scan_that_never_ends_holds_up_nothing(serve, scan) -> None:
    one, *_ = scans(scan(1))
    assert serve([one, *scans(scan(2))]) == ["2 absorb []", "2 final []"]


def test_a_process_that_is_new_says_once_that_it_knows_no_earlier_scan(serve, scan, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        events = serve(scans(scan(2)), scans(scan(3)))
    assert events == ["2 absorb []", "2 final []", "3 absorb [2]", "3 final [2]"]
    warnings = [r.getMessage() for r in caplog.records if "earlier scans" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("scan 2 (run-2): nothing is known here")


@pytest.mark.parametrize(
    ("memory_bytes", "kept"), [(1 << 40, range(16 - SCANS_KEPT, 16)), (0, [14, 15])]
)
def test_details_of_earlier_scans_are_let_go_by_number_and_by_memory(
    serve, scan, memory_bytes, kept, monkeypatch
) -> None:
    """But those of the last finished one never, whatever the memory; findings of all stay."""
    monkeypatch.setattr(absorber_module, "GATHER_S", 0.01)
    starts = [scan(number) for number in range(1, 16)]
    asked = [[Focus(start.scan, 0, 0)] for start in starts]
    *taken, last = starts
    events = serve(*(scans(s) for s in taken), [last], *asked, memory_bytes=memory_bytes)
    details = dict.fromkeys(event for event in events if "details" in event)
    assert list(details) == [f"{number} details" for number in kept]
    assert f"14 final {list(range(1, 14))}" in events


def test_memory_of_this_process_is_known() -> None:
    before = resident_bytes()
    held = np.ones(1 << 24)
    assert 0.9 * held.nbytes < resident_bytes() - before < 1.5 * held.nbytes

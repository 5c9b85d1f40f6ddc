"""What the absorber does with a member's deliveries, one by one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

import numpy as np
from operando.consumers import absorber as absorber_module
from operando.consumers.absorber import Absorber
from operando.consumers.intensity import Intensity, IntensityConfig
from operando.stream.members import Delivery
from operando.stream.messages import Message, Positions, Result, ScanStop

PATIENCE_S = 20.0


class Seat:
    """A member that hands out messages, and keeps what is said of them."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.end = threading.Event()
        self.working_said = threading.Event()
        self.done: list[tuple[int, str]] = []
        self.sent: list[Message] = []
        self.acknowledged = 0
        self._waiting = deque(Delivery(m, tag + 1) for tag, m in enumerate(messages))
        self._owed = len(self._waiting)

    def receive(self, timeout_s: float) -> Delivery | None:
        if self._waiting:
            return self._waiting.popleft()
        if self.acknowledged + len(self.done) == self._owed:
            self.end.set()
        return None

    def acknowledge(self, deliveries: Delivery | list[Delivery], failed: str = "") -> None:
        self.acknowledged += 1 if isinstance(deliveries, Delivery) else len(deliveries)

    def acknowledge_frame(self, scan: str, index: int, failed: str = "") -> None:
        self.done.append((index, failed))

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def working(self) -> None:
        self.working_said.set()


class Slow(Intensity):
    """Its final results take until somebody has said that the thread which waits for them works."""

    seat: Seat

    def results(self, final: bool = False) -> Iterable[Result]:
        if final:
            assert self.seat.working_said.wait(PATIENCE_S), "nobody said that it works"
        return super().results(final)


def test_who_waits_long_for_final_results_says_that_it_works(make_start, monkeypatch):
    """Else a message for the scan in their making would make the hub take the absorber for hung."""
    start = make_start()
    positions = Positions(start.scan, "x", "um", np.arange(1), np.zeros(1))
    seat = Slow.seat = Seat([start, ScanStop(start.scan, 1, "complete"), positions])
    slow = {"intensity": Slow(IntensityConfig(), start)}
    monkeypatch.setattr(absorber_module, "consumers_of", lambda start, configs: slow)
    monkeypatch.setattr(absorber_module, "GATHER_S", 0.0)
    monkeypatch.setattr(absorber_module, "STATUS_INTERVAL_S", 0.01)
    Absorber({"intensity": IntensityConfig()}, interval_s=0.01).run(seat, seat.end)
    assert seat.working_said.is_set()
    assert seat.acknowledged == 3

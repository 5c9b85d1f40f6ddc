"""What the absorber does with a member's deliveries, one by one."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Iterable

import numpy as np
import pytest
from operando.cli.experiment_file import check_consumers, parse, settings_checksum
from operando.cli.replay import same
from operando.consumers import absorber as absorber_module
from operando.consumers.absorber import Absorber
from operando.consumers.catalogue import configs, make_consumer
from operando.consumers.intensity import Intensity, IntensityConfig
from operando.consumers.reducer import Reducer
from operando.stream.compression import checksum, encode
from operando.stream.members import Delivery
from operando.stream.messages import (
    Frame,
    Message,
    Positions,
    Reduction,
    Result,
    ScanStart,
    ScanStop,
    Status,
)
from pattern_scans import lines

PATIENCE_S = 60.0


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


FRAMES = 12


@pytest.fixture
def frames(make_start):
    """A scan's start and frames: rings under noise and cosmic rays, so that trimming matters."""
    start = make_start(frames=FRAMES)
    random = np.random.default_rng(3)
    made = []
    for index in range(FRAMES):
        pixels = random.poisson(20, start.detector.shape).astype(np.uint16)
        pixels[random.random(pixels.shape) < 0.02] = 9000
        data = bytes(encode(pixels, "bslz4"))
        made.append(Frame(start.scan, index, pixels.shape, "uint16", "bslz4", data, checksum(data)))
    return start, made


def told(trim: float = 0.1) -> tuple[dict[str, object], int]:
    """What a part of a run with this trim is told: configurations, and their settings' checksum."""
    experiment = parse(
        "title: t\nsimulation: {}\nmarks: [{capacity_mAh: 0.001}]\n"
        f"analysis: {{consumers: {{powder: {{bins: 60, estimator: trimmed, trim: {trim}}}}}}}",
        "here",
    )
    return check_consumers(experiment, "here"), settings_checksum(experiment)


def reductions(reducer: Reducer, start: ScanStart, frames: Iterable[Frame]) -> list[Message]:
    reducer.take(start)
    return [reducer.take(frame) for frame in frames]


def absorbed(start: ScanStart, reduced: Iterable[Message]) -> tuple[Seat, dict[str, Result]]:
    """What an absorber with the usual settings says of each frame, and its final results."""
    known, settings = told()
    seat = Seat([start, *reduced, ScanStop(start.scan, FRAMES, "complete")])
    Absorber(known, interval_s=60.0, settings=settings).run(seat, seat.end)
    return seat, {m.name: m for m in seat.sent if isinstance(m, Result) and m.final}


def test_a_reducer_with_another_trim_in_mid_scan_fails_its_frames_by_name(frames):
    start, taken = frames
    half = reductions(Reducer(*told()), start, taken[:6])
    old = reductions(Reducer(*told(trim=0.3)), start, taken[6:])
    seat, results = absorbed(start, half + old)
    mine, theirs = told()[1], told(trim=0.3)[1]
    reason = (
        f"reduced with other settings ({theirs:016x} instead of {mine:016x}) "
        "by an old reducer: restart it"
    )
    assert seat.done == [(i, "" if i < 6 else reason) for i in range(FRAMES)]
    _, without = absorbed(start, half)
    assert results
    assert results.keys() == without.keys()
    assert all(same(results[name], without[name]) for name in results)
    # of the same shape, they would have been taken: nothing but their settings tells them apart
    unseen = [dataclasses.replace(reduction, settings=0) for reduction in old]
    seat, wrong = absorbed(start, half + unseen)
    assert seat.done == [(i, "") for i in range(FRAMES)]
    _, right = absorbed(start, half + reductions(Reducer(*told()), start, taken[6:]))
    assert not all(same(wrong[name], right[name]) for name in right)


def test_refused_reductions_are_counted_in_the_status(frames, monkeypatch):
    monkeypatch.setattr(absorber_module, "STATUS_INTERVAL_S", 0.0)
    start, taken = frames
    seat, _ = absorbed(start, reductions(Reducer(*told(trim=0.3)), start, taken[:5]))
    last = [m for m in seat.sent if isinstance(m, Status)][-1]
    assert last.values["other_settings"] == 5


def test_a_reducer_replaced_in_mid_scan_by_one_with_the_same_settings_changes_nothing(frames):
    start, taken = frames
    one = reductions(Reducer(*told()), start, taken)
    two = [
        *reductions(Reducer(*told()), start, taken[:6]),
        *reductions(Reducer(*told()), start, taken[6:]),
    ]
    (seat, results), (_, undisturbed) = absorbed(start, two), absorbed(start, one)
    assert seat.done == [(i, "") for i in range(FRAMES)]
    assert results
    assert results.keys() == undisturbed.keys()
    assert all(same(results[name], undisturbed[name]) for name in results)


@pytest.mark.parametrize("name", configs())
def test_a_reduction_of_another_shape_is_failed_by_name_and_not_absorbed(name, make_start):
    start = make_start(lines(4, 5, 1.0), "frames" if name == "powder" else "xrdct")
    config = configs()[name](**({"volume": False} if name == "xrdct" else {}))
    consumer = make_consumer(name, config, start)
    pixels = np.random.default_rng(0).poisson(9, start.detector.shape).astype(np.uint16)
    good = Reduction(start.scan, 0, {name: consumer.reduce(0, pixels)})
    bad = Reduction(start.scan, 1, {name: good.arrays[name][..., :-1]})
    seat = Seat([start, good, bad, ScanStop(start.scan, start.frames, "complete")])
    Absorber({name: config}, interval_s=60.0).run(seat, seat.end)
    (first, none), (second, reason) = seat.done
    assert (first, none, second) == (0, "", 1)
    assert "reduction 1" in reason
    assert f"{bad.arrays[name].shape}" in reason
    finals = [m for m in seat.sent if isinstance(m, Result) and m.final]
    assert {m.completeness for m in finals} == {1 / start.frames}

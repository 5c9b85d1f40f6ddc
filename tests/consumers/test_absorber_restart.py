"""Absorbers killed between scans or in one leave the same maps, names and corrections."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from operando.cli.replay import same
from operando.consumers import absorber as absorber_module
from operando.consumers.absorber import Absorber
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.stream.group import Group
from operando.stream.members import Delivery
from operando.stream.messages import (
    Message,
    Reduction,
    Result,
    ScanStart,
    ScanStop,
)
from operando.stream.packing import pack, unpack
from operando.stream.wire_ops import Hello, Item
from pattern_scans import lines, reductions_of

CONFIG = XrdctConfig(q_min=1.1, q_max=4.7, bins=400, aluminium=False, volume=False)
# of a run: role, parent, rotations, points, step [um], middle [um], y of the electrode
SCANS = (
    ("coarse", 0, 20, 21, 2.0, (0.0, 0.0), 0.2),
    ("slice", 0, 24, 25, 1.0, (0.0, 0.0), 0.45),
    ("roi", 2, 16, 19, 0.5, (3.0, -2.0), 0.45),
    ("roi", 2, 16, 19, 0.5, (-4.0, 1.0), 0.45),
    ("slice", 0, 24, 25, 1.0, (0.0, 0.0), 0.6),
)
Dies = Callable[[str, int, object], bool]
Scan = tuple[ScanStart, list[Reduction]]


class Killed(BaseException):
    """kill -9: nothing is done after it."""


class Seat:
    """An absorber's end of a group in memory, to which the scans come one after the other.

    dies: (what, number of the scan, index or name) -> killed before that is done
    """

    def __init__(self, waiting: deque[Scan], group: Group, dies: Dies) -> None:
        self.end = threading.Event()
        self.results: list[Result] = []
        self.items: deque[Delivery] = deque()
        self._waiting, self._group, self._dies = waiting, group, dies

    def receive(self, timeout_s: float) -> Delivery | None:
        if not self.items and self._group.outstanding() == 0:
            if not self._waiting:
                self.end.set()
                return None
            start, reductions = self._waiting[0]
            self._act("begin", start.scan, 0)
            self._waiting.popleft()
            self._group.open_scan(start.scan, tuple(pack(start)))
            for reduction in reductions:
                key = (start.scan, reduction.index)
                self._group.add_frame(key, (b"frame",))
                self._group.add_reduction(key, tuple(pack(reduction)))
            self._group.add_stop(
                start.scan, tuple(pack(ScanStop(start.scan, start.frames, "complete")))
            )
        if not self.items:
            self.end.wait(min(timeout_s, 0.01))  # final results are being made
            return None
        return self.items.popleft()

    def acknowledge(self, deliveries: Delivery | list[Delivery], failed: str = "") -> None:
        several = [deliveries] if isinstance(deliveries, Delivery) else deliveries
        for stop in (d.message for d in several if isinstance(d.message, ScanStop)):
            self._act("stop", stop.scan, 0)
        self._group.acknowledge(b"absorber", [d.tag for d in several], failed)

    def acknowledge_frame(self, scan: str, index: int, failed: str = "") -> None:
        assert failed == ""
        self._act("frame", scan, index)
        self._group.acknowledge_frame(b"absorber", (scan, index), failed)

    def working(self) -> None: ...

    def send(self, message: Message) -> None:
        if isinstance(message, Result) and message.final:
            self._act("final", message.scan, message.name)
            self.results.append(message)

    def _act(self, what: str, scan: str, which: object) -> None:
        if self._dies(what, int(scan.rpartition("-")[2]), which):
            raise Killed


@pytest.fixture
def scans(make_start) -> list[Scan]:
    """Starts, and what the reducers give of every frame."""
    specimen = Specimen(SpecimenConfig(field_um=37.0), 11)
    made = []
    for number, (role, parent, rotations, points, step, middle, y) in enumerate(SCANS, 1):
        start = dataclasses.replace(
            make_start(lines(rotations, points, step), "xrdct"),
            scan=f"run-{number}", number=number,
            notes={"role": role, "parent": f"run-{parent}" if parent else "",
                   "region_x_um": middle[0], "region_y_um": middle[1]},
        )  # fmt: skip
        truth = specimen.truth(specimen.at(y))
        patterns = reductions_of(start, truth, Xrdct(CONFIG, start).q, 1e5, number)
        reductions = [
            Reduction(start.scan, index, {"xrdct": pattern})
            for index, pattern in enumerate(patterns)
        ]
        made.append((start, reductions))
    return made


def never(what: str, number: int, which: object) -> bool:
    return False


def once(*moments: tuple[str, int, object]) -> Dies:
    """Dies at each of these moments the first time that it comes."""
    left = list(moments)

    def dies(what: str, number: int, which: object) -> bool:
        if (what, number, which) not in left:
            return False
        left.remove((what, number, which))
        return True

    return dies


@pytest.fixture
def absorbed(scans, monkeypatch):
    """The run's final results where absorbers die as told, by scan and name; and how many lived."""
    monkeypatch.setattr(absorber_module, "GATHER_S", 0.0)

    def run(dies: Dies, findings: Path | None) -> tuple[dict[tuple[int, str], Result], int]:
        waiting, seats = deque(scans), []

        def taken(identity: bytes, op: object, parts: tuple[bytes, ...]) -> bool:
            if isinstance(op, Item):
                seats[-1].items.append(Delivery(unpack(parts), op.tag))
            return True

        group = Group("process", taken, lambda *word: None)
        while True:
            seats.append(Seat(waiting, group, dies))
            group.hello(b"absorber", Hello("process", "absorb", "absorber", 64), 0.0)
            try:
                Absorber({"xrdct": CONFIG}, 10.0, findings).run(seats[-1], seats[-1].end)
                break
            except Killed:
                group.leave(b"absorber", died=True)
        made = [result for seat in seats for result in seat.results]
        return {(result.number, result.name): result for result in made}, len(seats)

    return run


def different(one: dict, other: dict) -> list[tuple[int, str]]:
    assert one.keys() == other.keys()
    return [
        key
        for key, result in one.items()
        if not same(result, other[key])
        or result.attrs != other[key].attrs
        or any(
            np.asarray(result.coords[axis]).tobytes() != np.asarray(values).tobytes()
            for axis, values in other[key].coords.items()
        )
    ]


def test_killed_absorbers_leave_what_an_undisturbed_one_leaves(absorbed, tmp_path) -> None:
    undisturbed, lives = absorbed(never, tmp_path / "never")
    assert lives == 1
    corrections = [undisturbed[n, "lattice_parameter"].attrs["roi_correction"] for n in range(1, 6)]
    assert corrections == ["edge", "coarse", "slice+coarse", "slice+coarse", "coarse"]
    between = once(*(("begin", number, 0) for number in (2, 3, 4, 5)))
    found, lives = absorbed(between, tmp_path / "between")
    assert (lives, different(undisturbed, found)) == (5, [])
    middle = once(
        ("frame", 1, 100), ("frame", 2, 200), ("final", 2, "lattice_parameter"), ("stop", 3, 0),
        ("frame", 4, 303), ("final", 5, "particles"),
    )  # fmt: skip
    found, lives = absorbed(middle, tmp_path / "middle")
    assert (lives, different(undisturbed, found)) == (7, [])
    # without its folder an absorber that is started again knows neither names nor surroundings
    found, _ = absorbed(once(("begin", 5, 0)), None)
    assert {(5, "lattice_parameter"), (5, "particles"), (5, "particle_history")} <= set(
        different(undisturbed, found)
    )
    assert not [key for key in different(undisturbed, found) if key[0] < 5]

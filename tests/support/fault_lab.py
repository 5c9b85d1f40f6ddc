"""The parts of a run as real processes, whom a test may kill, and a source that it drives."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import xxhash
from operando.cli.experiment import Experiment
from operando.cli.folder import RunFolder, write_resolved
from operando.cli.parts import Part, Parts
from operando.stream.compression import encode
from operando.stream.live import LiveSubscriber
from operando.stream.messages import (
    Account,
    Axis,
    Detector,
    Frame,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)

GRID = (8, 8)
FRAMES = 64
SHAPE = (64, 96)
PATIENCE_S = 90.0


def scan_start(scan: str, number: int) -> ScanStart:
    detector = Detector("d", SHAPE, "uint16", (75e-6, 75e-6), 60_000)
    rows, columns = np.indices(GRID).reshape(2, -1).astype(float)
    trajectory = Trajectory(GRID, (Axis("y", "um", rows), Axis("x", "um", columns)))
    return ScanStart(
        "r",
        scan,
        number,
        "frames",
        FRAMES,
        detector,
        trajectory,
        "",
        5e4,
        0.01,
        None,
        float(number),
    )


def frame(scan: str, index: int) -> Frame:
    """The same pixels in every scan."""
    pixels = np.random.default_rng(index).poisson(5 + index % 7, SHAPE).astype(np.uint16)
    data = bytes(encode(pixels, "bslz4"))
    check = xxhash.xxh3_64_intdigest(data)
    return Frame(scan, index, SHAPE, "uint16", "bslz4", data, check)


class Lab:
    """Hub, recorder, absorber and two reducers in folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = RunFolder(folder)
        self.items, self.live_address = f"ipc://{folder}/i", f"ipc://{folder}/l"
        experiment = Experiment.model_validate(
            {
                "title": "faults",
                "marks": [{"capacity_mAh": 0.001}],
                "simulation": {},
                "network": {"items": self.items, "live": self.live_address},
                "analysis": {"consumers": {"intensity": {}}, "interval_s": 0.1},
            }
        )
        write_resolved(experiment, self.folder)
        file = str(self.folder.experiment)
        self.parts = Parts(self.folder.logs, {})
        start = self.parts.start
        spool = ("--spool", str(self.folder.spool))
        start("hub", "hub", file, "--no-detector", *spool, restart=True)
        start("recorder", "record", file, "--to", str(self.folder.file), restart=True)
        start("absorber", "absorb", file, restart=True)
        for name in ("reducer-0", "reducer-1"):
            start(name, "reduce", file, "--name", name, restart=True)
        self.live = LiveSubscriber(self.live_address)
        self.accounts: dict[str, Account] = {}
        self.outstanding = -1
        self.members = ""

    def part(self, name: str) -> Part:
        return next(p for p in self.parts.parts if p.name == name)

    def kill(self, name: str) -> None:
        process = self.part(name).process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Everything at once, and nobody is started again."""
        for part in self.parts.parts:
            part.restart = False
            self.kill(part.name)
        for part in self.parts.parts:
            part.process.wait()

    def look(self, timeout_s: float = 0.0) -> None:
        """Start again who died, and hear what the hub says."""
        for part in self.parts.parts:
            part.started.clear()  # the test kills more often than a supervisor would put up with
        self.parts.look_after()
        for message in self.live.poll(timeout_s):
            if isinstance(message, Account):
                self.accounts[message.scan] = message
            elif isinstance(message, Status) and message.component == "hub":
                self.outstanding = int(message.values["outstanding"])
                self.members = str(message.values["members"])

    def until(self, true) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            self.look(0.1)
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.name}: {self.parts.tail(p)}" for p in self.parts.parts)
                raise AssertionError(f"{self.accounts} {self.outstanding} {self.members}\n{logs}")

    def until_ready(self) -> None:
        self.until(lambda: len(self.members.split(", ")) == 4)

    def until_settled(self, scans: list[str]) -> None:
        self.until(
            lambda: (
                all(s in self.accounts and self.accounts[s].closed for s in scans)
                and self.outstanding == 0
            )
        )

    def end(self) -> None:
        self.parts.stop_all()
        self.live.close()


def take_scan(lab: Lab, producer, scan: str, number: int, between=lambda index: None) -> None:
    """Put one whole scan; between is called before each frame."""
    producer.put(scan_start(scan, number), PATIENCE_S)
    for index in range(FRAMES):
        between(index)
        lab.look(0.005)
        producer.put(frame(scan, index), PATIENCE_S)
    producer.put(ScanStop(scan, FRAMES, "complete"), PATIENCE_S)
    while True:
        lab.look(0.05)
        try:
            producer.flush(0.2)
            return
        except ConnectionError:
            continue

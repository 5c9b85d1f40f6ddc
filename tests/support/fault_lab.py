"""The parts of a run as real processes, whom a test may kill, and a source that it drives."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash
from operando.cli.experiment import Experiment
from operando.cli.folder import RunFolder, write_resolved
from operando.cli.parts import Part, Parts
from operando.cli.soak_faults import kill
from operando.cli.soak_verdict import account_problems, results_problems
from operando.stream.compression import encode
from operando.stream.live import LiveSubscriber
from operando.stream.messages import (
    Account,
    Axis,
    Detector,
    Document,
    Frame,
    Message,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)
from operando.stream.run_file import open_run

GRID = (8, 8)
FRAMES = 64
SHAPE = (128, 192)  # large enough to be shared
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
    """Hub, recorder, absorber and two reducers in folder.

    record, analysis: whether there is a recorder, and whether absorber and reducers
    """

    def __init__(self, folder: Path, record: bool = True, analysis: bool = True) -> None:
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
        if record:
            start("recorder", "record", file, "--to", str(self.folder.file), restart=True)
        if analysis:
            findings = ("--findings", str(self.folder.findings))
            start("absorber", "absorb", file, *findings, restart=True)
            for name in ("reducer-0", "reducer-1"):
                start(name, "reduce", file, "--name", name, restart=True)
        self.live = LiveSubscriber(self.live_address)
        self.accounts: dict[str, Account] = {}
        self.outstanding = -1
        self.hub_time = 0.0
        self.members = ""
        self.held = ""
        self.record_held = ""  # why the recorder takes nothing
        self.free = 1 << 62
        self.hub_heard = False
        self.kills: dict[str, int] = {}

    def part(self, name: str) -> Part:
        found = self.parts.part(name)
        assert found is not None
        return found

    def kill(self, name: str) -> None:
        process = self.part(name).process
        assert process is not None
        kill(process)
        if name == "hub":
            self.hub_heard = False
        self.kills[name] = self.kills.get(name, 0) + 1

    def works(self, name: str) -> bool:
        """Whether a part has taken its place: what a kill takes from it is worth something."""
        if not self.part(name).alive():
            return False
        return self.hub_heard if name == "hub" else f"/{name}" in self.members and self.hub_heard

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
            elif isinstance(message, Status) and message.component == "recorder":
                self.record_held = str(message.values.get("held", ""))
            elif isinstance(message, Status) and message.component == "hub":
                self.outstanding = int(message.values["outstanding"])
                self.hub_time = message.time
                self.members = str(message.values["members"])
                self.held = str(message.values.get("held", ""))
                self.free = int(message.values["disk_free_bytes"])
                self.hub_heard = True

    def until(self, true) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            self.look(0.1)
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.name}: {self.parts.tail(p)}" for p in self.parts.parts)
                raise AssertionError(f"{self.accounts} {self.outstanding} {self.members}\n{logs}")

    def until_ready(self) -> None:
        members = len(self.parts.parts) - 1  # all but the hub
        self.until(
            lambda: self.hub_heard and len([m for m in self.members.split(", ") if m]) == members
        )

    def until_settled(self, scans: list[str]) -> None:
        """Accounts closed and nothing outstanding: as the hub sees it from now on, not before."""
        called = time.time()
        self.until(
            lambda: (
                all(s in self.accounts and self.accounts[s].closed for s in scans)
                and self.outstanding == 0
                and self.hub_time > called
            )
        )

    def end(self) -> None:
        self.parts.stop_all()
        self.live.close()


def said_meanwhile(scan: str, number: int, index: int) -> list[Message]:
    """What travels beside the frames of a real run: the cell's history, documents."""
    time_s = np.array([number * 100.0 + index])
    one = np.ones(1)
    state = ("HOLD_OCV", "RUNNING", "IDLE")[index % 3]
    samples = Samples("r", time_s, time_s, one, 0 * one, one, one, (state,))
    text = f'{{"scan": "{scan}", "seq_num": {index}, "padding": "{"x" * (7 * index)}"}}'
    return [samples, Document("r", "event", text)] if index % 4 == 0 else [samples]


def take_scan(lab: Lab, producer, scan: str, number: int, between=lambda index: None) -> None:
    """Put one whole scan; between is called before each frame."""
    put(lab, producer, scan_start(scan, number))
    for index in range(FRAMES):
        between(index)
        lab.look(0.005)
        for message in (frame(scan, index), *said_meanwhile(scan, number, index)):
            put(lab, producer, message)
    put(lab, producer, ScanStop(scan, FRAMES, "complete"))
    until_taken(lab, lambda: producer.flush(0.2))


def put(lab: Lab, producer, message: Message) -> None:
    """Put a message, however long the hub is away."""
    until_taken(lab, lambda: producer.put(message, 0.2))


def until_taken(lab: Lab, give) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return give()
        except ConnectionError:
            lab.look(0.05)
            if time.monotonic() > deadline:
                raise


VICTIMS = ("hub", "recorder", "absorber", "reducer-0", "reducer-1")
LOT = (*VICTIMS, "hub", "recorder")  # these start fastest, and have most to lose
KILLS_A_SCAN = 12


@dataclass
class Storm:
    """What became of scans in which parts were killed.

    kills: of each part, all of them at work when they were
    problems: every promise that was not kept
    """

    scans: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    lost: int = 0
    same: int = 0
    results: int = 0
    problems: list[str] = field(default_factory=list)


def storm(lab: Lab, producer, kills: int, seed: int, tell=lambda line: None) -> Storm:
    """Scan after scan, KILLS_A_SCAN of them in each at frames of the seed's choice."""
    chosen = random.Random(seed)
    found = Storm()
    take_scan(lab, producer, "undisturbed", 1)
    lab.until_settled(["undisturbed"])
    left = kills
    while left > 0:
        scan = f"disturbed-{len(found.scans)}"
        found.scans.append(scan)
        here = min(left, KILLS_A_SCAN)
        left -= here
        places = {place: chosen.choice(LOT) for place in chosen.sample(range(1, FRAMES), here - 1)}

        def strike(index, places=places):
            victim = places.get(index)
            if victim is not None:
                lab.until(lambda: lab.works(victim))
                lab.kill(victim)

        take_scan(lab, producer, scan, len(found.scans) + 1, strike)
        last = chosen.choice(LOT)  # while the last frames are on their way
        lab.until(lambda last=last: lab.works(last))
        lab.kill(last)
        tell(f"{kills - left} kills in {len(found.scans)} scans")
    lab.until_settled(["undisturbed", *found.scans])
    found.kills = dict(lab.kills)
    lab.end()
    judge(lab, found)
    return found


def judge(lab: Lab, found: Storm) -> None:
    """Accounts, frames, results, history and documents of every scan, against those undisturbed."""
    with open_run(lab.folder.file) as run:
        accounts = {account.scan: account for account in run.accounts()}
        finals = {
            scan: {(r.consumer, r.name): r for r in run.results(scan) if r.final}
            for scan in ("undisturbed", *found.scans)
        }
        wanted = finals["undisturbed"]
        for number, scan in enumerate(found.scans, 2):
            kept = {f.index: bytes(f.data) for f in run.frames(scan)}
            found.frames += len(kept)
            found.lost += len(accounts[scan].lost)
            found.problems += account_problems(accounts[scan], len(kept), may_lose=False)
            found.problems += [
                f"{scan}: frame {index} is not what was sent"
                for index in range(FRAMES)
                if kept.get(index) != frame(scan, index).data
            ]
            found.problems += results_problems(number, finals[scan], wanted)
            found.results += len(wanted)
            found.same += len(wanted) - len(results_problems(number, finals[scan], wanted))
        found.problems += [f"{where}: {why}" for where, why in run.damaged.items()]
        samples = run.samples("r")
        expected = (len(found.scans) + 1) * FRAMES
        if samples is None or len(samples.time_s) != expected:
            found.problems.append(f"{samples and len(samples.time_s)} samples of {expected}")
        documents = [d.text for d in run.documents()]
        sent = [
            message.text
            for number, scan in enumerate(("undisturbed", *found.scans), 1)
            for index in range(FRAMES)
            for message in said_meanwhile(scan, number, index)
            if isinstance(message, Document)
        ]
        if documents != sent:
            found.problems.append(f"{len(documents)} documents, {len(sent)} were sent")

"""One run of the chain: the processes of `operando run` behind a replaying detector.

The lag is the age of the oldest frame that a group has not yet dealt with, counted from when the
detector was due to send it; so a detector that is held up counts too.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operando.cli.experiment_file import parse
from operando.cli.folder import RunFolder, free_port, socket_folder, with_addresses, write_resolved
from operando.cli.observer import Observer
from operando.cli.parts import ONE_THREAD, Parts
from operando.stream.live import LiveSubscriber
from operando.stream.messages import Account, Result

from . import data
from .chain_frames import TRANSLATIONS
from .machine import cpu_s, peak_memory_mb

ROOT = Path(__file__).resolve().parents[1]
READY_S = 120.0
SETTLE_S = 5.0  # of a scan, in which its tables are made
GROUPS = ("record", "process")


class ChainError(RuntimeError):
    """A chain that did not come up or did not end; says which part, and its last words."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is run.

    rate: frames a second that the detector sends; 0 for as fast as they are taken
    channels, q_range: of the patterns [1/Å]
    give_up_s: how long the account may stand still
    """

    rate: float
    projections: int
    reducers: int = 2
    detector: data.Detector = data.PILATUS_2M
    channels: int = 200
    q_range: tuple[float, float] = (1.2, 3.2)
    give_up_s: float = 40.0

    def frames(self) -> int:
        """Of the scan."""
        return self.projections * TRANSLATIONS


@dataclass(slots=True)
class Outcome:
    """What came of it.

    seconds: from the first frame due to the last one absorbed
    lag_s: largest age of a frame not yet recorded and absorbed, after the first SETTLE_S
    start_lag_s: the same within the first SETTLE_S
    lag_at_end_s: the same when the detector's last frame was due: grows where a rate is too high
    lost, failed: frames; complete: every frame recorded and in the results
    cpu_s, memory_mb: of each process; peak of resident memory
    steps_s: processor time that parts report of themselves
    maps: live maps published; longest_wait_s: between two of them
    final_s: from the last frame absorbed to the final results
    trouble: where it stood when it was given up; "" where it ended well
    """

    setting: Setting
    seconds: float = math.nan
    lag_s: float = 0.0
    start_lag_s: float = 0.0
    lag_at_end_s: float = 0.0
    lost: int = 0
    failed: int = 0
    complete: bool = False
    source_late_s: float = math.nan
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    steps_s: dict[str, float] = field(default_factory=dict)
    maps: int = 0
    longest_wait_s: float = math.nan
    final_s: float = math.nan
    trouble: str = ""

    def frames_per_s(self) -> float:
        """Mean rate over the whole run."""
        return self.setting.frames() / self.seconds

    def sustained(self, limit_s: float = 1.0) -> bool:
        """Whether nothing was lost and no frame waited longer than limit_s."""
        return self.complete and self.lost == self.failed == 0 and self.lag_s < limit_s


def run_chain(setting: Setting, poni: str) -> Outcome:
    """Start the processes, let the detector send its scan, take the measure of it."""
    with tempfile.TemporaryDirectory(prefix="operando-chain-") as place, socket_folder() as sockets:
        folder = RunFolder(Path(place))
        geometry = folder.path / "geometry.poni"
        geometry.write_text(poni)
        address = f"tcp://127.0.0.1:{free_port()}"
        experiment = with_addresses(
            parse(_experiment(setting, geometry, address), "chain"), Path(sockets)
        )
        write_resolved(experiment, folder)
        parts = Parts(folder.logs, {})
        live = LiveSubscriber(experiment.network.live)
        with contextlib.ExitStack() as stack:
            stack.callback(live.close)
            stack.callback(parts.stop_all)
            source = stack.enter_context(_source(setting, address))
            file = str(folder.experiment)
            parts.start("hub", "hub", file, "--no-spool")
            parts.start("recorder", "record", file, "--to", str(folder.file))
            parts.start("absorber", "absorb", file)
            for number in range(setting.reducers):
                parts.start(f"reducer-{number}", "reduce", file, "--name", f"reducer-{number}")
            watch = _Watch(parts, live, setting)
            watch.until_ready()
            return watch.through(source)


def _experiment(setting: Setting, geometry: Path, address: str) -> str:
    low, high = setting.q_range
    xrdct = {"q_min": low, "q_max": high, "bins": setting.channels}
    return json.dumps(  # JSON is YAML
        {
            "title": "chain benchmark",
            "marks": [{"time_s": 1}],
            "detector": {"rest": "http://127.0.0.1:1", "stream": address},
            "geometry": str(geometry),
            "analysis": {"reducers": setting.reducers, "consumers": {"xrdct": xrdct}},
        }
    )


@contextlib.contextmanager
def _source(setting: Setting, address: str) -> Iterator[subprocess.Popen[str]]:
    import os

    process = subprocess.Popen(
        [
            sys.executable, "-m", "benchmarks.chain_source", "--address", address,
            "--detector", setting.detector.name, "--rate", str(setting.rate),
            "--projections", str(setting.projections),
        ],
        cwd=ROOT, env={**os.environ, **ONE_THREAD}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class _Watch:
    """Follows one run by its live messages."""

    def __init__(self, parts: Parts, live: LiveSubscriber, setting: Setting) -> None:
        self._parts = parts
        self._live = live
        self._setting = setting
        self._observer = Observer()
        self._account: Account | None = None
        self._outcome = Outcome(setting)
        self._map_times: list[float] = []
        self._finals = 0.0

    def until_ready(self) -> None:
        """Wait until the receiver hears the detector and every part has taken its place."""
        waiting = {"hub", "receiver", "recorder", "absorber"}
        waiting |= {f"reducer-{n}" for n in range(self._setting.reducers)}
        deadline = time.monotonic() + READY_S
        while waiting:
            self._poll()
            statuses = self._observer.statuses.items()
            waiting -= {name for name, status in statuses if status.state != "starting"}
            self._check_parts()
            if time.monotonic() > deadline:
                raise ChainError(f"not ready after {READY_S:.0f} s: {sorted(waiting)}")

    def through(self, source: subprocess.Popen[str]) -> Outcome:
        """Let the detector send, and follow the scan to its end."""
        setting, outcome = self._setting, self._outcome
        if source.stdin is None or source.stdout is None:
            raise ChainError("the source has no pipes")
        while (line := source.stdout.readline().strip()) != "ready":
            if not line:
                raise ChainError("the source ended before it was ready")
        before = self._cpu()
        source.stdin.write("go\n")
        source.stdin.flush()
        began = time.monotonic() + 0.2  # as the source does
        pace = setting.rate or math.inf
        last_due = began + setting.frames() / pace
        done_at, moved_at, before_done = math.nan, began, 0
        while not self._closed():
            self._poll()
            self._check_parts()
            now = time.monotonic()
            done = self._done()
            if done == setting.frames() and math.isnan(done_at):
                done_at = now
                outcome.cpu_s = {n: v - before[n] for n, v in self._cpu().items()}
            if setting.rate and done < setting.frames() and now > began:
                lag = now - (began + done / pace)
                if self._fresh:
                    if now < began + SETTLE_S:
                        outcome.start_lag_s = max(outcome.start_lag_s, lag)
                    else:
                        outcome.lag_s = max(outcome.lag_s, lag)
                    if now < last_due:
                        outcome.lag_at_end_s = lag
            if done > before_done:
                before_done, moved_at = done, now
            if now - max(moved_at, began) > setting.give_up_s:
                outcome.trouble = f"{self._standing()}; the detector's exit {source.poll()}"
                break
        patience = time.monotonic() + setting.give_up_s
        while not self._finals and not outcome.trouble and time.monotonic() < patience:
            self._poll()  # the account of frames closes before the final results are made
        outcome.seconds = done_at - began
        outcome.complete = self._closed() and not math.isnan(done_at)
        outcome.final_s = self._finals - done_at if self._finals else math.nan
        self._finish(source)
        return outcome

    def _finish(self, source: subprocess.Popen[str]) -> None:
        outcome, account = self._outcome, self._account
        if account is not None:
            outcome.lost = len(account.lost)
            outcome.failed = sum(len(account.group(name).failed) for name in GROUPS)
        outcome.memory_mb = {
            part.name: peak_memory_mb(part.process.pid)
            for part in self._parts.parts
            if part.process is not None
        }
        absorber = self._observer.statuses.get("absorber")
        if absorber is not None:
            outcome.steps_s = {
                name: float(value)
                for name, value in absorber.values.items()
                if name in ("absorb_s", "results_s")
            }
        outcome.maps = len(self._map_times)
        waits = [b - a for a, b in zip(self._map_times, self._map_times[1:], strict=False)]
        outcome.longest_wait_s = max(waits, default=math.nan)
        with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
            said, _ = source.communicate(timeout=5)
            report: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
            outcome.source_late_s = float(report["late_s"])
            outcome.cpu_s["detector"] = float(report["cpu_s"])

    def _poll(self) -> None:
        self._fresh = False
        for message in self._live.poll(0.05):
            self._observer.take(message)
            if isinstance(message, Account):
                self._account, self._fresh = message, True
            elif isinstance(message, Result) and message.name == "lattice_parameter":
                if message.final:
                    self._finals = time.monotonic()
                else:
                    self._map_times.append(time.monotonic())

    def _done(self) -> int:
        """Frames that both groups are through with."""
        if self._account is None:
            return 0
        return min(self._account.group(name).done for name in GROUPS)

    def _standing(self) -> str:
        """What the account says, and the last words of every part."""
        account = self._account
        said = "no account"
        if account is not None:
            done = ", ".join(f"{g.name} {g.done}, failed {len(g.failed)}" for g in account.groups)
            said = f"announced {account.announced}, received {account.received}, {done}"
        tails = [f"{p.name}: {self._parts.tail(p, 3)}" for p in self._parts.parts]
        return "; ".join([said, *(tail for tail in tails if not tail.endswith(": "))])

    def _closed(self) -> bool:
        return self._account is not None and self._account.closed

    def _check_parts(self) -> None:
        for part in self._parts.parts:
            if not part.alive():
                raise ChainError(f"{part.name} went down: {self._parts.tail(part)}")

    def _cpu(self) -> dict[str, float]:
        return {
            part.name: cpu_s(part.process.pid)
            for part in self._parts.parts
            if part.process is not None
        }

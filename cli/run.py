"""A whole run on one machine: start the parts, watch them, end them in order, account for it.

The order of ending is the order of trust: the plan first, because it opens the cell; then the
parts downstream once the hub waits for nothing; the simulated hardware last.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..stream.live import LiveSubscriber
from .experiment import Experiment, duration_s
from .folder import (
    RunFolder,
    epics_environment,
    socket_folder,
    with_addresses,
    write_resolved,
    write_view,
)
from .kernel_cache import require_own_cache
from .observer import Observer
from .parts import Part, Parts
from .progress import Progress
from .serve import subscriber_of
from .silence import Silence
from .summary import Outcome, write_summary

WISHED_S = 20.0  # for parts without which a run goes on
START_UP_S = 90.0  # the slowest part imports and compiles for some seconds on a cold machine
SETTLE_S = 60.0
CLOSE_S = 20.0
PLAN_STOP_S = 60.0  # longer than cell, stage and detector may each be silent when told to stop
# without one of these a run is over
ESSENTIAL = ("detector", "hub", "receiver", "recorder", "absorber")
HARDWARE = ("sim", "detector")  # where it is simulated
DISPENSABLE = ("window", "recommender")  # a run goes on without them


@dataclass(frozen=True)
class Choices:
    """What the command line decides about a run.

    window: "screen", "pictures" or "none"
    source: name and arguments of the part that makes scans; the Bluesky plan where empty
    """

    window: str = "screen"
    picture_every_s: float = 2.0
    source: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether frames come from a detector, real or simulated, and not from files."""
        return not self.source


class Disturbance(Protocol):
    """Who disturbs a run on purpose (soak_laboratory.py); all is called by the supervisor."""

    def begin(self, experiment: Experiment) -> Mapping[str, Experiment]:
        """The addresses are known: part -> the experiment as that part is to see it."""
        ...

    def step(self, parts: Parts, observer: Observer) -> None:
        """The run goes on; called about ten times a second."""
        ...

    def calm(self) -> None:
        """The source has ended: nothing is disturbed any more."""
        ...

    def last_look(self) -> None:
        """The account is settled, the simulated hardware is about to be stopped."""
        ...


class StartUpError(RuntimeError):
    """A part that did not come up; the message names it and quotes its last lines."""


@dataclass
class Run:
    """One run from start to summary; execute() does it all."""

    experiment: Experiment
    folder: RunFolder
    choices: Choices
    say: Callable[[str], None]
    observer: Observer = field(default_factory=Observer)
    notes: list[str] = field(default_factory=list)
    interrupted: int = 0
    disturbance: Disturbance | None = None
    silence: Silence = field(default_factory=Silence)
    views: dict[str, Path] = field(default_factory=dict)

    def execute(self) -> Outcome:
        """Run the experiment. Ctrl-C ends it early and in order, also more than once."""
        began = time.monotonic()
        previous = {s: signal.signal(s, self._interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
        trouble: list[str] = []
        try:
            with socket_folder() as sockets:
                experiment = with_addresses(self.experiment, Path(sockets))
                write_resolved(experiment, self.folder)
                compile_kernels(self.say)
                if not self.interrupted:
                    trouble = self._supervise(experiment)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if missing := self.observer.not_recorded():
            trouble.append(f"{missing} frames could not be recorded; operando account says why")
        if self.folder.file.is_file() and not trouble:
            shutil.rmtree(self.folder.spool, ignore_errors=True)  # all of it is in the file
            shutil.rmtree(self.folder.findings, ignore_errors=True)  # and a replay makes it anew
        elif self.folder.spool.exists():
            trouble.append(f"nothing is thrown away: operando recover {self.folder.path}")
        outcome = Outcome(self.interrupted > 0, trouble, self.notes, time.monotonic() - began)
        write_summary(self.folder, self.observer, outcome, self.say, len(self.experiment.marks))
        return outcome

    def _interrupt(self, number: int, frame: object) -> None:
        self.interrupted += 1

    def _supervise(self, experiment: Experiment) -> list[str]:
        parts = Parts(self.folder.logs, epics_environment(experiment))
        live = subscriber_of(experiment)
        trouble: list[str] = []
        try:
            self._start(parts, live, experiment)
            if not self.interrupted:
                plan = ("plan", "plan", "--to", str(self.folder.file))
                name, *arguments = self.choices.source or plan
                source = parts.start(name, *arguments, str(self.folder.experiment))
                trouble += self._follow(parts, live, source)
                if self.disturbance is not None:
                    self.disturbance.calm()
                trouble += self._end_source(parts, live, source)
                trouble += self._settle(parts, live)
                if self.disturbance is not None:
                    self.disturbance.last_look()
        except StartUpError as error:
            trouble.append(str(error))
        finally:
            trouble += parts.stop_all()
            self._poll(live, 0.0)
            live.close()
        return trouble

    def _start(self, parts: Parts, live: LiveSubscriber, experiment: Experiment) -> None:
        file = str(self.folder.experiment)
        if self.disturbance is not None:
            for name, seen in self.disturbance.begin(experiment).items():
                self.views[name] = write_view(seen, self.folder, name)
        if self._simulated(experiment):
            truth = ("--truth", str(self.folder.truth))
            parts.start("sim", "sim", file, "--only", "bench")
            parts.start("detector", "sim", file, "--only", "detector", *truth, restart=True)
        if self.choices.live:
            spool = ("--spool", str(self.folder.spool))
            parts.start("hub", "hub", file, "--no-detector", *spool, restart=True)
            view = str(self.views.get("receiver", file))
            parts.start("receiver", "receive", view, restart=True)
        else:  # files can be read again
            parts.start("hub", "hub", file, "--no-detector", "--no-spool")
        parts.start("recorder", "record", file, "--to", str(self.folder.file), restart=True)
        findings = ("--findings", str(self.folder.findings))
        parts.start("absorber", "absorb", file, *findings, restart=True)
        for number in range(experiment.analysis.reducers):
            name = f"reducer-{number}"
            view = str(self.views.get(name, file))
            parts.start(name, "reduce", view, "--name", name, restart=True)
        if self.choices.live and experiment.adaptive is not None:
            parts.start("recommender", "recommend", file, restart=True)
        if self.choices.window == "screen":
            parts.start("window", "watch", file, restart=False)
        elif self.choices.window == "pictures":
            parts.start(
                "window", "watch", file, "--offscreen", "--out", str(self.folder.window),
                "--every", str(self.choices.picture_every_s), restart=True,
            )  # fmt: skip
        self.say("starting: " + ", ".join(p.name for p in parts.parts))
        self._wait_ready(parts, live, experiment)

    def _wait_ready(self, parts: Parts, live: LiveSubscriber, experiment: Experiment) -> None:
        """Until the receiver hears the detector and every part has taken its place."""
        waiting = {"hub", "recorder", "absorber"}
        waiting |= {f"reducer-{n}" for n in range(experiment.analysis.reducers)}
        if self.choices.live:
            waiting.add("receiver")
        if self._simulated(experiment):
            waiting |= set(HARDWARE)
        # a tomogram that is over before anybody judges its maps cannot be ended early
        wished = {part.name for part in parts.parts} & {"recommender"}
        began = time.monotonic()
        deadline = began + START_UP_S
        while (waiting or wished) and not self.interrupted:
            self._poll(live, 0.1)
            ready = {n for n, s in self.observer.statuses.items() if s.state != "starting"}
            waiting -= ready
            wished -= ready
            if time.monotonic() > began + WISHED_S:
                wished.clear()
            for part in parts.parts:
                if not part.alive():
                    if part.name not in DISPENSABLE:
                        raise StartUpError(f"{part.name} did not start: {parts.tail(part, 1)}")
                    wished.discard(part.name)
            if time.monotonic() > deadline:
                raise StartUpError(
                    f"not ready after {START_UP_S:.0f} s: {', '.join(sorted(waiting))}; "
                    f"see {self.folder.logs}"
                )

    def _simulated(self, experiment: Experiment) -> bool:
        return self.choices.live and experiment.simulation is not None

    def _follow(self, parts: Parts, live: LiveSubscriber, source: Part) -> list[str]:
        """Until the source ends, somebody interrupts, or a part that must not goes down."""
        trouble: list[str] = []
        with Progress(self.say, duration_s(self.experiment)["wall_s"]) as progress:
            while source.alive() and not self.interrupted:
                self._poll(live, 0.1)
                progress.show(self.observer)
                self._look_after(parts)
                if self.disturbance is not None:
                    self.disturbance.step(parts, self.observer)
                for part in parts.parts:
                    gone = part.process is not None and not part.alive() and not part.restart
                    down = part.process is None and part.name in ESSENTIAL
                    if (gone or down) and part is not source and part.name not in DISPENSABLE:
                        trouble.append(f"{part.name} went down: {parts.tail(part, 1)}")
                        return trouble
            progress.show(self.observer)
        return trouble

    def _end_source(self, parts: Parts, live: LiveSubscriber, source: Part) -> list[str]:
        asked = source.alive()
        if asked:
            if self.choices.live:
                self.say("ending the run: opening the cell, disarming the detector")
            said = parts.stop(source, PLAN_STOP_S, signal.SIGINT)
            if said or not self.choices.live:
                return [said] if said else []
            self._poll(live, 0.5)  # why it could not leave everything safe
        code = source.process.returncode if source.process is not None else 1
        last = self.observer.statuses.get(source.name)
        if not code or (asked and (last is None or last.state != "failed")):
            return []
        reason = last.values.get("reason") if last is not None else None
        return [f"{source.name} ended with exit {code}: {reason or parts.tail(source, 1)}"]

    def _settle(self, parts: Parts, live: LiveSubscriber) -> list[str]:
        """Until everything that was received is recorded and in the results."""
        hardware = [part for name in HARDWARE if (part := parts.part(name))]
        if all(part.alive() for part in hardware) and self._settled(parts, live, SETTLE_S):
            return []
        # nobody is left who would end an open scan: its receiver does, and names what did not come
        receiver = parts.part("receiver")
        if receiver is not None:
            parts.stop(receiver)
            if self._settled(parts, live, CLOSE_S):
                return []
        return ["the account did not close: " + str(self.observer.totals())]

    def _settled(self, parts: Parts, live: LiveSubscriber, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        report, quiet = None, 0
        while time.monotonic() < deadline and self.interrupted < 2:
            self._poll(live, 0.2)
            self._look_after(parts)
            before, report = report, self.observer.statuses.get("hub")
            if report is not before:
                quiet = quiet + 1 if self.observer.settled() else 0
            if quiet >= 4:  # reports of a hub that lives, not one lucky moment of one that did
                return True
        return False

    def _look_after(self, parts: Parts) -> None:
        silent = self.silence.end_silent(parts, self.observer.statuses.get("hub"))
        for line in silent + parts.look_after():
            self.say(line)
            self.notes.append(line)

    def _poll(self, live: LiveSubscriber, timeout_s: float) -> None:
        for message in live.poll(timeout_s):
            self.observer.take(message)


def compile_kernels(say: Callable[[str], None]) -> None:
    """Compile and cache every kernel once, so that no part of a run compiles under load.

    Exits with a line where others can write the cache.
    """
    require_own_cache()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "operando.cli.main", "warm"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    spent = time.monotonic() - began
    if done.returncode:
        say(f"kernels could not be compiled ahead: {done.stderr.strip().splitlines()[-1:]}")
    elif spent > 8:
        say(f"kernels compiled in {spent:.0f} s; the next start finds them in the cache")


def has_display() -> bool:
    """Whether a window can be shown here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True

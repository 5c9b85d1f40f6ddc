"""How each fault is done to a run that goes on, and taken back.

Everything is done from outside, as it would come: signals, limits, cables, requests. A limit on
the size of a part's files stands for a full disk: the same writes fail, and other programs of the
machine do not suffer.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from ..detectors.simplon import Simplon, SimplonError
from .experiment import Experiment
from .folder import RunFolder
from .parts import Part, Parts
from .soak_cable import Cable
from .soak_clock import WallClock
from .soak_schedule import Fault

REPEATED = 8  # frames of a series that somebody takes under an old description
SLICE_S = 0.5  # a part that is slowed down works for a share of each such slice of time

Mend = Callable[[], None]


class NotNow(RuntimeError):
    """The fault cannot be done at the moment; the message says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What faults are done with.

    experiment: of the run, with its addresses
    """

    experiment: Experiment
    folder: RunFolder
    cables: Mapping[str, Cable]
    clock: WallClock


@dataclass(slots=True)
class Strike:
    """A fault that has been done: what to do while it lasts, and what takes it back."""

    fault: Fault
    until: float
    mend: Mend
    meanwhile: Mend


def strike(fault: Fault, bench: Bench, parts: Parts) -> Strike:
    """Do fault. Raises NotNow where its victim is not there, or not in a state for it."""
    meanwhile: Mend = _nothing
    match fault.kind:
        case "kill":
            mend = kill(_process(parts, fault.victim))
        case "freeze":
            mend = freeze(_process(parts, fault.victim))
        case "slow down":
            process = _process(parts, fault.victim)
            mend = freeze(process)
            meanwhile = _slices(process, fault.amount)
        case "cut" | "pull out" | "delay":
            cable = bench.cables[fault.victim]
            {"cut": cable.cut, "pull out": cable.pull}.get(
                fault.kind, lambda: cable.slow(fault.amount)
            )()
            mend = cable.mend
        case "fill the disk of":
            mend = _fill_disk(_process(parts, fault.victim), fault.victim, bench.folder)
        case "set the clock":
            bench.clock.jump(round(fault.amount))
            mend = _nothing
        case "abort":
            mend = _command(bench.experiment, "abort")
        case "repeat":
            mend = _repeat(bench.experiment)
        case _:
            raise ValueError(f"no fault is called {fault.kind!r}")
    return Strike(fault, time.monotonic() + fault.lasts_s, mend, meanwhile)


def kill(process: subprocess.Popen[bytes]) -> Mend:
    """SIGKILL; its supervisor starts it again."""
    process.kill()
    return _nothing


def freeze(process: subprocess.Popen[bytes]) -> Mend:
    """SIGSTOP, and SIGCONT to take it back."""
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def _slices(process: subprocess.Popen[bytes], share: float) -> Mend:
    def now() -> None:
        awake = time.monotonic() % SLICE_S < share * SLICE_S
        process.send_signal(signal.SIGCONT if awake else signal.SIGSTOP)

    return now


def limit_files(pid: int, size: int) -> Mend:
    """No file of a process may grow beyond size, until this is taken back [B]."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def mend() -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    return mend


def _fill_disk(process: subprocess.Popen[bytes], part: str, folder: RunFolder) -> Mend:
    """The spool's files only ever grow; the record is also written in the middle, which goes on."""
    record = folder.file.with_name(folder.file.name + ".part")
    try:
        size = record.stat().st_size if part == "recorder" else 0
        return limit_files(process.pid, size)
    except OSError as error:
        raise NotNow(f"{part}: {error}") from None


def _process(parts: Parts, name: str) -> subprocess.Popen[bytes]:
    part: Part | None = parts.part(name)
    if part is None or part.process is None or not part.alive():
        raise NotNow(f"{name} does not run")
    return part.process


def _repeat(experiment: Experiment) -> Mend:
    """Somebody else takes a few frames under the description of the last series.

    It ends by itself: a command that came late would end the plan's own. The plan writes everything
    that is changed here before it arms.
    """
    with closing(Simplon(experiment.detector.rest, experiment.detector.api)) as simplon:
        try:
            for name, value in (("trigger_mode", "ints"), ("nimages", REPEATED), ("ntrigger", 1)):
                simplon.put("detector", name, value)
            simplon.command("arm", timeout_s=5.0)
            with contextlib.suppress(SimplonError):  # the plan has ended it
                simplon.command("trigger", timeout_s=5.0)
        except SimplonError as error:
            raise NotNow(str(error)) from None
    return _nothing


def _command(experiment: Experiment, *names: str) -> Mend:
    """Commands to the detector from somebody who is not the plan."""
    simplon = Simplon(experiment.detector.rest, experiment.detector.api)
    try:
        for name in names:
            simplon.command(name, timeout_s=5.0)
    except SimplonError as error:
        raise NotNow(str(error)) from None
    finally:
        simplon.close()
    return _nothing


def _nothing() -> None:
    """Nothing to take back."""

"""Supervised processes: the parts of a run, started, watched and ended in order.

Every part is an `operando` subcommand in its own process group, so that Ctrl-C in the terminal
reaches the supervisor only and the order of ending stays ours. A part ends when asked by SIGTERM
or when its standard input closes: a supervisor that dies, however hard, takes its parts with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

SUPERVISED = "OPERANDO_SUPERVISED"
ONE_THREAD = {
    # a library's own threads make small decodes erratic and fight with the pool for two cores
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
GRACE_S = 6.0  # without a supervisor: the plan opens the cell and its last words are recorded
RESTARTS = 5  # within RESTART_WINDOW_S, then the part stays down
RESTART_WINDOW_S = 60.0


def stop_when_asked() -> threading.Event:
    """An event that SIGTERM, SIGINT or (in a supervised part) the end of standard input sets."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    on_supervisor_gone(lambda: stop.wait(GRACE_S) or stop.set())
    return stop


def on_supervisor_gone(call: Callable[[], object]) -> None:
    """Call once when the supervisor lets go of standard input; without one, do nothing."""
    if os.environ.get(SUPERVISED) != "1":
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        call()

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


@dataclass
class Part:
    """One process of a run.

    name: what messages call it, and its log file's name
    arguments: of the `operando` command
    restart: start it again when it dies by itself
    """

    name: str
    arguments: Sequence[str]
    restart: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: list[float] = field(default_factory=list)

    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None


class Parts:
    """The processes of one run, in the order in which they were started.

    logs: folder that gets `<part>.log` with all that a part prints
    environment: added to that of every part
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._environment = {**os.environ, **ONE_THREAD, **environment, SUPERVISED: "1"}
        self.parts: list[Part] = []

    def start(self, name: str, *arguments: str, restart: bool = False) -> Part:
        """Start a part."""
        part = Part(name, arguments, restart)
        self.parts.append(part)
        self._spawn(part)
        return part

    def _spawn(self, part: Part) -> None:
        with (self._logs / f"{part.name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                [sys.executable, "-m", "operando.cli.main", *part.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        part.started.append(time.monotonic())

    def part(self, name: str) -> Part | None:
        """The part of this name; None where there is none."""
        return next((part for part in self.parts if part.name == name), None)

    def look_after(self) -> list[str]:
        """Restart what may be restarted; a sentence for every part that went down."""
        said = []
        for part in self.parts:
            if part.process is None or part.alive():
                continue
            code = part.process.returncode
            recent = [t for t in part.started if time.monotonic() - t < RESTART_WINDOW_S]
            if part.restart and len(recent) <= RESTARTS:
                said.append(f"{part.name} ended ({_in_words(code)}) and is started again")
                self._close_stdin(part)
                self._spawn(part)
            elif part.restart:
                said.append(f"{part.name} ended {len(recent)} times in a minute and stays down")
                self._close_stdin(part)
                part.process = None
        return said

    def kill(self, part: Part) -> None:
        """End a part that does not listen; look_after() starts it again."""
        if part.process is not None:
            _sweep(part.process.pid)

    def stop(self, part: Part, timeout_s: float = 15.0, number: int = signal.SIGTERM) -> str:
        """Ask a part to end and wait; kill it after timeout_s. A sentence where that was needed."""
        process = part.process
        part.restart = False
        if process is None:
            return ""
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"{part.name} did not end within {timeout_s:.0f} s and was killed"
        finally:
            self._close_stdin(part)
            _sweep(process.pid)
        return ""

    def stop_all(self, timeout_s: float = 15.0) -> list[str]:
        """End every part that is left, the last started first."""
        said = [self.stop(part, timeout_s) for part in reversed(self.parts)]
        return [line for line in said if line]

    def tail(self, part: Part, lines: int = 5) -> str:
        """The last lines that a part printed."""
        try:
            text = (self._logs / f"{part.name}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    @staticmethod
    def _close_stdin(part: Part) -> None:
        if part.process is not None and part.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                part.process.stdin.close()


def _sweep(group: int) -> None:
    """End a part and what it may have left behind in its own process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit {code}"

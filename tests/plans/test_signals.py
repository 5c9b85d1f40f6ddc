"""What a dying plan leaves behind: the plan runs in a process of its own, the simulation here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
Until = Callable[..., None]


class Driven:
    def __init__(self, line: Any) -> None:
        self.line = line
        simulation = line.simulation
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("drive_cell.py")),
                line.cell_prefix,
                line.stage_prefix,
                simulation.rest_url,
                str(simulation.instrument.lease_s),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.told: list[str] = []
        self.more = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self.more:
                self.told.append(text.strip())
                self.more.notify_all()

    def reaches(self, phase: str) -> None:
        with self.more:
            assert self.more.wait_for(lambda: phase in self.told, timeout=60), self.told

    def is_open(self) -> bool:
        return bool(self.line.simulation.instrument.mode.name == "OCV")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def driven(beamline: Make) -> Iterator[Callable[..., Driven]]:
    with ExitStack() as stack:

        def drive(**settings: Any) -> Driven:
            made = Driven(beamline(**{"clock": 300.0, **settings}))
            stack.callback(made.close)
            return made

        yield drive


@pytest.mark.parametrize("phase", ["discharging", "relaxing", "scanning"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_cell_open_and_the_detector_disarmed(
    driven: Callable[..., Driven], phase: str, number: signal.Signals
) -> None:
    plan = driven()
    plan.reaches(phase)
    plan.process.send_signal(number)
    assert plan.process.wait(30) == 3
    assert plan.line.cell == "HOLD_OCV"
    assert plan.is_open()
    assert plan.line.simulation.detector.state == "idle"
    assert plan.told[-1].startswith("stopped by a signal")


def test_impatient_signals_change_nothing(driven: Callable[..., Driven]) -> None:
    plan = driven()
    plan.reaches("scanning")
    pause = threading.Event()
    for _ in range(5):
        plan.process.send_signal(signal.SIGINT)
        pause.wait(0.02)
    assert plan.process.wait(30) == 3
    assert plan.line.cell == "HOLD_OCV"
    assert plan.line.simulation.detector.state == "idle"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_plan_that_is_dead_or_frozen_loses_its_lease(
    driven: Callable[..., Driven], until: Until, number: signal.Signals
) -> None:
    plan = driven(lease_s=2.0, clock=60.0)
    plan.reaches("discharging")
    assert not plan.is_open()
    plan.process.send_signal(number)
    until(plan.is_open, what="open circuit after the lease")
    assert plan.line.cell == "DISCONNECTED"
    charge_ah = plan.line.simulation.instrument.charge_ah
    if number == signal.SIGSTOP:
        plan.process.send_signal(signal.SIGCONT)  # the client is back: nothing is resumed
        plan.process.wait(30)
    assert plan.line.simulation.instrument.charge_ah == charge_ah
    assert plan.is_open()

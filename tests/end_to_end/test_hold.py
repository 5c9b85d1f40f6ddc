"""A recorder that is too slow fills a small spool: the plan holds in mid-scan, nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import operando.cli
import pytest
from operando.cli.experiment import Experiment
from operando.cli.experiment_file import parse
from operando.cli.folder import new_folder
from operando.cli.observer import Observer
from operando.cli.parts import Parts
from operando.cli.run import Choices, Run
from operando.plans.backlog import HOLD_ABOVE
from operando.stream.run_file import open_run
from whole_run import left_running

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]
SPOOL_MB = 64  # the least that may be declared
ANGLES, POINTS = 40, 21
AWAKE = 40  # the recorder works in one step of so many, a tenth of a second each


class SlowRecorder:
    """A Disturbance: the recorder gets a fortieth of its time until the plan has held.

    fills: of the spool, as the hub said; held: why the plan stood still, and at which fill
    """

    def __init__(self) -> None:
        self.steps = 0
        self.fills: list[float] = []
        self.held: list[tuple[str, float]] = []
        self._mend = lambda: None

    def begin(self, experiment: Experiment) -> Mapping[str, Experiment]:
        return {}

    def step(self, parts: Parts, observer: Observer) -> None:
        hub, plan = observer.statuses.get("hub"), observer.statuses.get("plan")
        fill = float(hub.values["fill"]) if hub is not None else 0.0
        self.fills.append(fill)
        if plan is not None and plan.state == "holding":
            self.held.append((str(plan.values["reason"]), fill))
        process = parts.part("recorder").process
        self._mend = lambda: process.send_signal(signal.SIGCONT)
        self.steps += 1
        if self.held or self.steps % AWAKE == 0:
            self._mend()
        else:
            process.send_signal(signal.SIGSTOP)

    def calm(self) -> None:
        self._mend()

    def last_look(self) -> None: ...


@pytest.fixture(scope="module")
def slowed(tmp_path_factory):
    text = Path(operando.cli.__file__).with_name("quick.yaml").read_text()
    quick = parse(text, "quick").model_dump()
    quick["marks"] = quick["marks"][:1]
    quick["scan"] |= {"exposure_s": 0.03}  # the more counts, the larger the frames
    quick["scan"]["angles"]["count"] = ANGLES
    quick["analysis"]["consumers"] = {"intensity": {}}
    quick["simulation"]["clock"] *= 2
    quick["network"]["spool_MB"] = SPOOL_MB
    experiment = Experiment.model_validate(quick)
    said: list[str] = []
    slow = SlowRecorder()
    folder = new_folder(experiment, tmp_path_factory.mktemp("hold") / "run")
    run = Run(experiment, folder, Choices(window="none"), said.append, disturbance=slow)
    return slow, run, run.execute(), "\n".join(said)


def test_the_plan_holds_for_the_spool_and_goes_on(slowed):
    slow, _, outcome, said = slowed
    assert slow.held, f"never held; the spool was {max(slow.fills):.2f} full\n{said}"
    reason, fill = slow.held[0]
    assert "of its room" in reason
    assert fill >= HOLD_ABOVE
    assert outcome.trouble == [], said


def test_the_hold_comes_before_a_frame_is_held_back(slowed):
    assert max(slowed[0].fills) < 1.0


def test_the_scan_is_one_whole_and_nothing_is_lost(slowed):
    _, run, _, said = slowed
    frames = ANGLES * POINTS
    (scan,) = run.observer.scans.values()
    assert run.observer.totals() == {
        "announced": frames, "received": frames, "recorded": frames, "in_results": frames,
        "lost": 0, "failed": 0,
    }, said  # fmt: skip
    with open_run(run.folder.file) as recorded:
        assert recorded.frame_indices(scan.start.scan) == list(range(frames))
    assert not run.folder.spool.exists()  # all of it is in the file
    assert left_running(run.folder.path) == []

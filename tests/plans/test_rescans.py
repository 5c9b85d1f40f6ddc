"""Rescans in a real plan on a simulated beamline; the recommender's words come from the test."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from operando.detectors.stage import CentringStage, StageError
from operando.plans.board import Board
from operando.plans.budget import Budget
from operando.plans.documents import DocumentPublisher
from operando.plans.dose import Beam, DoseBook
from operando.plans.engine import make_engine, run_safely
from operando.plans.operando_tomography import operando_tomography
from operando.plans.rescans import Adaptive, Rules
from operando.stream.messages import (
    Decision,
    Document,
    Message,
    Proposal,
    Result,
    Status,
    Withdrawal,
)

ALL = frozenset({"stop", "roi", "exposure"})
NAN = math.nan
LINES, POINTS = 8, 8


class Pause:
    """One pause of a cell, whose plan listens to a board that the test writes on.

    on_scan: called with (number of the scan, frames done) whenever the plan reports
    """

    def __init__(self, line: Any, budget: Budget, **rules: Any) -> None:
        self.line = line
        self.cell, self.detector = line.potentiostat(), line.detector()
        self.stage = line._connected(CentringStage(line.stage_prefix, name="stage"))
        self.sent: list[Message] = []
        self.documents: list[Message] = []
        self.board = Board(self.sent.append)
        settings = {
            "approval_s": 0.0,
            "wait_s": 10.0,
            "points": 6,
            "step_um": 0.5,
            "angles": 4,
            "exposure_s": 0.004,
        }
        self.adaptive = Adaptive(
            Rules(rules.pop("kinds", ALL), budget, **{**settings, **rules}), self.board,
            self.sent.append, DoseBook(Beam(1e9, 1.0), POINTS, 1.0),
        )  # fmt: skip
        self.on_scan: Callable[[int, int], None] = lambda number, done: None
        self.phases: list[str] = []
        self.current: list[str] = []
        self.seen: dict[str, Any] = {}
        self.beams: dict[int, float] = {}

    def run(self, beam_um: float = 0.0) -> tuple[str, ...]:
        plan = operando_tomography(
            self.cell, self.stage, self.detector, [{"capacity_ah": 2e-6}], current_a=-8e-6,
            cutoff_v=4.0, angles=LINES, translations=POINTS, relaxation_s=300.0,
            exposure_s=0.002, dwell_s=0.03, report=self.report, adaptive=self.adaptive,
            beam_um=beam_um,
        )  # fmt: skip
        engine = make_engine([DocumentPublisher(self.documents.append)])
        return run_safely(engine, plan, self.cell)

    def report(self, phase: str, values: dict[str, Any]) -> None:
        self.phases.append(phase)
        if phase.startswith(("scanning", "rescans")):
            self.current.append(self.line.cell)
            if values.get("frames_done"):
                self.beams[values["scan"]] = self.line.simulation.twin.truth().beam_um
            self.on_scan(values["scan"], values.get("frames_done", POINTS * LINES))
        self.seen = values

    def scan(self, number: int) -> str:
        found = [s.scan for s in self.line.of_stream("ScanStart") if s.number == number]
        return found[0] if found else ""

    def ask(self, kind: str, number: int = 1, id_: str = "1", valid_s: float = 60.0) -> None:
        """Write a proposal on the board."""
        region = (1.5, -1.0, 3.0) if kind == "roi" else (NAN,) * 3
        exposure_s = NAN if kind == "stop" else 0.004
        now = time.time()
        self.board.take(
            Proposal("run", id_, kind, self.scan(number), f"the {kind} is worth it", region,
                     exposure_s, 1.0, NAN, now + valid_s, now)
        )  # fmt: skip

    def say(self, verdict: str, id_: str = "1") -> None:
        self.board.take(Decision("run", id_, verdict, "window", "", time.time()))

    def judged(self, number: int, left: int = 0) -> None:
        values: dict[str, Any] = {"judged": number, "left": left}
        self.board.take(Status("recommender", "reads", time.time(), values))

    def verdicts(self) -> list[tuple[str, str]]:
        return [(m.verdict, m.by) for m in self.sent if isinstance(m, Decision)]

    def docs(self, name: str) -> list[dict[str, Any]]:
        found = [m for m in self.documents if isinstance(m, Document) and m.name == name]
        return [orjson.loads(m.text) for m in found]


@pytest.fixture
def pause(beamline: Callable[..., Any]) -> Callable[..., Pause]:
    def make(budget: Budget | None = None, **rules: Any) -> Pause:
        return Pause(beamline(), budget or Budget(60.0, 2), **rules)

    return make


def once(pause: Pause, when: Callable[[int, int], bool], do: Callable[[], None]) -> None:
    """Do something the first time that (number, frames done) fits."""
    done = threading.Event()
    before = pause.on_scan

    def look(number: int, frames: int) -> None:
        before(number, frames)
        if not done.is_set() and when(number, frames):
            done.set()
            do()

    pause.on_scan = look


def after_first(number: int, frames: int) -> bool:
    return number == 1 and frames == LINES * POINTS


def test_a_tomogram_ends_between_two_lines_and_nothing_is_missed(pause, until):
    made = pause()
    once(made, lambda number, frames: frames > POINTS, lambda: made.ask("stop"))
    uids = made.run()
    assert len(uids) == 2
    until(lambda: made.line.of_stream("ScanStop"))
    (stop,) = made.line.of_stream("ScanStop")
    assert 2 * POINTS <= stop.frames < LINES * POINTS
    assert stop.frames % POINTS == 0
    assert sorted(f.index for f in made.line.of_stream("Frame")) == list(range(stop.frames))
    (withdrawn,) = [m for m in made.sent if isinstance(m, Withdrawal)]
    assert (withdrawn.scan, withdrawn.first) == (uids[1], stop.frames)
    assert withdrawn.reason == "not taken: the stop is worth it"
    assert made.verdicts() == [("approved", "automatic"), ("done", "plan")]
    inner = made.docs("stop")[0]
    assert inner["exit_status"] == "success"
    assert "the stop is worth it" in inner["reason"]
    assert [d["indices"] for d in made.docs("stream_datum")] == [{"start": 0, "stop": stop.frames}]
    (dose,) = [m for m in made.sent if isinstance(m, Result)]
    share = stop.frames / (LINES * POINTS)
    assert dose.values.max() == pytest.approx(share * LINES * 1e9 * 0.002 / 1.0, rel=1e-5)


def test_a_region_is_scanned_in_the_same_pause_at_open_circuit(pause, until):
    made = pause()
    made.judged(0)
    once(made, after_first, lambda: (made.ask("roi"), made.judged(1, 1)))
    once(made, lambda number, frames: number == 2, lambda: made.judged(1))
    _, first, second = made.run(beam_um=2.0)
    until(lambda: len(made.line.of_stream("ScanStop")) == 2)
    assert made.beams == {1: 2.0, 2: 0.5}  # as wide as its step
    whole, region = made.line.of_stream("ScanStart")
    assert (whole.notes["role"], region.notes["role"]) == ("slice", "roi")
    assert (region.notes["parent"], region.notes["proposal"]) == (first, "1")
    assert (region.notes["region_x_um"], region.notes["region_y_um"]) == (1.5, -1.0)
    assert region.trajectory.grid == (4, 6)
    assert region.exposure_s == pytest.approx(0.004)
    assert region.scan == second
    assert set(made.current) == {"HOLD_OCV"}
    assert made.verdicts() == [("approved", "automatic"), ("done", "plan")]
    assert made.stage.centre_x.position == made.stage.centre_y.position == 0.0
    assert whole.notes["mark"] == region.notes["mark"] == 1
    start = next(d for d in made.docs("start") if d["uid"] == second)
    assert start["notes"]["proposal"] == "1"
    rays = made.line.simulation.twin  # what the detector saw is the slice around that place
    assert rays is not None
    doses = [m for m in made.sent if isinstance(m, Result)]
    assert len(doses) == 2
    assert doses[1].values.max() > doses[0].values.max()


def test_a_longer_exposure_is_the_same_scan_again(pause, until):
    made = pause()
    made.judged(0)
    once(made, after_first, lambda: (made.ask("exposure"), made.judged(1, 1)))
    once(made, lambda number, frames: number == 2, lambda: made.judged(1))
    made.run()
    until(lambda: len(made.line.of_stream("ScanStop")) == 2)
    first, again = made.line.of_stream("ScanStart")
    assert again.trajectory.grid == first.trajectory.grid
    assert (first.exposure_s, again.exposure_s) == pytest.approx((0.002, 0.004))


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(60.0, 0), "0 of 0 rescans"),
        (Budget(0.0, 5), "may last 0 s"),
        (Budget(60.0, 5, 1.0), "is the limit"),
    ],
)
def test_beyond_the_budget_nothing_is_rescanned(pause, budget, words):
    made = pause(budget)
    once(made, after_first, lambda: (made.ask("roi"), made.judged(1)))
    assert len(made.run()) == 2
    (refused,) = [m for m in made.sent if isinstance(m, Decision)]
    assert refused.verdict == "refused"
    assert words in refused.reason


def test_what_no_stage_could_do_is_refused_and_a_rescan_that_fails_is_given_up(pause, until):
    """A region far away, an exposure of hours; then a flight that breaks: the run goes on."""
    made = pause(Budget(600.0, 9))
    far = Proposal(
        "run", "far", "roi", "", "go away", (4000.0, 0.0, 3.0), 0.01, 1.0, NAN, 60.0, 0.0
    )
    long = Proposal("run", "long", "exposure", "", "wait", (NAN,) * 3, 3600.0, 1.0, NAN, 60.0, 0.0)

    def ask() -> None:
        for proposal in (far, long):
            made.board.take(replace(proposal, scan=made.scan(1)))
        made.ask("roi", id_="good")
        made.judged(1)

    made.judged(0)
    once(made, after_first, ask)
    sound, flights = made.stage.kickoff, []

    def kickoff() -> Any:
        flights.append(len(flights))
        if len(flights) == 2:
            raise StageError("the belt has torn")
        return sound()

    made.stage.kickoff = kickoff
    assert len(made.run()) == 3
    said = [(m.id, m.verdict, m.reason) for m in made.sent if isinstance(m, Decision)]
    assert [(i, v) for i, v, _ in said] == [
        ("far", "refused"), ("long", "refused"), ("good", "approved"), ("good", "done"),
    ]  # fmt: skip
    assert "outside the slice" in said[0][2]
    assert "are possible" in said[1][2]
    assert "the belt has torn" in said[3][2]
    assert made.phases[-1] == "finished"
    assert made.stage.centre_x.position == 0.0


def test_without_a_recommender_the_run_goes_on_at_once(pause):
    made = pause(wait_s=60.0)
    assert len(made.run()) == 2
    assert made.verdicts() == []
    assert made.phases[-1] == "finished"


def test_a_veto_in_time_leaves_it(pause):
    made = pause(approval_s=30.0)
    made.judged(0)
    once(made, after_first, lambda: (made.ask("roi"), made.say("vetoed"), made.judged(1)))
    assert len(made.run()) == 2
    assert made.verdicts() == []  # the veto was the last word


def test_by_hand_nothing_happens_without_an_approval(pause):
    made = pause(approval="by_hand", approval_s=0.5)
    made.judged(0)
    once(made, after_first, lambda: (made.ask("roi"), made.judged(1)))
    assert len(made.run()) == 2
    assert made.verdicts() == [("expired", "plan")]


def test_by_hand_an_approval_is_enough(pause):
    made = pause(approval="by_hand", approval_s=30.0)
    made.judged(0)
    once(made, after_first, lambda: (made.ask("roi"), made.say("approved"), made.judged(1)))
    assert len(made.run()) == 3
    assert made.verdicts() == [("done", "plan")]


def test_a_veto_ends_a_rescan_that_runs_after_its_line(pause, until):
    made = pause()
    made.judged(0)
    once(made, after_first, lambda: (made.ask("exposure"), made.judged(1, 1)))
    once(made, lambda n, frames: n == 2 and frames > POINTS, lambda: made.say("vetoed"))
    once(made, lambda number, frames: number == 2, lambda: made.judged(1))
    made.run()
    until(lambda: len(made.line.of_stream("ScanStop")) == 2)
    ended = made.line.of_stream("ScanStop")[1]
    assert ended.frames < LINES * POINTS
    assert ended.frames % POINTS == 0
    (last,) = [m for m in made.sent if isinstance(m, Decision) and m.verdict == "done"]
    assert "vetoed by window" in last.reason


def test_a_stop_that_comes_too_late_changes_nothing(pause):
    made = pause()
    made.judged(0)
    once(made, after_first, lambda: (made.ask("stop"), made.judged(1)))
    assert len(made.run()) == 2
    assert made.verdicts() == [("expired", "plan")]


def test_kinds_that_the_experiment_does_not_allow_are_refused(pause):
    made = pause(kinds=frozenset({"roi"}))
    made.judged(0)
    once(made, lambda number, frames: frames > POINTS, lambda: made.ask("stop", id_="a"))
    once(made, after_first, lambda: (made.ask("exposure", id_="b"), made.judged(1)))
    assert len(made.run()) == 2
    assert made.verdicts() == [("refused", "plan")] * 2
    assert "rescans_left" in made.seen

"""Adaptive rescans as the experiment file declares them: the recommender's part, and the plan's.

The recommender is a part of its own. It only listens and proposes; it may die at any moment, and
the run goes on without it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ..plans.board import Board
from ..plans.budget import Budget
from ..plans.dose import Beam, DoseBook
from ..plans.listener import Listener
from ..plans.map_quality import Criterion
from ..plans.outbox import Outbox
from ..plans.recommender import Finer, Policy, Recommender
from ..plans.rescans import Adaptive, Rules
from ..stream.link import insist
from ..stream.messages import Decision, Message, Proposal
from .adaptive_section import Adaptive as Section
from .experiment import Experiment
from .parts import stop_when_asked
from .serve import configure_logging, heartbeat, producer_of, subscriber_of

HEARD = ("scan_start", "result/", "proposal/", "decision/")  # in this order: starts come first
READ = ("proposal/", "decision/", "status/recommender")
TICK_S = 0.2
FLUSH_S = 5.0
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Weighed:
    """The plan's side, and the thread that keeps it informed."""

    adaptive: Adaptive
    listener: Listener


def adaptive_of(experiment: Experiment, outbox: Outbox) -> Weighed | None:
    """What the plan needs to look at proposals and to book doses; None where it need not."""
    section = experiment.adaptive
    if section is None and experiment.beam is None:
        return None

    def send(message: Message) -> None:
        outbox.put(message)
        outbox.flush(FLUSH_S)

    rules = rules_of(section) if section is not None else Rules(frozenset(), Budget(0.0, 0))
    board = Board(outbox.put)
    adaptive = Adaptive(rules, board, send, dose_of(experiment))
    return Weighed(adaptive, Listener(lambda: subscriber_of(experiment, READ), board.take, "board"))


def rules_of(section: Section) -> Rules:
    """What the plan may do on request."""
    budgets = section.budgets
    dose = math.inf if budgets.dose is None else budgets.dose
    return Rules(
        kinds=frozenset(section.kinds),
        budget=Budget(budgets.pause_s, budgets.rescans, dose),
        approval=section.approval,
        approval_s=section.approval_timeout_s,
        wait_s=section.wait_s,
        points=section.roi.points,
        step_um=section.roi.step_um,
        angles=section.roi.angles,
        exposure_s=section.roi.exposure_s,
        beam_um=section.roi.beam_um,
    )


def dose_of(experiment: Experiment) -> DoseBook | None:
    """An empty dose map on the grid of the slice, where the file describes the beam."""
    beam, line = experiment.beam, experiment.scan.translations
    if beam is None:
        return None
    step_um = (line.stop_um - line.start_um) / (line.points - 1)
    described = Beam(beam.flux_per_s, beam.height_um, beam.energy_eV, beam.absorption_cm2_g)
    return DoseBook(described, line.points, step_um)


def policy_of(section: Section) -> Policy:
    """What the recommender may ask for."""
    roi = section.roi
    return Policy(
        kinds=frozenset(section.kinds),
        criterion=Criterion(section.target_sigma_A, section.settled_A, section.least_angles),
        finer=Finer(roi.points, roi.step_um, roi.angles, roi.exposure_s),
        sigmas=section.deviation_sigmas,
        valid_s=max(60.0, 2 * section.approval_timeout_s),
    )


def say_decision(experiment: Experiment, proposal: str, verdict: str, reason: str) -> str:
    """A person's word on a proposal, to the hub; why it was not taken, "" where it was.

    Raises HubUnreachable.
    """
    with subscriber_of(experiment, ("proposal/",)) as live:
        known = {m.id: m for m in live.poll(PATIENCE_S) if isinstance(m, Proposal)}
    if proposal not in known:
        return f"no proposal {proposal!r}; there are: {', '.join(known) or 'none'}"
    word = {"approve": "approved", "veto": "vetoed"}[verdict]
    said = Decision(known[proposal].run, proposal, word, "person", reason, time.time())
    with producer_of(experiment, "person") as producer:
        producer.put(said, PATIENCE_S)
        producer.flush(PATIENCE_S)
        return "the hub refused it; its log says why" if producer.refused else ""


def serve_recommender(experiment: Experiment, section: Section) -> None:
    """Read the maps of the hub's live side and propose, until asked to end."""
    configure_logging()
    stop = stop_when_asked()
    recommender = Recommender(policy_of(section))
    with (
        subscriber_of(experiment, HEARD) as live,
        producer_of(experiment, "recommender") as producer,
        heartbeat(experiment, "recommender") as report,
    ):
        report.state = "reads the maps"
        while not stop.is_set():
            for message in live.poll(TICK_S):
                recommender.take(message, time.monotonic())
            for proposal in recommender.ask(time.monotonic(), time.time()):
                insist(producer.put, proposal, stop)
            report.values = {"judged": recommender.judged, "left": recommender.left}

"""What the plan does with proposals: take them at its own checkpoints, or leave them.

Policy. The plan asks the board, nobody asks the plan. A stop is looked at while the tomogram runs;
rescans when it is over, at open circuit, in the same pause, one after the other, until the
recommender has nothing more to say or falls silent. Each is checked against the declared budget
with the plan's own numbers, whatever the proposal says of its cost; then it waits for a person:
with approval "automatic" it is taken unless it is vetoed within `approval_s`, with "by_hand" only
if it is approved within that time. A rescan that is vetoed while it runs, or outlasts the pause,
ends after its present line. One that fails is given up, never repeated. Nothing here has the
potentiostat: it cannot touch the cell.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from ..stream.messages import PROPOSALS, Message, Proposal, Scalar, Withdrawal
from .angles import scan_angles
from .board import Board
from .budget import Budget, Spent, unaffordable
from .dose import DoseBook, Lines
from .tomogram import EarlyEnd, Taken, Tomogram

Plan = Generator[Msg, Any, Any]
POLL_S = 0.25
ARMING_S = 3.0  # of every scan, besides its frames: configure, arm, the last frames on their way


@dataclass(frozen=True, slots=True)
class Rules:
    """What an experiment allows.

    kinds: of proposals that are looked at; the others are refused
    approval: "automatic": taken unless vetoed in approval_s; "by_hand": only if approved in it [s]
    wait_s: the longest that the plan waits for the recommender's word on a scan [s]
    points, step_um, angles, exposure_s: of a finer scan, whatever a proposal says
    beam_um: of a finer scan; 0: as wide as its step, where the scan before has set one at all
    most_exposure: times its own, the longest that a scan may be exposed again
    """

    kinds: frozenset[str]
    budget: Budget
    approval: Literal["automatic", "by_hand"] = "automatic"
    approval_s: float = 3.0
    wait_s: float = 20.0
    points: int = 15
    step_um: float = 0.5
    angles: int = 24
    exposure_s: float = 0.01
    beam_um: float = 0.0
    most_exposure: float = 8.0


@dataclass(slots=True)
class Pause:
    """One pause of the run.

    began: when its first scan did [s, monotonic]
    """

    began: float
    spent: Spent = field(default_factory=Spent)


class Adaptive:
    """Proposals, budget and dose of a run, as its plan uses them.

    send: takes messages for the hub, returns when they are on their way
    dose: of the run so far, on the slice's grid; None where nobody said how bright the beam is
    """

    def __init__(
        self,
        rules: Rules,
        board: Board,
        send: Callable[[Message], None],
        dose: DoseBook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.board = board
        self._send = send
        self._dose = dose
        self._clock = clock
        self._pause = Pause(clock())

    # --- around any scan

    def pause_begins(self) -> None:
        """The first scan of a pause is about to begin."""
        self._pause = Pause(self._clock())

    def values(self) -> dict[str, Scalar]:
        """What is left of the budget, for those who watch."""
        budget, spent = self.rules.budget, self._pause.spent
        left: dict[str, Scalar] = {
            "rescans_left": max(0, budget.rescans - spent.rescans),
            "pause_left_s": round(max(0.0, budget.pause_s - self._lasted_s()), 1),
        }
        if self._dose is not None:
            left["dose_highest"] = float(f"{self._dose.highest:.4g}")
            left["dose_unit"] = self._dose.beam.unit
        return left

    def count(self, run: str, number: int, scan: Tomogram, taken: Taken) -> None:
        """A scan was taken: book its dose, and show it."""
        self.book(scan, taken.frames // scan.points)
        if self._dose is not None:
            self._send(self._dose.result(run, taken.scan, number))

    def book(self, scan: Tomogram, lines: int) -> None:
        """So many lines of a scan went through the sample."""
        if self._dose is not None:
            self._dose.add(self._lines(scan, lines))

    # --- a stop, while a tomogram runs

    def early_end(self) -> EarlyEnd:
        """For the tomogram of a pause: ends where a stop was proposed and may be taken."""
        return EarlyEnd(self._why_stop, self._withdraw)

    def _why_stop(self, scan: str) -> str:
        proposal = self.board.open(scan, ("stop",))
        if proposal is None:
            return ""
        if "stop" not in self.rules.kinds:
            self.board.decide(proposal, "refused", "this experiment does not stop early")
            return ""
        verdict = self._verdict(proposal)
        if verdict != "approved":
            return ""
        self.board.decide(proposal, "done", "ends after the present line")
        return proposal.reason

    def _withdraw(self, scan: str, first: int, reason: str) -> None:
        self._send(Withdrawal(scan, first, f"not taken: {reason}"))

    # --- rescans, when it is over

    def rescans(
        self, scan: Tomogram, taken: Taken, number: int, tell: Callable[[str], None]
    ) -> Plan:
        """Wait for a rescan of a scan that may be taken; (Proposal, Tomogram), or None.

        To be asked again after each rescan, until None.
        tell: told what is waited for, several times a second
        """
        until = self._clock() + self.rules.wait_s
        while True:
            yield from bps.checkpoint()
            proposal = self.board.open(taken.scan, PROPOSALS)
            if proposal is not None and proposal.kind == "stop":
                self.board.decide(proposal, "expired", "the scan was over before")
                continue
            if proposal is None:
                late_s = self._clock() - until
                if not self.board.awaited(number) or late_s > 0:
                    return None
                tell("the recommender's word")
                yield from bps.sleep(POLL_S)
                continue
            wanted = self._answer(scan, proposal)
            if wanted is None:
                continue
            verdict = yield from self._approval(proposal, tell)
            if verdict == "approved":
                return proposal, wanted
            until = self._clock() + self.rules.wait_s

    def rescan_end(self, proposal: Proposal) -> EarlyEnd:
        """For a rescan: ends where it is vetoed, or the pause is over."""

        def why(scan: str) -> str:
            word = self.board.word(proposal)
            if word is not None and word.verdict == "vetoed":
                return f"vetoed by {word.by}" + (f": {word.reason}" if word.reason else "")
            if self._lasted_s() > self.rules.budget.pause_s:
                return f"the pause may last {self.rules.budget.pause_s:.0f} s"
            return ""

        return EarlyEnd(why, self._withdraw)

    def rescanned(self, proposal: Proposal, taken: Taken | None, number: int, why: str) -> None:
        """A rescan is over; taken: None where it failed, why: for what reason."""
        spent, highest = self._pause.spent, self._dose.highest if self._dose else 0.0
        self._pause.spent = spent.another(self._lasted_s(), highest)
        if taken is None:
            self.board.decide(proposal, "done", f"scan {number} failed: {why}")
        else:
            ended = f", ended early: {taken.ended}" if taken.ended else ""
            self.board.decide(proposal, "done", f"scan {number}, {taken.frames} frames{ended}")

    def _answer(self, scan: Tomogram, proposal: Proposal) -> Tomogram | None:
        """The rescan, if it is allowed and fits into the budget; the refusal is said."""
        why_not = "" if proposal.kind in self.rules.kinds else f"no {proposal.kind} is allowed here"
        why_not = why_not or impossible(scan, proposal, self.rules)
        if why_not:
            self.board.decide(proposal, "refused", why_not)
            return None
        wanted = requested(scan, proposal, self.rules)
        spent = replace(self._pause.spent, pause_s=self._lasted_s())
        dose = 0.0
        if self._dose is not None:
            dose = self._dose.after(self._lines(wanted, len(wanted.angles_deg)))
        cost_s = wanted.frames() * wanted.dwell_s + ARMING_S
        why_not = unaffordable(self.rules.budget, spent, cost_s, dose)
        if why_not:
            self.board.decide(proposal, "refused", why_not)
            return None
        return wanted

    def _approval(self, proposal: Proposal, tell: Callable[[str], None]) -> Plan:
        """Wait for the people's word; "approved" or another verdict, already said."""
        word = "a veto" if self.rules.approval == "automatic" else "an approval"
        while (verdict := self._verdict(proposal)) == "":
            tell(f"{word} of {proposal.id}: {proposal.kind}, {proposal.reason}")
            yield from bps.checkpoint()
            yield from bps.sleep(POLL_S)
        return verdict

    def _verdict(self, proposal: Proposal) -> str:
        """What is to become of a proposal now; "" where that is still open."""
        word, age_s = self.board.word(proposal), self.board.age_s(proposal)
        if word is not None and word.verdict == "vetoed":
            self.board.heed_veto(proposal)
            return "vetoed"
        if math.isinf(age_s):
            self.board.decide(proposal, "expired", "nobody acted on it in time")
            return "expired"
        if word is not None:
            return "approved"
        if age_s < self.rules.approval_s:
            return ""
        if self.rules.approval == "automatic":
            self.board.decide(proposal, "approved", "nobody vetoed it", by="automatic")
            return "approved"
        self.board.decide(
            proposal, "expired", f"nobody approved it within {self.rules.approval_s:g} s"
        )
        return "expired"

    def _lasted_s(self) -> float:
        return self._clock() - self._pause.began

    def _lines(self, scan: Tomogram, lines: int) -> Lines:
        return Lines(
            scan.angles_deg[:lines],
            0.5 * abs(scan.stop_um - scan.start_um),
            scan.step_um,
            scan.exposure_s,
            scan.centre_um or (0.0, 0.0),
            0.5 * (scan.start_um + scan.stop_um),
        )


def impossible(scan: Tomogram, proposal: Proposal, rules: Rules) -> str:
    """Why a proposal cannot be taken on this slice, in words; "" where it can."""
    if proposal.kind == "exposure":
        most_s = rules.most_exposure * scan.exposure_s
        fits = 0 < proposal.exposure_s <= most_s
        return "" if fits else f"{proposal.exposure_s:g} s a frame, 0 to {most_s:g} s are possible"
    half_um = 0.5 * abs(scan.stop_um - scan.start_um)
    x_um, y_um, _ = proposal.region
    inside = math.hypot(x_um, y_um) <= half_um
    return "" if inside else f"the region at ({x_um:g}, {y_um:g}) um lies outside the slice"


def requested(scan: Tomogram, proposal: Proposal, rules: Rules) -> Tomogram:
    """The scan that a possible proposal asks for, in the shape that the rules declare."""
    notes = {**scan.notes, "parent": proposal.scan, "proposal": proposal.id, "role": proposal.kind}
    dead_s = max(0.0, scan.dwell_s - scan.exposure_s)
    if proposal.kind == "exposure":
        exposure_s = proposal.exposure_s
        return replace(scan, exposure_s=exposure_s, dwell_s=exposure_s + dead_s, notes=notes)
    x_um, y_um, _ = proposal.region
    half_um = 0.5 * rules.step_um * (rules.points - 1)
    beam_um = rules.beam_um or (rules.step_um if scan.beam_um else 0.0)
    return replace(
        scan,
        angles_deg=scan_angles(rules.angles, "bit_reversed"),
        start_um=-half_um,
        stop_um=half_um,
        points=rules.points,
        exposure_s=rules.exposure_s,
        dwell_s=rules.exposure_s + dead_s,
        beam_um=beam_um,
        centre_um=(x_um, y_um),
        notes={
            **notes,
            "region_x_um": x_um,
            "region_y_um": y_um,
            "region_width_um": rules.points * rules.step_um,
        },
    )

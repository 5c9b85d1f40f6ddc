"""What rescans may cost, what they have cost, and whether another one fits; pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..stream.messages import Proposal


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that a person has declared.

    pause_s: wall time from the first frame of a pause to the end of its last rescan [s]
    rescans: how many a pause may have
    dose: of any voxel over the run, in the unit of the dose map; inf for no limit
    """

    pause_s: float
    rescans: int
    dose: float = math.inf

    def __post_init__(self) -> None:
        if not (self.pause_s >= 0 and self.rescans >= 0 and self.dose >= 0):
            raise ValueError(f"{self}: no limit can be below 0")


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been used up.

    pause_s: of the present pause [s]; rescans: in it
    dose: of the voxel that has most, over the run
    """

    pause_s: float = 0.0
    rescans: int = 0
    dose: float = 0.0

    def another(self, pause_s: float, dose: float) -> Spent:
        """After one more rescan; dose: of the voxel that has most by now."""
        return replace(self, pause_s=pause_s, rescans=self.rescans + 1, dose=dose)


def unaffordable(budget: Budget, spent: Spent, cost_s: float, dose: float) -> str:
    """Why a rescan does not fit into the budget, in words; "" where it does.

    cost_s: its wall time [s]; dose: of the voxel that would have most after it
    A number that is none never fits.
    """
    if not spent.rescans + 1 <= budget.rescans:
        return f"budget: {spent.rescans} of {budget.rescans} rescans of this pause are taken"
    if not (cost_s >= 0 and spent.pause_s + cost_s <= budget.pause_s):
        return (
            f"budget: {cost_s:.0f} s more after {spent.pause_s:.0f} s, the pause may last "
            f"{budget.pause_s:.0f} s"
        )
    if not (math.isinf(budget.dose) or dose <= budget.dose):
        return f"budget: a voxel would have {dose:.3g} of dose, {budget.dose:.3g} is the limit"
    return ""


def lifetime_s(proposal: Proposal) -> float:
    """How long after its receipt a proposal may be acted on [s].

    By the difference of its own two times: a clock that stands elsewhere changes nothing.
    """
    return max(0.0, proposal.deadline - proposal.time)


def may_ask(now_s: float, last_s: float, every_s: float, undecided: int) -> bool:
    """Whether a recommender may make another proposal: one at a time, and not too often.

    now_s, last_s: monotonic, now and at the last proposal [s]
    """
    return undecided == 0 and not now_s - last_s < every_s

"""Where the experiment stands, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..stream.messages import Scalar
from .hold import Hold
from .pause_witness import PauseWitness
from .rescans import Adaptive
from .scan_account import AccountOf

Report = Callable[[str, dict[str, Scalar]], None]


@dataclass(slots=True)
class Progress:
    """Where the experiment stands.

    mark: the last mark reached, counted from 1; 0 before the first; mark_at: it, in words
    marks_taken: how many marks have their whole tomogram
    next_mark: what the discharge leads to next, a mark or the cut-off, in words
    """

    report: Report
    marks: int
    hold: Hold
    account_of: AccountOf
    adaptive: Adaptive | None = None
    mark: int = 0
    mark_at: str = ""
    marks_taken: int = 0
    number: int = 0
    next_mark: str = ""
    witness: PauseWitness = field(default_factory=PauseWitness)

    def tell(self, phase: str, **values: Scalar) -> None:
        """Tell whoever watches."""
        shown: dict[str, Scalar] = {
            "mark": self.mark,
            "marks": self.marks,
            "marks_taken": self.marks_taken,
            "scan": self.number,
            "next_mark": self.next_mark,
        }
        if self.adaptive is not None:
            shown |= self.adaptive.values()
        self.report(phase, {**shown, **values})

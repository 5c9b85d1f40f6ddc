"""What was proposed to the plan, and what became of it: plain state, no Qt.

A decision may overtake its proposal, and both may come twice: taking one again changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from ..stream.messages import Decision, Proposal

KEPT = 100
WAITING = "proposed"
OVER = ("vetoed", "refused", "expired", "done")


@dataclass(slots=True)
class Request:
    """A proposal and the words on it, oldest first; proposal is None where only words came.

    heard_s: when the proposal came here [s, the model's clock]
    """

    id: str
    proposal: Proposal | None = None
    words: list[Decision] = field(default_factory=list)
    heard_s: float = float("nan")

    @property
    def state(self) -> str:
        """ "proposed", or the last verdict."""
        return self.words[-1].verdict if self.words else WAITING

    def can_be_decided(self, now_s: float) -> bool:
        """Whether a person's word may still change anything: to veto what runs, too."""
        if self.proposal is None or self.state in OVER:
            return False
        valid_s = self.proposal.deadline - self.proposal.time
        return self.state == "approved" or now_s - self.heard_s < valid_s


class RequestQueue:
    """The requests of one run, in the order in which they were made."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, Request] = OrderedDict()

    def __len__(self) -> int:
        return len(self._requests)

    def all(self) -> list[Request]:
        """Those whose proposal is known, the oldest first."""
        return [r for r in self._requests.values() if r.proposal is not None]

    def get(self, id_: str) -> Request | None:
        """The request of that id."""
        return self._requests.get(id_)

    def take(self, message: Proposal | Decision, now_s: float) -> bool:
        """Take a message; whether it was news."""
        request = self._requests.get(message.id)
        if request is None:
            request = self._requests[message.id] = Request(message.id)
            while len(self._requests) > KEPT:
                self._requests.popitem(last=False)
        if isinstance(message, Proposal):
            if request.proposal is not None:
                return False
            request.proposal, request.heard_s = message, now_s
            return True
        if message in request.words or request.state in OVER:
            return False
        request.words.append(message)
        return True

    def clear(self) -> None:
        """Another run begins."""
        self._requests.clear()


def decision(request: Request, verdict: str, wall_s: float, reason: str = "") -> Decision:
    """The word of whoever sits at this window; verdict: "approved" or "vetoed".

    Raises ValueError for any other, and for a request whose proposal has not come.
    """
    if verdict not in ("approved", "vetoed"):
        raise ValueError(f"verdict {verdict!r}: a window approves or vetoes")
    if request.proposal is None:
        raise ValueError(f"request {request.id}: its proposal has not come")
    return Decision(request.proposal.run, request.id, verdict, "window", reason, wall_s)

"""The plan's board of proposals: what was asked, what people said, what became of it.

Policy. Only what reached the board while it was valid counts, and validity is measured here, from
the receipt, on this machine's monotonic clock. A proposal is decided once: what comes later about
it changes nothing. A veto counts until the end of what was begun, an approval only before its time
is over. So a late, lost or repeated message can only make the plan do nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from ..stream.messages import Decision, Message, Proposal, Status
from .budget import lifetime_s

SILENT_S = 5.0  # the recommender reports once a second
KEPT = 256
SETTLED = ("refused", "expired", "done")
PEOPLE = ("approved", "vetoed")


@dataclass(slots=True)
class _Entry:
    """until: when nobody may act on it any more [s, monotonic]; word: of people, newest"""

    proposal: Proposal
    until: float
    word: Decision | None = None
    settled: bool = False


@dataclass(slots=True)
class _Recommender:
    """Its last report and when it came [s, monotonic]."""

    heard: float = float("-inf")
    values: dict[str, str | int | float | bool] = field(default_factory=dict)


class Board:
    """take() may come from any thread, the rest from the plan's.

    put: takes the plan's own decisions to the hub
    clock: monotonic [s]; wall: unix time [s]
    """

    def __init__(
        self,
        put: Callable[[Message], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._recommender = _Recommender()

    def take(self, message: Message) -> None:
        """Take one message of the hub's live side."""
        with self._lock:
            if isinstance(message, Proposal):
                self._pin(message)
            elif isinstance(message, Decision):
                self._note(message)
            elif isinstance(message, Status) and message.component == "recommender":
                self._recommender = _Recommender(self._clock(), dict(message.values))

    def open(self, scan: str, kinds: tuple[str, ...]) -> Proposal | None:
        """The oldest undecided proposal about scan of one of kinds; what is too old expires."""
        with self._lock:
            entries = [e for e in self._entries.values() if not e.settled]
        for entry in entries:
            if self._clock() >= entry.until:
                self.decide(entry.proposal, "expired", "nobody acted on it in time")
            elif entry.proposal.scan == scan and entry.proposal.kind in kinds:
                return entry.proposal
        return None

    def word(self, proposal: Proposal) -> Decision | None:
        """What people said of a proposal last; None where they did not."""
        with self._lock:
            entry = self._entries.get(proposal.id)
        return entry.word if entry is not None else None

    def age_s(self, proposal: Proposal) -> float:
        """Since its receipt [s]; infinite where it is unknown, or nobody may act on it any more."""
        with self._lock:
            entry = self._entries.get(proposal.id)
        if entry is None or self._clock() >= entry.until:
            return float("inf")
        return lifetime_s(proposal) - (entry.until - self._clock())

    def decide(self, proposal: Proposal, verdict: str, reason: str, by: str = "plan") -> None:
        """The plan's word, to everybody; refused, expired and done are the last on a proposal."""
        with self._lock:
            entry = self._entries.get(proposal.id)
            if entry is None or entry.settled:
                return
            entry.settled = verdict in SETTLED
        self._put(Decision(proposal.run, proposal.id, verdict, by, reason, self._wall()))

    def heed_veto(self, proposal: Proposal) -> None:
        """Somebody has vetoed it: that is the last word."""
        with self._lock:
            if proposal.id in self._entries:
                self._entries[proposal.id].settled = True

    def awaited(self, number: int) -> bool:
        """Whether the recommender still has something to say about the scan of this number."""
        with self._lock:
            said = self._recommender
        if self._clock() - said.heard > SILENT_S:
            return False
        judged, left = said.values.get("judged", 0), said.values.get("left", 0)
        return not (isinstance(judged, int) and judged >= number and left == 0)

    def _pin(self, proposal: Proposal) -> None:
        if proposal.id in self._entries:
            return
        until = self._clock() + lifetime_s(proposal)
        self._entries[proposal.id] = _Entry(proposal, until)
        while len(self._entries) > KEPT:
            self._entries.popitem(last=False)

    def _note(self, decision: Decision) -> None:
        entry = self._entries.get(decision.id)
        if entry is None or decision.verdict not in PEOPLE or decision.by == "plan":
            return
        vetoed = entry.word is not None and entry.word.verdict == "vetoed"
        if not vetoed and (decision.verdict == "vetoed" or self._clock() < entry.until):
            entry.word = decision

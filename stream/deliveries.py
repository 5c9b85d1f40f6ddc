"""What is on its way from the hub to the members of one group, and the answers it waits for.

A member gets no more than IN_FLIGHT messages (frames have a credit of their own) before it
acknowledges some; the rest waits in its outbox. No sockets here: how to send is handed in.
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterable

from .held import Entry, FrameKey, Journal, Payload, Peer, Stored, size_of
from .segment_log import Damaged
from .wire_ops import Item, Op

IN_FLIGHT = 1000  # deliveries other than frames that one member may leave unacknowledged
NOTHING_OWED = 1 << 63

Send = Callable[[bytes, Op, Payload], bool]


class Deliveries:
    """Tags, outboxes and who still owes an acknowledgement.

    group: its name, for the journal
    send: (identity, operation, message) -> False where that peer cannot be reached
    journal: where it is noted that all members have a message; None for nowhere
    """

    def __init__(self, group: str, send: Send, journal: Journal | None) -> None:
        self.bytes = 0  # of messages other than frames
        self.owed: dict[int, int] = {}  # number in the spool -> members still to acknowledge it
        self.unreachable: set[bytes] = set()
        self.unreadable: deque[tuple[FrameKey, str]] = deque()  # reductions in the spool, and why
        self.restoring = False  # what a hub before this one had noted is not noted again
        self._group = group
        self._send = send
        self._journal = journal
        # from a random place: a word on what a hub before this one delivered must mean nothing here
        self._tags = itertools.count(1 + (secrets.randbits(30) << 32))

    def queue(self, peer: Peer, entry: Entry) -> None:
        """Something for one member, after all that is in its outbox."""
        peer.outbox.append(entry)
        self.pump(peer)

    def pump(self, peer: Peer) -> None:
        """Send what of a member's outbox it has room for; only that is read back."""
        while peer.outbox and len(peer.items) < IN_FLIGHT:
            entry = peer.outbox.popleft()
            try:
                self.give(peer, entry)
            except (Damaged, OSError) as error:
                if entry.key is not None:
                    self.unreadable.append((entry.key, str(error)))

    def give(self, peer: Peer, entry: Entry) -> bool:
        """Send one entry now; False where the member cannot be reached.

        Raises Damaged and OSError where it cannot be read back from the spool.
        """
        parts = entry.parts.load() if isinstance(entry.parts, Stored) else entry.parts
        tag = next(self._tags) if entry.tracked else 0
        if tag:
            peer.items[tag] = entry
            if entry.key is not None:
                peer.tags[entry.key] = tag
        reached = self._send(peer.identity, Item(tag), parts)
        if not reached:
            self.unreachable.add(peer.identity)
        return reached

    def owed_from(self) -> int:
        """The first number that somebody has still to acknowledge; NOTHING_OWED where none is."""
        return min(self.owed, default=NOTHING_OWED)

    def drop(self, entries: Iterable[Entry]) -> None:
        """These need no further delivery to one member."""
        for entry in entries:
            self.bytes -= size_of(entry.parts)
            if entry.number in self.owed:
                self.owed[entry.number] -= 1
                if not self.owed[entry.number]:
                    del self.owed[entry.number]
                    if self._journal is not None and not self.restoring:
                        self._journal.delivered(self._group, entry.number)

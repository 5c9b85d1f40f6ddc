"""Frames that lie in memory their producers share: what the hub holds instead of their bytes.

A Borrowed payload stands among the parts of a message like any other buffer. A member that can map
the memory is told where it lies; for others, and for the live side, it is copied. When the last
reference to it is dropped (every group has settled the frame, or it is to be read back from the
spool) its producer is told that the place is free.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Container

from .deliveries import Send
from .held import Payload
from .shared_memory import MappedArena, NotShared
from .wire_ops import Free, Item, Place, Share, Shared, WireError

log = logging.getLogger(__name__)

MAX_ARENAS = 256  # producers with memory of their own


class Borrowed:
    """A payload in shared memory; buffer: read-only view of it."""

    __slots__ = ("__weakref__", "arena", "buffer", "place")

    def __init__(self, arena: MappedArena, place: Place) -> None:
        self.arena = arena
        self.place = place
        self.buffer = arena.view(place)

    def __len__(self) -> int:
        return len(self.buffer)


def copied(parts: Payload) -> Payload:
    """parts without any that lie in memory of others."""
    return [bytes(p.buffer) if isinstance(p, Borrowed) else p for p in parts]


class SharedFrames:
    """Which producers share which memory, and which members know of it.

    send: (identity, operation, message) -> False where that peer cannot be reached
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._arenas: dict[bytes, MappedArena] = {}  # by their producers' identities
        self._told: dict[bytes, set[int]] = {}  # members that can map -> arenas they know
        self._free: dict[bytes, list[int]] = {}

    def offer(self, identity: bytes, share: Share) -> None:
        """A peer has memory to share; it is told whether that is known now."""
        why_not = ""
        try:
            if len(self._arenas) >= MAX_ARENAS and identity not in self._arenas:
                raise NotShared(f"{MAX_ARENAS} others share already")
            self._arenas[identity] = MappedArena(share)
        except NotShared as error:
            why_not = str(error)
            log.info("hub: %s shares nothing: %s", identity[:60], error)
        self._free.pop(identity, None)
        self._send(identity, Shared(share.token, why_not[:500]), ())

    def borrow(self, identity: bytes, place: Place, parts: Payload) -> Payload:
        """The parts of a message whose last one lies in shared memory; () where it cannot lie.

        Raises WireError for an arena that is not known: it was lent to the hub before this one, and
        is going to be put again.
        """
        arena = self._arenas.get(identity)
        if arena is None or place[0] != arena.token:
            raise WireError(f"a place in arena {place[0]}, which is not known")
        try:
            lent = Borrowed(arena, place)
        except ValueError as error:
            log.warning("hub: from %s: %s", identity[:60], error)
            return ()
        weakref.finalize(lent, self._let_go, identity, arena, place[3]).atexit = False
        return [*parts, lent]

    def welcome(self, identity: bytes, maps: bool) -> None:
        """A member joins, or joins again and has forgotten all."""
        self._told.pop(identity, None)
        if maps:
            self._told[identity] = set()

    def hand_on(self, identity: bytes, item: Item, parts: Payload) -> tuple[Item, Payload] | None:
        """What to send a member in place of parts with a Borrowed one at their end.

        None where it cannot be reached.
        """
        lent = parts[-1]
        known = self._told.get(identity)
        if not isinstance(lent, Borrowed) or known is None:
            return item, copied(parts)
        if lent.arena.token not in known:
            if not self._send(identity, lent.arena.share(), ()):
                return None
            known.add(lent.arena.token)
        return Item(item.tag, lent.place), parts[:-1]

    def forget(self, identity: bytes) -> None:
        """A peer has left, or is gone."""
        self._arenas.pop(identity, None)
        self._told.pop(identity, None)
        self._free.pop(identity, None)

    def give_back(self) -> None:
        """Tell producers what is free; called often."""
        for identity in list(self._free):
            if self._send(identity, Free(tuple(self._free[identity])), ()):
                del self._free[identity]

    def tidy(self, members: Container[bytes]) -> None:
        """Forget who is a member no more, and arenas of processes that are gone.

        What was borrowed stays.
        """
        self._told = {who: known for who, known in self._told.items() if who in members}
        for identity, arena in list(self._arenas.items()):
            if not arena.owner_lives():
                self.forget(identity)

    def _let_go(self, identity: bytes, arena: MappedArena, stamp: int) -> None:
        if self._arenas.get(identity) is arena:
            self._free.setdefault(identity, []).append(stamp)

"""A producer's half of shared memory: frames are lent to a hub on the same machine.

Whatever goes wrong, a payload can still be sent. After every reconnection there is a new arena, and
the old one is left as it was to those who may still read in it.
"""

from __future__ import annotations

import logging

from .shared_memory import Arena, NotShared
from .wire_ops import Free, Place, Share, Shared

log = logging.getLogger(__name__)

LENT_FROM = 1 << 13  # smaller payloads are sent: a socket is as fast


class Lending:
    """Used by its link alone."""

    def __init__(self) -> None:
        self._arena: Arena | None = None
        self._accepted = False
        self._possible = True

    def offer(self, size: int) -> Share | None:
        """What to tell the hub before a payload of this size can be lent, where it is time to."""
        if self._arena is not None or not self._possible or size < LENT_FROM:
            return None
        try:
            self._arena = Arena()
        except NotShared as error:
            self._possible = False
            log.info("frames are sent, not shared: %s", error)
            return None
        return self._arena.share()

    def lend(self, payload: bytes | memoryview) -> Place:
        """Where payload lies from now on; () where it has to be sent."""
        if self._arena is None or not self._accepted or len(payload) < LENT_FROM:
            return ()
        return self._arena.lend(payload)

    def hear(self, op: Shared | Free) -> None:
        """The hub's answer to an offer, or its word that something is free."""
        if self._arena is None:
            return
        if isinstance(op, Free):
            for stamp in op.stamps:
                self._arena.free(stamp)
        elif op.token == self._arena.token:
            self._accepted = not op.why_not
            if op.why_not:
                self._possible = False
                log.info("frames are sent, not shared: %s", op.why_not)
                self.close()

    def read(self, place: Place) -> bytes:
        """A payload that was lent, to send it after all."""
        if self._arena is None:
            raise NotShared(f"place {place}: the arena is closed")
        return self._arena.read(place)

    def close(self) -> None:
        """Leave the arena to those who read in it."""
        if self._arena is not None:
            self._arena.close()
        self._arena, self._accepted = None, False

"""A member's heart: it beats as long as the thread that uses the member gets on with its work.

Beats come from a thread and a socket of their own, so a member stays one while its user is busy in
a kernel. But a user who stays away for longer than is declared hangs. Then the heart stands still,
the hub takes the member for silent and gives to others what it holds; when the user comes back it
beats again, and the hub asks the member to join anew, as one whose process had been frozen.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from .curve_keys import ClientKeys
from .link import open_dealer
from .wire_ops import Beat, pack_op

log = logging.getLogger(__name__)

BEAT_S = 0.5


class Heart:
    """Beats for a member from now to stop().

    address: of the hub
    name, identity: of the member
    hung_after_s: the longest that its user may be away from it [s]
    idle: it holds nothing, and its user may be away for as long as it likes
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        name: str,
        identity: bytes,
        hung_after_s: float,
        keys: ClientKeys | None,
    ) -> None:
        self.idle = False
        self._name = name
        self._hung_after_s = hung_after_s
        self._away: float | None = None  # since when [s, monotonic]; None: not before its first use
        self._user = 0
        self._hung = False
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._beat,
            args=(context, address, identity, keys),
            name=f"{name}-heart",
            daemon=True,
        )
        self._thread.start()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """The user is with its member: what is done there has limits of its own."""
        self._away = None
        try:
            yield
        finally:
            self._user = threading.get_ident()
            self._away = None if self.idle else time.monotonic()

    def stop(self) -> None:
        """Beat no more."""
        self._closing.set()
        self._thread.join(5)

    def _beat(
        self, context: zmq.Context[Any], address: str, identity: bytes, keys: ClientKeys | None
    ) -> None:
        socket = open_dealer(context, identity + b"/heart", keys)
        socket.setsockopt(zmq.SNDHWM, 4)  # beats that could not leave in time say nothing
        try:
            socket.connect(address)
            beat = pack_op(Beat(identity))
            while not self._closing.wait(BEAT_S):
                if self._hangs():
                    continue
                try:
                    socket.send(beat, zmq.NOBLOCK)
                except zmq.Again:
                    continue
        except zmq.ContextTerminated:
            return
        finally:
            socket.close(linger=0)

    def _hangs(self) -> bool:
        away = self._away
        away_s = 0.0 if away is None else time.monotonic() - away
        hung = away_s > self._hung_after_s
        if hung and not self._hung:
            log.warning(
                "%s: hangs, away for %.1f s in %s: the hub gives its work to others",
                self._name,
                away_s,
                _place_of(self._user),
            )
        elif self._hung and not hung:
            log.warning("%s: its user is back, it joins again", self._name)
        self._hung = hung
        return hung


def _place_of(thread: int) -> str:
    """Where a thread is, for the log."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "a thread that has ended"
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"

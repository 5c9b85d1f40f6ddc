"""A TCP cable between two parts of a run that can be cut, pulled out, and made slow.

It listens on loopback and hands every byte on to where it leads. Cut: its connections break and
none is made. Pulled: they stand, but nothing comes through, which is what a pulled plug looks like
to both ends; the bytes wait. Slow: every piece of at most PIECE bytes is held for a while.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Literal

PIECE = 1 << 16
_LOOK_S = 0.05

State = Literal["whole", "cut", "pulled", "slow"]


class Cable:
    """From address, where one end connects, to the other end; to be closed.

    to: "tcp://host:port" of the end that listens; it need not be there yet
    """

    def __init__(self, to: str) -> None:
        host, port = to.removeprefix("tcp://").rsplit(":", 1)
        self._to = (host, int(port))
        self._state: State = "whole"
        self._held_s = 0.0
        self._closed = threading.Event()
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_S)
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bytes = 0
        threading.Thread(target=self._listen, name="cable", daemon=True).start()

    def cut(self) -> None:
        """Break every connection; no new one stands before mend()."""
        with self._lock:
            self._state = "cut"
            self._break()

    def pull(self) -> None:
        """Nothing comes through any more; nothing is lost either."""
        self._state = "pulled"

    def slow(self, held_s: float) -> None:
        """Hold every piece for held_s on its way [s]."""
        self._held_s, self._state = held_s, "slow"

    def mend(self) -> None:
        """All is well again."""
        self._state = "whole"

    def close(self) -> None:
        """Break everything and listen no more."""
        self._closed.set()
        self.cut()

    def _break(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with self._listener:
            while not self._closed.is_set():
                try:
                    near, _ = self._listener.accept()
                except TimeoutError:
                    continue
                self._join(near)

    def _join(self, near: socket.socket) -> None:
        """Connect what came in to the other end; drop it where that is not possible now."""
        try:
            if self._state == "cut":
                raise ConnectionRefusedError
            far = socket.create_connection(self._to, timeout=1.0)
        except OSError:
            near.close()
            return
        ends = (near, far)
        for end in ends:
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ends.update(ends)
            if self._state == "cut":
                self._break()
        done = threading.Barrier(2, action=lambda: self._leave(ends))
        for one, other in (ends, ends[::-1]):
            threading.Thread(
                target=self._carry, args=(one, other, done), name="cable", daemon=True
            ).start()

    def _leave(self, ends: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._ends.difference_update(ends)
        for end in ends:
            end.close()

    def _carry(self, one: socket.socket, other: socket.socket, done: threading.Barrier) -> None:
        try:
            while piece := one.recv(PIECE):
                self._wait()
                other.sendall(piece)
                self.bytes += len(piece)
        except OSError:
            pass  # the other direction broke it
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        done.wait()

    def _wait(self) -> None:
        while self._state == "pulled" and not self._closed.is_set():
            time.sleep(_LOOK_S)
        if self._state == "slow":
            time.sleep(self._held_s)

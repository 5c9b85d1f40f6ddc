"""Whether the lines of a connecting ZeroMQ socket stand, and new ones for those that were given up.

ZeroMQ makes a lost connection anew by itself, except after what it takes for an error of the
protocol: an oversize message, or a peer that does not speak ZMTP. Then the socket stays deaf for
ever without a word. The sign is a disconnection that no retry follows.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

_RETRY_S = 1.0  # ZeroMQ announces its own retry within its reconnect interval, 0.1 s at first
_EVENTS = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CONNECT_RETRIED
)


class LineMonitor:
    """Watches one socket; used by the socket's thread.

    socket: to poll for; read() when it is readable
    """

    def __init__(self, watched: zmq.Socket[bytes]) -> None:
        self._watched = watched
        self.socket: zmq.Socket[bytes] = watched.get_monitor_socket(int(_EVENTS))
        self._standing: dict[str, int] = {}
        self._dropped: dict[str, float] = {}  # address -> when it was

    @property
    def standing(self) -> int:
        """How many connections stand."""
        return sum(self._standing.values())

    def connect(self, address: str) -> None:
        """Connect the watched socket to address."""
        self._watched.connect(address)
        if address.startswith("inproc:"):  # has no handshake and no events
            self._standing[address] = 1

    def read(self, now: float) -> None:
        """Take one event; now: monotonic [s]."""
        message = recv_monitor_message(self.socket)
        event, address = message["event"], message["endpoint"].decode(errors="replace")
        if event == zmq.Event.CONNECT_RETRIED:
            self._dropped.pop(address, None)
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._dropped.pop(address, None)
            self._standing[address] = 1
        else:
            self._standing[address] = 0
            self._dropped[address] = now

    def revive(self, now: float) -> list[str]:
        """Connect anew to the addresses that ZeroMQ has given up, and say which."""
        given_up = [a for a, since in self._dropped.items() if now - since > _RETRY_S]
        for address in given_up:
            del self._dropped[address]
            self._watched.connect(address)
        return given_up

    def close(self) -> None:
        """Stop watching."""
        self._watched.disable_monitor()
        self.socket.close(linger=0)

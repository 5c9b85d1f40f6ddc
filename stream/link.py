"""One peer's connection to the hub: numbered puts that survive a broken connection.

What is put stays here until the hub has said Got. After every reconnection all of it is put
again in its old order; the hub knows by identity and number what it has already. A link is used
by one thread, and looks after itself only inside its methods: whoever falls silent for long
after something important calls flush() first.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from .admission import introduce, is_here
from .curve_keys import ClientKeys
from .lending import Lending
from .messages import Frame, Message
from .packing import pack
from .wire_ops import Free, Got, Op, Place, Put, Shared, WireError, pack_op, unpack_op

log = logging.getLogger(__name__)

SEND_HWM = 10_000  # operations, mostly of some 30 bytes; payloads are bounded by the window
RECEIVE_HWM = 2_000  # above what the hub lets be unacknowledged in one member
MAX_PART_BYTES = 256 << 20  # EIGER2 16M as raw uint32 is 72 MB
HEARTBEAT_MS = 2_000  # ZMTP's own: notices a pulled cable, safe because everything is acknowledged


class HubUnreachable(ConnectionError):
    """The hub did not answer in time; the message was not taken and may be put again."""


class HubFull(HubUnreachable):
    """The hub is there, but had no room in all that time: a group does not keep up."""


class Link:
    """A DEALER socket to the hub's items address.

    window: puts that may wait for the hub's answer at the same time
    group: the group in whose name messages are put; "" for none
    rejoined: called after each reconnection, before what is unanswered is put again
    keys: where the hub asks for them
    share: lend the hub memory where it is on this machine; False: send everything
    """

    def __init__(
        self,
        address: str,
        name: str,
        context: zmq.Context[Any] | None = None,
        window: int = 8,
        group: str = "",
        rejoined: Callable[[], None] | None = None,
        keys: ClientKeys | None = None,
        share: bool = True,
    ) -> None:
        if window < 1:
            raise ValueError(f"{name}: window {window}, at least 1 is needed")
        self.address = address
        self.name = name
        self.identity = f"{name[:100]}/{uuid.uuid4().hex}".encode()
        self.refused = 0
        self._window = window
        self._group = group
        self._rejoined = rejoined
        self._seq = 0
        self._unanswered: dict[int, tuple[Sequence[Any], Place]] = {}
        self._lending = Lending() if share and is_here(address) else None
        self._inbox: deque[tuple[Op, list[zmq.Frame]]] = deque()
        self._handshakes = 0
        self._connected = address.startswith("inproc:")  # which has no events
        self._socket = open_dealer(context or zmq.Context.instance(), self.identity, keys)
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(address)

    def put(self, message: Message, timeout_s: float) -> None:
        """Hand message to the hub. Raises HubUnreachable (HubFull) when it finds no room."""
        deadline = time.monotonic() + timeout_s
        self._take_in()
        while len(self._unanswered) >= self._window:
            if not self._wait(deadline):
                raise self._late(f"put a {type(message).__name__}", timeout_s)
        parts: Sequence[Any] = pack(message)
        place: Place = ()
        if not isinstance(message, Frame):  # the caller may go on working in its arrays
            parts = [bytes(p) for p in parts]
        elif self._lending is not None:
            place = self._lend(self._lending, parts[-1])
        self._seq += 1
        self._unanswered[self._seq] = (parts[:-1] if place else parts, place)
        self._send_put(self._seq)

    def flush(self, timeout_s: float) -> None:
        """Return when the hub has everything that was put. Raises HubUnreachable (HubFull)."""
        deadline = time.monotonic() + timeout_s
        self._take_in()
        while self._unanswered:
            if not self._wait(deadline):
                raise self._late(f"flush {len(self._unanswered)} messages", timeout_s)

    def send_op(self, op: Op) -> None:
        """Say op. It is dropped where the hub has been away so long that the queue is full:
        the Hello after its return sets everything right."""
        try:
            self._socket.send(pack_op(op), zmq.NOBLOCK)
        except zmq.Again:
            log.warning("%s: %s dropped, no hub at %s", self.name, type(op).__name__, self.address)

    def receive(self, timeout_s: float) -> tuple[Op, list[zmq.Frame]] | None:
        """The next operation that is not an answer to a put, with its message; None in time."""
        deadline = time.monotonic() + timeout_s
        if not self._inbox:
            self._take_in()
        while not self._inbox:
            if not self._wait(deadline):
                return None
        return self._inbox.popleft()

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return bool(self._socket.closed)

    def close(self, linger_s: float = 1.0) -> None:
        """Close; what was sent gets linger_s to leave."""
        if not self._socket.closed:
            if self._lending is not None:
                self._lending.close()
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=round(linger_s * 1000))

    def _lend(self, lending: Lending, payload: bytes | memoryview) -> Place:
        offer = lending.offer(len(payload))
        if offer is not None:
            self.send_op(offer)
        return lending.lend(payload)

    def _late(self, doing: str, timeout_s: float) -> HubUnreachable:
        told = f"{self.name} could not {doing} in {timeout_s:g} s: "
        if self._connected:
            return HubFull(f"{told}the hub at {self.address} has no room")
        return HubUnreachable(f"{told}no hub answers at {self.address}")

    def _wait(self, deadline: float) -> bool:
        """Wait for news and take it in; False when the deadline has passed without any."""
        left_ms = max(0, round((deadline - time.monotonic()) * 1000))
        if not self._poller.poll(left_ms):
            return False
        self._take_in()
        return True

    def _take_in(self) -> None:
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._sort(parts)
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self._connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._handshakes += self._connected
            if self._connected and self._handshakes > 1:
                self._put_again()

    def _sort(self, parts: list[zmq.Frame]) -> None:
        try:
            op = unpack_op(parts[0].buffer)
        except WireError as error:
            log.warning("%s: from the hub at %s: %s", self.name, self.address, error)
            return
        if isinstance(op, (Shared, Free)):
            if self._lending is not None:
                self._lending.hear(op)
        elif not isinstance(op, Got):
            self._inbox.append((op, parts[1:]))
        elif self._unanswered.pop(op.seq, None) is not None and op.refused:
            self.refused += 1
            log.warning("%s: the hub refused message %d: %s", self.name, op.seq, op.refused)

    def _put_again(self) -> None:
        log.info("%s: reconnected to %s", self.name, self.address)
        if self._rejoined is not None:
            self._rejoined()
        for seq, (parts, place) in self._unanswered.items():
            if place and self._lending is not None:  # this hub may not know the arena
                self._unanswered[seq] = ([*parts, self._lending.read(place)], ())
        if self._lending is not None:
            self._lending.close()
        for seq in self._unanswered:
            self._send_put(seq)

    def _send_put(self, seq: int) -> None:
        base = next(iter(self._unanswered))
        parts, place = self._unanswered[seq]
        head = pack_op(Put(seq, base, self._group, place))
        try:
            self._socket.send_multipart([head, *parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:  # the hub has been away very long; it is put again when it comes back
            log.warning("%s: message %d waits, no hub at %s", self.name, seq, self.address)


def insist(put: Callable[[Message], None], message: Message, stop: threading.Event) -> None:
    """Put message however often it takes: whoever waits here is held back, and nothing is lost.

    put: one attempt, e.g. Producer.put
    stop: no further attempt is made. Raises HubUnreachable (HubFull) then, and only then.
    """
    waited = False
    while True:
        try:
            return put(message)
        except HubUnreachable as error:
            if stop.is_set():
                raise
            if not waited:
                log.warning("%s; it is tried until it is taken", error)
            waited = True


def open_dealer(
    context: zmq.Context[Any], identity: bytes, keys: ClientKeys | None = None
) -> zmq.Socket[bytes]:
    """A DEALER with every limit set, not yet connected."""
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, identity)
    socket.setsockopt(zmq.SNDHWM, SEND_HWM)
    socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * HEARTBEAT_MS)
    introduce(socket, keys)
    return socket

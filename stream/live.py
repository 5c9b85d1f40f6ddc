"""The hub's live side: what is published for views, and how a view listens.

A live message is ["/" and topic, counter, packed message...]. A subscriber that comes late asks
for the last values by subscribing to the private topic "@token|prefix": the hub then sends all it
keeps under that topic, so that nobody else gets them again. Whoever reads too slowly loses
messages, never holds the hub up; a LiveSubscriber to everything sees the gap in the counter and
asks again.
Messages may come twice: what changes carries a revision.

Topics: status/COMPONENT, scan_start/SCAN, scan_stop/SCAN, account/SCAN,
result/SCAN/CONSUMER/NAME, frame, samples/RUN, document/RUN/NAME, proposal/RUN/ID, decision/RUN/ID.
"""

from __future__ import annotations

import logging
import struct
import time
import uuid
from typing import Any

import zmq

from .admission import guard, introduce
from .curve_keys import ClientKeys, ServerKeys
from .held import Payload
from .live_cache import LiveCache
from .messages import Message
from .packing import PackingError, unpack

log = logging.getLogger(__name__)

LIVE_HWM = 1000  # messages; at most 4 a second are frames
_COUNTER = struct.Struct("<Q")
_MAX_SUBSCRIPTION = 1000


class LivePublisher:
    """The XPUB socket and its cache. Used by the hub's thread alone."""

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        cache_bytes: int,
        keys: ServerKeys | None = None,
    ) -> None:
        self.cache = LiveCache(cache_bytes)
        self.socket = context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, LIVE_HWM)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # a repeated token asks again
        self.socket.setsockopt(zmq.MAXMSGSIZE, 1 << 16)  # only subscriptions come in
        self._count = 0
        if keys is not None:
            guard(self.socket, keys)
        try:
            self.socket.bind(address)
        except zmq.ZMQError:
            self.socket.close(linger=0)
            raise

    def publish(self, topic: str, parts: Payload) -> None:
        """Send to whoever listens now."""
        self._count += 1
        self._send(b"/" + topic.encode(), self._count, parts)

    def answer_subscriptions(self) -> None:
        """Give the last values to whoever has asked for them."""
        while True:
            try:
                request = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if request[:2] != b"\x01@" or len(request) > _MAX_SUBSCRIPTION:
                continue
            topic = request[1:]
            prefix = topic.partition(b"|")[2].decode("utf-8", "replace")
            for parts in self.cache.matching(prefix):
                self._send(topic, 0, parts)

    def close(self) -> None:
        """Close; what was published gets a second to leave."""
        self.socket.close()

    def _send(self, topic: bytes, count: int, parts: Payload) -> None:
        self.socket.send_multipart([topic, _COUNTER.pack(count), *parts], zmq.NOBLOCK, copy=False)


class LiveSubscriber:
    """Listens to the hub's live side; gets the last values first. Used by one thread.

    topics: prefixes of the topics to listen to; ("",) is everything
    keys: where the hub's live side asks for them
    """

    def __init__(
        self,
        address: str,
        context: zmq.Context[Any] | None = None,
        topics: tuple[str, ...] = ("",),
        keys: ClientKeys | None = None,
    ) -> None:
        self.damaged = 0
        self.missed = 0
        self._topics = topics
        self._counts = topics == ("",)  # only who hears everything can tell a gap
        self._last = 0
        self._asked: list[bytes] = []
        self._socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, LIVE_HWM)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)  # notices a hub behind a pulled cable
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)
        introduce(self._socket, keys)
        self._socket.connect(address)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, b"/" + topic.encode())
        self._ask()

    def poll(self, timeout_s: float = 0.0, limit: int = 1000) -> list[Message]:
        """What has come, oldest first; waits up to timeout_s for the first message."""
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < limit:
            wait_ms = 0 if found else max(0, round((deadline - time.monotonic()) * 1000))
            if not self._socket.poll(wait_ms):
                break
            message = self._next()
            if message is not None:
                found.append(message)
        return found

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def __enter__(self) -> LiveSubscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Message | None:
        topic, *parts = self._socket.recv_multipart(copy=False)
        try:
            (count,) = _COUNTER.unpack(parts[0].bytes if parts else b"")
            message = unpack(parts[1:])
        except (struct.error, PackingError) as error:
            self.damaged += 1
            log.warning("live message %s: %s", topic.bytes[:80], error)
            return None
        if count and self._counts:
            if self._last and count > self._last + 1:
                self.missed += count - self._last - 1
                self._ask()
            self._last = count
        return message

    def _ask(self) -> None:
        for old in self._asked:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, old)
        token = uuid.uuid4().hex
        self._asked = [f"@{token}|{topic}".encode() for topic in self._topics]
        for private in self._asked:
            self._socket.setsockopt(zmq.SUBSCRIBE, private)

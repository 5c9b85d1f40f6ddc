"""Those who put messages into the hub and those who take them out: Producer and Member.

Each object is used by one thread. A Member beats from a thread and a socket of its own, so that
it stays alive for the hub while its user is busy for long in a kernel; the hub therefore notices
a process that died or a host that fell silent, not a program that hangs.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import zmq

from .admission import is_local
from .curve_keys import ClientKeys
from .link import HubFull, HubUnreachable, Link, open_dealer
from .messages import Message
from .packing import PackingError, unpack
from .shared_memory import MappedArenas, NotShared
from .wire_ops import Ack, AckFrame, Beat, Bye, Hello, Item, Refused, Share, Who, pack_op

__all__ = ["Delivery", "HubFull", "HubUnreachable", "Member", "MemberRefused", "Producer"]

log = logging.getLogger(__name__)

BEAT_S = 0.5
ROLES = ("reduce", "absorb", "all")


class MemberRefused(RuntimeError):
    """The hub does not want this member (any more), and says why."""


class _Linked:
    """What has a link to the hub: a context manager that leaves when the hub has everything."""

    _link: Link

    def flush(self, timeout_s: float = 30.0) -> None:
        """Return when the hub has everything that was put. Raises HubUnreachable (HubFull)."""
        self._link.flush(timeout_s)

    def close(self) -> None:
        """Leave without waiting for answers; flush() first where they matter."""
        if not self._link.closed:
            self._link.send_op(Bye())
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._link.closed:
                self.flush()
        finally:
            self.close()


class Producer(_Linked):
    """Puts messages into the hub, and knows that it has them.

    name: for the logs, e.g. "receiver"
    window: messages that may wait for the hub's answer at the same time
    keys: where the hub asks for them
    """

    def __init__(
        self,
        address: str,
        name: str,
        context: zmq.Context[Any] | None = None,
        window: int = 8,
        keys: ClientKeys | None = None,
    ) -> None:
        self._link = Link(address, name, context, window, keys=keys)

    @property
    def refused(self) -> int:
        """Messages that the hub threw away; the log says why for each."""
        return self._link.refused

    def put(self, message: Message, timeout_s: float = 30.0) -> None:
        """Hand message over, in order; blocks while the hub has no room.

        A Frame's data must not change before the hub has it, all else is copied.
        Raises HubUnreachable, and its subclass HubFull, when the message was not taken in time;
        it can then be put again.
        """
        self._link.put(message, timeout_s)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message taken from the hub.

    tag: by which it is acknowledged; 0 where the hub waits for no acknowledgement
    intact: False once a frame that lies in shared memory may have been overwritten: the hub had
        given this member up and the frame to another. What was made of it then is worth nothing.
    """

    message: Message
    tag: int
    intact: Callable[[], bool] = lambda: True


class Member(_Linked):
    """Takes messages out of the hub for its group.

    group: one of the hub's groups; each frame goes to one member of every group
    role: "reduce" gets frames and answers with Reductions, "absorb" gets the group's Reductions
        and acknowledges their frames, "all" gets everything
    name: unique in its group; a newcomer of the same name takes the old one's place
    credit: frames that may be here at the same time
    keys: where the hub asks for them
    """

    def __init__(
        self,
        address: str,
        group: str,
        role: str,
        name: str,
        credit: int = 4,
        context: zmq.Context[Any] | None = None,
        keys: ClientKeys | None = None,
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"member {name}: role {role!r}, needs one of {ROLES}")
        if credit < 1:
            raise ValueError(f"member {name}: credit {credit}, at least 1 is needed")
        self.name = name
        self._hello = Hello(group, role, name, credit, int(is_local(address)))
        self._arenas = MappedArenas()
        context = context or zmq.Context.instance()
        self._link = Link(
            address, name, context, window=64, group=group, rejoined=self._join, keys=keys
        )
        self._join()
        self._closing = threading.Event()
        self._heart = threading.Thread(
            target=_beat,
            args=(context, address, self._link.identity, self._closing, keys),
            name=f"{name}-heart",
            daemon=True,
        )
        self._heart.start()

    def receive(self, timeout_s: float) -> Delivery | None:
        """The next message, or None when none comes in time. Raises MemberRefused."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._link.receive(max(0.0, deadline - time.monotonic()))
            if found is None:
                return None
            op, parts = found
            if isinstance(op, Item):
                try:
                    return self._delivery(op, parts)
                except NotShared as error:
                    self._without_sharing(error)
                except Exception as error:  # whatever it is, the next one would die of it, too
                    why = f"{self.name} cannot read it: {type(error).__name__}: {error}"[:500]
                    log.warning("%s", why)
                    self._link.send_op(Ack((op.tag,), why))
            elif isinstance(op, Share):
                try:
                    self._arenas.learn(op)
                except NotShared as error:
                    self._without_sharing(error)
            elif isinstance(op, Who):
                self._join()
            elif isinstance(op, Refused):
                raise MemberRefused(f"member {self.name}: {op.why}")

    def acknowledge(self, deliveries: Delivery | Sequence[Delivery], failed: str = "") -> None:
        """Say that these are done for good, or why they will never be."""
        several = [deliveries] if isinstance(deliveries, Delivery) else deliveries
        tags = tuple(d.tag for d in several if d.tag)
        if tags:
            self._link.send_op(Ack(tags, failed))

    def acknowledge_frame(self, scan: str, index: int, failed: str = "") -> None:
        """The absorber's word that a frame is in the results, or why it never will be."""
        self._link.send_op(AckFrame(scan, index, failed))

    def send(self, message: Message, timeout_s: float = 30.0) -> None:
        """Put message in the name of this member's group; as Producer.put."""
        self._link.put(message, timeout_s)

    def close(self) -> None:
        """Leave; what was not acknowledged goes to others."""
        self._closing.set()
        self._heart.join(5)
        super().close()

    def _delivery(self, item: Item, parts: list[zmq.Frame]) -> Delivery:
        if not item.at:
            return Delivery(unpack(parts), item.tag)
        arena = self._arenas.of(item.at)
        try:
            message = unpack([*parts, arena.view(item.at)])
        except ValueError as error:  # a place that cannot be, too
            raise PackingError(str(error)) from None
        return Delivery(message, item.tag, functools.partial(arena.intact, item.at))

    def _without_sharing(self, error: NotShared) -> None:
        """Join again as one to whom all is sent: what waits comes again that way."""
        if self._hello.maps:
            log.warning("%s: reads no shared memory: %s", self.name, error)
            self._hello = dataclasses.replace(self._hello, maps=0)
            self._join()

    def _join(self) -> None:
        self._link.send_op(self._hello)


def _beat(
    context: zmq.Context[Any],
    address: str,
    identity: bytes,
    closing: threading.Event,
    keys: ClientKeys | None,
) -> None:
    socket = open_dealer(context, identity + b"/heart", keys)
    socket.setsockopt(zmq.SNDHWM, 4)  # beats that could not leave in time say nothing
    try:
        socket.connect(address)
        beat = pack_op(Beat(identity))
        while not closing.wait(BEAT_S):
            try:
                socket.send(beat, zmq.NOBLOCK)
            except zmq.Again:
                continue
    except zmq.ContextTerminated:
        return
    finally:
        socket.close(linger=0)

"""Those who put messages into the hub and those who take them out: Producer and Member.

Each object is used by one thread. A Member's heart beats from another, see heart.py: the hub
notices a process that died, a host that fell silent, and a user that has hung for long.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import zmq

from .admission import is_here
from .curve_keys import ClientKeys
from .heart import Heart
from .link import HubFull, HubUnreachable, Link
from .messages import Message
from .packing import PackingError, unpack
from .shared_memory import MappedArenas, NotShared
from .wire_ops import Ack, AckFrame, Bye, Hello, Item, Refused, Share, Who

__all__ = ["Delivery", "HubFull", "HubUnreachable", "Member", "MemberRefused", "Producer"]

log = logging.getLogger(__name__)

HUNG_AFTER_S = 60.0
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
    share: frames lie in memory shared with a hub on this machine; False: they are sent
    """

    def __init__(
        self,
        address: str,
        name: str,
        context: zmq.Context[Any] | None = None,
        window: int = 8,
        keys: ClientKeys | None = None,
        share: bool = True,
    ) -> None:
        self._link = Link(address, name, context, window, keys=keys, share=share)

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
    hung_after_s: away from its methods for longer, its user hangs: the hub gives to others what it
        holds, until the next call. One in the role "all" may be away for as long as it likes while
        it has acknowledged everything that it received [s]
    share: read frames in memory shared on this machine; False: they are sent
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
        hung_after_s: float = HUNG_AFTER_S,
        share: bool = True,
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"member {name}: role {role!r}, needs one of {ROLES}")
        if credit < 1:
            raise ValueError(f"member {name}: credit {credit}, at least 1 is needed")
        self.name = name
        self._hello = Hello(group, role, name, credit, int(share and is_here(address)))
        self._arenas = MappedArenas()
        context = context or zmq.Context.instance()
        self._link = Link(
            address, name, context, window=64, group=group, rejoined=self._join, keys=keys
        )
        self._join()
        self._heart = Heart(context, address, name, self._link.identity, hung_after_s, keys)
        self._held: set[int] = set()  # tags of one in the role "all", which it has to acknowledge

    def receive(self, timeout_s: float) -> Delivery | None:
        """The next message, or None when none comes in time. Raises MemberRefused."""
        with self._heart.attended():
            delivery = self._receive(timeout_s)
            if delivery is not None and delivery.tag and self._hello.role == "all":
                self._held.add(delivery.tag)
            self._know_idle()
            return delivery

    def working(self) -> None:
        """Say that the user is away on purpose, where it has to wait for another thread."""
        with self._heart.attended():
            pass

    def _receive(self, timeout_s: float) -> Delivery | None:
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
        """Say that these are done for good, or why they will never be; of none: I am at work."""
        several = [deliveries] if isinstance(deliveries, Delivery) else deliveries
        tags = tuple(d.tag for d in several if d.tag)
        with self._heart.attended():
            if tags:
                self._link.send_op(Ack(tags, failed))
                self._held.difference_update(tags)
            self._know_idle()

    def acknowledge_frame(self, scan: str, index: int, failed: str = "") -> None:
        """The absorber's word that a frame is in the results, or why it never will be."""
        with self._heart.attended():
            self._link.send_op(AckFrame(scan, index, failed))

    def send(self, message: Message, timeout_s: float = 30.0) -> None:
        """Put message in the name of this member's group; as Producer.put."""
        with self._heart.attended():
            self._link.put(message, timeout_s)

    def close(self) -> None:
        """Leave; what was not acknowledged goes to others."""
        self._heart.stop()
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

    def _know_idle(self) -> None:
        self._heart.idle = self._hello.role == "all" and not self._held

    def _join(self) -> None:
        self._link.send_op(self._hello)

"""What peers put into the hub: each message once, in each peer's order, on disk before its answer.

A frame is taken at once, but its producer hears Got only when there is room again: in the window
of a hub without a spool, or in the spool. A disk that cannot be written is as a full one: what was
put waits, and is tried again. What is answered has been taken, or refused with a reason. Nothing is
dropped for want of room, and what empties the window (reductions, acknowledgements) never waits
for it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .deliveries import Send
from .headers import Refusal
from .held import Payload, plain
from .packing import PackingError, peek
from .router import Router
from .spool import KEPT_SENDERS, Spool
from .spool_room import SpoolFull
from .wire_ops import Got, Put

log = logging.getLogger(__name__)

LOGGED = 1000  # hostile messages that get a line each; later only every so manieth
KEPT_REFUSALS = 256  # of a peer; more than a window of puts has
SMALL_BYTES = 4096  # smaller parts are copied: they would keep ZeroMQ's whole read buffer alive


@dataclass(slots=True)
class _Sender:
    """A peer that puts: the last number taken, and those taken whose answer is withheld.

    held: taken out of its connection, and waiting for room in the spool, oldest first
    refused: number -> why, of those whose answer it may not have
    """

    last: int
    withheld: set[int] = field(default_factory=set)
    held: deque[tuple[Put, Payload, str]] = field(default_factory=deque)
    refused: dict[int, str] = field(default_factory=dict)

    def refuse(self, seq: int, why: str) -> None:
        """Keep the answer in case that it has to be given again."""
        self.refused[seq] = why
        while len(self.refused) > KEPT_REFUSALS:
            del self.refused[next(iter(self.refused))]

    def answered(self, base: int) -> None:
        """It has the answers to everything below base."""
        for seq in [seq for seq in self.refused if seq < base]:
            del self.refused[seq]


class Intake:
    """Numbers, order and answers of all that is put. Used by the hub's thread alone.

    send: answers a peer
    why_not: (identity, group, kind, role of its key, component that a status is of) why a peer may
        not put such a message, or ""
    window_bytes: see HubConfig
    """

    def __init__(
        self,
        router: Router,
        spool: Spool | None,
        send: Send,
        why_not: Callable[[bytes, str, str, str, str], str],
        window_bytes: int,
    ) -> None:
        self.refused = 0
        self.frames = 0  # since the hub last asked
        self.trouble = ""  # why frames are held back, where they are
        self._router = router
        self._spool = spool
        self._send = send
        self._why_not = why_not
        self._window_bytes = window_bytes
        self._senders: OrderedDict[bytes, _Sender] = OrderedDict()
        self._withheld: deque[tuple[bytes, int, str]] = deque()
        self._holding: dict[bytes, _Sender] = {}

    def go_on(self, last: Mapping[bytes, int]) -> None:
        """Peer -> its last put that a hub before this one had taken."""
        self._senders.update((identity, _Sender(seq)) for identity, seq in last.items())

    @property
    def withheld(self) -> int:
        """Puts taken whose answer waits for room in the window."""
        return len(self._withheld)

    @property
    def held(self) -> int:
        """Puts that wait for room in the spool."""
        return sum(len(sender.held) for sender in self._holding.values())

    def forget(self, identity: bytes) -> None:
        """A peer has left for good."""
        self._senders.pop(identity, None)

    def put(self, identity: bytes, op: Put, parts: Payload, key_role: str) -> None:
        """Take one message, or keep it until there is room."""
        sender = self._senders.get(identity)
        if sender is None:
            sender = self._senders[identity] = _Sender(op.base - 1)
            while len(self._senders) > KEPT_SENDERS:
                self._senders.popitem(last=False)
        self._senders.move_to_end(identity)
        if op.seq <= sender.last:  # put again after a reconnection
            if op.seq not in sender.withheld:
                self._send(identity, Got(op.seq, sender.refused.get(op.seq, "")), ())
            return
        sender.answered(op.base)
        sender.last = max(sender.last, op.base - 1)  # a hub before this one has answered those
        if op.seq > sender.last + 1:
            return  # what comes before it was lost on the way; all of it will be put again
        sender.last = op.seq
        if sender.held or not self._take(identity, sender, op, parts, key_role):
            sender.held.append((op, parts, key_role))
            sender.withheld.add(op.seq)
            self._holding[identity] = sender

    def serve(self) -> None:
        """Take what waits for room in the spool, each peer's in its order."""
        for identity, sender in list(self._holding.items()):
            while sender.held and self._take(identity, sender, *sender.held[0]):
                sender.held.popleft()
            if not sender.held:
                del self._holding[identity]
        if not self._holding:
            self.trouble = ""

    def answer(self) -> None:
        """Answer what was taken and has room in the window by now."""
        for _ in range(len(self._withheld)):
            identity, seq, kind = self._withheld.popleft()
            if not self._has_room(kind):
                self._withheld.append((identity, seq, kind))
                continue
            sender = self._senders.get(identity)
            if sender is not None:
                sender.withheld.discard(seq)
            self._send(identity, Got(seq, ""), ())

    def _take(
        self, identity: bytes, sender: _Sender, op: Put, parts: Payload, key_role: str
    ) -> bool:
        """Spool, route and answer one put; False where the spool has no room for it now."""
        refused = ""
        kind = ""
        try:
            if not parts:
                raise PackingError("a put without a message")
            kind, fields = peek(parts[0])
            component = str(fields.get("component", ""))
            if why := self._why_not(identity, op.group, kind, key_role, component):
                raise Refusal(why)
            keepable = _keepable(parts)
            stored = None
            if self._spool is not None:
                try:
                    stored = self._spool.put(identity, op.seq, op.group, kind, fields, keepable)
                except OSError as error:  # nothing of it is kept: it waits, as for want of room
                    raise SpoolFull(f"the spool cannot be written: {error}") from None
            self.frames += kind == "frame"
            self._router.route(kind, fields, keepable, op.group, stored)
        except SpoolFull as full:
            if not self.trouble:
                log.warning("hub: a %s waits: %s", kind, full)
            self.trouble = str(full)
            return False
        except (PackingError, Refusal) as error:
            self.refused += 1
            refused = str(error)[:500]
            if worth_a_line(self.refused):
                log.warning("hub: refused from %s: %s", identity[:60], refused)
        except Exception as error:  # its sender must hear that it was not taken, whatever it is
            self.refused += 1
            refused = f"{kind or 'put'}: {type(error).__name__}: {error}"[:500]
            if worth_a_line(self.refused):
                log.exception("hub: refused from %s: %s", identity[:60], refused)
        sender.withheld.discard(op.seq)
        if refused:
            sender.refuse(op.seq, refused)
        if not refused and not self._has_room(kind):
            sender.withheld.add(op.seq)
            self._withheld.append((identity, op.seq, kind))
        else:
            self._send(identity, Got(op.seq, refused), ())
        return True

    def _has_room(self, kind: str) -> bool:
        if kind == "frame":
            return self._spool is not None or self._router.queued_bytes <= self._window_bytes
        if kind in ("reduction", "status", "focus"):  # these empty the window, or are not kept
            return True
        return self._router.control_bytes() <= self._window_bytes


def worth_a_line(count: int) -> bool:
    """Whether the count-th of its kind is logged: a flood of garbage must not fill the disk."""
    return count <= LOGGED or count % LOGGED == 0


def _keepable(parts: Payload) -> Payload:
    """parts as they can be kept: large ones where they are, small ones copied."""
    return [p if len(p) > SMALL_BYTES else bytes(plain(p)) for p in parts]

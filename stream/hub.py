"""The hub: the one lossless backbone of a run, and its ledger.

Everybody puts messages in (members.Producer), groups of members take them out (members.Member),
views subscribe to the live side (live.LiveSubscriber). One thread owns both sockets; payloads
are never decoded and never copied, each is handed on as the buffer it came in. What is put goes
through the Intake, which keeps memory bounded; where it goes is the Router's business.
See docs/explanations/channel.md for the protocol.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import zmq

from .admission import Doorkeeper, guard, is_local, key_role
from .curve_keys import KeysError, ServerKeys
from .group import Group
from .held import Payload
from .hub_status import hub_values
from .intake import Intake, worth_a_line
from .link import HEARTBEAT_MS, MAX_PART_BYTES, RECEIVE_HWM, SEND_HWM
from .live import LivePublisher
from .messages import ScanStart, Status
from .packing import unpack
from .permissions import PART, why_not_join, why_not_put
from .router import Router
from .shared_frames import Borrowed, SharedFrames
from .spool import KEPT_SENDERS, Spool
from .spool_room import SpoolConfig
from .wire_ops import (
    MAX_NAME,
    MAX_PARTS,
    Ack,
    AckFrame,
    Beat,
    Bye,
    Hello,
    Item,
    Op,
    Put,
    Refused,
    Share,
    Who,
    WireError,
    pack_op,
    unpack_op,
)

log = logging.getLogger(__name__)

TICK_S = 0.5
ASK_AGAIN_S = 1.0
BATCH = 64  # messages taken before members are served again


@dataclass(frozen=True, slots=True)
class HubConfig:
    """items, live: addresses to bind (ipc://..., tcp://127.0.0.1:*, inproc://...)
    groups: each gets every frame once
    window_bytes: frames not yet acknowledged by every group, above which producers wait
    live_cache_bytes: results kept for views that come late
    history_bytes: of reductions of unfinished scans in memory, kept for a restarted absorber; with
        a spool those above are read back from there, without one absorbed ones are let go
    dead_after_s: silence after which a member counts as dead [s]
    spool: where what is taken goes before anybody is told so; None = it is in memory only
    keys: whom to let in; needed where the items side is bound off this machine
    live_keys: the live side, which is read-only, asks for keys too
    """

    items: str
    live: str
    groups: tuple[str, ...] = ("record", "process")
    window_bytes: int = 256 << 20
    live_cache_bytes: int = 256 << 20
    history_bytes: int = 512 << 20
    dead_after_s: float = 5.0
    spool: SpoolConfig | None = None
    keys: ServerKeys | None = None
    live_keys: bool = False


class Hub:
    """Binds, then runs in its own thread from start() to stop()."""

    def __init__(self, config: HubConfig, context: zmq.Context[Any] | None = None) -> None:
        if not config.groups or len(set(config.groups)) != len(config.groups):
            raise ValueError(f"hub: groups {config.groups}, needs different names, at least one")
        if config.keys is None and not is_local(config.items):
            raise KeysError(f"hub: {config.items} is reached from other machines: keys are needed")
        if config.live_keys and config.keys is None:
            raise KeysError("hub: the live side shall ask for keys, there are none")
        self._config = config
        self._context = context or zmq.Context.instance()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._door: Doorkeeper | None = None
        self._spool: Spool | None = None
        self._shared = SharedFrames(self._send)
        self._groups_of: dict[bytes, str] = {}
        self._asked: dict[bytes, float] = {}
        self._ignored = 0
        self._last_status = time.monotonic()

    def start(self) -> None:
        """Bind and run, going on from what the spool holds.

        Raises zmq.ZMQError where an address cannot be bound, OSError where the spool cannot be,
        KeysError.
        """
        keys = self._config.keys
        with ExitStack() as undo:
            if keys is not None:  # there before anybody can ask to come in
                self._door = Doorkeeper(keys, self._context)
                undo.callback(self._door.close)
            self._items = self._bind_items()
            undo.callback(self._items.close, linger=0)
            self._live = LivePublisher(
                self._context,
                self._config.live,
                self._config.live_cache_bytes,
                keys if self._config.live_keys else None,
            )
            undo.pop_all()
        self.items_address: str = self._items.getsockopt_string(zmq.LAST_ENDPOINT)
        self.live_address: str = self._live.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        if self._config.spool is not None:
            self._spool = Spool(self._config.spool)
        self._router = Router(
            self._config.groups,
            self._send,
            self._live,
            self._config.history_bytes,
            self._config.window_bytes,
            self._spool,
        )
        self._intake = Intake(
            self._router, self._spool, self._send, self._why_not, self._config.window_bytes
        )
        self._go_on()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self._door is not None:
                self._door.close()

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _go_on(self) -> None:
        """From where the hub before this one was killed, if there was one."""
        began = time.monotonic()
        last = self._router.restore()
        self._intake.go_on(last)
        if last:
            waiting, took_s = self._router.waiting()[0], time.monotonic() - began
            log.warning("hub: goes on from its spool, %d frames wait; %.2f s", waiting, took_s)
        starts = [unpack(parts) for parts in self._router.open_scans()]
        self.open_scans = [start for start in starts if isinstance(start, ScanStart)]

    def _bind_items(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a peer that is gone is an error, not silence
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a peer may reconnect before we miss it
        socket.setsockopt(zmq.SNDHWM, SEND_HWM)
        socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * HEARTBEAT_MS)
        if self._config.keys is not None:
            guard(socket, self._config.keys)
        try:
            socket.bind(self._config.items)
        except zmq.ZMQError:
            socket.close(linger=0)
            raise
        return socket

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._items, zmq.POLLIN)
        poller.register(self._live.socket, zmq.POLLIN)
        next_tick = time.monotonic()
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(50))
                try:
                    if self._items in ready:
                        self._take_in()
                    if self._live.socket in ready:
                        self._live.answer_subscriptions()
                    if time.monotonic() >= next_tick:
                        next_tick = time.monotonic() + TICK_S
                        self._tick()
                    self._intake.serve()
                    self._router.serve()
                    self._intake.answer()
                    self._shared.give_back()
                    if self._spool is not None:
                        self._spool.flush_notes()
                except Exception:  # whatever it is, the other peers must not suffer for it
                    log.exception("hub: unexpected")
                    self._ignored += 1
        finally:
            self._items.close()
            self._live.close()
            if self._spool is not None:
                self._spool.close()

    def _take_in(self) -> None:
        for _ in range(BATCH):
            try:
                identity, *parts = self._items.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                if not 1 <= len(parts) <= MAX_PARTS:
                    raise WireError(f"message of {len(parts)} parts, 1 to {MAX_PARTS} are read")
                role = key_role(parts[0]) if self._config.keys is not None else PART
                self._handle(identity.bytes, unpack_op(parts[0].buffer), parts[1:], role)
            except WireError as error:
                self._ignored += 1
                if worth_a_line(self._ignored):
                    log.warning("hub: from %s: %s", identity.bytes[:60], error)

    def _handle(self, identity: bytes, op: Op, parts: Sequence[zmq.Frame], role: str) -> None:
        now = time.monotonic()
        match op:
            case Put():
                whole = self._shared.borrow(identity, op.at, parts) if op.at else parts
                self._intake.put(identity, op, whole, role)
            case Share():
                if why := why_not_join(role):
                    raise WireError(why)
                self._shared.offer(identity, op)
            case AckFrame():
                group = self._group_of(identity)
                if group is not None:
                    group.acknowledge_frame(identity, (op.scan, op.index), op.failed)
            case Ack():
                group = self._group_of(identity)
                if group is not None:
                    group.acknowledge(identity, op.tags, op.failed)
            case Beat():
                if why := why_not_join(role):
                    raise WireError(why)
                member, group_name = op.of, self._groups_of.get(op.of)
                peer = self._router.groups[group_name].peers.get(member) if group_name else None
                if peer is not None:
                    peer.last_heard = now
                else:
                    self._ask_who(member, now)
            case Hello():
                self._hello(identity, op, now, role)
            case Bye():
                self._leave(identity, died=False)
                self._intake.forget(identity)
                self._shared.forget(identity)
            case _:
                raise WireError(f"{type(op).__name__} is for the hub to say")

    def _why_not(self, identity: bytes, group: str, kind: str, role: str, component: str) -> str:
        """Why this peer may not put such a message; "" where it may."""
        joined = (
            self._router.groups[group].peers.get(identity) if group in self._router.groups else None
        )
        member = joined.role if joined is not None else ""
        return why_not_put(kind, identity, role, group, member, component)

    def _hello(self, identity: bytes, op: Hello, now: float, role: str) -> None:
        if why := why_not_join(role):
            self._send(identity, Refused(why), ())
            return
        group = self._router.groups.get(op.group)
        if group is None:
            known = ", ".join(self._router.groups)
            self._send(identity, Refused(f"no group {op.group!r} here, there are: {known}"), ())
            return
        if len(op.name) > MAX_NAME:
            why = f"a name of {len(op.name)} characters, at most {MAX_NAME}"
            self._send(identity, Refused(why), ())
            return
        if op.role not in ("reduce", "absorb", "all") or op.credit < 1:
            raise WireError(f"hello as {op.role!r} with credit {op.credit}")
        self._groups_of[identity] = op.group
        self._shared.welcome(identity, op.maps == 1)
        self._asked.pop(identity, None)
        group.hello(identity, op, now)
        log.info("hub: %s/%s joined as %s", op.group, op.name, op.role)

    def _group_of(self, identity: bytes) -> Group | None:
        name = self._groups_of.get(identity)
        if name is None:
            self._ask_who(identity, time.monotonic())  # it was given up for dead
            return None
        return self._router.groups[name]

    def _ask_who(self, identity: bytes, now: float) -> None:
        """Ask once in a while: each Hello in answer makes all of an absorber's scans come again."""
        if now - self._asked.get(identity, -ASK_AGAIN_S) >= ASK_AGAIN_S:
            self._asked[identity] = now
            self._send(identity, Who(), ())
            while len(self._asked) > KEPT_SENDERS:
                del self._asked[next(iter(self._asked))]

    def _leave(self, identity: bytes, died: bool) -> None:
        name = self._groups_of.pop(identity, None)
        if name is not None:
            self._router.groups[name].leave(identity, died)

    def _send(self, identity: bytes, op: Op, parts: Payload) -> bool:
        if parts and isinstance(parts[-1], Borrowed) and isinstance(op, Item):
            found = self._shared.hand_on(identity, op, parts)
            if found is None:
                return False
            op, parts = found
        message: list[Any] = [identity, pack_op(op), *parts]
        try:
            self._items.send_multipart(message, zmq.NOBLOCK, copy=False, track=False)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def _tick(self) -> None:
        now = time.monotonic()
        for identity, name in list(self._groups_of.items()):
            peer = self._router.groups[name].peers.get(identity)
            if peer is None:  # replaced, or found to be gone while it was served
                del self._groups_of[identity]
                continue
            silent_s = now - peer.last_heard
            if silent_s > self._config.dead_after_s or not self._send(identity, Beat(identity), ()):
                log.warning("hub: %s/%s is gone, silent for %.1f s", name, peer.name, silent_s)
                self._leave(identity, died=True)
        self._shared.tidy(self._groups_of)
        self._router.publish_accounts()
        self._router.publish(self._status())
        if self._spool is not None:  # last: on a disk that fails it says so
            self._spool.tidy(self._router.owed_from())

    def _status(self) -> Status:
        now = time.monotonic()
        window, intake = self._config.window_bytes, self._intake
        held = intake.held
        values = hub_values(self._router, self._spool, window, intake.withheld, held)
        values["frames_per_s"] = intake.frames / max(TICK_S / 2, now - self._last_status)
        values["refused"], values["ignored"] = intake.refused, self._ignored
        if intake.trouble:
            values["held"] = intake.trouble
        intake.frames, self._last_status = 0, now
        full = held > 0 or (self._spool is None and self._router.queued_bytes > window)
        return Status("hub", "full" if full else "open", time.time(), values)

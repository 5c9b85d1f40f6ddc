"""Which message goes where: the hub's groups, ledgers and live side put together.

No sockets but what is handed in. Frames, reductions and results are routed by their headers
alone; the few small messages that the ledger or the curve of samples needs are unpacked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .group import Group, Send
from .held import FrameKey, Payload, size_of
from .ledger import LedgerError, ScanLedger
from .live import LivePublisher
from .messages import Account, Message, Samples, ScanStart, ScanStop, Status
from .packing import pack, unpack

MAX_SCAN_FRAMES = 2_000_000  # the ledger holds some 100 bytes a frame
KEPT_CLOSED = 1000  # finished scans whose late frames are still known as such
FRAME_PICTURE_S = 0.25  # the live side gets at most one frame in this time


class Refusal(ValueError):
    """A message that cannot be right, e.g. a frame of a scan that nobody has announced."""


class Router:
    """Takes messages in, gives them to groups and the live side, keeps the ledgers."""

    def __init__(
        self, groups: Sequence[str], send: Send, live: LivePublisher, history_bytes: int
    ) -> None:
        self.groups = {n: Group(n, send, self._enter, history_bytes) for n in groups}
        self.queued_bytes = 0
        self._live = live
        self._ledgers: dict[str, ScanLedger] = {}
        self._changed: set[str] = set()
        self._closed: dict[str, Account] = {}
        self._pending: dict[FrameKey, tuple[int, set[str]]] = {}
        self._next_picture = 0.0

    def route(self, kind: str, fields: dict[str, Any], parts: Payload, group: str) -> None:
        """Hand one message on. Raises Refusal, LedgerError or PackingError where it is wrong.

        fields: from its header; group: of the member that sent it, "" for others
        """
        if kind == "frame":
            self._frame(_key(kind, fields), parts)
        elif kind == "reduction":
            self._reduction(_key(kind, fields), parts, group)
        elif kind == "result":
            self._result(fields, parts)
        elif kind == "scan_start":
            self._start(parts)
        elif kind == "scan_stop":
            self._stop(parts)
        elif kind == "positions":
            scan = _text(kind, fields, "scan")
            for member_group in self.groups.values():
                member_group.add_positions(scan, parts)
                member_group.add_item(parts)
        elif kind == "samples":
            self._samples(fields, parts)
        elif kind == "document":
            self._document(fields, parts)
        elif kind == "status":
            topic = f"status/{_text(kind, fields, 'component')}"
            self._live.cache.keep(topic, parts)
            self._live.publish(topic, parts)
        elif kind == "focus":
            for member_group in self.groups.values():
                member_group.add_focus(parts)
        else:
            raise Refusal(f"{kind}: made by the hub alone")

    def serve(self) -> None:
        """Give frames to members that have room."""
        for group in self.groups.values():
            group.serve()

    def control_bytes(self) -> int:
        """Messages other than frames that wait for members [B]."""
        return sum(group.control_bytes for group in self.groups.values())

    def outstanding(self) -> int:
        """Things still to be acknowledged, plus scans whose source has not stopped."""
        running = sum(not ledger.stopped for ledger in self._ledgers.values())
        return running + sum(g.outstanding() for g in self.groups.values())

    def publish(self, message: Status | Account) -> None:
        """Send a message of the hub's own to the live side, and keep it there."""
        parts = [bytes(p) for p in pack(message)]
        if isinstance(message, Account):
            self._keep(f"account/{message.scan}", parts, message.scan)
        else:
            self._keep(f"status/{message.component}", parts)

    def publish_accounts(self) -> None:
        """Publish the ledgers that have changed; a closed one goes to the record, too."""
        for scan in sorted(self._changed):
            ledger = self._ledgers[scan]
            account = ledger.account()
            self.publish(account)
            if account.closed and self._closed.get(scan) != account:
                self._closed[scan] = account
                for group in self.groups.values():
                    group.add_item([bytes(p) for p in pack(account)])
        self._changed.clear()
        for scan in [s for s in self._ledgers if s in self._closed]:
            if not any(scan in g.scans for g in self.groups.values()):
                del self._ledgers[scan]
        while len(self._closed) > KEPT_CLOSED:
            del self._closed[next(iter(self._closed))]

    def _frame(self, key: FrameKey, parts: Payload) -> None:
        scan, index = key
        ledger = self._ledgers.get(scan)
        if ledger is None:
            known = "finished" if scan in self._closed else "not announced"
            raise Refusal(f"frame {index} of scan {scan}, which is {known}")
        if not ledger.has(index) and not all(scan in g.scans for g in self.groups.values()):
            raise Refusal(f"frame {index} of scan {scan}, which a group has finished")
        try:
            new = ledger.receive(index)
        except LedgerError as error:
            raise Refusal(str(error)) from None
        self._changed.add(scan)
        if not new:
            return
        size = size_of(parts)
        self.queued_bytes += size
        self._pending[key] = (size, set(self.groups))
        for group in self.groups.values():
            group.add_frame(key, parts)
        now = time.monotonic()
        if now >= self._next_picture:
            self._next_picture = now + FRAME_PICTURE_S
            self._keep("frame", parts)

    def _reduction(self, key: FrameKey, parts: Payload, group: str) -> None:
        if group not in self.groups:
            raise Refusal(f"reduction of frame {key[1]} from group {group!r}, there is none")
        self.groups[group].add_reduction(key, parts)

    def _result(self, fields: dict[str, Any], parts: Payload) -> None:
        scan, consumer, name = (_text("result", fields, n) for n in ("scan", "consumer", "name"))
        if fields.get("live") is True:
            self._keep(f"result/{scan}/{consumer}/{name}", parts, scan)
        if fields.get("final") is True:
            for group in self.groups.values():
                group.add_item(parts)

    def _start(self, parts: Payload) -> None:
        start = unpack(parts)
        if not isinstance(start, ScanStart):
            raise Refusal("scan_start: is none")
        if start.scan in self._ledgers or start.scan in self._closed:
            raise Refusal(f"scan {start.scan} has been announced before")
        if not start.scan or not 0 < start.frames <= MAX_SCAN_FRAMES:
            raise Refusal(f"scan {start.scan!r} of {start.frames} frames, 1 to {MAX_SCAN_FRAMES}")
        self._ledgers[start.scan] = ScanLedger(
            start.run, start.scan, start.number, start.frames, self.groups
        )
        for group in self.groups.values():
            group.open_scan(start.scan, parts)
        self._changed.add(start.scan)
        self._keep(f"scan_start/{start.scan}", parts, start.scan)

    def _stop(self, parts: Payload) -> None:
        stop = unpack(parts)
        ledger = self._ledgers.get(stop.scan) if isinstance(stop, ScanStop) else None
        if ledger is None or not isinstance(stop, ScanStop):
            raise Refusal("scan_stop of a scan that is not open")
        if ledger.stopped:
            raise Refusal(f"scan {stop.scan} has been stopped before")
        ledger.stop(stop)
        self._changed.add(stop.scan)
        self._keep(f"scan_stop/{stop.scan}", parts, stop.scan)
        for group in self.groups.values():
            group.add_stop(stop.scan, parts)

    def _samples(self, fields: dict[str, Any], parts: Payload) -> None:
        samples: Message = unpack(parts)
        if isinstance(samples, Samples):
            self._live.cache.keep_samples(samples)
        self._live.publish(f"samples/{_text('samples', fields, 'run')}", parts)
        for group in self.groups.values():
            group.add_item(parts)

    def _document(self, fields: dict[str, Any], parts: Payload) -> None:
        run, name = _text("document", fields, "run"), _text("document", fields, "name")
        if name in ("start", "stop"):
            self._live.cache.keep_document(parts)
        self._live.publish(f"document/{run}/{name}", parts)
        for group in self.groups.values():
            group.add_item(parts)

    def _keep(self, topic: str, parts: Payload, scan: str = "") -> None:
        self._live.cache.keep(topic, parts, scan)
        self._live.publish(topic, parts)

    def _enter(self, group: str, key: FrameKey, reason: str) -> None:
        ledger = self._ledgers.get(key[0])
        if ledger is not None and ledger.has(key[1]):
            if reason:
                ledger.fail(group, key[1], reason)
            else:
                ledger.done(group, key[1])
            self._changed.add(key[0])
        size, groups = self._pending.get(key, (0, set()))
        groups.discard(group)
        if not groups and self._pending.pop(key, None) is not None:
            self.queued_bytes -= size


def _text(kind: str, fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Refusal(f"{kind}: {name} is {str(value)[:60]!r}, needs text")
    return value


def _key(kind: str, fields: dict[str, Any]) -> FrameKey:
    index = fields.get("index")
    if type(index) is not int or index < 0:
        raise Refusal(f"{kind}: index is {str(index)[:60]!r}, needs a number from 0")
    return _text(kind, fields, "scan"), index

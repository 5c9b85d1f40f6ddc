"""Which message goes where: the hub's groups, ledgers and live side put together.

No sockets but what is handed in. Frames, reductions and results are routed by their headers
alone; the few small messages that the ledger or the curve of samples needs are unpacked.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .deliveries import Send
from .group import Group
from .headers import Refusal, key_of, text_of
from .held import FrameKey, Payload, Stored, size_of
from .ledger import LedgerError, ScanLedger
from .live import LivePublisher
from .messages import (
    Account,
    Decision,
    Message,
    Proposal,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Withdrawal,
)
from .packing import PackingError, pack, peek, unpack
from .reasons import MAX_SCAN_FRAMES
from .shared_frames import copied
from .spool import Delivered, Ended, GroupKind, LastPuts, PutAgain, Settled, Spool

log = logging.getLogger(__name__)

RECORD = "record"  # the group whose word makes a frame safe elsewhere than in the spool
KEPT_CLOSED = 1000  # finished scans whose late frames are still known as such
EARLY_POSITIONS = 2000  # messages, of scans whose start is still on its way
FRAME_PICTURE_S = 0.25  # the live side gets at most one frame in this time


@dataclass(slots=True)
class _Pending:
    """A frame that the groups named have not settled; size: of it in memory [B].

    unrecorded: it is not in the record; the spool then keeps it
    """

    size: int
    groups: set[str]
    stored: Stored | None
    came: float
    unrecorded: bool = False


class Router:
    """Takes messages in, gives them to groups and the live side, keeps the ledgers.

    spool: where frames wait that are more than window_bytes, and what is to be known after the hub
        was killed; None for a hub whose memory is all there is
    """

    def __init__(
        self,
        groups: Sequence[str],
        send: Send,
        live: LivePublisher,
        history_bytes: int,
        window_bytes: int = 0,
        spool: Spool | None = None,
    ) -> None:
        self.groups = {n: Group(n, send, self._enter, history_bytes, spool) for n in groups}
        self.queued_bytes = 0
        self._window_bytes = window_bytes
        self._spool = spool
        self._restoring = False
        self._live = live
        self._ledgers: dict[str, ScanLedger] = {}
        self._changed: set[str] = set()
        self._closed: dict[str, Account] = {}
        self._pending: dict[FrameKey, _Pending] = {}
        self._early: deque[tuple[str, Payload, int]] = deque(maxlen=EARLY_POSITIONS)
        self._next_picture = 0.0

    def route(
        self,
        kind: str,
        fields: dict[str, Any],
        parts: Payload,
        group: str,
        stored: Stored | None = None,
    ) -> None:
        """Hand one message on. Raises Refusal, LedgerError or PackingError where it is wrong.

        fields: from its header; group: of the member that sent it, "" for others
        stored: where it stands in the spool
        """
        number = stored.number if stored is not None else 0
        if kind == "frame":
            self._frame(key_of(kind, fields), parts, stored)
        elif kind == "reduction":
            self._reduction(key_of(kind, fields), parts, group, stored)
        elif kind == "result":
            self._result(fields, parts, number)
        elif kind == "scan_start":
            self._start(parts, number)
        elif kind == "scan_stop":
            self._stop(parts, number)
        elif kind == "positions":
            self._positions(text_of(kind, fields, "scan"), parts, number)
        elif kind == "samples":
            self._samples(fields, parts, number)
        elif kind == "document":
            self._document(fields, parts, number)
        elif kind == "status":
            topic = f"status/{text_of(kind, fields, 'component')}"
            self._live.cache.keep(topic, parts)
            self._live.publish(topic, parts)
        elif kind == "withdrawal":
            self._withdraw(parts)
        elif kind in ("proposal", "decision"):
            self._request(kind, parts, number)
        elif kind == "focus":
            for member_group in self.groups.values():
                member_group.add_focus(parts)
        else:
            raise Refusal(f"{kind}: made by the hub alone")

    def restore(self) -> dict[bytes, int]:
        """Become what a killed hub had noted in the spool; peer -> its last put that was taken."""
        last: dict[bytes, int] = {}
        if self._spool is None:
            return last
        self._restoring = True
        for group in self.groups.values():
            group.restore("")
        for past in self._spool.past():
            if isinstance(past, PutAgain):
                last[past.identity] = max(past.seq, last.get(past.identity, 0))
                self._put_again(past)
            elif isinstance(past, LastPuts):
                last.update(past.last)
            elif past.group not in self.groups:
                continue
            elif isinstance(past, Settled):
                for scan, index, reason in past.frames:
                    self._settled_again(past.group, (scan, index), reason)
            elif isinstance(past, Ended):
                self.groups[past.group].restore_ended(past.scan)
            elif isinstance(past, Delivered):
                self.groups[past.group].restore_delivered(past.number)
            elif isinstance(past, GroupKind):
                self.groups[past.group].restore(past.kind)
        self._restoring = False
        for group in self.groups.values():
            group.restored()
        return last

    def _put_again(self, past: PutAgain) -> None:
        try:
            kind, fields = peek(past.parts[0])
            # views of a mapped file would keep all of it; of these nothing is kept
            by_place = kind in ("frame", "reduction")
            parts = past.parts if by_place else [bytes(p) for p in past.parts]
            self.route(kind, fields, parts, past.group, past.stored)
        except (PackingError, LedgerError, Refusal):  # as it was then
            return
        except Exception as error:  # one record must not keep the hub from starting
            what = f"record {past.stored.number} is left out: {type(error).__name__}: {error}"
            log.exception("hub: %s", what)
            if self._spool is not None:
                self._spool.damages.append(what)

    def _settled_again(self, group: str, key: FrameKey, reason: str) -> None:
        ledger = self._ledgers.get(key[0])
        if ledger is None or not 0 <= key[1] < ledger.announced:
            return
        if not ledger.has(key[1]):
            ledger.receive(key[1])  # all groups were done with it, and its segment was let go
        if not self.groups[group].restore_settled(key, reason):
            self._enter(group, key, reason)

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
                if self._spool is not None:
                    self._spool.over(scan)
        while len(self._closed) > KEPT_CLOSED:
            del self._closed[next(iter(self._closed))]

    def owed_from(self) -> int:
        """Number in the spool of the first message that some group has not had delivered."""
        return min(group.deliveries.owed_from() for group in self.groups.values())

    def open_scans(self) -> list[Payload]:
        """ScanStart of every scan whose source has not stopped."""
        return [
            group.scans[scan].start
            for scan, ledger in self._ledgers.items()
            for group in list(self.groups.values())[:1]
            if not ledger.stopped and scan in group.scans
        ]

    def waiting(self) -> tuple[int, float]:
        """Frames that some group has not settled, and how long the oldest has waited [s]."""
        oldest = next(iter(self._pending.values()), None)
        return len(self._pending), time.monotonic() - oldest.came if oldest is not None else 0.0

    def _frame(self, key: FrameKey, parts: Payload, stored: Stored | None) -> None:
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
        now = time.monotonic()
        size = size_of(parts)
        kept: Payload | Stored = parts
        if stored is not None and self._spool is not None:
            self._spool.want(stored, scan)
            if self._restoring or self.queued_bytes + size > self._window_bytes:
                kept, size = stored, 0  # read back when a member has room for it
        self.queued_bytes += size
        self._pending[key] = _Pending(size, set(self.groups), stored, now)
        for group in self.groups.values():
            group.add_frame(key, kept)
        if now >= self._next_picture and not self._restoring:
            self._next_picture = now + FRAME_PICTURE_S
            self._keep("frame", copied(parts))

    def _reduction(self, key: FrameKey, parts: Payload, group: str, stored: Stored | None) -> None:
        if group not in self.groups:
            raise Refusal(f"reduction of frame {key[1]} from group {group!r}, there is none")
        kept = stored if self._restoring and stored is not None else parts
        self.groups[group].add_reduction(key, kept, stored)

    def _result(self, fields: dict[str, Any], parts: Payload, number: int) -> None:
        scan, consumer, name = (text_of("result", fields, n) for n in ("scan", "consumer", "name"))
        if fields.get("live") is True:
            self._keep(f"result/{scan}/{consumer}/{name}", parts, scan)
        if fields.get("final") is True:
            for group in self.groups.values():
                group.add_item(parts, number=number)

    def _start(self, parts: Payload, number: int) -> None:
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
            group.open_scan(start.scan, parts, number)
        if self._spool is not None:
            self._spool.opened(start.scan)
        self._changed.add(start.scan)
        self._keep(f"scan_start/{start.scan}", parts, start.scan)
        early = [of for of in self._early if of[0] == start.scan]
        if early:
            others = [of for of in self._early if of[0] != start.scan]
            self._early = deque(others, EARLY_POSITIONS)
        for scan, positions, noted in early:
            self._positions(scan, positions, noted)

    def _positions(self, scan: str, parts: Payload, number: int) -> None:
        """From the stage: they overtake their scan's start where the detector's line is slow."""
        if scan not in self._ledgers and scan not in self._closed:
            self._early.append((scan, parts, number))
            return
        for group in self.groups.values():
            group.add_positions(scan, parts)
            group.add_item(parts, number=number)

    def _stop(self, parts: Payload, number: int) -> None:
        stop = unpack(parts)
        ledger = self._ledgers.get(stop.scan) if isinstance(stop, ScanStop) else None
        if ledger is None or not isinstance(stop, ScanStop):
            raise Refusal("scan_stop of a scan that is not open")
        if ledger.stopped:
            raise Refusal(f"scan {stop.scan} has been stopped before")
        wanted = ledger.without_withdrawn(stop)
        if wanted is not stop:
            stop, parts = wanted, [bytes(p) for p in pack(wanted)]
        ledger.stop(stop)
        self._changed.add(stop.scan)
        self._keep(f"scan_stop/{stop.scan}", parts, stop.scan)
        for group in self.groups.values():
            group.add_stop(stop.scan, parts, number)

    def _withdraw(self, parts: Payload) -> None:
        message = unpack(parts)
        ledger = self._ledgers.get(message.scan) if isinstance(message, Withdrawal) else None
        if ledger is None or not isinstance(message, Withdrawal):
            raise Refusal("withdrawal from a scan that is not open")
        try:
            ledger.withdraw(message)
        except LedgerError as error:
            raise Refusal(str(error)) from None
        self._changed.add(message.scan)

    def _request(self, kind: str, parts: Payload, number: int) -> None:
        message = unpack(parts)
        if not isinstance(message, (Proposal, Decision)):
            raise Refusal(f"{kind}: is none")
        topic = f"{kind}/{message.run}/{message.id}"
        self._live.cache.keep_request(topic, parts)
        self._live.publish(topic, parts)
        for group in self.groups.values():
            group.add_item(parts, number=number)

    def _samples(self, fields: dict[str, Any], parts: Payload, number: int) -> None:
        samples: Message = unpack(parts)
        if isinstance(samples, Samples):
            self._live.cache.keep_samples(samples)
        self._live.publish(f"samples/{text_of('samples', fields, 'run')}", parts)
        for group in self.groups.values():
            group.add_item(parts, number=number)

    def _document(self, fields: dict[str, Any], parts: Payload, number: int) -> None:
        run, name = text_of("document", fields, "run"), text_of("document", fields, "name")
        if name in ("start", "stop"):
            self._live.cache.keep_document(parts)
        self._live.publish(f"document/{run}/{name}", parts)
        for group in self.groups.values():
            group.add_item(parts, number=number)

    def _keep(self, topic: str, parts: Payload, scan: str = "") -> None:
        self._live.cache.keep(topic, parts, scan)
        self._live.publish(topic, parts)

    def _enter(self, group: str, key: FrameKey, reason: str) -> None:
        ledger = self._ledgers.get(key[0])
        if ledger is not None and ledger.has(key[1]):
            news = ledger.fail(group, key[1], reason) if reason else ledger.done(group, key[1])
            self._changed.add(key[0])
            if news and self._spool is not None:
                self._spool.settled(group, key, reason)
        pending = self._pending.get(key)
        if pending is None:
            return
        pending.groups.discard(group)
        pending.unrecorded |= group == RECORD and bool(reason)
        if not pending.groups:
            del self._pending[key]
            self.queued_bytes -= pending.size
            if pending.stored is not None and self._spool is not None and not pending.unrecorded:
                self._spool.unwant(pending.stored)

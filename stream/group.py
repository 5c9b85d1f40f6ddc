"""One group of members: who holds what, and what becomes of it when somebody dies.

Each frame goes to one "reduce" or "all" member of the group, the one with most free credit, and
is kept until it is acknowledged. A Reduction gives its reducer the credit back, but only the
absorbing member's word acknowledges the frame: acknowledged by reducers, frames were lost in
every test with kills. The reductions of an unfinished scan are kept as well, and a restarted
absorber gets all of them again; absorbing is idempotent, so nothing is lost or counted twice.
ScanStop is handed on when every frame of its scan is reduced or acknowledged in this group, so it
is the last message that a member gets of a scan.

A frame in the hands of two members when they died is given to a member alone; when two die of it
that way it has failed, and is named.

No sockets and no clocks here: the hub tells what happens and hands in how to send.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from .deliveries import IN_FLIGHT, Deliveries, Send
from .held import (
    Entry,
    FrameKey,
    GroupScan,
    Journal,
    Payload,
    Peer,
    PendingFrame,
    Stored,
    size_of,
)
from .kept_reductions import KeptReductions
from .segment_log import Damaged
from .wire_ops import Hello, Refused

SUSPECT_AFTER = 2  # deaths of its holders after which a frame is handed out alone
CONDEMNED_AFTER = 2  # further deaths, alone with it, after which it has failed

Enter = Callable[[str, FrameKey, str], None]


class Group:
    """The members called name, and all that waits for them.

    send: (identity, operation, message) -> False where that peer cannot be reached
    enter: (group, frame, reason) a frame is done, or has failed where reason is not ""
    history_bytes: of reductions in memory, kept for a restarted absorber
    journal: where what must outlive the hub is noted; None for nowhere
    """

    def __init__(
        self,
        name: str,
        send: Send,
        enter: Enter,
        history_bytes: int = 512 << 20,
        journal: Journal | None = None,
    ) -> None:
        self.name = name
        self.peers: dict[bytes, Peer] = {}
        self.scans: dict[str, GroupScan] = {}
        self.redelivered = 0
        self._send = send
        self._enter = enter
        self._journal = journal
        self._restoring = False
        self._kind = ""  # "all" or "reduce", known when the first member comes
        self._frames: dict[FrameKey, PendingFrame] = {}
        self._waiting: deque[FrameKey] = deque()
        self._suspects: deque[FrameKey] = deque()
        self._backlog: deque[Entry] = deque()  # for "all" members while there is none
        self._reductions = KeptReductions(history_bytes)
        self._focus: Payload = ()
        self.deliveries = Deliveries(name, send, journal)

    @property
    def control_bytes(self) -> int:
        """Messages other than frames that wait for members [B]."""
        return self.deliveries.bytes

    # messages ------------------------------------------------------------------------------

    def open_scan(self, scan: str, start: Payload, number: int = 0) -> None:
        """A scan begins: every member is told."""
        self.scans[scan] = GroupScan(start)
        for peer in self.peers.values():
            if peer.role != "all":
                self.deliveries.queue(peer, Entry(start))
        self.add_item(start, scan, number)

    def add_frame(self, key: FrameKey, parts: Payload | Stored) -> None:
        """A frame came that one member has to deal with."""
        self._frames[key] = PendingFrame(parts)
        self.scans[key[0]].unsettled += 1
        self._waiting.append(key)

    def add_reduction(
        self, key: FrameKey, parts: Payload | Stored, stored: Stored | None = None
    ) -> bool:
        """A frame was reduced; False where that is no news. stored: where that stands."""
        frame = self._frames.get(key)
        if frame is None and self._restoring and key[0] in self.scans:
            self._reductions.add(key, parts, stored)  # the frame itself has been let go
        if frame is None or frame.reduced:
            return False
        self._take_from_holder(key, frame)
        frame.reduced = True
        self._reductions.add(key, parts, stored)
        self.scans[key[0]].unsettled -= 1
        for peer in self._peers("absorb"):
            # one that is behind has it read back in its turn
            told = stored if stored is not None and peer.outbox else parts
            self.deliveries.queue(peer, Entry(told, key=key, tracked=True))
        self._maybe_stop(key[0])
        return True

    def add_positions(self, scan: str, parts: Payload) -> None:
        """Measured positions of a scan, for the absorber; kept as long as the scan."""
        if scan in self.scans:
            self.scans[scan].positions.append(parts)
            self.deliveries.bytes += size_of(parts)
        for peer in self._peers("absorb"):
            self.deliveries.queue(peer, Entry(parts))

    def add_stop(self, scan: str, parts: Payload, number: int = 0) -> None:
        """The source of a scan has no more to say."""
        self.scans[scan].stop = parts
        self.scans[scan].stop_number = number
        self._maybe_stop(scan)

    def add_item(self, parts: Payload, scan: str = "", number: int = 0) -> None:
        """A message for every "all" member, or for the next to come where there is none."""
        if self._kind == "reduce" and not any(self._peers("all")):
            return
        entry = Entry(parts, tracked=True, starts=scan, number=number)
        receivers = list(self._peers("all"))
        if number:
            self.deliveries.owed[number] = max(1, len(receivers))
        self.deliveries.bytes += size_of(parts) * max(1, len(receivers))
        for peer in receivers:
            self.deliveries.queue(peer, entry)
        if not receivers:
            self._backlog.append(entry)

    def add_focus(self, parts: Payload) -> None:
        """Where somebody looks; the last one is kept for a restarted absorber."""
        self._focus = parts
        for peer in self._peers("absorb"):
            self.deliveries.queue(peer, Entry(parts))

    # members -------------------------------------------------------------------------------

    def hello(self, identity: bytes, hello: Hello, now: float) -> None:
        """A member joins, or joins again after its connection broke."""
        self.leave(identity, died=False)
        for old in list(self.peers.values()):
            if old.name == hello.name or old.role == hello.role == "absorb":
                self._send(old.identity, Refused(f"{hello.name} has taken your place"), ())
                self.leave(old.identity, died=False)
        peer = Peer(identity, hello.role, hello.name, min(hello.credit, IN_FLIGHT), now)
        self.peers[identity] = peer
        if not self._kind:
            self._kind = "all" if hello.role == "all" else "reduce"
            if self._journal is not None:
                self._journal.kind(self.name, self._kind)
            self._drop_unwanted()
        self._tell_what_was(peer)
        for scan in list(self.scans):
            self._maybe_stop(scan)
        self.serve()

    def leave(self, identity: bytes, died: bool) -> None:
        """A member goes; what it holds is for others. died: it may have died of a frame."""
        peer = self.peers.pop(identity, None)
        if peer is None:
            return
        for key in sorted(peer.frames, reverse=True):
            self._give_back(key, alone=peer.alone, died=died)
        kept = [e for e in (*peer.items.values(), *peer.outbox) if e.tracked and e.key is None]
        if peer.role == "all" and not any(self._peers("all")):
            self._backlog.extendleft(reversed(kept))
        elif peer.role == "all":
            self.deliveries.drop(kept)

    def acknowledge(self, identity: bytes, tags: Iterable[int], failed: str) -> None:
        """A member is done with these deliveries; tags that it does not hold mean nothing."""
        peer = self.peers.get(identity)
        if peer is None:
            return
        for tag in tags:
            entry = peer.items.get(tag)
            if entry is None:
                continue
            if entry.key is not None and peer.role == "reduce" and not failed:
                continue  # not a reducer's word to give
            del peer.items[tag]
            if entry.key is not None:
                peer.tags.pop(entry.key, None)
                self._settle(entry.key, failed)
            elif entry.stops:
                self._end_scan(entry.stops)
            else:
                self.deliveries.drop([entry])
        self.deliveries.pump(peer)

    def acknowledge_frame(self, identity: bytes, key: FrameKey, failed: str) -> None:
        """The absorber's word on a frame of this group."""
        peer = self.peers.get(identity)
        if peer is None or peer.role == "reduce":
            return
        tag = peer.tags.pop(key, 0)
        peer.items.pop(tag, None)
        self._settle(key, failed)
        self.deliveries.pump(peer)

    def serve(self) -> None:
        """Give frames to members with credit, and clear away what is gone."""
        self._serve_waiting()
        while self.deliveries.unreachable:
            self.leave(self.deliveries.unreachable.pop(), died=True)
            self._serve_waiting()
        while self.deliveries.unreadable:
            key, why = self.deliveries.unreadable.popleft()
            self._settle(key, f"its reduction cannot be read back from the spool: {why}")
            self._reductions.drop(key)

    def outstanding(self) -> int:
        """Things that members still have to acknowledge; 0 when all is done."""
        stops = sum(s.stop is not None for s in self.scans.values())
        entries = (e for p in self.peers.values() for e in (*p.items.values(), *p.outbox))
        items = sum(e.tracked and e.key is None and not e.stops for e in entries)
        return len(self._frames) + stops + items + len(self._backlog)

    # after the hub was killed: before members come, what a hub before this one had noted ------

    def restore(self, kind: str) -> None:
        """What the group was made of; from here to restored() nothing is concluded, only told."""
        self._restoring = self.deliveries.restoring = True
        self._kind = kind or self._kind

    def restore_settled(self, key: FrameKey, failed: str) -> bool:
        """A last word; False where nothing is held of that frame."""
        scan = self.scans.get(key[0])
        if scan is None or (key not in self._frames and key not in self._reductions):
            return False
        self._settle(key, failed)
        return True

    def restore_delivered(self, number: int) -> None:
        """A message needs no further delivery."""
        for entry in self._backlog:  # mostly the first
            if entry.number == number:
                self._backlog.remove(entry)
                self.deliveries.drop([entry])
                return

    def restore_ended(self, scan: str) -> None:
        """The group had finished a scan."""
        found = self.scans.get(scan)
        if found is None:
            return
        self._end_scan(scan)
        if self._kind == "all" and found.stop is not None:
            self.add_item(found.stop, number=found.stop_number)

    def restored(self) -> None:
        """All has been told: go on from here."""
        self._restoring = self.deliveries.restoring = False
        self._drop_unwanted()  # the hub may have been killed before it had noted that they were
        for scan in list(self.scans):
            self._maybe_stop(scan)

    # within --------------------------------------------------------------------------------
    def _drop_unwanted(self) -> None:
        """A group of reducers wants nothing that is meant for recorders."""
        if self._kind == "reduce":
            self.deliveries.drop(self._backlog)
            self._backlog.clear()

    def _peers(self, role: str) -> Iterator[Peer]:
        return (p for p in self.peers.values() if p.role == role)

    def _takers(self) -> Iterator[Peer]:
        gone = self.deliveries.unreachable
        return (p for p in self.peers.values() if p.role != "absorb" and p.identity not in gone)

    def _serve_waiting(self) -> None:
        while self._suspects:
            idle = next((p for p in self._takers() if not p.frames and not p.outbox), None)
            if idle is None:
                break
            key = self._suspects.popleft()
            if key in self._frames:
                idle.alone = True
                self._give_frame(idle, key, self._suspects)
        while self._waiting:
            free = max(self._takers(), key=Peer.free, default=None)
            if free is None or free.free() <= 0:
                break
            key = self._waiting.popleft()
            if key in self._frames:
                self._give_frame(free, key, self._waiting)

    def _tell_what_was(self, peer: Peer) -> None:
        if peer.role == "all":
            told = {e.starts for e in self._backlog}
            for name, scan in self.scans.items():
                if name not in told:
                    self.deliveries.bytes += size_of(scan.start)
                    self.deliveries.queue(peer, Entry(scan.start, tracked=True, starts=name))
            peer.outbox.extend(self._backlog)
            self._backlog.clear()
            self.deliveries.pump(peer)
            return
        for name, scan in self.scans.items():
            self.deliveries.queue(peer, Entry(scan.start))
            if peer.role != "absorb":
                continue
            scan.stop_given = False
            for index in self._reductions.gone(name):
                reason = "the absorber restarted, and its reduction was not kept that long"
                self._enter(self.name, (name, index), reason)
            for parts in scan.positions:
                self.deliveries.queue(peer, Entry(parts))
            for index, kept in self._reductions.of(name):
                self.deliveries.queue(peer, Entry(kept, key=(name, index), tracked=True))
        if peer.role == "absorb" and self._focus:
            self.deliveries.queue(peer, Entry(self._focus))

    def _maybe_stop(self, name: str) -> None:
        scan = self.scans.get(name)
        if self._restoring or scan is None or scan.stop is None:
            return
        if scan.stop_given or scan.unsettled:
            return
        if self._kind == "all":
            self._end_scan(name)
            self.add_item(scan.stop, number=scan.stop_number)
            return
        for peer in self._peers("absorb"):
            scan.stop_given = True
            self.deliveries.queue(peer, Entry(scan.stop, tracked=True, stops=name))

    def _end_scan(self, name: str) -> None:
        for key in [k for k in self._frames if k[0] == name]:
            self._settle(key, "the absorber finished the scan without it")
        scan = self.scans.pop(name, None)
        if scan is not None:
            if self._journal is not None:
                self._journal.ended(self.name, name)
            self.deliveries.bytes -= sum(size_of(p) for p in scan.positions)
        self._reductions.forget(name)

    def _give_frame(self, peer: Peer, key: FrameKey, queue: deque[FrameKey]) -> None:
        frame = self._frames[key]
        frame.holder = peer.identity
        peer.frames.add(key)
        try:
            reached = self.deliveries.give(peer, Entry(frame.parts, key=key, tracked=True))
        except (Damaged, OSError) as error:
            self._settle(key, f"cannot be read back from the spool: {error}")
            return
        if not reached:
            self._take_from_holder(key, frame)
            queue.appendleft(key)

    def _take_from_holder(self, key: FrameKey, frame: PendingFrame) -> None:
        holder = self.peers.get(frame.holder)
        frame.holder = b""
        if holder is not None:
            holder.frames.discard(key)
            holder.alone = holder.alone and bool(holder.frames)
            holder.items.pop(holder.tags.pop(key, 0), None)
            self.deliveries.pump(holder)

    def _give_back(self, key: FrameKey, alone: bool, died: bool) -> None:
        frame = self._frames[key]
        frame.holder = b""
        frame.deaths += died
        frame.deaths_alone += died and alone
        self.redelivered += 1
        if frame.deaths_alone >= CONDEMNED_AFTER:
            self._settle(key, f"{frame.deaths} members died while they held it")
        elif frame.deaths >= SUSPECT_AFTER:
            self._suspects.append(key)
        else:
            self._waiting.appendleft(key)

    def _settle(self, key: FrameKey, failed: str) -> None:
        """Enter the last word on a frame; again where a restarted absorber says it again."""
        scan = self.scans.get(key[0])
        frame = self._frames.pop(key, None)
        if scan is None or (frame is None and key not in self._reductions):
            return
        if frame is not None:
            self._take_from_holder(key, frame)
            scan.unsettled -= not frame.reduced
            self._reductions.absorbed(key)
        self._enter(self.name, key, failed)
        if frame is not None:
            self._maybe_stop(key[0])

"""The ledger of one scan: what was announced, what came, what became of it in every group.

The invariants, for every announced index at any time:

- it is received, lost, or still to come; a frame both lost and received is received;
- what was withdrawn and did not come is not announced any more: it can be neither lost nor missing;
- in each group a received frame is done, failed, or pending; the last word counts, because a
  restarted absorber's word on a frame replaces that of the one whose memory is gone.

No sockets, no clocks: the hub tells it what happens and asks for the Account.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .messages import Account, GroupAccount, ScanStop, Withdrawal
from .reasons import FewReasons


class LedgerError(ValueError):
    """Something that cannot be true of this scan, e.g. frame 41 of 40."""


class ScanLedger:
    """Counts the frames of one scan.

    announced: frames promised by ScanStart
    groups: names of the groups that have to deal with each frame
    """

    def __init__(
        self, run: str, scan: str, number: int, announced: int, groups: Iterable[str]
    ) -> None:
        self.run = run
        self.scan = scan
        self.number = number
        self.announced = announced
        self.stopped = False
        self._end = announced  # frames from here on are withdrawn, unless they came
        self._why_withdrawn = ""
        self._few = FewReasons()
        self._received: set[int] = set()
        self._duplicates = 0
        self._lost: dict[int, str] = {}
        self._dropped: tuple[str, ...] = ()
        self._done: dict[str, set[int]] = {name: set() for name in groups}
        self._failed: dict[str, dict[int, str]] = {name: {} for name in self._done}

    def receive(self, index: int) -> bool:
        """Enter a frame that came; False where it had come before. Raises LedgerError."""
        if not 0 <= index < self.announced:
            raise LedgerError(
                f"frame {index} of scan {self.scan}, which announced {self.announced} frames"
            )
        if index in self._received:
            self._duplicates += 1
            return False
        self._received.add(index)
        self._lost.pop(index, None)
        return True

    def has(self, index: int) -> bool:
        """Whether frame index has come."""
        return index in self._received

    def done(self, group: str, index: int) -> bool:
        """Enter that group has recorded or absorbed a frame; False where that was known."""
        self._check(group, index)
        if index in self._done[group]:
            return False
        self._failed[group].pop(index, None)
        self._done[group].add(index)
        return True

    def fail(self, group: str, index: int, reason: str) -> bool:
        """Enter that group has given up on a frame; False where that was known."""
        self._check(group, index)
        why = self._few.said(reason, f"frame {index} of scan {self.scan}: ")
        if self._failed[group].get(index) == why:
            return False
        self._done[group].discard(index)
        self._failed[group][index] = why
        return True

    def withdraw(self, message: Withdrawal) -> None:
        """Enter that the frames from message.first on will not be taken. Raises LedgerError."""
        if not 0 < message.first <= self.announced:
            raise LedgerError(
                f"frames from {message.first} on of scan {self.scan} withdrawn, which announced "
                f"{self.announced}"
            )
        if message.first < self._end:
            self._end, self._why_withdrawn = message.first, message.reason
            self._lost = {i: why for i, why in self._lost.items() if i < self._end}

    def without_withdrawn(self, message: ScanStop) -> ScanStop:
        """message, without the loss of frames that nobody meant to take any more."""
        if self._end == self.announced:
            return message
        lost = {i: why for i, why in message.lost.items() if i < self._end}
        return dataclasses.replace(message, lost=lost)

    def stop(self, message: ScanStop) -> None:
        """Enter what the source said at its end: what has not come by now is lost."""
        self.stopped = True
        self._dropped = message.dropped
        missing = set(range(self._end)) - self._received
        silent = f"not received when the source stopped ({message.reason})"
        self._lost = {i: self._few.said(message.lost.get(i, silent)) for i in sorted(missing)}

    def pending(self, group: str) -> int:
        """Frames received and not yet done or failed in group."""
        return len(self._received) - len(self._done[group]) - len(self._failed[group])

    @property
    def closed(self) -> bool:
        """Whether every announced frame is accounted for in every group."""
        return self.stopped and all(self.pending(name) == 0 for name in self._done)

    def account(self) -> Account:
        """The ledger as it stands."""
        withdrawn = self.announced - self._end
        withdrawn -= sum(index >= self._end for index in self._received) if withdrawn else 0
        return Account(
            run=self.run,
            scan=self.scan,
            number=self.number,
            announced=self.announced - withdrawn,
            received=len(self._received),
            duplicates=self._duplicates,
            lost=dict(self._lost),
            groups=tuple(
                GroupAccount(name, len(done), dict(sorted(self._failed[name].items())))
                for name, done in self._done.items()
            ),
            closed=self.closed,
            withdrawn=withdrawn,
            why_withdrawn=self._why_withdrawn if withdrawn else "",
            dropped=self._dropped,
        )

    def _check(self, group: str, index: int) -> None:
        if group not in self._done:
            raise LedgerError(f"group {group!r}, scan {self.scan} is kept for {list(self._done)}")
        if index not in self._received:
            raise LedgerError(f"frame {index} of scan {self.scan} has not come")


def withdrawal_of(account: Account) -> Withdrawal | None:
    """What withdrew the frames that account says were withdrawn; None where there are none."""
    if not account.withdrawn:
        return None
    return Withdrawal(account.scan, account.announced, account.why_withdrawn)

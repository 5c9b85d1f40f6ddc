"""An account in words: every announced frame is somewhere, or it is said which is not, and why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from .messages import Account


def account_sums(account: Account) -> str:
    """The two sums that have to close, in a line.

    A frame that came and could not be recorded is lost to the record, and may be in the results
    all the same; the second sum is then over what came.
    """
    record, process = account.group("record"), account.group("process")
    lost = len(account.lost) + len(record.failed)
    coming = account.announced - record.done - lost
    pending = account.received - process.done - len(process.failed)
    came = "recorded" if record.done == account.received else f"received {account.received}"
    return (
        f"announced {account.announced} = recorded {record.done} + lost {lost}"
        + (f" + still to come {coming}" if coming else "")
        + f"; {came} = in results {process.done} + failed {len(process.failed)} "
        + f"+ pending {max(0, pending)}"
    )


def account_reasons(account: Account) -> list[str]:
    """What is lost, not recorded, failed or dropped: each reason once, with its frames."""
    gone = [
        f"{what}: {line}"
        for what, reasons in (
            ("lost", account.lost),
            ("not recorded", account.group("record").failed),
            ("failed", account.group("process").failed),
        )
        for line in by_reason(reasons)
    ]
    return gone + [f"dropped: {line}" for line in account.dropped]


def by_reason(reasons: dict[int, str]) -> list[str]:
    """Each reason once, with the frames it holds for as ranges."""
    by_words = sorted(reasons.items(), key=lambda item: (item[1], item[0]))
    return [
        f"{ranges(index for index, _ in group)}: {reason}"
        for reason, group in groupby(by_words, key=lambda item: item[1])
    ]


def ranges(indices: Iterable[int]) -> str:
    """Ascending indices in few words: "3-5, 9"."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in found)

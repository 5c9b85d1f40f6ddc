"""The account of a recorded run, in lines: every announced frame is somewhere, or it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from ..stream.messages import Account
from ..stream.run_file import open_run


def say_accounts(file: Path, say: Callable[[str], None]) -> bool:
    """Say the account of every scan; whether all of them close. Raises RunFileError."""
    with open_run(file) as run:
        starts = run.scans()
        accounts = {a.scan: a for a in run.accounts()}
        kept = {start.scan: len(run.frame_indices(start.scan)) for start in starts}
    closed = True
    for start in starts:
        account = accounts.get(start.scan)
        if account is None:
            say(f"scan {start.number}: {start.frames} announced, {kept[start.scan]} in the file, ")
            say("  no account: the run ended before the scan did")
            closed = False
            continue
        closed &= account.closed
        for line in account_lines(account, kept[start.scan]):
            say(line)
    if not starts:
        say("no scan in this file")
    return closed


def account_lines(account: Account, kept: int) -> list[str]:
    """One scan's account; kept: frames that are in the file."""
    record, process = account.group("record"), account.group("process")
    lines = [
        f"scan {account.number}: announced {account.announced} = recorded {record.done} "
        f"+ lost {len(account.lost) + len(record.failed)}; recorded = in results {process.done} "
        f"+ failed {len(process.failed)} + pending {_pending(account)}"
        + ("" if account.closed else "   NOT CLOSED")
    ]
    if account.withdrawn:
        lines.append(
            f"  {account.withdrawn} more were planned and not taken: {account.why_withdrawn}"
        )
    if kept != record.done:
        lines.append(f"  the file holds {kept} frames, the account says {record.done}")
    if account.duplicates:
        lines.append(f"  {account.duplicates} frames came again and were dropped")
    for what, reasons in (
        ("lost", account.lost),
        ("not recorded", record.failed),
        ("failed", process.failed),
    ):
        lines += [f"  {what}: {line}" for line in by_reason(reasons)]
    return lines


def _pending(account: Account) -> int:
    process = account.group("process")
    return max(0, account.received - process.done - len(process.failed))


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

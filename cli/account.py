"""The account of a recorded run, in lines: every announced frame is somewhere, or it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..stream.account_words import account_reasons, account_sums, ranges
from ..stream.messages import Account
from ..stream.run_file import open_run


def say_accounts(file: Path, say: Callable[[str], None]) -> bool:
    """Say the account of every scan; whether all of them close, and the file holds what they say.

    Raises RunFileError.
    """
    with open_run(file) as run:
        starts = run.scans()
        accounts = {a.scan: a for a in run.accounts()}
        kept = {start.scan: run.frame_indices(start.scan) for start in starts}
    closed = True
    for start in starts:
        account, held = accounts.get(start.scan), kept[start.scan]
        if account is None:
            say(f"scan {start.number}: {start.frames} announced, {len(held)} in the file, ")
            say("  no account: the run ended before the scan did")
            closed = False
            continue
        closed &= account.closed and len(held) == account.group("record").done
        for line in account_lines(account, len(held)):
            say(line)
        if len(held) != account.group("record").done:
            say(f"  {_remedy(account, held, file)}")
    if not starts:
        say("no scan in this file")
    return closed


def _remedy(account: Account, kept: list[int], file: Path) -> str:
    """What to do where the file holds other frames than were recorded; kept: indices in it."""
    missing = ""
    if account.closed and not account.withdrawn:  # which frames came is known
        elsewhere = {*account.lost, *account.group("record").failed, *kept}
        missing = ranges(i for i in range(account.announced) if i not in elsewhere)
    return (
        f"{f'missing are {missing}: ' if missing else ''}fetch the file again where it is a copy; "
        f"else `operando recover {file.parent}` while the run's spool is there"
    )


def account_lines(account: Account, kept: int) -> list[str]:
    """One scan's account; kept: frames that are in the file."""
    lines = [
        f"scan {account.number}: {account_sums(account)}"
        + ("" if account.closed else "   NOT CLOSED")
    ]
    if account.withdrawn:
        lines.append(
            f"  {account.withdrawn} more were planned and not taken: {account.why_withdrawn}"
        )
    recorded = account.group("record").done
    if kept != recorded:
        lines.append(f"  the file holds {kept} frames, the account says {recorded}")
    if account.duplicates:
        lines.append(f"  {account.duplicates} frames came again and were dropped")
    return lines + [f"  {line}" for line in account_reasons(account)]

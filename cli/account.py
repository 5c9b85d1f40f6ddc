"""The account of a recorded run, in lines: every announced frame is somewhere, or it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..stream.account_words import account_reasons, account_sums
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

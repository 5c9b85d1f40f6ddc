"""One whole NeXus file out of what a crash left: the spool, and the record as far as it got.

Both are only read. The new file holds every frame that either of them holds, each checked against
the checksum taken at its receipt, and all else that was put; then the account is drawn up anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..stream.compression import checksum
from ..stream.ledger import LedgerError, ScanLedger, withdrawal_of
from ..stream.messages import (
    Account,
    Frame,
    Message,
    Reduction,
    ScanStart,
    ScanStop,
    Withdrawal,
)
from ..stream.packing import PackingError, unpack
from ..stream.recorder import Recorder, RecorderError
from ..stream.run_file import RunFile, RunFileError, open_run
from ..stream.spool import LOGS, PutAgain, Settled, read_spool
from .account import account_lines

FLUSH_EVERY = 64  # frames: what HDF5 keeps in memory stays small

Say = Callable[[str], None]


class RecoverError(ValueError):
    """There is nothing to recover, or nowhere to put it; one line that says which."""


@dataclass
class Recovered:
    """What has been found of the run.

    trouble: what could not be read or written, by name
    in_results: scan -> frames that the absorber had acknowledged; failed: and those it had not
    """

    starts: dict[str, ScanStart] = field(default_factory=dict)
    stops: dict[str, ScanStop] = field(default_factory=dict)
    withdrawals: dict[str, Withdrawal] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)
    in_results: dict[str, set[int]] = field(default_factory=dict)
    failed: dict[str, dict[int, str]] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


def recover_run(folder: Path, to: Path, say: Say) -> bool:
    """Write the file and say the account; whether nothing is missing. Raises RecoverError."""
    spool, finished = folder / "spool", folder / "run.nxs"
    part = finished if finished.is_file() else folder / "run.nxs.part"
    if not part.is_file() and not any((spool / name).is_dir() for name in LOGS):
        raise RecoverError(f"{folder} holds neither a spool nor a record: nothing to recover")
    for taken in (to, to.with_name(to.name + ".part")):
        if taken.exists():
            raise RecoverError(f"{taken} exists: give another --to")
    found = Recovered()
    text = _experiment_text(folder)
    try:
        with Recorder(to, None, text) as recorder:
            if part.is_file():
                _take_record(part, recorder, found)
            _take_spool(spool, recorder, found)
            accounts = _close(recorder, found)
    except RecorderError as error:
        raise RecoverError(str(error)) from None
    if not to.is_file():
        raise RecoverError(f"{to} could not be finished: is the disk full?")
    for account in accounts:
        for line in account_lines(account, len(found.written[account.scan])):
            say(line)
    for line in found.trouble:
        say(f"trouble: {line}")
    say(f"{sum(map(len, found.written.values()))} frames are in {to}")
    say(f"for maps of everything: operando replay {to}")
    return not found.trouble and all(not a.lost for a in accounts)


def _experiment_text(folder: Path) -> str:
    try:
        return (folder / "experiment.yaml").read_text(encoding="utf-8")
    except OSError:
        return ""


def _take_record(part: Path, recorder: Recorder, found: Recovered) -> None:
    """Opened for reading only; where it cannot be read the spool has to do."""
    try:
        with open_run(part) as run:
            _take_run(run, recorder, found)
    except RunFileError as error:
        found.trouble.append(f"{error}; what the spool holds is taken from there")


def _take_run(run: RunFile, recorder: Recorder, found: Recovered) -> None:
    for start in run.scans():
        _take(start, recorder, found)
        for frame in run.frames(start.scan):
            _take(frame, recorder, found)
        for message in (
            *run.positions(start.scan),
            *run.stops(start.scan),
            *run.results(start.scan),
        ):
            _take(message, recorder, found)
        for message in map(withdrawal_of, run.accounts(start.scan)):
            if message is not None:
                _take(message, recorder, found)
    found.trouble += [
        f"frame {index} of scan {scan} in the record: {why}"
        for (scan, index), why in run.damaged.items()
    ]
    for message in (*run.histories(), *run.documents(), *run.requests()):
        _take(message, recorder, found)


def _take_spool(spool: Path, recorder: Recorder, found: Recovered) -> None:
    for past in read_spool(spool, found.trouble.append):
        if isinstance(past, Settled) and past.group == "process":
            for scan, index, reason in past.frames:
                if reason:
                    found.failed.setdefault(scan, {})[index] = reason
                else:
                    found.in_results.setdefault(scan, set()).add(index)
        elif isinstance(past, PutAgain):
            try:
                message = unpack([bytes(p) for p in past.parts])
            except PackingError as error:
                found.trouble.append(f"spool: message {past.stored.number}: {error}")
                continue
            _take(message, recorder, found)


def _take(message: Message, recorder: Recorder, found: Recovered) -> None:
    if isinstance(message, Reduction):
        return
    if isinstance(message, Frame):
        written = found.written.get(message.scan)
        if written is None or message.index in written:
            return  # refused by the hub, or had from the record
        if checksum(message.data) != message.checksum:
            found.trouble.append(f"frame {message.index} of scan {message.scan} is damaged")
            return
    elif isinstance(message, ScanStart):
        if message.scan in found.starts:
            return
        found.starts[message.scan] = message
        found.written[message.scan] = set()
    elif isinstance(message, ScanStop):
        found.stops[message.scan] = message
    elif isinstance(message, Withdrawal):
        found.withdrawals[message.scan] = message
    trouble = recorder.take(message)
    if trouble:
        found.trouble.append(f"a {type(message).__name__} is not in the new file: {trouble}")
    elif isinstance(message, Frame):
        written = found.written[message.scan]
        written.add(message.index)
        if len(written) % FLUSH_EVERY == 0:
            recorder.flush()


def _close(recorder: Recorder, found: Recovered) -> list[Account]:
    """Draw up every scan's account and write it; a scan without an end gets one that says so."""
    accounts = []
    for scan, start in found.starts.items():
        ledger = ScanLedger(start.run, scan, start.number, start.frames, ("record", "process"))
        for index in sorted(found.written[scan]):
            ledger.receive(index)
            ledger.done("record", index)
        if scan in found.withdrawals:
            with contextlib.suppress(LedgerError):  # the hub had refused it, too
                ledger.withdraw(found.withdrawals[scan])
        stop = found.stops.get(scan)
        if stop is None:
            why = "not received when the run was killed"
            missing = set(range(start.frames)) - found.written[scan]
            stop = ScanStop(
                scan, ledger.account().received, "failed: the run was killed",
                dict.fromkeys(sorted(missing), why),
            )  # fmt: skip
        stop = ledger.without_withdrawn(stop)
        recorder.take(stop)
        ledger.stop(stop)
        for index in found.in_results.get(scan, set()) & found.written[scan]:
            ledger.done("process", index)
        for index, reason in found.failed.get(scan, {}).items():
            try:
                ledger.fail("process", index, reason)
            except LedgerError:  # it never came
                continue
        account = ledger.account()
        recorder.take(account)
        accounts.append(account)
    return accounts

"""Whether a disturbed run kept its promises: account, frames, results, memory, cell.

The results are compared with those of the same frames analysed in one go (soak_reference.py). They
have to be the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..stream.account_words import by_reason
from ..stream.messages import Account, Result, Samples
from ..stream.run_file import RunFile, RunFileError, open_run
from .experiment import Experiment
from .folder import RunFolder
from .recover import RecoverError, recover_run
from .replay import same
from .soak_reference import Reference
from .soak_schedule import KILL_SIM_IN_CURRENT, Fault

OPEN_STATES = ("IDLE", "HOLD_OCV", "FINISHED", "LIMIT", "FAULT", "DISCONNECTED")


@dataclass
class Verdict:
    """What is left of a run, and every promise that it did not keep, in words.

    lost: reason -> frames; lost_shares: of each scan's announced frames, by its number
    same: final results that are the same bytes as the undisturbed ones, of results
    """

    announced: int = 0
    recorded: int = 0
    in_results: int = 0
    failed: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    lost_shares: dict[int, float] = field(default_factory=dict)
    same: int = 0
    results: int = 0
    cell: str = ""
    problems: list[str] = field(default_factory=list)


def verdict_of(
    folder: RunFolder,
    experiment: Experiment,
    cell: str,
    may_lose: bool,
    not_recorded: int,
    ended: Fault | None = None,
) -> Verdict:
    """Look through everything that a run left behind.

    cell: the potentiostat's own last word, "" where it could not be asked any more
    may_lose: one of the faults may cost frames, each by name
    not_recorded: frames that could not be written: they are recovered from the spool first
    ended: the fault after which the run could not go on
    """
    found = Verdict()
    part = folder.file.with_name(folder.file.name + ".part")
    try:
        file = folder.file
        if not_recorded or (part.exists() and not file.exists()):
            file = folder.path / "run.recovered.nxs"
            recover_run(folder.path, file, lambda line: None)
        with open_run(folder.file if folder.file.exists() else part) as run:
            _judge(found, run, file, experiment, may_lose)
            if not run.scans() and (ended is None or ended.phase == "scanning"):
                found.problems.append("no scan was recorded")
            found.cell = cell or f"{last_state(run.histories())}, as recorded"
            lease_s = experiment.potentiostat.lease_s
            if ended == KILL_SIM_IN_CURRENT:
                found.cell += f"; it was killed in current: open by its lease of {lease_s:g} s"
            else:
                found.problems += cell_problems(cell, run.histories())
    except (RunFileError, OSError) as error:
        found.problems.append(f"no record: {error}")
    except RecoverError as error:
        found.problems.append(f"what could not be recorded is not recovered: {error}")
    return found


def _judge(
    found: Verdict,
    run: RunFile,
    file: Path,
    experiment: Experiment,
    may_lose: bool,
) -> None:
    accounts = {account.scan: account for account in run.accounts()}
    for start in sorted(run.scans(), key=lambda s: s.number):  # a clock may have jumped
        account = accounts.get(start.scan)
        if account is None:
            found.problems.append(f"scan {start.number}: no account")
            continue
        kept = len(run.frame_indices(start.scan))
        found.announced += account.announced
        found.recorded += kept
        found.in_results += account.group("process").done
        found.failed += len(account.group("process").failed)
        # somebody else's series may carry a number again; the plan's own is the better one
        share = len(account.lost) / account.announced
        found.lost_shares[start.number] = min(share, found.lost_shares.get(start.number, 1.0))
        for reason in account.lost.values():
            found.lost[reason] = found.lost.get(reason, 0) + 1
        found.problems += account_problems(account, kept, may_lose)
    with open_run(file) as whole:
        for start in run.scans():
            frames, account = len(whole.frame_indices(start.scan)), accounts.get(start.scan)
            if account is not None and frames != account.received:
                found.problems.append(
                    f"scan {start.number}: {account.received} frames came, {frames} are in "
                    f"{file.name}"
                )
        left_out = {scan: list(a.group("process").failed) for scan, a in accounts.items()}
        reference = Reference(whole, experiment, left_out)
        for place in range(len(reference.starts)):
            _compare(found, run, reference, place)
        found.problems += [
            f"frame {index} of scan {scan}: {why}" for (scan, index), why in whole.damaged.items()
        ]


def _compare(found: Verdict, run: RunFile, reference: Reference, place: int) -> None:
    start = reference.starts[place]
    made = {(r.consumer, r.name): r for r in run.results(start.scan) if r.final}
    wanted = {(r.consumer, r.name): r for r in reference.results(place)}
    wrong = results_problems(start.number, made, wanted)
    found.problems += wrong
    found.results += len(wanted)
    found.same += len(wanted) - len(wrong)


def account_problems(account: Account, kept: int, may_lose: bool) -> list[str]:
    """What does not add up in the account of a scan of which kept frames are in the file."""
    record, process = account.group("record"), account.group("process")
    where = f"scan {account.number}"
    wrong = []
    if not account.closed:
        wrong.append(f"{where}: its account is open")
    if account.announced != account.received + len(account.lost):
        wrong.append(
            f"{where}: announced {account.announced}, received {account.received}, "
            f"lost {len(account.lost)}"
        )
    if record.done != kept:
        wrong.append(f"{where}: {record.done} recorded by the account, {kept} in the file")
    wrong += [
        f"{where}: of {account.received} frames {group.name} has done {group.done} "
        f"and given up {len(group.failed)}"
        for group in (record, process)
        if group.done + len(group.failed) != account.received
    ]
    nameless = sum(not r for g in (account.lost, record.failed, process.failed) for r in g.values())
    if nameless:
        wrong.append(f"{where}: {nameless} frames are gone without a reason")
    if account.lost and not may_lose:
        wrong += [f"{where}: lost, for no fault: {line}" for line in by_reason(account.lost)]
    return wrong


def results_problems(
    number: int,
    made: Mapping[tuple[str, str], Result],
    wanted: Mapping[tuple[str, str], Result],
) -> list[str]:
    """Where the final results of a scan are not the undisturbed ones, byte for byte."""
    wrong = [f"scan {number}: {'.'.join(key)} is missing" for key in wanted.keys() - made.keys()]
    wrong += [f"scan {number}: {'.'.join(key)} is too many" for key in made.keys() - wanted.keys()]
    for key in sorted(made.keys() & wanted.keys()):
        if not same(made[key], wanted[key]):
            wrong.append(f"scan {number}: {'.'.join(key)} differs from the undisturbed one")
    return wrong


def cell_problems(cell: str, histories: list[Samples]) -> list[str]:
    """Whether current flowed at the end: by the potentiostat's word, else by the record."""
    if cell:
        return [] if cell in OPEN_STATES else [f"the potentiostat says {cell}: current may flow"]
    if not histories or not len(histories[-1].states):
        return ["nothing is known of the cell"]
    current_a = float(histories[-1].current_a[-1])
    if current_a != 0 or not np.isfinite(current_a):
        return [f"the cell's last recorded current is {current_a:g} A"]
    return []


def last_state(histories: list[Samples]) -> str:
    """The last recorded state of the cell."""
    return str(histories[-1].states[-1]) if histories and len(histories[-1].states) else "unknown"


def memory_problems(
    peaks_mb: Mapping[str, float], quiet_mb: Mapping[str, float], allowance_mb: float
) -> list[str]:
    """Parts whose memory went above that of the undisturbed run by more than the allowance."""
    return [
        f"{part} took {peak:.0f} MB, undisturbed {quiet_mb[part]:.0f} MB"
        for part, peak in peaks_mb.items()
        if part in quiet_mb and peak > quiet_mb[part] + allowance_mb
    ]


def left_behind(folder: Path) -> list[str]:
    """Processes that still work in folder, by their command lines."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        line = " ".join(word.decode(errors="replace") for word in words).strip()
        if str(folder) in line and "operando.cli.main" in line and " soak" not in line:
            found.append(line)
    return [f"left running: {line}" for line in found]

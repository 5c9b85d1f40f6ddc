"""The findings of a run's finished scans: bounded, in memory, and on disk for whoever comes after.

Every state is a snapshot that is replaced as a whole, so one thread may keep while another asks.
With a folder, what changed is on disk when keep() returns: an absorber that is killed after it had
acknowledged a scan leaves behind what later scans rest on, and its successor reads it. A disk that
refuses costs the successor, never this process; so does a damaged file: each is named in the log.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

from ..stream.messages import ScanStart
from .findings import WIDE, Findings, role_of
from .findings_file import (
    SUFFIX,
    FindingsDamaged,
    Kept,
    path_of,
    read_findings,
    write_findings,
)

RUNS_KEPT = 2  # the run before this one may still have a scan that is not finished
SCANS_KEPT = 100  # of a run, besides those that surround others

Run = dict[int, Kept]  # by the scan's number

log = logging.getLogger(__name__)


class EarlierScans:
    """What is known of finished scans.

    folder: where it is kept; what is there already is known; None: in memory only
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._runs: dict[str, Run] = {}  # the one that was added to last comes last
        if folder is not None:
            for kept in _read_all(folder):
                self._runs = _with(self._runs, kept)

    def keep(self, start: ScanStart, found: Mapping[str, Findings]) -> None:
        """Take what each consumer, by name, found in a scan; instead of what was known of it.

        A scan that is not what its description says, as one that somebody else took with the
        description of another, hands nothing down: it would take that one's place.
        """
        if "description_problem" in start.notes:
            return
        before = self._runs
        self._runs = _with(before, Kept(start.run, start.number, role_of(start), dict(found)))
        if self._folder is not None:
            try:
                _bring_up_to_date(self._folder, before, self._runs)
            except OSError as error:
                log.warning(
                    "findings of scan %d are not on disk, one who is started again goes without: "
                    "%s",
                    start.number,
                    error,
                )

    def before(self, start: ScanStart, consumer: str) -> tuple[Findings, ...]:
        """What consumer found in the scans of the same run that were taken before, oldest first."""
        run = self._runs.get(start.run, {})
        return tuple(
            kept.found[consumer]
            for number, kept in sorted(run.items())
            if number < start.number and consumer in kept.found
        )

    def unknown(self, start: ScanStart) -> bool:
        """Whether the run has earlier scans and nothing is known of any."""
        run = self._runs.get(start.run, {})
        return start.number > 1 and not any(number < start.number for number in run)


def _with(runs: Mapping[str, Run], kept: Kept) -> dict[str, Run]:
    """runs with another scan, within the bounds; what does not change is the same object."""
    run = {n: _slim(old, kept.role) for n, old in runs.get(kept.run, {}).items()}
    run[kept.number] = kept
    plain = [number for number, each in sorted(run.items()) if each.role not in WIDE]
    for number in plain[:-SCANS_KEPT]:
        del run[number]
    others = {name: each for name, each in runs.items() if name != kept.run}
    return dict([*others.items(), (kept.run, run)][-RUNS_KEPT:])


def _slim(old: Kept, role: str) -> Kept:
    """What stays of a scan when one of that role is finished: fields are large.

    A slice takes the field from all that surround nobody; a part of it only from other parts, as
    further parts of the same slice are still to be freed of what that one saw.
    """
    if role in WIDE or old.role in WIDE or (role == "roi" and old.role != "roi"):
        return old
    if all(found.field is None for found in old.found.values()):
        return old
    slim = {name: dataclasses.replace(found, field=None) for name, found in old.found.items()}
    return dataclasses.replace(old, found=slim)


def _bring_up_to_date(folder: Path, before: Mapping[str, Run], now: Mapping[str, Run]) -> None:
    """Write what is new in memory, then remove what is no longer there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for run, scans in now.items():
        for number, kept in scans.items():
            if before.get(run, {}).get(number) is not kept:
                write_findings(folder, kept)
    for run, scans in before.items():
        for number in scans.keys() - now.get(run, {}).keys():
            path_of(folder, run, number).unlink(missing_ok=True)


def _read_all(folder: Path) -> list[Kept]:
    """All sound findings in folder, in the order in which the scans of a run were taken."""
    found: list[tuple[int, Kept]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            found.append((path.stat().st_mtime_ns, read_findings(path)))
        except (FindingsDamaged, OSError) as error:
            log.warning("findings in %s are left out: %s", folder, error)
    newest: dict[str, int] = {}
    for time_ns, kept in found:
        newest[kept.run] = max(time_ns, newest.get(kept.run, 0))
    return [
        kept for _, kept in sorted(found, key=lambda each: (newest[each[1].run], each[1].number))
    ]

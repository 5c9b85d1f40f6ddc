"""What a scan hands down to the later scans of its run, and where that is kept.

A region-of-interest scan needs what surrounds its field, a particle needs its name: both stand in
scans that were taken before. Findings are what such a scan leaves behind when its final results
are made: immutable, small, and all that a later scan of the same run may know of it.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from ..stream.messages import ScanStart
from .field import Field
from .tracking import ParticleFindings

# What a scan is for, by its note "role": a slice of the sample that stands for itself; the whole
# cell, wide and coarse, for what holds the sample; the whole sample, coarse; a part of it, fine
ROLES = ("slice", "broad", "coarse", "roi")
WIDE = ("broad", "coarse")  # surround others
RUNS_KEPT = 2  # the run before this one may still have a scan that is not finished
SCANS_KEPT = 100  # of a run, besides those that surround others


def role_of(start: ScanStart) -> str:
    """What the scan is for, one of ROLES; whatever else the note says is a slice."""
    role = str(start.notes.get("role", "slice"))
    return role if role in ROLES else "slice"


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What one consumer found in one scan, for later scans; each subject has a field of its own.

    scan, number: of the scan; role: one of ROLES; sample: its note "sample", "" where it has none
    field: its volume, for scans that see a part of it
    particles: identities and their history up to this scan
    """

    scan: str
    number: int
    role: str
    sample: str
    field: Field | None = None
    particles: ParticleFindings | None = None

    @classmethod
    def of(cls, start: ScanStart) -> Findings:
        """Those of a scan, still without any subject."""
        return cls(start.scan, start.number, role_of(start), str(start.notes.get("sample", "")))


class EarlierScans:
    """The findings of finished scans, in memory and bounded; a new process knows none."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, dict[int, dict[str, Findings]]] = OrderedDict()

    def keep(self, start: ScanStart, found: Mapping[str, Findings]) -> None:
        """Take what each consumer, by name, found in a scan; instead of what was known of it."""
        run = self._runs.setdefault(start.run, {})
        if role_of(start) not in WIDE:  # fields are large: of slices, the newest's is enough
            for number, each in run.items():
                run[number] = {name: _without_field(old) for name, old in each.items()}
        run[start.number] = dict(found)
        self._runs.move_to_end(start.run)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        plain = [
            number
            for number, each in sorted(run.items())
            if not any(findings.role in WIDE for findings in each.values())
        ]
        for number in plain[:-SCANS_KEPT]:
            del run[number]

    def before(self, start: ScanStart, consumer: str) -> tuple[Findings, ...]:
        """What consumer found in the scans of the same run that were taken before, oldest first."""
        run = self._runs.get(start.run, {})
        return tuple(
            found[consumer]
            for number, found in sorted(run.items())
            if number < start.number and consumer in found
        )

    def unknown(self, start: ScanStart) -> bool:
        """Whether the run has earlier scans and nothing is known of any."""
        run = self._runs.get(start.run, {})
        return start.number > 1 and not any(number < start.number for number in run)


def _without_field(found: Findings) -> Findings:
    slim = found.role in WIDE or found.field is None
    return found if slim else dataclasses.replace(found, field=None)

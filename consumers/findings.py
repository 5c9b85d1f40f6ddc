"""What a scan hands down to the later scans of its run.

A region-of-interest scan needs what surrounds its field, a particle needs its name: both stand in
scans that were taken before. Findings are what such a scan leaves behind when its final results
are made: immutable, small, and all that a later scan of the same run may know of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..stream.messages import ScanStart
from .field import Field
from .tracking import ParticleFindings

# What a scan is for, by its note "role": a slice of the sample that stands for itself; the whole
# cell, wide and coarse, for what holds the sample; the whole sample, coarse; a part of it, fine
ROLES = ("slice", "broad", "coarse", "roi")
WIDE = ("broad", "coarse")  # surround others


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

"""A scan in words: what it is called, how it ended, and what is not final about its maps."""

from __future__ import annotations

from ..stream.messages import Result
from .model import ScanRecord

GOOD_ENOUGH = "good enough"  # in the plan's reason where a map decided
WIDE = {"broad": "Broad scan", "coarse": "Coarse scan"}


def role_of(scan: ScanRecord) -> str:
    """What the scan is for: "slice", or "broad", "coarse", "roi"."""
    return str(scan.start.notes.get("role", "slice")) if scan.start else "slice"


def is_slice(scan: ScanRecord) -> bool:
    """True for a tomogram of the whole slice; the others serve one or follow one."""
    return role_of(scan) == "slice"


def called(scan: ScanRecord) -> str:
    """Pause 2; Region in pause 2 for a finer scan; Coarse scan before the discharge."""
    role = role_of(scan)
    pause = scan.start.notes.get("mark", scan.number) if scan.start else scan.number
    if role in WIDE:
        return WIDE[role]
    return f"Region in pause {pause}" if role == "roi" else f"Pause {pause}"


def with_voltage(scan: ScanRecord) -> str:
    """Pause 2, 4.064 V."""
    cell = scan.start.cell if scan.start else None
    return called(scan) + (f", {cell.voltage_v:.3f} V" if cell else "")


def ended_early(scan: ScanRecord) -> str:
    """How a scan that took fewer frames than planned, on purpose, ended; "" for any other.

    ended early: good enough (64 of 120 angles)
    """
    account = scan.account
    if account is None or not account.withdrawn:
        return ""
    why = account.why_withdrawn.removeprefix("not taken: ")
    why = GOOD_ENOUGH if GOOD_ENOUGH in why else why.partition(":")[0]
    return f"ended early{': ' if why else ''}{why} ({taken_of(scan)})"


def taken_of(scan: ScanRecord) -> str:
    """How much of a scan that ended early was taken: 64 of 120 angles."""
    account = scan.account
    taken = account.announced if account else 0
    planned = taken + (account.withdrawn if account else 0)
    trajectory = scan.start.trajectory if scan.start else None
    if trajectory is None or len(trajectory.grid) != 2:
        return f"{taken} of {planned} frames"
    lines, points = trajectory.grid
    turns = any("rot" in axis.name for axis in trajectory.axes)
    return f"{taken // points} of {lines} {'angles' if turns else 'lines'}"


def provisional(scan: ScanRecord, result: Result) -> str:
    """What is written on a map that is not final or not whole; "" on one that is both."""
    if not result.final:
        return f"provisional · {result.completeness * 100:.0f} %"
    if result.completeness >= 0.9995:
        return ""
    return ended_early(scan) or f"incomplete · {result.completeness * 100:.0f} %"

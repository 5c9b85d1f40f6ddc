"""The table that a run leaves: Markdown, one line a peer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .machine import Machine
from .rows import Row

if TYPE_CHECKING:
    from .store import Measured


def seconds(value: float) -> str:
    """A time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    return ""


def markdown(measured: Sequence[Measured]) -> str:
    """The whole page."""
    rows = [row for each in measured for row in each.rows]
    lines = ["# Side by side", "", *provenance(measured), ""]
    nearest = goals(rows)
    if nearest:
        lines += ["## Goals, each against the peer that is nearest", "", *nearest, ""]
    lines += ["## Every row", "", *every_row(rows)]
    for section in (section for each in measured for section in each.sections):
        lines += ["", f"## {section.title}", "", section.text]
    notes = _notes(rows)
    if notes:
        lines += ["", "## Agreement and notes", "", *notes]
    return "\n".join(lines) + "\n"


def provenance(measured: Sequence[Measured]) -> list[str]:
    """By which commands, when and on what machine: a line for each that differs."""
    runs: dict[tuple[str, str, Machine], list[str]] = {}
    for each in measured:
        runs.setdefault((each.command, each.when, each.machine), []).append(each.name)
    lines = []
    for (command, when, machine), names in sorted(runs.items(), key=lambda run: -len(run[1])):
        which = f" ({', '.join(names)} again)" if lines else ""
        lines.append(
            f"`{command}`, {when}{which}: {machine.processor}, {machine.cores} cores, "
            f"{machine.memory_gb:g} GB; {machine.system}, Python {machine.python}; "
            f"load {machine.load:g} when it began; source {machine.source or 'unknown'}.  "
        )
    return [line.rstrip() if line is lines[-1] else line for line in lines]


def every_row(rows: Sequence[Row]) -> list[str]:
    """A line a peer."""
    return [
        "Wall times, median (least to most). Ratio: how many times faster than the peer; by",
        "processor time in brackets where that differs by a tenth. One thread each unless the work",
        "says otherwise." + _busy(rows),
        "",
        "| work | peer | ours | peer | ratio | goal | |",
        "|---|---|---|---|---|---|---|",
        *map(_line, rows),
    ]


def goals(rows: Sequence[Row]) -> list[str]:
    """For every goal the peer that comes nearest to us, or why there is no answer."""
    nearest: dict[tuple[str, float], Row] = {}
    for row in rows:
        if math.isnan(row.goal):
            continue
        key = (row.work, row.goal)
        known = nearest.get(key)
        if known is None or _nearness(row) < _nearness(known):
            nearest[key] = row
    if not nearest:
        return []
    lines = ["| work | peer | ours | peer | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    for row in nearest.values():
        times = [seconds(t) if t > 0 else "" for t in (row.ours_s, row.peer_s)]
        ratio = f"{row.ratio:.3g}" if row.ratio > 0 else ""
        lines.append(
            f"| {row.work} | {row.peer} | {times[0]} | {times[1]} | {ratio} | {row.goal:g} "
            f"| {row.verdict()} |"
        )
    return lines


def _nearness(row: Row) -> float:
    return math.inf if math.isnan(row.ratio) else row.ratio


def _busy(rows: Sequence[Row]) -> str:
    """A warning where other programs took the processor during single-thread work."""
    alone = [r for r in rows if r.threads == 1 and r.ours_cpu_s > 0]
    held_up = [r for r in alone if r.ours_cpu_s < 0.9 * r.ours_s]
    if not held_up:
        return ""
    return (
        f" **The machine was busy**: in {len(held_up)} of {len(alone)} rows ours got less than "
        "90 % of a core."
    )


def _line(row: Row) -> str:
    ratio = "" if math.isnan(row.ratio) else f"**{row.ratio:.3g}**"
    if row.threads == 1 and abs(row.cpu_ratio() / row.ratio - 1) > 0.1:
        ratio += f" ({row.cpu_ratio():.3g})"
    goal = "" if math.isnan(row.goal) else f"{row.goal:g}"
    cells = (
        row.work,
        f"{row.peer} {row.peer_version}".strip(),
        _time(row.ours_s, row.ours_range_s),
        _time(row.peer_s, row.peer_range_s),
        ratio,
        goal,
        row.verdict(),
    )
    return "| " + " | ".join(cells) + " |"


def _time(median: float, ends: tuple[float, float]) -> str:
    if math.isnan(median):
        return ""
    if math.isnan(ends[0]):
        return seconds(median)
    return f"{seconds(median)} ({seconds(ends[0])} to {seconds(ends[1])})"


def _notes(rows: Sequence[Row]) -> list[str]:
    return [
        f"- {row.work}; {row.peer}: {'; '.join(t for t in (row.difference, row.note) if t)}"
        for row in rows
        if row.difference or row.note
    ]

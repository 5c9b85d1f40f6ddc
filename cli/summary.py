"""How a run went: summary.json for scripts, lines for people, figures for both."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .against_truth import lattice_errors
from .folder import RunFolder
from .observer import Observer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the supervisor knows when everything has ended.

    trouble: what went wrong; notes: what went wrong and was mended, like a part started again
    """

    interrupted: bool
    trouble: list[str]
    notes: list[str]
    wall_s: float

    @property
    def failed(self) -> bool:
        """Whether the run did not do what it was asked to."""
        return bool(self.trouble)


def write_summary(
    folder: RunFolder,
    observer: Observer,
    outcome: Outcome,
    say: Callable[[str], None],
    marks: int = 0,
) -> dict[str, Any]:
    """Write and say how it went; marks: how many pauses were planned."""
    from .report import report_of_file

    pictures = [str(p) for p in sorted(folder.window.glob("*.png"))]
    if folder.file.is_file() and observer.scans:
        say("drawing the report")
        try:
            pictures += [str(p) for p in report_of_file(folder.file, folder.report)]
        except Exception as error:  # whatever it is: the run itself must be summed up
            log.exception("the report could not be drawn")
            outcome.trouble.append(f"the report could not be drawn: {error!r}")
    totals = observer.totals()
    errors = lattice_errors(folder.truth, list(observer.finals.values()))
    summary = {
        "account": totals,
        "closed": totals["announced"] == totals["recorded"] + totals["lost"]
        and totals["received"] == totals["in_results"] + totals["failed"],
        "scans": [
            {
                "number": s.start.number,
                "frames": s.start.frames,
                "frames_per_s": _number(s.frames_per_s()),
                "lattice_error_median_A": _number(errors.get(s.start.number, math.nan)),
                "role": s.start.notes.get("role", "slice"),
                "not_taken": s.account.withdrawn if s.account is not None else 0,
                "why_not_taken": s.account.why_withdrawn if s.account is not None else "",
                "saved_s": _number(s.saved_s()),
            }
            for s in sorted(observer.scans.values(), key=lambda s: s.start.number)
        ],
        "marks_planned": marks,
        "marks_taken": len(
            {s.start.notes.get("mark") for s in observer.scans.values() if s.complete()}
            - {None, 0}  # wide scans, before the first mark
        ),
        "first_map_s": _number(observer.first_map_s()),
        "wall_s": round(outcome.wall_s, 2),
        "frames_per_s": _number(observer.frames_per_s()),
        "lattice_error_median_A": _number(_median(list(errors.values()))),
        "cell_state": observer.cell_state or None,
        "cell_voltage_V": _number(observer.voltage_v),
        "interrupted": outcome.interrupted,
        "trouble": outcome.trouble,
        "notes": outcome.notes,
        "file": str(folder.file) if folder.file.is_file() else None,
        "pictures": pictures,
    }
    folder.summary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    for line in _lines(summary):
        say(line)
    say(f"everything is in {folder.path}")
    return summary


def _early(scan: dict[str, Any]) -> str:
    """What a scan that ended early has, and what that saved."""
    taken = scan["frames"] - scan["not_taken"]
    line = (
        f"scan {scan['number']}: {taken} of {scan['frames']} frames "
        f"({100 * taken / scan['frames']:.0f} %), {scan['saved_s'] or 0:.1f} s saved; "
    )
    if scan["lattice_error_median_A"] is not None:
        line += f"median |a - a_true| {scan['lattice_error_median_A']:.5f} Å; "
    return line + scan["why_not_taken"]


def _median(values: list[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return float(np.median(finite)) if finite else math.nan


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return round(value, 6) if math.isfinite(value) else None


def _lines(summary: dict[str, Any]) -> list[str]:
    account = summary["account"]
    lines = [
        "account: announced {announced} = recorded {recorded} + lost {lost}; "
        "recorded = in results {in_results} + failed {failed}".format(**account)
        + ("" if summary["closed"] else "   DOES NOT CLOSE"),
    ]
    if summary["marks_taken"] < summary["marks_planned"]:
        lines.append(
            f"only {summary['marks_taken']} of {summary['marks_planned']} marks have a whole scan"
        )
    if summary["cell_state"]:
        lines.append(f"cell: {summary['cell_state']} at {summary['cell_voltage_V']} V")
    if summary["first_map_s"] is not None:
        lines.append(
            f"first map {summary['first_map_s']:.1f} s after the first frame, "
            f"{summary['frames_per_s'] or 0:.0f} frames/s"
        )
    if summary["lattice_error_median_A"] is not None:
        lines.append(
            "median |a - a_true| in solid-solution voxels: "
            f"{summary['lattice_error_median_A']:.5f} Å"
        )
    lines += [_early(scan) for scan in summary["scans"] if scan["not_taken"]]
    lines += [f"trouble: {line}" for line in summary["trouble"]]
    return lines

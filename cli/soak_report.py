"""What a soak says at its end: a table for people, soak.json for scripts."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .experiment import Experiment
from .folder import RunFolder
from .soak_laboratory import Struck
from .soak_measure import Measure
from .soak_verdict import Verdict
from .summary import Outcome


@dataclass
class RunRecord:
    """One run of a soak.

    frames_per_s: over all scans; not_recorded: frames that could not be written to the file
    judged: whether the verdict is one; not where the run was stopped by hand
    """

    folder: RunFolder
    experiment: Experiment
    outcome: Outcome
    struck: list[Struck]
    measure: Measure
    cell: str
    frames_per_s: float
    not_recorded: int
    disturbed_s: float
    verdict: Verdict = field(default_factory=Verdict)
    judged: bool = True


def say_table(records: list[RunRecord], seed: int, say: Callable[[str], None]) -> bool:
    """Say how it went; whether every promise was kept. records: the first is undisturbed."""
    quiet, *disturbed = records
    judged = [r for r in disturbed if r.judged]
    problems = [f"{r.folder.path.name}: {p}" for r in records for p in r.verdict.problems]
    kinds = Counter(str(s.fault) for r in disturbed for s in r.struck)
    say("")
    say(f"seed {seed}, {len(disturbed)} disturbed runs, {sum(kinds.values())} faults")
    for kind, count in sorted(kinds.items()):
        say(f"  {kind:<28}{count:>5}")
    for name, value in _figures(quiet, judged):
        say(f"{name:<12}{value}")
    for part, numbers in memory(quiet, disturbed).items():
        say(f"{'memory':<12}{part:<12}" + _memory_words(numbers))
    for line in problems:
        say(f"BROKEN      {line}")
    good = not problems and bool(judged) and bool(kinds)
    say("every promise was kept" if good else "NOT every promise was kept, or none was tested")
    return good


def _figures(quiet: RunRecord, judged: list[RunRecord]) -> list[tuple[str, str]]:
    verdicts = [r.verdict for r in judged]
    lost: Counter[str] = Counter()
    for verdict in verdicts:
        lost.update(verdict.lost)
    unwritten = sum(r.not_recorded for r in judged)
    recorded = sum(v.recorded for v in verdicts)
    rows = [
        (
            "account",
            f"announced {sum(v.announced for v in verdicts)} = recorded {recorded} "
            f"+ lost {sum(lost.values())}"
            + (f" + recovered {unwritten} that the full disk refused" if unwritten else "")
            + f"; in results {sum(v.in_results for v in verdicts)} "
            f"+ failed {sum(v.failed for v in verdicts)}",
        ),
        *(("", f"lost {count}: {reason}") for reason, count in lost.most_common(8)),
        (
            "results",
            f"{sum(v.same for v in verdicts)} of {sum(v.results for v in verdicts)} the same as "
            "undisturbed, bit for bit",
        ),
        ("cell", ", ".join(f"{n} x {c}" for c, n in Counter(v.cell for v in verdicts).items())),
    ]
    numbers = figures(quiet, judged)
    rows.append(
        (
            "lag",
            "median {lag_median_s:.2f} s, max {lag_max_s:.1f} s; undisturbed "
            "{quiet_lag_median_s:.2f} s, {quiet_lag_max_s:.1f} s".format(**numbers),
        )
    )
    rows.append(
        (
            "rate",
            "{frames_per_s:.1f} frames/s, undisturbed {quiet_frames_per_s:.1f}: ratio "
            "{rate_ratio:.2f}".format(**numbers),
        )
    )
    return rows


def figures(quiet: RunRecord, judged: list[RunRecord]) -> dict[str, float]:
    """Lag and rate of the disturbed runs beside the undisturbed one."""
    lags = [lag for r in judged for lag in r.measure.lags_s]
    rates = [r.frames_per_s for r in judged if math.isfinite(r.frames_per_s)]
    mean = sum(rates) / len(rates) if rates else math.nan
    quiet_median, quiet_max = quiet.measure.lag_s()
    return {
        "lag_median_s": median(lags) if lags else math.nan,
        "lag_max_s": max(lags, default=math.nan),
        "quiet_lag_median_s": quiet_median,
        "quiet_lag_max_s": quiet_max,
        "frames_per_s": mean,
        "quiet_frames_per_s": quiet.frames_per_s,
        "rate_ratio": mean / quiet.frames_per_s,
    }


def memory(quiet: RunRecord, disturbed: list[RunRecord]) -> dict[str, dict[str, float]]:
    """Part -> peak and slope of its memory, with faults (worst run, median run) and without."""
    found: dict[str, dict[str, float]] = {}
    quiet_peaks, quiet_slopes = quiet.measure.peaks_mb(), quiet.measure.slopes_mb_min()
    for part, quiet_peak in sorted(quiet_peaks.items()):
        peaks = [r.measure.peaks_mb().get(part, math.nan) for r in disturbed]
        slopes = [r.measure.slopes_mb_min().get(part, math.nan) for r in disturbed]
        finite = [s for s in slopes if math.isfinite(s)]
        found[part] = {
            "peak_MB": max(peaks, default=math.nan),
            "slope_MB_per_min": median(finite) if finite else math.nan,
            "quiet_peak_MB": quiet_peak,
            "quiet_slope_MB_per_min": quiet_slopes[part],
        }
    return found


def _memory_words(numbers: dict[str, float]) -> str:
    def slope(value: float) -> str:
        return f"{value:+.1f} MB/min" if math.isfinite(value) else "lives too short for a slope"

    return (
        f"peak {numbers['peak_MB']:.0f} MB, {slope(numbers['slope_MB_per_min'])}; undisturbed "
        f"{numbers['quiet_peak_MB']:.0f} MB, {slope(numbers['quiet_slope_MB_per_min'])}"
    )


def write_json(records: list[RunRecord], seed: int, good: bool, path: Path) -> None:
    """Everything that the table rests on."""
    quiet, *disturbed = records
    judged = [r for r in disturbed if r.judged]
    text = json.dumps(
        {
            "seed": seed,
            "every_promise_kept": good,
            "figures": _finite(figures(quiet, judged)),
            "memory": {part: _finite(n) for part, n in memory(quiet, disturbed).items()},
            "runs": [_run_values(record) for record in records],
        },
        indent=1,
    )
    path.write_text(text, encoding="utf-8")


def _run_values(record: RunRecord) -> dict[str, Any]:
    verdict = record.verdict
    return {
        "folder": str(record.folder.path),
        "wall_s": round(record.outcome.wall_s, 1),
        "judged": record.judged,
        "faults": [
            {"at_s": round(s.at_s, 2), "fault": str(s.fault), "phase": s.phase}
            for s in record.struck
        ],
        "announced": verdict.announced,
        "recorded": verdict.recorded,
        "not_recorded": record.not_recorded,
        "lost": verdict.lost,
        "in_results": verdict.in_results,
        "failed": verdict.failed,
        "results": verdict.results,
        "results_same": verdict.same,
        "cell": verdict.cell,
        "frames_per_s": round(record.frames_per_s, 2) if record.frames_per_s > 0 else None,
        "trouble": record.outcome.trouble,
        "problems": verdict.problems,
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {k: round(v, 3) if math.isfinite(v) else None for k, v in values.items()}

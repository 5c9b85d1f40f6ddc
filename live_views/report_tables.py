"""The numbers of a finished run as tables of text: its pauses, its particles, its requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .model import RunModel, ScanRecord
from .particle_facts import accused, particle_rows, verdict_of
from .particle_panel import numbers_of
from .quantities import known
from .request_words import asked_for, outcome
from .scan_words import called, ended_early
from .words import number

PAUSES = (
    "scan", "voltage (V)", "charge (µA h)", "frames announced", "in results", "lost or failed",
    "voxels", "median a (Å)", "10 to 90 % (Å)", "median σ(a) (Å)", "in the window", "complete",
)  # fmt: skip
MOST_PARTICLES = 80  # lines; of more particles only those that deviate


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text in the order of the headings; words: how many columns from the left are words.

    note: a sentence below it, "" for none
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""


def tables_of(model: RunModel) -> list[Table]:
    """Those of a run that have a line."""
    pauses = Table("Scans", PAUSES, tuple(_row(scan) for scan in model.scans()))
    made = (pauses, particle_table(model), request_table(model))
    return [table for table in made if table.rows]


def particle_table(model: RunModel) -> Table:
    """Every particle of every scan, as on its card; of very many those that deviate."""
    found = [
        (scan, name, row) for scan in model.scans() for name, row in particle_rows(scan).items()
    ]
    note = ""
    if len(found) > MOST_PARTICLES:
        note = f"Of {len(found)} lines those that deviate; all are in particles.csv."
        found = [(s, name, row) for s, name, row in found if name in accused(particle_rows(s))]
    cells = [dict(numbers_of(row)) for _, _, row in found]
    columns = list(dict.fromkeys(what for row in cells for what in row))
    rows = tuple(
        (
            called(scan), str(name), verdict_of(row) or "–",
            *(text.get(what, "–") for what in columns),
        )
        for (scan, name, row), text in zip(found, cells, strict=True)
    )  # fmt: skip
    return Table("Particles", ("scan", "particle", "verdict", *columns), rows, 3, note)


def request_table(model: RunModel) -> Table:
    """What was asked of the plan, why, and what became of it."""
    names = {scan.scan: called(scan) for scan in model.scans()}
    rows = tuple(
        (names.get(r.proposal.scan, "–"), asked_for(r.proposal), r.proposal.reason, outcome(r))
        for r in model.requests.all()
        if r.proposal is not None
    )
    return Table("Requests", ("rests on", "asked for", "reason", "outcome"), rows, 4)


def _row(scan: ScanRecord) -> tuple[str, ...]:
    cell = scan.start.cell if scan.start else None
    account = scan.account
    announced = account.announced if account else scan.start.frames if scan.start else None
    done = str(account.group("process").done) if account else "–"
    lattice = scan.result("lattice_parameter")
    values = np.empty(0) if lattice is None else known(lattice.values)
    sigma = np.empty(0)
    if lattice is not None and lattice.uncertainty is not None:
        sigma = known(lattice.uncertainty)
    inside = "–"
    if lattice is not None and "forbidden_low" in lattice.attrs and values.size:
        low, high = (number(lattice.attrs.get(f"forbidden_{k}")) for k in ("low", "high"))
        count = int(((values >= low) & (values <= high)).sum())
        inside = f"{count} ({100 * count / values.size:.1f} %)"
    spread = np.percentile(values, (10, 90)) if values.size else None
    complete = f"{100 * scan.completeness():.1f} %" if account or lattice is not None else "–"
    return (
        called(scan),
        f"{cell.voltage_v:.4f}" if cell else "–",
        f"{cell.charge_ah * 1e6:.2f}".replace("-", "−") if cell else "–",
        "–" if announced is None else str(announced),
        done,
        str(scan.lost()) if account or scan.stop else "–",
        str(values.size),
        f"{np.median(values):.4f}" if values.size else "–",
        f"{spread[0]:.4f} to {spread[1]:.4f}" if spread is not None else "–",
        f"{np.median(sigma):.5f}" if sigma.size else "–",
        inside,
        ended_early(scan) or complete,
    )

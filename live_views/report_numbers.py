"""The numbers of a finished run as a table: text for people, Markdown and HTML alike."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from .model import RunModel, ScanRecord
from .quantities import known
from .words import number

HEADINGS = (
    "pause", "voltage (V)", "charge (µA h)", "frames announced", "in results", "lost or failed",
    "voxels", "median a (Å)", "10 to 90 % (Å)", "median σ(a) (Å)", "in the window", "complete",
)  # fmt: skip


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #16202a; max-width: 1500px;
       margin: 32px auto; padding: 0 24px; }
table { border-collapse: collapse; margin: 18px 0; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid #d3dae1; }
th { font-weight: 600; vertical-align: bottom; }
img { max-width: 100%; border: 1px solid #d3dae1; border-radius: 6px; }
h2 { font-size: 18px; margin-top: 30px; }
"""


@dataclass(frozen=True, slots=True)
class PauseNumbers:
    """One row of the table, as text, in the order of HEADINGS."""

    cells: tuple[str, ...]


def pause_numbers(model: RunModel) -> list[PauseNumbers]:
    """One row a pause."""
    return [PauseNumbers(_row(scan)) for scan in model.scans()]


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
    return (
        str(scan.number),
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
        f"{100 * scan.completeness():.1f} %" if account or lattice is not None else "–",
    )


def as_markdown(title: str, rows: list[PauseNumbers], figures: list[tuple[str, str]]) -> str:
    """A report in Markdown; figures are (caption, file name)."""
    lines = [f"# {title}", "", "| " + " | ".join(HEADINGS) + " |", "|" + " ---: |" * len(HEADINGS)]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    for caption, name in figures:
        lines += ["", f"## {caption}", "", f"![{caption}]({name})"]
    return "\n".join(lines) + "\n"


def as_html(title: str, rows: list[PauseNumbers], figures: list[tuple[str, str]]) -> str:
    """A report as one HTML page beside its figures."""
    head = "".join(f"<th>{html.escape(h)}</th>" for h in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row.cells) + "</tr>\n"
        for row in rows
    )
    shown = "".join(
        f'<h2>{html.escape(caption)}</h2><img src="{html.escape(name)}" alt="">'
        for caption, name in figures
    )
    name = html.escape(title)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>{STYLE}</style>
<h1>{name}</h1><table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table>{shown}</html>
"""

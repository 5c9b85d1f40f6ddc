"""The figures and numbers of a finished run.

Every figure is a PDF of vectors and a PNG at the size it is printed; report.html and
report.md have the tables and the figures with their captions, particles.csv every particle of every
scan. Same quantity, same colours as in the window. No display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from ..stream.messages import Message
from .figures.catalogue import Named, figures_of
from .figures.sheet import COLUMN_MM, DPI, journal_style
from .model import RunModel
from .particle_facts import particle_csv
from .report_page import Shown, as_html, as_markdown
from .report_tables import tables_of


def write_report(
    messages: Iterable[Message], out: Path, only: Sequence[str] = (), dpi: int = DPI
) -> list[Path]:
    """Write the report of the run that messages tell of into out; the files that were written.

    only: names of figures, or patterns such as map-*; these alone are drawn then, without a page
    dpi: of the PNG files; letters and lines keep their sizes
    Raises ValueError where messages hold no scan or no figure has a name wanted, OSError where a
    file cannot be written.
    """
    model = RunModel()
    for message in messages:
        model.take(message)
    if not model.scans():
        raise ValueError("the report needs a scan, the messages hold none")
    wanted = _wanted(figures_of(model), only)
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    shown: list[Shown] = []
    with journal_style():
        for figure in wanted:
            sheet = figure.draw()
            written += sheet.save(out, figure.name, dpi)
            wide = sheet.width_mm > COLUMN_MM
            shown.append(Shown(figure.name, figure.title, figure.caption, wide))
    if only:
        return written
    texts = {"particles.csv": particle_csv(model)}
    title, tables = _title(model), tables_of(model)
    texts["report.md"] = as_markdown(title, tables, shown)
    texts["report.html"] = as_html(title, tables, shown)
    for name, text in texts.items():
        if text:
            (out / name).write_text(text, encoding="utf-8")
            written.append(out / name)
    return written


def _wanted(figures: list[Named], only: Sequence[str]) -> list[Named]:
    for pattern in only:
        if not any(fnmatchcase(figure.name, pattern) for figure in figures):
            names = ", ".join(figure.name for figure in figures)
            raise ValueError(f"this run has no figure {pattern!r}; it has {names}")
    if not only:
        return [figure for figure in figures if figure.always]
    return [figure for figure in figures if any(fnmatchcase(figure.name, p) for p in only)]


def _title(model: RunModel) -> str:
    starts = [s.start for s in model.scans() if s.start is not None]
    when = f", {datetime.fromtimestamp(starts[0].time):%Y-%m-%d %H:%M}" if starts else ""
    scans = len(model.scans())
    return f"Run {model.run[:8]}{when}: {scans} scan{'s' if scans != 1 else ''}"

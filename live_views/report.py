"""The figures and numbers of a finished run, drawn with the window's own panels.

Same quantity, same colours, same range in every pause. Each figure is a PNG and a PDF of its own,
the PDF drawn in lines; report.png has all of them on one page, report.html and report.md the table
and the figures, particles.csv every particle of every pause.
"""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from PySide6 import QtCore, QtWidgets

from ..stream.messages import Message
from .cell_panel import CellPanel
from .colour_bar import ColourBar
from .histogram_panel import HistogramPanel
from .kit import Card
from .map_canvas import MapCanvas
from .map_panel import colour_range, provisional
from .model import RunModel, ScanRecord
from .particle_facts import outlines_of, particle_csv
from .pattern_panel import PatternPanel
from .picture import save_picture, save_vector
from .quantities import Quantity, map_of, quantities_of, unit_text
from .ranges import Ranges
from .report_numbers import HEADINGS, PauseNumbers, as_html, as_markdown, pause_numbers
from .sinogram_panel import SinogramPanel
from .theme import LIGHT, Theme, application, colour_table, style_sheet
from .trend_panel import TrendPanel
from .view_state import ViewState

COLUMNS = 4  # maps side by side
WIDTH = 1800
PAPER_MM = 183.0  # a figure over both columns of a journal
SCALE = 1.5  # pixels of a picture per pixel of a screen


def write_report(messages: Iterable[Message], out: Path, theme: Theme = LIGHT) -> list[Path]:
    """Write the figures of the run that messages tell of into out; the files that were written.

    Raises ValueError where messages hold no scan, OSError where a file cannot be written.
    """
    model = RunModel()
    for message in messages:
        model.take(message)
    if not model.scans():
        raise ValueError("the report needs a scan, the messages hold none")
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application()
    rows = pause_numbers(model)
    title = _title(model)
    page = QtWidgets.QWidget()
    page.setObjectName("report")
    page.setStyleSheet(style_sheet(theme))
    figures = _figures(model, theme)
    column = QtWidgets.QVBoxLayout(page)
    column.setContentsMargins(24, 22, 24, 24)
    column.setSpacing(12)
    heading = QtWidgets.QLabel(title)
    heading.setObjectName("pagetitle")
    column.addWidget(heading)
    column.addWidget(_table(rows))
    for _, _, widget in figures:
        column.addWidget(widget)
    _settle(page)
    written = [
        save_picture(widget, out / f"{name}.png", SCALE) for name, _, widget in figures
    ]  # fmt: skip
    written += [save_vector(widget, out / f"{name}.pdf", PAPER_MM) for name, _, widget in figures]
    written.append(save_picture(page, out / "report.png", SCALE))
    table = particle_csv(model)
    if table:
        (out / "particles.csv").write_text(table, encoding="utf-8")
        written.append(out / "particles.csv")
    shown = [(caption, f"{name}.png") for name, caption, _ in figures]
    for name, text in (
        ("report.md", as_markdown(title, rows, shown)),
        ("report.html", as_html(title, rows, shown)),
    ):
        (out / name).write_text(text, encoding="utf-8")
        written.append(out / name)
    page.close()
    page.deleteLater()
    return written


def _title(model: RunModel) -> str:
    starts = [s.start for s in model.scans() if s.start is not None]
    when = f", {datetime.fromtimestamp(starts[0].time):%Y-%m-%d %H:%M}" if starts else ""
    pauses = len(model.scans())
    return f"Run {model.run[:8]}{when}: {pauses} pause{'s' if pauses != 1 else ''}"


def _figures(model: RunModel, theme: Theme) -> list[tuple[str, str, QtWidgets.QWidget]]:
    """(file name, caption, widget) of each figure; the widgets are drawn."""
    ranges = Ranges()
    found: list[tuple[str, str, QtWidgets.QWidget]] = []
    for quantity in quantities_of(model.scans()):
        if any(map_of(scan, quantity) is not None for scan in model.scans()):
            key = quantity.key if quantity.of_uncertainty else quantity.result
            name = key.replace(" ", "-")
            found.append((f"map-{name}", quantity.title, _maps(model, ranges, quantity, theme)))
    found.append(("histograms", "Histograms of a", _histograms(model, ranges, theme)))
    pair = _beside(_trend(model, ranges, theme), _cell(model, theme))
    found.append(("cell", "Lattice parameter and cell", pair))
    found.append(("patterns", "Mean patterns and fits", _patterns(model, ranges, theme)))
    found.append(("sinograms", "Sinograms", _sinograms(model, ranges, theme)))
    return found


def _maps(model: RunModel, ranges: Ranges, quantity: Quantity, theme: Theme) -> QtWidgets.QWidget:
    card = Card(quantity.title)
    card.note.setText("every pause, one colour scale")
    view = ViewState(ranges, quantity=quantity)
    grid = QtWidgets.QGridLayout()
    scans = model.scans()
    side = (WIDTH - 190) // COLUMNS
    bar = ColourBar(theme)
    for at, scan in enumerate(scans):
        head = QtWidgets.QLabel(_pause(scan))
        head.setObjectName("title")
        canvas = MapCanvas(theme)
        canvas.setFixedSize(side, side - 8)
        shown = map_of(scan, quantity)
        if shown is None:
            canvas.clear_map("no map")
        else:
            low, high = colour_range(model, view, shown)
            badge = provisional(scan, shown)
            canvas.show_map(
                shown,
                low,
                high,
                colour_table(quantity.key),
                badge=badge,
                outlines=outlines_of(scan),
            )
            unit = f" ({unit_text(shown.unit)})" if shown.unit else ""
            bar.set(low, high, colour_table(quantity.key), quantity.title + unit)
        grid.addWidget(head, 2 * (at // COLUMNS), at % COLUMNS)
        grid.addWidget(canvas, 2 * (at // COLUMNS) + 1, at % COLUMNS)
    grid.addWidget(bar, 1, min(COLUMNS, len(scans)))
    grid.setColumnStretch(COLUMNS + 1, 1)
    card.body.addLayout(grid)
    return card


def _histograms(model: RunModel, ranges: Ranges, theme: Theme) -> QtWidgets.QWidget:
    panels = []
    for scan in model.scans():
        panel = HistogramPanel(theme, ViewState(ranges, number=scan.number))
        panel.brush_button.hide()
        panel.refresh(model)
        panel.title.setText(_pause(scan))
        panels.append(panel)
    return _grid(panels, 280)


def _patterns(model: RunModel, ranges: Ranges, theme: Theme) -> QtWidgets.QWidget:
    panels = []
    for scan in model.scans():
        panel = PatternPanel(theme, ViewState(ranges, number=scan.number))
        panel.setFixedHeight(340)
        panel.resize((WIDTH - 60) // 2, 340)
        panel.refresh(model)
        panel.title.setText(_pause(scan))
        panels.append(panel)
    return _grid(panels, 340, 2)


def _sinograms(model: RunModel, ranges: Ranges, theme: Theme) -> QtWidgets.QWidget:
    panels = []
    for scan in model.scans():
        panel = SinogramPanel(theme, ViewState(ranges, number=scan.number))
        panel.refresh(model)
        panel.title.setText(_pause(scan))
        panels.append(panel)
    return _grid(panels, 280)


def _trend(model: RunModel, ranges: Ranges, theme: Theme) -> QtWidgets.QWidget:
    panel = TrendPanel(theme, ViewState(ranges))
    panel.refresh(model)
    panel.setFixedSize(560, 380)
    return panel


def _cell(model: RunModel, theme: Theme) -> QtWidgets.QWidget:
    panel = CellPanel(theme, ViewState(Ranges()))
    panel.refresh(model)
    panel.setFixedHeight(380)
    return panel


def _pause(scan: ScanRecord) -> str:
    cell = scan.start.cell if scan.start else None
    return f"Pause {scan.number}" + (f" · {cell.voltage_v:.3f} V" if cell else "")


def _grid(
    panels: Sequence[QtWidgets.QWidget], height: int, columns: int = COLUMNS
) -> QtWidgets.QWidget:
    holder = QtWidgets.QWidget()
    grid = QtWidgets.QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(10)
    columns = min(columns, max(2, len(panels)))
    for at, panel in enumerate(panels):
        panel.setFixedHeight(height)
        grid.addWidget(panel, at // columns, at % columns)
    for column in range(columns):
        grid.setColumnStretch(column, 1)
    return holder


def _beside(left: QtWidgets.QWidget, right: QtWidgets.QWidget) -> QtWidgets.QWidget:
    holder = QtWidgets.QWidget()
    row = QtWidgets.QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(10)
    row.addWidget(left)
    row.addWidget(right, 1)
    return holder


def _table(rows: list[PauseNumbers]) -> QtWidgets.QWidget:
    card = Card("Numbers")
    grid = QtWidgets.QGridLayout()
    grid.setHorizontalSpacing(22)
    grid.setVerticalSpacing(5)
    right = QtCore.Qt.AlignmentFlag.AlignRight
    for column, text in enumerate(HEADINGS):
        label = QtWidgets.QLabel(html.unescape(text))
        label.setObjectName("note")
        grid.addWidget(label, 0, column, right)
        for at, row in enumerate(rows):
            grid.addWidget(QtWidgets.QLabel(row.cells[column]), at + 1, column, right)
    card.body.addLayout(grid)
    return card


def _settle(page: QtWidgets.QWidget) -> None:
    """Give every widget its size, twice: what depends on a size is drawn when it is known."""
    page.setFixedWidth(WIDTH)
    page.setAttribute(QtCore.Qt.WidgetAttribute.WA_DontShowOnScreen)
    page.show()
    page.adjustSize()
    for _ in range(3):
        QtWidgets.QApplication.processEvents()

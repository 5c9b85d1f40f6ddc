"""Two pauses side by side on one scale, and their difference around zero."""

from __future__ import annotations

import dataclasses

import numpy as np
from PySide6 import QtCore, QtWidgets

from .colour_bar import ColourBar
from .kit import Card
from .map_canvas import MapCanvas
from .map_panel import colour_range
from .model import RunModel, ScanRecord
from .quantities import MapOf, known, map_of, unit_text
from .scan_words import provisional
from .theme import Theme, colour_table
from .view_state import ViewState


class ComparePanel(Card):
    """Emits closed() when the person has seen enough, and picked(row, column) on a click."""

    closed = QtCore.Signal()
    picked = QtCore.Signal(int, int)

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Compare")
        self._view = view
        self.add_button("back to live (Esc)", "Leave the comparison").clicked.connect(self.closed)
        self.maps = [MapCanvas(theme) for _ in range(3)]
        self.heads = [QtWidgets.QLabel("") for _ in range(3)]
        self.same, self.difference = ColourBar(theme), ColourBar(theme)
        grid = QtWidgets.QGridLayout()
        for column, at in ((0, 0), (1, 1), (3, 2)):
            self.heads[at].setObjectName("headline")
            grid.addWidget(self.heads[at], 0, column)
            grid.addWidget(self.maps[at], 1, column)
            grid.setColumnStretch(column, 1)
            self.maps[at].picked.connect(self.picked)
        grid.addWidget(self.same, 1, 2)
        grid.addWidget(self.difference, 1, 4)
        grid.setRowStretch(1, 1)
        self.body.addLayout(grid, 1)

    def refresh(self, model: RunModel) -> None:
        """Draw the two pauses that are chosen."""
        view = self._view
        if len(view.compared) != 2:
            return
        scans = [model.scan(n) for n in view.compared]
        maps = [map_of(s, view.quantity) for s in scans]
        name = view.quantity.title
        self.title.setText(name)
        table = colour_table(view.quantity.key)
        for at, (scan, shown) in enumerate(zip(scans, maps, strict=True)):
            self.heads[at].setText(f"{'AB'[at]}: pause {view.compared[at]}{_volts(scan)}")
            if scan is None or shown is None:
                self.maps[at].clear_map("no map of this pause")
                continue
            low, high = colour_range(model, view, shown)
            badge = provisional(scan, shown.result)
            self.maps[at].show_map(shown, low, high, table, picked=view.picked, badge=badge)
            unit = f" ({unit_text(shown.unit)})" if shown.unit else ""
            self.same.set(low, high, table, name + unit)
        self.heads[2].setText("B − A")
        self._draw_difference(maps[0], maps[1])

    def _draw_difference(self, a: MapOf | None, b: MapOf | None) -> None:
        if a is None or b is None or a.values.shape != b.values.shape:
            self.maps[2].clear_map("no difference:\nthe two maps have other grids")
            self.note.setText("")
            return
        change = b.values - a.values
        moved = known(change)
        reach = float(np.percentile(np.abs(moved), 98)) if moved.size else 1.0
        reach = reach or 1e-6
        shown = dataclasses.replace(b, values=change, answered=a.answered & b.answered)
        table = colour_table("difference")
        self.maps[2].show_map(shown, -reach, reach, table, picked=self._view.picked)
        unit = unit_text(b.unit)
        self.difference.set(-reach, reach, table, f"change ({unit})" if unit else "change")
        if moved.size:
            middle = b.quantity.text(float(np.median(moved)), "+")
            self.note.setText(f"median change {middle} {unit} in {moved.size} voxels")


def _volts(scan: ScanRecord | None) -> str:
    cell = scan.start.cell if scan and scan.start else None
    return f" · {cell.voltage_v:.3f} V" if cell else ""

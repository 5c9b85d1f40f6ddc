"""The lattice parameter across the pauses: the sample's middle and spread, and the picked voxel."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore

from .kit import Card, EmptyNote, plot, tint
from .model import RunModel
from .quantities import known
from .theme import Theme
from .view_state import ViewState
from .words import marks, number, with_uncertainty

Row = tuple[int, float, float, float, float, float]


class TrendPanel(Card):
    """One point a pause: median with its 10-90 % band; the voxel with its standard uncertainty."""

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("a across the pauses")
        self._theme, self._view = theme, view
        self.plot = plot(theme, "pause", "a (Å)", 56)
        item = self.plot.getPlotItem()
        item.setMouseEnabled(x=False, y=False)
        self._window = pg.LinearRegionItem(
            orientation="horizontal", movable=False, brush=tint(theme.forbidden, 36)
        )
        for line in self._window.lines:
            line.setPen(pg.mkPen(None))
        self._window.setZValue(-20)
        self._spread = pg.ErrorBarItem(pen=pg.mkPen(tint(theme.active, 150), width=7), beam=0)
        self._median = pg.PlotDataItem(
            pen=pg.mkPen(theme.active, width=1), symbol="o", symbolSize=8,
            symbolBrush=theme.active, symbolPen=pg.mkPen(theme.card),
        )  # fmt: skip
        self._bars = pg.ErrorBarItem(pen=pg.mkPen(theme.picked, width=1), beam=0.06)
        self._voxel = pg.PlotDataItem(
            pen=pg.mkPen(theme.picked, width=1, style=QtCore.Qt.PenStyle.DashLine), symbol="s",
            symbolSize=8, symbolBrush=theme.picked, symbolPen=pg.mkPen(theme.card),
        )  # fmt: skip
        for one in (self._window, self._spread, self._median, self._bars, self._voxel):
            item.addItem(one, ignoreBounds=True)
        self.body.addWidget(self.plot, 1)
        self.empty = EmptyNote(self.plot, self.plot.getPlotItem())

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        rows = across_pauses(model, self._view.picked)
        self.empty.say("" if rows else "no map yet")
        self._voxel.setVisible(self._view.picked is not None)
        self._bars.setVisible(self._view.picked is not None)
        self._window.setVisible(False)
        if not rows:
            self._median.setData([], [])
            self._spread.setOpts(x=np.empty(0), y=np.empty(0), top=np.empty(0), bottom=np.empty(0))
            self.note.setText("")
            return
        table = np.array(rows)
        n, low, middle, high, voxel, sigma = table.T
        self._median.setData(n, middle)
        self._spread.setOpts(x=n, y=middle, top=high - middle, bottom=middle - low)
        known = np.isfinite(voxel)
        self._voxel.setData(n[known], voxel[known])
        err = np.nan_to_num(sigma[known])
        self._bars.setOpts(x=n[known], y=voxel[known], top=err, bottom=err)
        self._frame(model, table)
        if self._view.picked is None:
            self.note.setText("median, bar: 10 to 90 %")
        elif known.any():
            last = with_uncertainty(float(voxel[known][-1]), float(sigma[known][-1]), "Å")
            self.note.setText(f"□ voxel: {last}")
        else:
            self.note.setText("□ voxel: no value")

    def _frame(self, model: RunModel, table: np.ndarray) -> None:
        values = table[:, 1:5][np.isfinite(table[:, 1:5])]
        low, high = float(values.min()), float(values.max())
        pad = 0.12 * (high - low) or 0.01
        self.plot.setYRange(low - pad, high + pad, padding=0)
        first, last = pauses_shown(table[:, 0], marks(model))
        self.plot.setXRange(first - 0.5, last + 0.5, padding=0)
        whole = [(k, str(k)) for k in range(first, last + 1, max(1, (last - first) // 10))]
        self.plot.getPlotItem().getAxis("bottom").setTicks([whole])
        for scan in model.scans():
            result = scan.result("lattice_parameter")
            if result is not None and "forbidden_low" in result.attrs:
                window = (number(result.attrs[f"forbidden_{k}"]) for k in ("low", "high"))
                self._window.setRegion(tuple(window))
                self._window.setVisible(True)


def pauses_shown(numbers: np.ndarray, planned: int) -> tuple[int, int]:
    """First and last pause of the axis: those planned, else room for three more than the first."""
    first, last = int(numbers[0]), int(numbers[-1])
    return (min(1, first), max(planned, last)) if planned else (first, max(last, first + 3))


def across_pauses(model: RunModel, picked: tuple[int, int] | None) -> list[Row]:
    """For each pause with a map: number, 10, 50, 90 % of a, the voxel's a and its sigma [Å]."""
    rows: list[Row] = []
    for scan in model.scans():
        result = scan.result("lattice_parameter")
        if result is None or result.values.ndim != 2:
            continue
        values = known(result.values)
        if not values.size:
            continue
        low, middle, high = (float(p) for p in np.percentile(values, (10, 50, 90)))
        voxel = sigma = float("nan")
        shape = result.values.shape
        if picked is not None and picked[0] < shape[0] and picked[1] < shape[1]:
            voxel = float(result.values[picked])
            if result.uncertainty is not None:
                sigma = float(result.uncertainty[picked])
        rows.append((scan.number, low, middle, high, voxel, sigma))
    return rows

"""The histogram of the lattice parameter, with the window that pure spinel cannot occupy."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore

from .kit import Card, EmptyNote, plot, tint
from .map_panel import colour_range
from .model import RunModel, ScanRecord
from .quantities import QUANTITIES, known, map_of
from .theme import Theme, colour_table
from .view_state import ViewState
from .words import number

PREVIOUS = 6  # outlines of earlier pauses: more are a tangle


class HistogramPanel(Card):
    """Emits brushed() when the brush moves; bars have the map's colours."""

    brushed = QtCore.Signal()

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Histogram of a")
        self._theme, self._view = theme, view
        self.brush_button = self.add_button("brush", "Highlight voxels of a range of a (B)", True)
        self.brush_button.toggled.connect(self._toggle)
        self.plot = plot(theme, "Lattice parameter a (Å)", "voxels", 56)
        item = self.plot.getPlotItem()
        item.setMouseEnabled(x=False, y=False)
        self._window = pg.LinearRegionItem(movable=False, brush=tint(theme.forbidden, 46))
        for line in self._window.lines:
            line.setPen(pg.mkPen(theme.forbidden, style=QtCore.Qt.PenStyle.DashLine))
        self._window.setZValue(-20)
        self._window.setVisible(False)
        self._window_text = pg.TextItem(
            "impossible for\npure spinel", color=theme.forbidden, anchor=(0.5, 0.0)
        )
        self._bars = pg.BarGraphItem(x=[], height=[], width=1.0)
        self._brush = pg.LinearRegionItem(brush=tint(theme.text, 36), pen=pg.mkPen(theme.text))
        self._brush.setZValue(20)
        self._brush.setVisible(False)
        self._brush.sigRegionChanged.connect(self._moved)
        for one in (self._window, self._bars, self._brush):
            item.addItem(one)
        item.addItem(self._window_text, ignoreBounds=True)
        self._window_text.setVisible(False)
        self._brush_waits = False  # switched on before there was a histogram to place it in
        self._outlines: list[pg.PlotDataItem] = []
        self.body.addWidget(self.plot, 1)
        self.empty = EmptyNote(self.plot, self.plot.getPlotItem())

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        scan = self._view.scan(model)
        result = scan.result("lattice_histogram") if scan else None
        if scan is None or result is None or "a" not in result.coords or not result.values.size:
            self.empty.say("no histogram yet")
            self._bars.setOpts(x=[], height=[])
            self.note.setText("")
            return
        self.empty.say("")
        centres = np.asarray(result.coords["a"], np.float64)
        counts = np.nan_to_num(np.asarray(result.values, np.float64))
        step = float(np.median(np.diff(centres))) if centres.size > 1 else 0.001
        self._draw_bars(model, scan, centres, counts, step)
        tops = [counts.max(initial=1.0)]
        occupied = [centres[counts > 0]]
        earlier = [s for s in model.scans() if s.number < scan.number][-PREVIOUS:]
        for at in range(max(len(earlier), len(self._outlines))):
            self._draw_outline(at, earlier, tops, occupied)
        low, high = (number(result.attrs.get(f"forbidden_{k}")) for k in ("low", "high"))
        self._frame(tops, occupied, step, low, high)
        self.note.setText(_in_window(scan, low, high))
        if self._brush_waits:
            self._place_brush()

    def _draw_bars(
        self, model: RunModel, scan: ScanRecord, x: np.ndarray, counts: np.ndarray, step: float
    ) -> None:
        shown = map_of(scan, QUANTITIES[0])
        low, high = colour_range(model, self._view, shown) if shown else (x[0], x[-1])
        place = np.clip((x - low) / (high - low) * 255, 0, 255).astype(int)
        colours = colour_table("lattice_parameter")[place]
        some = counts > 0
        self._bars.setOpts(
            x=x[some], height=counts[some], width=step,
            brushes=[pg.mkBrush(*c) for c in colours[some].tolist()], pen=pg.mkPen(None),
        )  # fmt: skip

    def _draw_outline(
        self, at: int, earlier: list[ScanRecord], tops: list[float], occupied: list[np.ndarray]
    ) -> None:
        if at >= len(self._outlines):
            outline = pg.PlotDataItem(stepMode="center")
            outline.setZValue(-10)
            self.plot.addItem(outline)
            self._outlines.append(outline)
        line = self._outlines[at]
        result = earlier[at].result("lattice_histogram") if at < len(earlier) else None
        line.setVisible(result is not None)
        if result is None or "a" not in result.coords:
            return
        x = np.asarray(result.coords["a"], np.float64)
        y = np.nan_to_num(np.asarray(result.values, np.float64))
        some = np.flatnonzero(y)
        if x.size < 2 or not some.size:
            line.setVisible(False)
            return
        part = slice(max(0, some[0] - 1), some[-1] + 2)
        edges = np.r_[x[part] - (x[1] - x[0]) / 2, x[part][-1] + (x[1] - x[0]) / 2]
        recent = len(earlier) - 1 - at
        line.setData(edges, y[part])
        line.setPen(pg.mkPen(tint(self._theme.text, max(60, 190 - 45 * recent))))
        tops.append(float(y.max()))
        occupied.append(x[some])

    def _frame(
        self, tops: list[float], occupied: list[np.ndarray], step: float, low: float, high: float
    ) -> None:
        known = np.isfinite(low) and np.isfinite(high)
        xs = np.concatenate([*occupied, np.array([low, high]) if known else np.empty(0)])
        if xs.size:
            left, right = float(xs.min()), float(xs.max())
            pad = max(3 * step, 0.06 * (right - left))
            self.plot.setXRange(left - pad, right + pad, padding=0)
        self.plot.setYRange(0, max(tops) * 1.22, padding=0)
        self._window.setVisible(bool(known))
        self._window_text.setVisible(bool(known))
        if known:
            self._window.setRegion((low, high))
            self._window_text.setPos((low + high) / 2, max(tops) * 1.21)

    def _toggle(self, on: bool) -> None:
        self._brush.setVisible(on)
        self._brush_waits = on
        if on and self._bars.opts["x"] is not None and len(self._bars.opts["x"]):
            self._place_brush()
        self._moved()

    def _place_brush(self) -> None:
        self._brush_waits = False
        left, right = self.plot.getPlotItem().viewRange()[0]
        third = (right - left) / 3
        region = self._window.getRegion() if self._window.isVisible() else None
        self._brush.setRegion(region or (left + third, right - third))

    def _moved(self) -> None:
        on = self.brush_button.isChecked() and not self._brush_waits
        low, high = self._brush.getRegion()
        self._view.brush = (float(low), float(high)) if on else None
        self.brushed.emit()


def _in_window(scan: ScanRecord, low: float, high: float) -> str:
    lattice = scan.result("lattice_parameter")
    if lattice is None or not np.isfinite([low, high]).all():
        return f"pause {scan.number}; earlier ones outlined"
    values = known(lattice.values)
    inside = int(((values >= low) & (values <= high)).sum())
    share = f" ({100 * inside / values.size:.0f} %)" if values.size else ""
    return f"{inside} voxels{share} in the window"

"""The powder pattern of the picked voxel, or the mean one: data, fit, difference, reflections."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtWidgets

from ..stream.messages import Result
from .kit import Card, EmptyNote, label_axis, plot, style_axes
from .map_canvas import nice_length
from .model import RunModel, ScanRecord
from .quantities import unit_text
from .theme import Theme, font
from .view_state import ViewState
from .words import number, with_uncertainty

AXIS_WIDTH = 62


class PatternPanel(Card):
    """The upper plot has data and fit, the lower one their difference on the same axis."""

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Powder pattern")
        self._theme, self._view = theme, view
        self.plot = plot(theme, "", "intensity", AXIS_WIDTH)
        self.rest = plot(theme, "q (Å⁻¹)", "diff.", AXIS_WIDTH)
        self.rest.setXLink(self.plot)
        self.rest.setFixedHeight(84)
        self.plot.getPlotItem().getAxis("bottom").setStyle(showValues=False)
        self.plot.getPlotItem().getAxis("bottom").setHeight(4)
        self._data = pg.PlotDataItem(pen=pg.mkPen(theme.active, width=1), connect="finite")
        self._fit = pg.PlotDataItem(pen=pg.mkPen(theme.fit, width=1), connect="finite")
        self._left = pg.PlotDataItem(pen=pg.mkPen(theme.muted, width=1), connect="finite")
        self._ticks = pg.PlotDataItem(pen=pg.mkPen(theme.good, width=1.6), connect="pairs")
        self.plot.addItem(self._data)
        self.plot.addItem(self._fit)
        self.plot.addItem(self._ticks, ignoreBounds=True)
        self.rest.addItem(pg.InfiniteLine(0, angle=0, pen=pg.mkPen(theme.grid)))
        self.rest.addItem(self._left)
        self._names: list[pg.TextItem] = []
        self._key = QtWidgets.QLabel(
            f'<span style="color:{theme.active}">━</span> data &nbsp;'
            f'<span style="color:{theme.fit}">━</span> fit &nbsp;'
            f'<span style="color:{theme.good}">┃</span> reflections'
        )
        self._key.setObjectName("note")
        self.head.addWidget(self._key)
        self.body.addWidget(self.plot, 1)
        self.body.addWidget(self.rest)
        self.empty = EmptyNote(self.plot, self.plot.getPlotItem(), self.rest.getPlotItem())
        style_axes(self.rest.getPlotItem(), theme)

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        scan = self._view.scan(model)
        pattern, fit, whose = self._choose(scan)
        if scan is None or pattern is None or "q" not in pattern.coords:
            self.empty.say("no pattern yet")
            for curve in (self._data, self._fit, self._left, self._ticks):
                curve.setData([], [])
            self._label([], [])
            self.title.setText("Powder pattern")
            self.note.setText("")
            return
        self.empty.say("")
        q = np.asarray(pattern.coords["q"], np.float64)
        data = np.asarray(pattern.values, np.float64)
        self._data.setData(q, data)
        shown = data
        if fit is not None and fit.values.shape == data.shape:
            model_values = np.asarray(fit.values, np.float64)
            self._fit.setData(q, model_values)
            self._left.setData(q, data - model_values)
            self._frame_difference(data - model_values)
            shown = np.concatenate([data, model_values])
        else:
            self._fit.setData([], [])
            self._left.setData([], [])
        finite = shown[np.isfinite(shown)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        span = (high - low) or 1.0
        self.plot.setYRange(low - 0.16 * span, high + 0.24 * span, padding=0)
        if q.size:
            self.plot.setXRange(float(q[0]), float(q[-1]), padding=0.01)
        label_axis(self.plot.getPlotItem(), "left", _intensity(pattern), self._theme)
        self.title.setText(whose)
        a, sigma = (number((fit or pattern).attrs.get(k)) for k in ("a", "a_sigma"))
        self._draw_reflections(scan, a, low - 0.13 * span, low - 0.05 * span)
        self.note.setText(f"a = {with_uncertainty(a, sigma, 'Å')}" if np.isfinite(a) else "")

    def _frame_difference(self, left: np.ndarray) -> None:
        known = np.abs(left[np.isfinite(left)])
        reach = nice_length(float(known.max(initial=0.0))) or 1.0
        self.rest.setYRange(-1.9 * reach, 1.9 * reach, padding=0)
        marks = [(v, f"{v:g}".replace("-", "−")) for v in (-reach, 0.0, reach)]
        self.rest.getPlotItem().getAxis("left").setTicks([marks])

    def _choose(self, scan: ScanRecord | None) -> tuple[Result | None, Result | None, str]:
        if scan is None:
            return None, None, ""
        picked = self._view.picked
        if picked is not None:
            own, fit = scan.result("voxel_pattern"), scan.result("voxel_fit")
            here = f"Voxel row {picked[0]}, column {picked[1]}"
            if own is not None and _place(own) == picked:
                return own, fit if fit is not None and _place(fit) == picked else None, here
            return (
                scan.result("pattern"),
                scan.result("pattern_fit"),
                "Mean pattern (voxel asked for)",
            )
        return scan.result("pattern"), scan.result("pattern_fit"), "Mean powder pattern"

    def _draw_reflections(self, scan: ScanRecord, a: float, low: float, high: float) -> None:
        reflections = scan.result("reflections")
        if reflections is None:
            self._ticks.setData([], [])
            self._label([], [])
            return
        q = np.asarray(reflections.values, np.float64).ravel()
        mean = scan.result("pattern_fit") or scan.result("pattern")
        mean_a = number(mean.attrs.get("a")) if mean is not None else float("nan")
        if np.isfinite([a, mean_a]).all() and a > 0:
            q = q * (mean_a / a)  # a voxel of its own a: q of a cubic cell goes as 1 / a
        self._ticks.setData(np.repeat(q, 2), np.tile([low, high], q.size))
        hkl = [reflections.coords.get(k) for k in "hkl"]
        if any(c is None or len(c) != q.size for c in hkl):
            self._label([], [])
            return
        names = ["".join(f"{int(c[i])}" for c in hkl) for i in range(q.size)]  # type: ignore[index]
        self._label(q.tolist(), names)

    def _label(self, places: list[float], names: list[str]) -> None:
        pixels = max(self.plot.width() - AXIS_WIDTH, 50)
        left, right = self.plot.getPlotItem().viewRange()[0]
        top = self.plot.getPlotItem().viewRange()[1][1]
        used, at = -1e9, 0
        for place, name in sorted(zip(places, names, strict=True)):
            x = (place - left) / ((right - left) or 1.0) * pixels
            if not np.isfinite(place) or x - used < 34 or not left <= place <= right:
                continue
            if at >= len(self._names):
                text = pg.TextItem(color=self._theme.good, anchor=(0.5, 0.0))
                text.setFont(font(11))
                self.plot.addItem(text, ignoreBounds=True)
                self._names.append(text)
            self._names[at].setText(name)
            self._names[at].setPos(place, top)
            self._names[at].setVisible(True)
            used, at = x, at + 1
        for text in self._names[at:]:
            text.setVisible(False)


def _place(result: Result) -> tuple[int, int]:
    row, column = (number(result.attrs.get(k)) for k in ("row", "column"))
    return (int(row), int(column)) if np.isfinite([row, column]).all() else (-1, -1)


def _intensity(pattern: Result) -> str:
    return unit_text(pattern.unit) if pattern.unit else "arb. units"

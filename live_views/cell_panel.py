"""Voltage over time with the scans shaded and numbered; below it one of three other plots.

These are current and charge, the maps' mean state of charge against the charge that has passed,
and the picked particle's history.
"""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from .across_scans import AcrossScans
from .cell_series import charge_balance, particle_series, prefixed, scan_periods, time_unit
from .kit import Card, EmptyNote, label_axis, style_axes, tint
from .model import RunModel
from .theme import Theme, font
from .view_state import ViewState

AXIS_WIDTH = 62
MAX_DRAWN = 3000  # samples: more than there are pixels
CHARGE, BALANCE, PARTICLE = "I, Q", "SOC", "particle"
TIPS = {
    CHARGE: "Current and charge",
    BALANCE: "The map's mean state of charge against the charge that has passed",
    PARTICLE: "Lattice parameter of the picked particle at every pause",
}


class CellPanel(Card):
    """Upper plot E(t), lower plot as chosen, on the potentiostat's own clock.

    Emits chosen() when another lower plot is wanted.
    """

    chosen = QtCore.Signal()

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Cell")
        self._theme, self._view = theme, view
        self._wanted = ""  # what the person chose; "" leaves it to what there is
        self.area = pg.GraphicsLayoutWidget()
        self.area.setBackground(theme.card)
        self.area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.area.ci.layout.setContentsMargins(0, 0, 0, 0)
        self.area.ci.layout.setVerticalSpacing(2)
        self.voltage = self.area.addPlot(row=0, col=0)
        self.current = self.area.addPlot(row=1, col=0)
        self.across = pg.PlotItem()
        self.area.ci.layout.setRowStretchFactor(0, 3)
        self.area.ci.layout.setRowStretchFactor(1, 2)
        for item in (self.voltage, self.current, self.across):
            item.showAxis("right")
            style_axes(item, theme, ("left", "bottom", "right"))
            item.getAxis("left").setWidth(AXIS_WIDTH)
            item.getAxis("right").setWidth(AXIS_WIDTH)
            item.setMouseEnabled(x=False, y=False)
        for item in (self.voltage, self.across):
            item.getAxis("right").setStyle(showValues=False)
            item.getAxis("right").setPen(pg.mkPen(None))
        self.voltage.getAxis("bottom").setStyle(showValues=False)
        self.voltage.getAxis("bottom").setHeight(4)
        self.current.setXLink(self.voltage)
        self.across.setXLink(self.voltage)
        self.across.getAxis("left").setStyle(maxTickLevel=0)
        self.scans = AcrossScans(self.across, theme)
        for axis in ("left", "right"):
            self.current.getAxis(axis).setStyle(maxTickLevel=0)
        self._charge_box = pg.ViewBox(enableMouse=False)
        self.current.scene().addItem(self._charge_box)
        self.current.getAxis("right").linkToView(self._charge_box)
        self._charge_box.setXLink(self.current)
        self.current.vb.sigResized.connect(self._follow)
        self._e = self.voltage.plot(pen=pg.mkPen(theme.active, width=1), connect="finite")
        self._i = self.current.plot(pen=pg.mkPen(theme.fit, width=1), connect="finite")
        self._q = pg.PlotDataItem(
            pen=pg.mkPen(theme.good, width=1, style=QtCore.Qt.PenStyle.DashLine), connect="finite"
        )
        self._charge_box.addItem(self._q)
        now = pg.mkPen(theme.text, width=1, style=QtCore.Qt.PenStyle.DotLine)
        self._now = [pg.InfiniteLine(0, pen=now), pg.InfiniteLine(0, pen=now)]
        self.voltage.addItem(self._now[0], ignoreBounds=True)
        self.current.addItem(self._now[1], ignoreBounds=True)
        label_axis(self.voltage, "left", "E (V)", theme)
        self._shades: list[tuple[pg.LinearRegionItem, pg.LinearRegionItem, pg.TextItem]] = []
        self._key = QtWidgets.QLabel(
            f'<span style="color:{theme.active}">━</span> E &nbsp;'
            f'<span style="color:{theme.fit}">━</span> I &nbsp;'
            f'<span style="color:{theme.good}">┅</span> Q &nbsp;'
            f'<span style="color:{theme.shade}">▒</span> scan'
        )
        self._key.setObjectName("note")
        self.head.addWidget(self._key)
        self.tabs = {
            name: self.add_button(name, TIPS[name], True) for name in (CHARGE, BALANCE, PARTICLE)
        }
        for name, tab in self.tabs.items():
            tab.clicked.connect(lambda _=False, n=name: self.choose(n))
        self._below = CHARGE
        self.body.addWidget(self.area, 1)
        self.empty = EmptyNote(self.area, self.voltage, self.current)

    def _follow(self) -> None:
        self._charge_box.setGeometry(self.current.vb.sceneBoundingRect())

    def choose(self, name: str) -> None:
        """Another lower plot; the one that is there already: as it comes."""
        self._wanted = "" if name == self._wanted else name
        self.chosen.emit()

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        history = model.history
        self.empty.say("" if len(history) else "no potentiostat data yet")
        for line in self._now:
            line.setVisible(len(history) > 0)
        if not len(history):
            for curve in (self._e, self._i, self._q):
                curve.setData([], [])
            self.note.setText("")
            self._shade(model, 1.0)
            return
        every = max(1, len(history) // MAX_DRAWN)
        keep = np.r_[0 : len(history) : every, len(history) - 1]
        unit, scale = time_unit(history)
        t = history.time_s[keep] / scale
        e, i, q = history.voltage_v[keep], history.current_a[keep], history.charge_ah[keep]
        i_unit, i_scale = prefixed(i, "A")
        q_unit, q_scale = prefixed(q, "A h")
        self._e.setData(t, e)
        self._i.setData(t, i * i_scale)
        self._q.setData(t, q * q_scale)
        label_axis(self.current, "bottom", f"time ({unit})", self._theme)
        label_axis(self.current, "left", f"I ({i_unit})", self._theme)
        label_axis(self.current, "right", f"Q ({q_unit})", self._theme)
        low, high = float(np.nanmin(e)), float(np.nanmax(e))
        pad = 0.08 * (high - low) or 0.05
        self.voltage.setYRange(low - pad, high + 2.2 * pad, padding=0)
        self.current.setYRange(*_padded(i * i_scale), padding=0)
        self._charge_box.setYRange(*_padded(q * q_scale), padding=0)
        right = t[-1] + 0.02 * (t[-1] - t[0] or 1.0)
        self.voltage.setXRange(t[0], right, padding=0)
        for line in self._now:
            line.setValue(t[-1])
        self._shade(model, scale)
        below = self._draw_below(model, keep, scale, unit)
        kelvin = history.temperature_c[-1]
        warm = f" · {kelvin:.1f} °C" if math.isfinite(kelvin) else ""
        self.note.setText(
            f"E {e[-1]:.4f} V · I {i[-1] * i_scale:.2f} {i_unit} · "
            f"Q {q[-1] * q_scale:.2f} {q_unit}{warm}{below}".replace("-", "−")
        )

    def _draw_below(self, model: RunModel, keep: np.ndarray, scale: float, unit: str) -> str:
        """The lower plot that is wanted; what it says, in words."""
        balance = charge_balance(model)
        series = particle_series(model, self._view.particle)
        there = {CHARGE: True, BALANCE: balance is not None, PARTICLE: series is not None}
        best = PARTICLE if series is not None else BALANCE if balance is not None else CHARGE
        name = self._wanted if there.get(self._wanted) else best
        for key, tab in self.tabs.items():
            tab.setVisible(there[key] and sum(there.values()) > 1)
            tab.setChecked(key == name)
        self._put_below(name)
        label_axis(self.across, "bottom", f"time ({unit})", self._theme)
        if name == BALANCE and balance is not None:
            return " · " + self.scans.balance(balance, model.history, keep, scale)
        if name == PARTICLE and series is not None:
            return f" · particle {self._view.particle}: " + self.scans.particle(series, scale)
        return ""

    def _put_below(self, name: str) -> None:
        if (name == CHARGE) != (self._below == CHARGE):
            old, new = self.current, self.across
            if name == CHARGE:
                old, new = new, old
            self.area.removeItem(old)
            self.area.addItem(new, row=1, col=0)
            self._charge_box.setVisible(name == CHARGE)
        self._below = name

    def _shade(self, model: RunModel, scale: float) -> None:
        periods = scan_periods(model)
        while len(self._shades) < len(periods):
            made = [
                pg.LinearRegionItem(movable=False, brush=tint(self._theme.shade, 40)) for _ in "ab"
            ]
            for region in made:
                region.setZValue(-20)
                for line in region.lines:
                    line.setPen(pg.mkPen(None))
            text = pg.TextItem(color=self._theme.text, anchor=(0.5, 0.0))
            text.setFont(font(13, bold=True))
            self.voltage.addItem(made[0], ignoreBounds=True)
            self.current.addItem(made[1], ignoreBounds=True)
            self.voltage.addItem(text, ignoreBounds=True)
            self._shades.append((made[0], made[1], text))
        top = self.voltage.viewRange()[1][1]
        for at, (upper, lower, text) in enumerate(self._shades):
            for one in (upper, lower, text):
                one.setVisible(at < len(periods))
            if at < len(periods):
                scan, (begin, end) = periods[at]
                upper.setRegion((begin / scale, end / scale))
                lower.setRegion((begin / scale, end / scale))
                text.setText(str(scan.number))
                text.setPos((begin + end) / 2 / scale, top)


def _padded(values: np.ndarray) -> tuple[float, float]:
    low, high = min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values)))
    pad = 0.12 * (high - low) or 1.0
    return low - pad, high + pad

"""A plot under the voltage curve: the maps' mean state of charge, or a particle's history."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore

from .cell_history import CellHistory
from .cell_series import ChargeBalance, ParticleSeries
from .kit import label_axis, tint
from .particle_facts import Floats
from .theme import Theme
from .words import with_uncertainty


class AcrossScans:
    """Draws into a plot whose abscissa is the potentiostat's time in some unit."""

    def __init__(self, item: pg.PlotItem, theme: Theme) -> None:
        self._item, self._theme = item, theme
        dash = QtCore.Qt.PenStyle.DashLine
        self._count = pg.PlotDataItem(
            pen=pg.mkPen(theme.good, width=1, style=dash), connect="finite"
        )
        self._counted = pg.PlotDataItem(
            pen=None, symbol="x", symbolSize=9, symbolPen=pg.mkPen(theme.good, width=2)
        )
        self._reach = pg.ErrorBarItem(pen=pg.mkPen(tint(theme.active, 90), width=8), beam=0)
        self._sigma = pg.ErrorBarItem(pen=pg.mkPen(theme.text, width=1), beam=0)
        self._points = pg.PlotDataItem(
            pen=pg.mkPen(theme.active, width=1), symbol="o", symbolSize=8,
            symbolBrush=theme.active, symbolPen=pg.mkPen(theme.card),
        )  # fmt: skip
        for one in (self._count, self._counted, self._reach, self._sigma, self._points):
            item.addItem(one, ignoreBounds=True)

    def balance(self, shown: ChargeBalance, history: CellHistory, every: Floats, s: float) -> str:
        """Draw the balance; every: indices of samples to draw, s: seconds per unit; its words."""
        time_s, charge_ah = history.time_s, history.charge_ah
        by_charge = np.full(every.size, math.nan)
        if math.isfinite(shown.slope) and len(history):
            by_charge = shown.by_charge(charge_ah[every])
        self._count.setData(time_s[every] / s, by_charge)
        known = np.isfinite(shown.coulomb) & np.isfinite(shown.time_s)
        self._counted.setData(shown.time_s[known] / s, shown.coulomb[known])
        self._bars(self._reach, shown.time_s / s, shown.mean, shown.low, shown.high)
        low, high = shown.mean - shown.sigma, shown.mean + shown.sigma
        self._draw(shown.time_s / s, shown.mean, shown.sigma)
        self._frame(by_charge, shown.coulomb, shown.low, shown.high, low, high)
        unit = f" ({shown.unit})" if shown.unit not in ("", "1") else ""
        label_axis(self._item, "left", f"{shown.quantity or 'SOC'}{unit}", self._theme)
        mean = with_uncertainty(float(shown.mean[-1]), float(shown.sigma[-1]))
        words = f"mean of the map {mean}"
        if math.isfinite(shown.coulomb[-1]):
            words += f", by the charge {shown.coulomb[-1]:.3f}"
        return words

    def particle(self, shown: ParticleSeries, s: float) -> str:
        """Draw a particle's history; s: seconds per unit; its words."""
        self._count.setData([], [])
        self._counted.setData([], [])
        nothing = np.full_like(shown.a, math.nan)
        self._bars(self._reach, shown.time_s / s, shown.a, nothing, nothing)
        self._draw(shown.time_s / s, shown.a, shown.sigma)
        sigma = np.nan_to_num(shown.sigma)
        self._frame(shown.a - sigma, shown.a + sigma)
        label_axis(self._item, "left", "a (Å)", self._theme)
        known = np.flatnonzero(np.isfinite(shown.a))
        if not known.size:
            return "no value yet"
        last = int(known[-1])
        newest = with_uncertainty(float(shown.a[last]), float(shown.sigma[last]), "Å")
        return f"a {newest}, {known.size} scans"

    def clear(self) -> None:
        """Draw nothing."""
        empty = np.empty(0)
        for curve in (self._count, self._counted, self._points):
            curve.setData(empty, empty)
        for bars in (self._reach, self._sigma):
            bars.setOpts(x=empty, y=empty, top=empty, bottom=empty)

    def _draw(self, x: Floats, y: Floats, sigma: Floats) -> None:
        known = np.isfinite(x) & np.isfinite(y)
        self._points.setData(x[known], y[known])
        self._bars(self._sigma, x, y, y - sigma, y + sigma)

    def _bars(self, bars: pg.ErrorBarItem, x: Floats, y: Floats, low: Floats, high: Floats) -> None:
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
        x, y, low, high = x[known], y[known], low[known], high[known]
        bars.setOpts(x=x, y=y, top=np.maximum(high - y, 0), bottom=np.maximum(y - low, 0))

    def _frame(self, *values: Floats) -> None:
        every = np.concatenate(values)
        every = every[np.isfinite(every)]
        if every.size:
            low, high = float(every.min()), float(every.max())
            pad = 0.15 * (high - low) or 0.01
            self._item.setYRange(low - pad, high + pad, padding=0)

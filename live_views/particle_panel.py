"""One particle: its numbers, and what it looks like against the others."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from .kit import Card, EmptyNote, plot, tint
from .model import RunModel, ScanRecord
from .particle_facts import (
    Floats,
    found_for,
    middle_of_others,
    particle_rows,
    profile_of,
    shell_phases,
    verdict_of,
    voxels_of,
)
from .theme import Theme
from .view_state import ViewState
from .words import number, with_uncertainty

BINS = 40
# Okabe and Ito's, without the one that is nearest to red
PHASE_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#f0e442")


class ParticlePanel(Card):
    """The card of the picked particle: numbers, a against depth, shells' phases, histogram."""

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Particle")
        self._theme, self._view = theme, view
        self.numbers = QtWidgets.QLabel("")
        self.numbers.setAlignment(QtCore.Qt.AlignmentFlag.AlignTop)
        self.numbers.setTextFormat(QtCore.Qt.TextFormat.RichText)
        self.numbers.setFixedWidth(214)
        policy = QtWidgets.QSizePolicy.Policy
        self.numbers.setSizePolicy(policy.Fixed, policy.Ignored)  # its rows claim no height
        self.depth = plot(theme, "depth (µm)", "a (Å)", 52)
        self.shells = plot(theme, "shell, 0 at the surface", "mass fraction (hint)", 46)
        self.histogram = plot(theme, "a (Å)", "share of voxels", 46)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.numbers)
        for one in (self.depth, self.shells, self.histogram):
            one.getPlotItem().setMouseEnabled(x=False, y=False)
            row.addWidget(one, 1)
        self.body.addLayout(row, 1)
        self.empty = EmptyNote(
            self.depth.parentWidget() or self,
            *(p.getPlotItem() for p in (self.depth, self.shells, self.histogram)),
        )

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        shown, name = self._view.scan(model), self._view.particle
        scan = found_for(model, shown)
        row = particle_rows(scan).get(name)
        for one in (self.depth, self.shells, self.histogram):
            one.clear()
        if scan is None or row is None:
            self.title.setText(f"Particle {name}" if name else "Particle")
            self.note.setText("")
            self.numbers.setText("")
            self.empty.say(_why_none(scan, name))
            return
        self.empty.say("")
        self.title.setText(f"Particle {name}")
        late = "" if scan is shown else f" · pause {scan.number}, the last one analysed"
        self.note.setText(f"{verdict_of(row)}{late}")
        self.numbers.setText(_table(numbers_of(row)))
        self._draw_depth(scan, name)
        self._draw_shells(scan, name)
        self._draw_histogram(scan, name)

    def _draw_depth(self, scan: ScanRecord, name: int) -> None:
        others = middle_of_others(scan, "particle_profile", name)
        if others is not None:
            _band(self.depth, others.x, others.values, others.sigma, self._theme.muted)
        mine = profile_of(scan, "particle_profile", name)
        if mine is not None:
            _points(self.depth, mine.x, mine.values, mine.sigma, self._theme.active, self._theme)

    def _draw_shells(self, scan: ScanRecord, name: int) -> None:
        phases = shell_phases(scan, name)
        self.shells.setVisible(bool(phases))
        if not phases:
            return
        item = self.shells.getPlotItem()
        legend = item.legend or item.addLegend(offset=(-4, 4), labelTextColor=self._theme.muted)
        legend.clear()
        for at, (phase, mine) in enumerate(phases.items()):
            colour = PHASE_COLOURS[at % len(PHASE_COLOURS)]
            line = _points(self.shells, mine.x, mine.values, mine.sigma, colour, self._theme)
            legend.addItem(line, phase)
        count = max(profile.x.size for profile in phases.values())
        item.getAxis("bottom").setTicks([[(k, str(k)) for k in range(count)]])
        item.setYRange(0, 1, padding=0.05)

    def _draw_histogram(self, scan: ScanRecord, name: int) -> None:
        mine, others = voxels_of(scan, name)
        both = np.concatenate([mine, others])
        if not both.size:
            return
        edges = histogram_edges(both)
        for values, colour, alpha in (
            (others, self._theme.muted, 110),
            (mine, self._theme.active, 170),
        ):
            if values.size:
                share = np.histogram(values, edges)[0] / values.size
                self.histogram.plot(
                    edges, share, stepMode="center", fillLevel=0, brush=tint(colour, alpha),
                    pen=pg.mkPen(colour, width=1),
                )  # fmt: skip
        self.histogram.setXRange(float(edges[0]), float(edges[-1]), padding=0.02)


def numbers_of(row: Mapping[str, float]) -> list[tuple[str, str]]:
    """A particle's row of the table as (what, value with unit); what is not there is left out."""

    def sure(key: str, sigma: str, unit: str) -> str:
        return with_uncertainty(number(row.get(key)), number(row.get(sigma)), unit)

    area = number(row.get("area_um2"))
    across = 2 * math.sqrt(area / math.pi) if area > 0 else math.nan
    found = [
        ("a", sure("a", "a_sigma", "Å")),
        ("spread of a", f"{number(row.get('a_spread')):.4f} Å"),
        ("core − surface", sure("core_minus_surface", "core_minus_surface_sigma", "Å")),
        ("area", f"{area:.0f} µm², ⌀ {across:.1f} µm"),
        ("depth", f"{number(row.get('depth_um')):.1f} µm"),
        ("voxels", f"{number(row.get('voxels')):.0f}"),
        ("in the window", f"{100 * number(row.get('inside_share')):.0f} % of voxels"),
        ("two phases", f"{100 * number(row.get('mixed_share')):.0f} % of voxels"),
        ("by the rule", f"p = {number(row.get('rule_p')):.1g}"),
        ("apart by", f"{number(row.get('outlier_z')):.1f} σ, p = {_p(row, 'outlier_p')}"),
        ("place", f"x {number(row.get('x_um')):.0f}, y {number(row.get('y_um')):.0f} µm"),
    ]
    told = [(what, text.replace("-", "−")) for what, text in found if "nan" not in text]
    if row.get("cut", 0.0) > 0:
        told.append(("cut", "by the field's edge"))
    return [(what, text) for what, text in told if text != "–"]


def histogram_edges(values: Floats) -> Floats:
    """Edges of bins for these values, robust against a wild one."""
    low, high = (float(p) for p in np.percentile(values, (0.5, 99.5)))
    pad = 0.05 * (high - low) or 0.001
    return np.linspace(low - pad, high + pad, BINS + 1)


def _p(row: Mapping[str, float], key: str) -> str:
    return f"{number(row.get(key)):.1g}"


def _why_none(scan: ScanRecord | None, name: int) -> str:
    if scan is None:
        return "particles are found when the scan is complete"
    return f"particle {name} is not in this pause" if name else "click a particle in the map"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td style='padding-right:8px'><small>{what}</small></td><td>{text}</td></tr>"
        for what, text in rows
    )
    return f"<table cellspacing=0 cellpadding=1>{cells}</table>"


def _points(
    on: pg.PlotWidget, x: Floats, y: Floats, sigma: Floats, colour: str, theme: Theme
) -> pg.PlotDataItem:
    known = np.isfinite(y)
    bars = np.nan_to_num(sigma[known])
    on.addItem(pg.ErrorBarItem(x=x[known], y=y[known], top=bars, bottom=bars, pen=pg.mkPen(colour)))
    return on.plot(
        x[known], y[known], pen=pg.mkPen(colour, width=1), symbol="o", symbolSize=7,
        symbolBrush=colour, symbolPen=pg.mkPen(theme.card),
    )  # fmt: skip


def _band(on: pg.PlotWidget, x: Floats, y: Floats, half: Floats, colour: str) -> None:
    known = np.isfinite(y) & np.isfinite(half)
    if not known.any():
        return
    edges = [pg.PlotCurveItem(x[known], y[known] + k * half[known], pen=None) for k in (-1, 1)]
    on.addItem(pg.FillBetweenItem(*edges, brush=tint(colour, 70)))
    on.plot(x[known], y[known], pen=pg.mkPen(colour, width=1))

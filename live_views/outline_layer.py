"""Outlines of particles with their identities, laid over a map.

Thin for a particle like the others, heavy and dashed for one that deviates, heaviest for the one
that is picked. Light lines in a dark halo: they show on every colour of every map.
"""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtGui, QtWidgets

from .particle_facts import Outlines
from .theme import font

MOST_NAMED = 40  # identities written; the largest particles, those that deviate always
DEVIATES = "!"  # written behind the identity of one that does


class HaloText(QtWidgets.QGraphicsPathItem):
    """A word in light letters with a dark rim, upright and of one size at any zoom."""

    def __init__(self, text: str, pixels: int) -> None:
        path = QtGui.QPainterPath()
        path.addText(0.0, 0.0, font(pixels, bold=True), text)
        super().__init__(path.translated(-path.boundingRect().center()))
        self.setFlag(QtWidgets.QGraphicsItem.GraphicsItemFlag.ItemIgnoresTransformations)
        self.setPen(pg.mkPen("#000000c0", width=3))

    def paint(
        self,
        painter: QtGui.QPainter,
        option: QtWidgets.QStyleOptionGraphicsItem,
        widget: QtWidgets.QWidget | None = None,
    ) -> None:
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.strokePath(self.path(), self.pen())
        painter.fillPath(self.path(), QtGui.QColor("#ffffff"))


class OutlineLayer:
    """The outlines on one plot."""

    def __init__(self, item: pg.PlotItem, scale: float = 1.0) -> None:
        """scale: of the lines' widths and the letters, 1 for a window."""
        self._item, self._scale = item, scale
        dashes = QtCore.Qt.PenStyle.DashLine
        self._lines = {
            "plain": self._line(1.0, 2.2),
            "accused": self._line(2.0, 4.0, dashes),
            "picked": self._line(3.0, 5.5),
        }
        self._texts: list[HaloText] = []
        self._shown: tuple[Outlines, int] | None = None

    def _line(
        self, width: float, halo: float, style: QtCore.Qt.PenStyle | None = None
    ) -> pg.PlotDataItem:
        style = style or QtCore.Qt.PenStyle.SolidLine
        line = pg.PlotDataItem(
            pen=pg.mkPen("#ffffff", width=width * self._scale, style=style),
            shadowPen=pg.mkPen("#000000a0", width=halo * self._scale),
            connect="finite",
        )
        line.setZValue(6)
        self._item.addItem(line, ignoreBounds=True)
        return line

    def clear(self) -> None:
        """Show none."""
        self._shown = None
        for line in self._lines.values():
            line.setData(np.empty(0), np.empty(0))
        for text in self._texts:
            self._item.removeItem(text)
        self._texts = []

    def show(self, outlines: Outlines | None, picked: int = 0) -> None:
        """Show these; picked: identity of the particle looked at, 0 for none."""
        if outlines is None:
            self.clear()
            return
        if self._shown is not None and self._shown[0] is outlines and self._shown[1] == picked:
            return
        self.clear()
        self._shown = (outlines, picked)
        names = set(outlines.places)
        accused = names & outlines.accused
        for kind, of in (
            ("plain", names - accused - {picked}),
            ("accused", accused - {picked}),
            ("picked", names & {picked}),
        ):
            self._lines[kind].setData(*outlines.edges(of))
        written = set(list(outlines.places)[:MOST_NAMED]) | accused | (names & {picked})
        for name in written:
            text = HaloText(
                f"{name}{DEVIATES if name in accused else ''}",
                round((15 if name == picked else 12) * self._scale),
            )
            text.setZValue(8)
            text.setPos(*outlines.places[name])
            self._item.addItem(text, ignoreBounds=True)
            self._texts.append(text)

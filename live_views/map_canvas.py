"""A map on its axes: picture, scale bar, picked voxel, and a badge that says how complete it is."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6 import QtCore, QtWidgets

from .kit import EmptyNote, label_axis, style_axes
from .outline_layer import OutlineLayer
from .painting import paint
from .particle_facts import Outlines
from .quantities import MapOf
from .theme import Table, Theme


class MapCanvas(pg.PlotWidget):  # type: ignore[misc]
    """One map; emits picked(row, column) when a voxel is clicked."""

    picked = QtCore.Signal(int, int)

    def __init__(self, theme: Theme, axes: bool = True) -> None:
        super().__init__(background=theme.card)
        self._theme = theme
        self._map: MapOf | None = None
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.item = self.getPlotItem()
        style_axes(self.item, theme)
        self.item.setAspectLocked(True)
        self.item.getViewBox().setDefaultPadding(0.015)
        for side in ("left", "bottom"):
            self.item.showAxis(side, axes)
        self.image = pg.ImageItem()
        self.item.addItem(self.image)
        dark, light = pg.mkPen("#000000b0", width=5), pg.mkPen("#ffffff", width=2.5)
        dark.setCapStyle(QtCore.Qt.PenCapStyle.FlatCap)
        light.setCapStyle(QtCore.Qt.PenCapStyle.FlatCap)
        self._bar = pg.PlotDataItem(pen=light, shadowPen=dark)
        self._bar_text = pg.TextItem(color="#ffffff", anchor=(0.5, 1.0), fill="#000000a0")
        self._marker = pg.PlotDataItem(
            pen=pg.mkPen("#ffffff", width=2), shadowPen=pg.mkPen("#000", width=4)
        )
        for item in (self._bar, self._bar_text, self._marker):
            item.setZValue(10)
            self.item.addItem(item, ignoreBounds=True)
        self.outlines = OutlineLayer(self.item)
        self.badge = QtWidgets.QLabel("", self)
        self.badge.setObjectName("badge")
        self.badge.move(8, 8)
        self.badge.hide()
        self.empty = EmptyNote(self, self.item)
        self.scene().sigMouseClicked.connect(self._clicked)
        self.clear_map("")

    def clear_map(self, why: str) -> None:
        """Show no map, and say why there is none."""
        self._map = None
        self.empty.say(why)
        for item in (self.image, self._bar, self._bar_text, self._marker):
            item.setVisible(False)
        self.outlines.clear()
        self.badge.hide()

    def show_map(
        self,
        shown: MapOf,
        low: float,
        high: float,
        table: Table,
        *,
        fade: NDArray[np.bool_] | None = None,
        picked: tuple[int, int] | None = None,
        badge: str = "",
        outlines: Outlines | None = None,
        particle: int = 0,
    ) -> None:
        """Show a map with the colours of low .. high; particle: the identity picked, 0 for none."""
        theme = self._theme
        picture = paint(
            shown.values, low, high, table,
            answered=shown.answered, hatch=(theme.hatch, theme.hatch_line), masked=theme.masked,
            fade=fade, fade_to=theme.card,
        )  # fmt: skip
        moved = self._map is None or self._map.extent != shown.extent
        self._map = shown
        self.image.setImage(picture, autoLevels=False)
        x, y, width, height = shown.extent
        self.image.setRect(QtCore.QRectF(x, y, width, height))
        self.image.setVisible(True)
        for item in (self._bar, self._bar_text):
            item.setVisible(shown.spatial)
        self.empty.say("")
        self._mark(shown, picked)
        self.outlines.show(outlines if shown.spatial else None, particle)
        if moved:
            label_axis(self.item, "bottom", shown.axes[0], theme)
            label_axis(self.item, "left", shown.axes[1], theme)
            self.item.setAspectLocked(shown.spatial)
            self.item.getViewBox().autoRange(padding=0.015)
            self._place_bar(shown)
        self.badge.setText(badge)
        self.badge.setVisible(bool(badge))
        self.badge.adjustSize()
        self.badge.move(int(self.item.vb.sceneBoundingRect().left()) + 10, 14)

    def _place_bar(self, shown: MapOf) -> None:
        x, y, width, height = shown.extent
        unit = shown.axes[0].partition("(")[2].rstrip(")")
        length = nice_length(abs(width) / 4)
        left, level = (
            min(x, x + width) + abs(width) * 0.04,
            min(y, y + height) + abs(height) * 0.045,
        )
        self._bar.setData([left, left + length], [level, level])
        self._bar_text.setText(f"{length:g} {unit}".strip())
        self._bar_text.setPos(left + length / 2, level + abs(height) * 0.012)

    def _mark(self, shown: MapOf, picked: tuple[int, int] | None) -> None:
        shape = shown.values.shape
        if picked is None or not (0 <= picked[0] < shape[0] and 0 <= picked[1] < shape[1]):
            self._marker.setVisible(False)
            return
        x, y, width, height = shown.extent
        dx, dy = width / shape[1], height / shape[0]
        left, low = x + picked[1] * dx, y + picked[0] * dy
        xs = np.array([left, left + dx, left + dx, left, left])
        ys = np.array([low, low, low + dy, low + dy, low])
        self._marker.setData(xs, ys)
        self._marker.setVisible(True)

    def voxel_at(self, x: float, y: float) -> tuple[int, int] | None:
        """(row, column) of the voxel at a place in the axes' units; None outside the map."""
        if self._map is None:
            return None
        left, low, width, height = self._map.extent
        rows, cols = self._map.values.shape
        col, row = math.floor((x - left) / width * cols), math.floor((y - low) / height * rows)
        return (row, col) if 0 <= row < rows and 0 <= col < cols else None

    def _clicked(self, event: object) -> None:
        place = self.item.vb.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        voxel = self.voxel_at(place.x(), place.y())
        if voxel is not None and event.button() == QtCore.Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            self.picked.emit(*voxel)


def nice_length(about: float) -> float:
    """The round length (1, 2, 5 x 10^n) nearest below about."""
    if not about > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return max(m * power for m in (1, 2, 5) if m * power <= about * 1.0001)

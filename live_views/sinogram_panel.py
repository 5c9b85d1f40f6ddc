"""The sinogram: what the beam has measured so far, projection by projection."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from .colour_bar import ColourBar
from .kit import Card, EmptyNote, label_axis, style_axes
from .model import RunModel
from .painting import paint
from .quantities import unit_text
from .theme import Theme, colour_table
from .view_state import ViewState


class SinogramPanel(Card):
    """Rotation against translation; points not yet measured are hatched."""

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Sinogram")
        self._theme, self._view = theme, view
        self.plot = pg.PlotWidget(background=theme.card)
        self.plot.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        item = self.plot.getPlotItem()
        style_axes(item, theme)
        item.setContentsMargins(0, 6, 6, 0)
        item.setMouseEnabled(x=False, y=False)
        label_axis(item, "bottom", "translation (µm)", theme)
        label_axis(item, "left", "rotation (°)", theme)
        self.image = pg.ImageItem()
        item.addItem(self.image)
        self.colours = ColourBar(theme)
        self.colours.hide()
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.plot, 1)
        row.addWidget(self.colours)
        self.body.addLayout(row, 1)
        self.empty = EmptyNote(self.plot, self.plot.getPlotItem())

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        scan = self._view.scan(model)
        result = scan.result("sinogram") if scan else None
        if result is None or result.values.ndim != 2:
            self.image.setVisible(False)
            self.colours.hide()
            self.empty.say("no projection yet")
            self.note.setText("")
            return
        self.empty.say("")
        order, rows, cols = in_order(result.values, result.coords, result.dims)
        low, high = self._view.ranges.of("sinogram").follow([order])
        table, theme = colour_table("sinogram"), self._theme
        picture = paint(
            order, low, high, table, answered=np.zeros(order.shape, bool),
            hatch=(theme.hatch, theme.hatch_line), masked=theme.masked,
        )  # fmt: skip
        self.image.setImage(picture, autoLevels=False)
        self.image.setRect(QtCore.QRectF(cols[0], rows[0], cols[1], rows[1]))
        self.image.setVisible(True)
        item = self.plot.getPlotItem()
        for side, dim in (("bottom", result.dims[1]), ("left", result.dims[0])):
            unit = unit_text(result.units.get(dim, ""))
            label_axis(item, side, f"{dim} ({unit})" if unit else dim, theme)
        item.setXRange(cols[0], cols[0] + cols[1], padding=0)
        item.setYRange(rows[0], rows[0] + rows[1], padding=0)
        unit = f" ({unit_text(result.unit)})" if result.unit else " (arb. units)"
        self.colours.set(low, high, table, "peak intensity" + unit)
        self.colours.show()
        lines = int(np.isfinite(result.values).any(axis=1).sum())
        self.note.setText(f"{lines} of {result.values.shape[0]} {result.dims[0]}s")


def in_order(
    values: np.ndarray, coords: dict[str, np.ndarray], dims: tuple[str, ...]
) -> tuple[np.ndarray, tuple[float, float], tuple[float, float]]:
    """values with its axes ascending (angles are measured in any order), and their extents."""
    extents = []
    for axis, dim in enumerate(dims):
        n = values.shape[axis]
        at = np.asarray(coords.get(dim, np.arange(n)), np.float64)
        at = at if at.shape == (n,) and np.isfinite(at).all() else np.arange(n, dtype=np.float64)
        order = np.argsort(at, kind="stable")
        values, at = np.take(values, order, axis), at[order]
        step = (at[-1] - at[0]) / (n - 1) if n > 1 else 1.0
        extents.append((float(at[0] - step / 2), float((step or 1.0) * n)))
    return values, extents[0], extents[1]

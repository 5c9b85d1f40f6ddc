"""The newest detector frame on a logarithmic scale, with its mask and the fitted rings."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from ..stream.messages import Array, Frame, Result
from .colour_bar import ColourBar
from .kit import Card, EmptyNote, label_axis, style_axes
from .model import RunModel, ScanRecord
from .painting import log_levels
from .rings import Floats, geometry_of, rings
from .theme import Theme, colour_table

RING = "#ffb000"  # stands out on the blue of the frame, in both themes


class FramePanel(Card):
    """A picture every time it is asked, never one for every frame."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Detector frame")
        self._theme = theme
        self.rings = self.add_button("rings", "Where the fitted reflections should be", True)
        self.rings.setChecked(True)
        self.particle = self.add_button("particle", "The picked particle instead (P)")
        self.plot = pg.PlotWidget(background=theme.card)
        self.plot.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        item = self.plot.getPlotItem()
        style_axes(item, theme)
        label_axis(item, "bottom", "column (pixels)", theme)
        label_axis(item, "left", "row (pixels)", theme)
        item.setContentsMargins(0, 6, 6, 0)
        item.invertY(True)
        item.setAspectLocked(True)
        self.image = pg.ImageItem()
        item.addItem(self.image)
        self._ground = QtWidgets.QGraphicsRectItem()  # shows through where pixels are masked
        self._ground.setBrush(pg.mkBrush(theme.masked))
        self._ground.setPen(pg.mkPen(None))
        self._ground.setZValue(-5)
        item.getViewBox().addItem(self._ground, ignoreBounds=True)
        dashes = pg.mkPen(RING, width=1, style=QtCore.Qt.PenStyle.DashLine)
        self.curves = pg.PlotCurveItem(pen=dashes, connect="finite")
        self.curves.setZValue(5)
        item.addItem(self.curves, ignoreBounds=True)
        self.colours = ColourBar(theme)
        self.colours.hide()
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.plot, 1)
        row.addWidget(self.colours)
        self.body.addLayout(row, 1)
        self.empty = EmptyNote(self.plot, self.plot.getPlotItem())
        self._drawn: tuple[str, int] | None = None
        self._shape: tuple[int, int] | None = None

    def refresh(self, model: RunModel) -> None:
        """Draw the newest frame, if it is another one."""
        frame = model.frame
        if frame is None:
            self.empty.say("no frame yet")
            self.colours.hide()
            self.note.setText("")
            return
        scan = next((s for s in model.scans() if s.scan == frame.scan), None)
        if self._drawn != (frame.scan, frame.index):
            self._draw(frame, scan)
            self._drawn = (frame.scan, frame.index)
        self._draw_rings(model, scan)

    def _draw(self, frame: Frame, scan: ScanRecord | None) -> None:
        counts = decoded(frame)
        if isinstance(counts, str):
            self.empty.say(counts)
            return
        self.empty.say("")
        mask = scan.start.detector.mask if scan and scan.start else None
        values, top = log_levels(counts, mask)
        table = colour_table("frame")
        self.image.setImage(values, autoLevels=False, levels=(0.0, top), lut=table)
        if self._shape != frame.shape:
            self._shape = frame.shape
            rows, cols = frame.shape
            view = self.plot.getPlotItem().getViewBox()
            view.setRange(QtCore.QRectF(0, 0, cols, rows), padding=0)
            self._ground.setRect(0, 0, cols, rows)
        self.colours.set(0.0, top, table, "counts", log=True)
        self.colours.setVisible(True)
        total = int(counts.sum(dtype=np.float64)) if mask is None else int(counts[~mask].sum())
        which = f"pause {scan.number}, " if scan else ""
        self.note.setText(f"{which}frame {frame.index} · {total:_} counts".replace("_", " "))

    def _draw_rings(self, model: RunModel, scan: ScanRecord | None) -> None:
        points = ring_points(model, scan) if self.rings.isChecked() else None
        if points is None:
            self.curves.setData([], [])
        else:
            self.curves.setData(points[:, 1], points[:, 0])


def decoded(frame: Frame) -> Array | str:
    """The frame's counts, or in words why they cannot be shown."""
    from ..stream.compression import decode

    try:
        counts = np.asarray(decode(frame))
    except Exception as error:  # a broken frame must not stop the window, whatever it raises
        return f"frame {frame.index} cannot be decoded:\n{error}"
    if counts.shape != frame.shape:
        return f"frame {frame.index} is {counts.shape}, it was announced as {frame.shape}"
    return counts


def ring_points(model: RunModel, scan: ScanRecord | None) -> Floats | None:
    """(n, 2) row and column of the rings of the newest reflections, nan between; None where none.

    A scan that has no fit yet has the rings of the pause before it.
    """
    geometry = geometry_of(scan.start) if scan is not None and scan.start is not None else None
    reflections = _newest_reflections(model, scan)
    if geometry is None or reflections is None:
        return None
    return rings(geometry, np.asarray(reflections.values, np.float64).ravel())


def _newest_reflections(model: RunModel, scan: ScanRecord | None) -> Result | None:
    if scan is None:
        return None
    earlier = [s for s in model.scans() if s.number <= scan.number]
    return next((r for s in reversed(earlier) if (r := s.result("reflections")) is not None), None)

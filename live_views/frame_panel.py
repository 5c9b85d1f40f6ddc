"""The newest detector frame on a logarithmic scale, with its mask and the fitted rings."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from ..stream.messages import Array, Frame, ScanStart
from .colour_bar import ColourBar
from .kit import Card, EmptyNote, label_axis, style_axes
from .model import RunModel, ScanRecord
from .painting import log_levels
from .theme import Theme, colour_table

RING = "#ffb000"  # stands out on the blue of the frame, in both themes
HC_EV_ANGSTROM = 12398.419843320026  # h c, exact in the SI of 2019


class FramePanel(Card):
    """A picture every time it is asked, never one for every frame."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Detector frame")
        self._theme = theme
        self.rings = self.add_button("rings", "Where the fitted reflections should be", True)
        self.rings.setChecked(True)
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
        self._circles: list[QtWidgets.QGraphicsEllipseItem] = []
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
        self._draw_rings(scan)

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
        self.colours.set(0.0, top, table, "counts per pixel", log=True)
        self.colours.setVisible(True)
        total = int(counts.sum(dtype=np.float64)) if mask is None else int(counts[~mask].sum())
        which = f"pause {scan.number}, " if scan else ""
        self.note.setText(f"{which}frame {frame.index} · {total:_} counts".replace("_", " "))

    def _draw_rings(self, scan: ScanRecord | None) -> None:
        found = ring_radii(scan) if self.rings.isChecked() else None
        radii = found[2] if found else []
        while len(self._circles) < len(radii):
            circle = QtWidgets.QGraphicsEllipseItem()
            pen = pg.mkPen(RING, width=1, style=QtCore.Qt.PenStyle.DashLine)
            pen.setCosmetic(True)
            circle.setPen(pen)
            circle.setZValue(5)
            self.plot.getPlotItem().getViewBox().addItem(circle, ignoreBounds=True)
            self._circles.append(circle)
        for at, circle in enumerate(self._circles):
            circle.setVisible(at < len(radii))
            if found and at < len(radii):
                row, col, r = found[0], found[1], radii[at]
                circle.setRect(col - r, row - r, 2 * r, 2 * r)


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


def ring_radii(scan: ScanRecord | None) -> tuple[float, float, list[float]] | None:
    """(row, column) of the beam and the radii of the reflections [pixels].

    Only for a detector that stands square to the beam with square pixels (all three rotations of
    the .poni are 0): there r = D tan(2 theta), sin(theta) = q lambda / 4 pi.
    """
    start: ScanStart | None = scan.start if scan else None
    reflections = scan.result("reflections") if scan else None
    if start is None or reflections is None or not start.poni:
        return None
    poni = _poni(start.poni)
    height, width = start.detector.pixel_m
    needed = ("distance", "poni1", "poni2")
    if any(k not in poni for k in needed) or abs(height - width) > 1e-9 * height:
        return None
    if any(abs(poni.get(k, 0.0)) > 1e-4 for k in ("rot1", "rot2", "rot3")):
        return None
    wavelength = poni.get("wavelength", float("nan")) * 1e10
    if not wavelength > 0:
        wavelength = HC_EV_ANGSTROM / start.energy_ev
    radii = []
    for q in np.asarray(reflections.values, np.float64).ravel():
        sine = q * wavelength / (4 * math.pi)
        if 0 < sine < 0.7:
            radii.append(poni["distance"] * math.tan(2 * math.asin(sine)) / width)
    return poni["poni1"] / height, poni["poni2"] / width, radii


def _poni(text: str) -> dict[str, float]:
    """The numbers of a .poni file, keys in lower case."""
    found = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        try:
            if colon and not line.startswith("#"):
                found[key.strip().lower()] = float(value)
        except ValueError:
            continue
    return found

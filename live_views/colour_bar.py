"""A colour bar: the colours of a range, its ticks, and the quantity with its unit."""

from __future__ import annotations

import math

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets

from .theme import Table, Theme, font

BAR_WIDTH = 14


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between low and high, about that many."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return []
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float, step: float) -> str:
    """value with the decimals that step needs."""
    if abs(value) >= 1e5:
        return f"{value:.3g}"
    text = f"{step:.10f}".rstrip("0")
    decimals = min(6, len(text.split(".")[1]))
    return f"{value:.{decimals}f}".replace("-", "−")


class ColourBar(QtWidgets.QWidget):
    """A vertical bar; the same one stands beside every map, in the window and in the report."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._image = QtGui.QImage()
        self._range = (0.0, 1.0)
        self._log = False
        self.label = ""
        self.setFixedWidth(92)
        self.setMinimumHeight(80)

    def set(self, low: float, high: float, table: Table, label: str, log: bool = False) -> None:
        """Show this range. log: low and high are log10(1 + counts), the ticks say counts."""
        self._range, self.label, self._log = (low, high), label, log
        column = np.ascontiguousarray(table[::-1][:, None, :])
        image = QtGui.QImage(column.data, 1, 256, 4, QtGui.QImage.Format.Format_RGBA8888)
        self._image = image.copy()
        self.setToolTip(label)
        self.update()

    def _ticks(self) -> list[tuple[float, str]]:
        low, high = self._range
        if self._log:
            counts = [0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000, 1_000_000]
            places = [(math.log10(1 + c), f"{c:g}") for c in counts]
            shown = [(v, t) for v, t in places if low <= v <= high]
            if len(shown) > 6:
                shown = [(v, t) for v, t in shown if t[0] != "3"]
            return shown
        values = ticks(low, high)
        step = values[1] - values[0] if len(values) > 1 else high - low
        return [(v, tick_text(v, step)) for v in values]

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if self._image.isNull():
            return
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        bar = QtCore.QRectF(4, 10, BAR_WIDTH, self.height() - 20)
        painter.drawImage(bar, self._image)
        painter.setPen(QtGui.QColor(self._theme.border))
        painter.drawRect(bar)
        painter.setFont(font(12))
        low, high = self._range
        shown, widest = self._ticks(), 0
        for value, text in shown:
            widest = max(widest, painter.fontMetrics().horizontalAdvance(text))
            y = bar.bottom() - (value - low) / (high - low) * bar.height()
            painter.setPen(QtGui.QColor(self._theme.faint))
            painter.drawLine(QtCore.QPointF(bar.right() + 1, y), QtCore.QPointF(bar.right() + 5, y))
            painter.setPen(QtGui.QColor(self._theme.muted))
            place = QtCore.QRectF(bar.right() + 8, y - 9, 48, 18)
            painter.drawText(place, QtCore.Qt.AlignmentFlag.AlignVCenter, text)
        painter.translate(min(self.width() - 9, bar.right() + 20 + widest), self.height() / 2)
        painter.rotate(-90)
        metrics = QtGui.QFontMetrics(font(12))
        text = metrics.elidedText(self.label, QtCore.Qt.TextElideMode.ElideRight, self.height())
        where = QtCore.QRectF(-self.height() / 2, -9, self.height(), 18)
        painter.drawText(where, QtCore.Qt.AlignmentFlag.AlignCenter, text)
        painter.end()

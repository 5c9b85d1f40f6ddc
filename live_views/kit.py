"""The pieces every panel is made of: a card with a heading, and a plot with plain axes."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6 import QtCore, QtGui, QtWidgets

from .theme import Theme, font


class ElidedLabel(QtWidgets.QLabel):
    """A line of text that ends in an ellipsis where there is no room; the tool tip has it all."""

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(text)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        right = QtCore.Qt.TextElideMode.ElideRight
        text = self.fontMetrics().elidedText(self.text(), right, self.width())
        painter.drawText(self.rect(), self.alignment(), text)
        painter.end()


class Card(QtWidgets.QFrame):
    """A framed panel: a title, a note beside it, controls at the right, a body below."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("card")
        self.title = QtWidgets.QLabel(title)
        self.title.setObjectName("title")
        self.note = ElidedLabel("")
        self.note.setObjectName("note")
        self.note.setMinimumWidth(10)
        policy = QtWidgets.QSizePolicy.Policy
        self.note.setSizePolicy(policy.Ignored, policy.Preferred)
        self.head = QtWidgets.QHBoxLayout()
        self.head.setSpacing(8)
        self.head.addWidget(self.title)
        self.head.addWidget(self.note, 1)
        self.body = QtWidgets.QVBoxLayout()
        self.body.setSpacing(4)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(12, 8, 12, 8)
        outer.setSpacing(5)
        outer.addLayout(self.head)
        outer.addLayout(self.body, 1)

    def add_button(self, text: str, tip: str, checkable: bool = False) -> QtWidgets.QPushButton:
        """A small button at the right of the heading."""
        button = QtWidgets.QPushButton(text)
        button.setToolTip(tip)
        button.setCheckable(checkable)
        button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.head.addWidget(button)
        return button


class EmptyNote(QtWidgets.QLabel):
    """A sentence over an empty plot that says what it waits for; items are hidden meanwhile."""

    def __init__(self, over: QtWidgets.QWidget, *items: pg.PlotItem) -> None:
        super().__init__("", over)
        self._items = items
        self.setObjectName("empty")
        self.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        over.installEventFilter(self)

    def say(self, text: str) -> None:
        """Show text; "" hides the note."""
        self.setText(text)
        self.setVisible(bool(text))
        for item in self._items:
            item.setOpacity(0.0 if text else 1.0)
        self._fill()

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Type.Resize:
            self._fill()
        return False

    def _fill(self) -> None:
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())


def style_axes(
    item: pg.PlotItem, theme: Theme, sides: tuple[str, ...] = ("left", "bottom")
) -> None:
    """Axes as this window has them: quiet, and without SI prefixes (they make kum of um)."""
    for side in sides:
        axis = item.getAxis(side)
        axis.enableAutoSIPrefix(False)
        axis.setPen(pg.mkPen(theme.faint))
        axis.setTextPen(pg.mkPen(theme.muted))
        axis.setStyle(tickFont=font(12), tickLength=-4, tickTextOffset=5)
    item.hideButtons()
    item.setMenuEnabled(False)


def label_axis(item: pg.PlotItem, side: str, text: str, theme: Theme) -> None:
    """Name an axis, unit included."""
    item.getAxis(side).setLabel(text, color=theme.muted, **{"font-size": "12px"})


def plot(theme: Theme, x: str, y: str, y_width: int = 0) -> pg.PlotWidget:
    """An empty plot. x, y: axis labels with units; y_width: fixed width of the left axis [px]."""
    widget = pg.PlotWidget(background=theme.card)
    widget.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    item = widget.getPlotItem()
    style_axes(item, theme)
    label_axis(item, "bottom", x, theme)
    label_axis(item, "left", y, theme)
    if y_width:
        item.getAxis("left").setWidth(y_width)
    item.showGrid(x=False, y=False)
    item.setContentsMargins(0, 4, 6, 0)
    return widget


def tint(colour: str, alpha: int) -> QtGui.QColor:
    """colour, made transparent; alpha 0 to 255."""
    made = QtGui.QColor(colour)
    made.setAlpha(alpha)
    return made

"""The film: the same map at every pause, on one colour scale. Click two to compare them."""

from __future__ import annotations

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets

from .colour_bar import ColourBar
from .kit import Card
from .map_canvas import nice_length
from .map_panel import colour_range
from .model import RunModel, ScanRecord
from .painting import paint
from .picture import as_image
from .quantities import MapOf, known, map_of, unit_text
from .theme import Theme, colour_table, font
from .view_state import ViewState
from .words import marks

CAPTION = 112  # width of the words beside a picture [px]
LONGEST_UNIT = 3  # characters; a longer one stands at the colour bar only
MAX_PLANNED = 12  # empty places shown for pauses to come


Cell = tuple[int, QtGui.QImage | None, str, str, str, str]


class FilmStrip(QtWidgets.QWidget):
    """The pictures side by side; emits clicked(pause)."""

    clicked = QtCore.Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._cells: list[Cell] = []
        self._marked: tuple[int, ...] = ()
        self._bar = (0.0, "")
        self.setMinimumHeight(60)

    def show_cells(
        self,
        cells: list[Cell],
        marked: tuple[int, ...],
        bar: tuple[float, str],
    ) -> None:
        """cells: (pause, picture or None, three lines of caption, what is provisional).

        bar: the scale bar as a share of the width, and its words
        """
        self._cells, self._marked, self._bar = cells, marked, bar
        self.setFixedWidth(max(1, len(cells) * self.pitch()))
        self.update()

    def side(self) -> int:
        """Side of a picture [px]."""
        return max(60, self.height() - 4)

    def pitch(self) -> int:
        """From one picture to the next [px]."""
        return self.side() + CAPTION

    def place(self, at: int) -> QtCore.QRect:
        """Where picture number at stands."""
        side = self.side()
        return QtCore.QRect(at * self.pitch() + 2, 2, side, side)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        theme = self._theme
        for at, (pause, image, heading, volts, value, todo) in enumerate(self._cells):
            where = self.place(at)
            if image is None:
                painter.fillRect(where, QtGui.QColor(theme.hatch))
                brush = QtGui.QBrush(
                    QtGui.QColor(theme.hatch_line), QtCore.Qt.BrushStyle.BDiagPattern
                )
                painter.fillRect(where, brush)
            else:
                painter.drawImage(where, image)
                self._scale_bar(painter, where)
            chosen = pause in self._marked
            pen = QtGui.QPen(
                QtGui.QColor(theme.active if chosen else theme.border), 3 if chosen else 1
            )
            if todo:
                pen = QtGui.QPen(QtGui.QColor(theme.warning), 2, QtCore.Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawRect(where)
            if todo:
                self._tag(painter, where, todo)
            if chosen:
                self._tag(painter, where, "AB"[self._marked.index(pause)], theme.active)
            self._caption(painter, where, (heading, volts, value), image is not None)
        painter.end()

    def _caption(
        self, painter: QtGui.QPainter, where: QtCore.QRect, lines: tuple[str, ...], known: bool
    ) -> None:
        box = QtCore.QRect(where.right() + 9, where.top() - 2, CAPTION - 16, 20)
        for line, pixels in zip(lines, (17, 13, 13), strict=True):
            head = pixels > 13
            painter.setFont(font(pixels, bold=head))
            colour = self._theme.text if head and known else self._theme.muted
            painter.setPen(QtGui.QColor(colour))
            painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignVCenter, line)
            box.translate(0, 23 if head else 19)

    def _tag(
        self, painter: QtGui.QPainter, where: QtCore.QRect, text: str, ground: str = ""
    ) -> None:
        painter.setFont(font(12, bold=True))
        width = painter.fontMetrics().horizontalAdvance(text) + 10
        box = QtCore.QRect(where.right() - width - 3, where.top() + 5, width, 18)
        painter.fillRect(box, QtGui.QColor(ground or self._theme.card))
        painter.setPen(QtGui.QColor(self._theme.card if ground else self._theme.warning))
        painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, text)

    def _scale_bar(self, painter: QtGui.QPainter, where: QtCore.QRect) -> None:
        share, words = self._bar
        if not share:
            return
        x, y, length = where.left() + 7, where.bottom() - 7, round(share * where.width())
        painter.fillRect(x - 1, y - 2, length + 2, 5, QtGui.QColor(0, 0, 0, 170))
        painter.fillRect(x, y - 1, length, 3, QtGui.QColor("white"))
        painter.setFont(font(11))
        box = painter.fontMetrics().boundingRect(words).adjusted(-2, 0, 2, 0)
        box.moveBottomLeft(QtCore.QPoint(x, y - 4))
        painter.fillRect(box, QtGui.QColor(0, 0, 0, 150))
        painter.setPen(QtGui.QColor("white"))
        painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, words)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        for at, (pause, image, *_rest) in enumerate(self._cells):
            if image is not None and self.place(at).contains(event.position().toPoint()):
                self.clicked.emit(pause)


class FilmPanel(Card):
    """Emits compared() when two pauses are chosen, or the choice is taken back."""

    compared = QtCore.Signal()

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("All pauses")
        self._theme, self._view = theme, view
        self.strip = FilmStrip(theme)
        self.strip.clicked.connect(self.click)
        self._area = QtWidgets.QScrollArea()
        self._area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._area.setWidgetResizable(True)
        self._area.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(self.strip)
        self._area.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.colours = ColourBar(theme)
        self.colours.hide()
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self._area, 1)
        row.addWidget(self.colours)
        self.body.addLayout(row, 1)
        self._kept: dict[str, tuple[object, QtGui.QImage]] = {}
        self._count = 0

    def click(self, pause: int) -> None:
        """Choose a pause; the second choice compares, the third begins anew."""
        view = self._view
        if pause in view.compared:
            view.compared = tuple(p for p in view.compared if p != pause)
        elif len(view.compared) >= 2:
            view.compared = (pause,)
        else:
            view.compared = (*view.compared, pause)
        self.compared.emit()

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        scans = model.scans()
        cells = [self._cell(model, scan) for scan in scans]
        bar = next(
            (_bar(m) for s in reversed(scans) if (m := map_of(s, self._view.quantity))), (0.0, "")
        )
        self._show_colours(model, scans)
        last = scans[-1].number if scans else 0
        to_come = range(last + 1, min(marks(model), last + MAX_PLANNED) + 1)
        cells += [(pause, None, f"{pause}", "planned", "", "") for pause in to_come]
        self.strip.show_cells(cells, self._view.compared, bar)
        self.title.setText(f"{self._view.quantity.title} at every pause")
        hint = "one colour scale · click two to compare"
        self.note.setText(hint if cells else "the pauses will stand here side by side")
        known = {s.scan for s in scans}
        self._kept = {k: v for k, v in self._kept.items() if k in known}
        if len(cells) != self._count:
            self._count = len(cells)
            bar_h = self._area.horizontalScrollBar()
            bar_h.setValue(max(0, len(scans) * self.strip.pitch() - self._area.width() + 40))

    def _show_colours(self, model: RunModel, scans: list[ScanRecord]) -> None:
        quantity = self._view.quantity
        newest = next((m for s in reversed(scans) if (m := map_of(s, quantity))), None)
        self.colours.setVisible(newest is not None and self._view.scale != "this pause")
        if newest is not None:
            low, high = colour_range(model, self._view, newest)
            unit = f" ({unit_text(newest.unit)})" if newest.unit else ""
            self.colours.set(low, high, colour_table(quantity.key), quantity.short + unit)

    def _cell(self, model: RunModel, scan: ScanRecord) -> Cell:
        start = scan.start
        volts = f"{start.cell.voltage_v:.3f} V" if start and start.cell else ""
        heading = f"{scan.number}"
        shown = map_of(scan, self._view.quantity)
        if shown is None:
            return scan.number, None, heading, volts, "no map yet", ""
        low, high = colour_range(model, self._view, shown)
        values = known(shown.values)
        unit = unit_text(shown.unit)
        middle = shown.quantity.text(float(np.median(values))) if values.size else "no value"
        if values.size and len(unit) <= LONGEST_UNIT:
            middle = f"{middle} {unit}"
        todo = "" if shown.result.final else f"{shown.result.completeness * 100:.0f} %"
        return scan.number, self._picture(scan, shown, low, high), heading, volts, middle, todo

    def _picture(self, scan: ScanRecord, shown: MapOf, low: float, high: float) -> QtGui.QImage:
        key = (id(shown.result), shown.quantity.key, low, high)
        kept = self._kept.get(scan.scan)
        if kept is not None and kept[0] == key:
            return kept[1]
        theme = self._theme
        picture = paint(
            shown.values, low, high, colour_table(shown.quantity.key), answered=shown.answered,
            hatch=(theme.hatch, theme.hatch_line), masked=theme.masked,
        )  # fmt: skip
        image = as_image(picture[::-1])
        self._kept[scan.scan] = (key, image)
        return image


def _bar(shown: MapOf) -> tuple[float, str]:
    if not shown.spatial:
        return 0.0, ""
    width = abs(shown.extent[2])
    length = nice_length(width / 4)
    unit = shown.axes[0].partition("(")[2].rstrip(")")
    return length / width, f"{length:g} {unit}".strip()

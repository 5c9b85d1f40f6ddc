"""The map of the pause that is shown, in the quantity that is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6 import QtCore, QtGui, QtWidgets

from ..stream.messages import Result
from . import words
from .colour_bar import ColourBar
from .kit import Card, ElidedLabel
from .map_canvas import MapCanvas
from .model import RunModel, ScanRecord
from .painting import paint
from .particle_facts import Outlines, found_for, outlines_of
from .picture import as_image
from .quantities import MapOf, Quantity, known, map_of, quantities_of, unit_text
from .scan_words import provisional
from .theme import Theme, colour_table
from .view_state import ViewState

SCALES = ("all pauses", "this pause", "locked")
BUTTONS = 5


def colour_range(model: RunModel, view: ViewState, shown: MapOf) -> tuple[float, float]:
    """The range that shown is drawn with; one for all pauses unless asked otherwise."""
    key = shown.quantity.key
    if view.scale == "this pause":
        return view.ranges.of(f"{key}@{shown.result.number}").follow([shown.values])
    maps = (map_of(scan, shown.quantity) for scan in model.scans()[-24:])
    return view.ranges.of(key).follow(m.values for m in maps if m is not None)


class MapPanel(Card):
    """Emits chosen() when quantity or scale change and picked(row, column) on a click."""

    chosen = QtCore.Signal()
    picked = QtCore.Signal(int, int)

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__("Map")
        self._view = view
        self._shown: list[Quantity] = []
        self._outlines: Outlines | None = None
        self._made_of: tuple[Result | None, ...] = (None, None)
        self._buttons = QtWidgets.QHBoxLayout()
        self._buttons.setSpacing(4)
        self._group: list[QtWidgets.QPushButton] = []
        self.scale = QtWidgets.QComboBox()
        self.scale.addItems([f"scale: {s}  ▾" for s in SCALES])
        self.scale.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.scale.setToolTip("Which values set the colour range; locked holds it as it is")
        self.scale.currentIndexChanged.connect(self._choose_scale)
        self.more = QtWidgets.QComboBox()
        self.more.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.more.setToolTip("Other maps that have arrived")
        self.more.activated.connect(self._choose_more)
        self.more.hide()
        self.outline = self.add_button(
            "outlines", "Particles with their identities; dashed: one that deviates (O)", True
        )
        self.outline.setChecked(view.outlined)
        self.outline.toggled.connect(self._choose_outlines)
        self.outline.hide()
        bar = QtWidgets.QHBoxLayout()
        bar.addLayout(self._buttons)
        bar.addWidget(self.more)
        bar.addStretch(1)
        bar.addWidget(self.scale)
        self.body.addLayout(bar)
        self.canvas = MapCanvas(theme)
        self.canvas.picked.connect(self.picked)
        self.colours = ColourBar(theme)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.canvas, 1)
        row.addWidget(self.colours)
        self.body.addLayout(row, 1)
        self.foot = ElidedLabel("")
        self.foot.setAlignment(
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        )
        self.foot.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred
        )
        self.foot.setObjectName("note")
        legend = QtWidgets.QHBoxLayout()
        legend.setSpacing(6)
        self._legend: list[QtWidgets.QLabel] = []
        for answered, text in ((False, "not measured yet"), (True, "no sample or fit")):
            picture, label = QtWidgets.QLabel(), QtWidgets.QLabel(text)
            picture.setPixmap(_swatch(theme, answered))
            label.setObjectName("note")
            self._legend += [picture, label]
            legend.addWidget(picture)
            legend.addWidget(label)
            legend.addSpacing(8)
        legend.addWidget(self.foot, 1)
        self.body.addLayout(legend)

    def refresh(self, model: RunModel) -> None:
        """Draw what the model holds now."""
        view = self._view
        self._offer(quantities_of(model.scans()))
        scan = view.scan(model)
        shown = map_of(scan, view.quantity)
        which = f"pause {scan.number}" if scan else ""
        following = "" if view.number is None else " · not the newest (→ goes on)"
        self.title.setText(view.quantity.title)
        if scan is None or shown is None:
            self.note.setText(which + following)
            self.canvas.clear_map(words.empty_map(model, scan))
            self.colours.setVisible(False)
            self.foot.setText("")
            self._show_legend(False)
            return
        low, high = colour_range(model, view, shown)
        outlines = self._outlined(model, scan)
        if outlines is not None and outlines.pause != scan.number:
            which += f" · outlines of pause {outlines.pause}"
        self.canvas.show_map(
            shown, low, high, colour_table(view.quantity.key),
            fade=self._fade(scan, shown), picked=view.picked, badge=provisional(scan, shown.result),
            outlines=outlines, particle=view.particle,
        )  # fmt: skip
        label = view.quantity.title + (f" ({unit_text(shown.unit)})" if shown.unit else "")
        self.colours.set(low, high, colour_table(view.quantity.key), label)
        self.colours.setVisible(True)
        self.note.setText(which + following)
        self.foot.setText(self._median(shown))
        self._show_legend(True)

    def _outlined(self, model: RunModel, scan: ScanRecord) -> Outlines | None:
        known = found_for(model, scan)
        self.outline.setVisible(known is not None)
        if known is None or not self._view.outlined:
            return None
        made_of = (known.result("particles"), known.result("particle_table"))
        if any(new is not old for new, old in zip(made_of, self._made_of, strict=True)):
            self._made_of, self._outlines = made_of, outlines_of(known)
        return self._outlines

    def _choose_outlines(self, on: bool) -> None:
        self._view.outlined = on
        self.chosen.emit()

    def _show_legend(self, on: bool) -> None:
        for label in self._legend:
            label.setVisible(on)

    def _fade(self, scan: ScanRecord, shown: MapOf) -> NDArray[np.bool_] | None:
        lattice = scan.result("lattice_parameter")
        if (
            self._view.brush is None
            or lattice is None
            or lattice.values.shape != shown.values.shape
        ):
            return None
        low, high = self._view.brush
        a = np.asarray(lattice.values, np.float64)
        with np.errstate(invalid="ignore"):
            inside = (a >= low) & (a <= high)
        return ~inside & np.isfinite(shown.values)

    def _median(self, shown: MapOf) -> str:
        values = known(shown.values)
        if not values.size:
            return "no voxel has a value yet"
        middle = float(np.median(values))
        unit = unit_text(shown.unit)
        return f"median {shown.quantity.text(middle)} {unit} in {values.size} voxels"

    def _offer(self, quantities: list[Quantity]) -> None:
        if quantities == self._shown:
            return
        self._shown = list(quantities)
        for button in self._group:
            button.deleteLater()
        self._group = []
        for quantity in quantities[:BUTTONS]:
            button = QtWidgets.QPushButton(quantity.short)
            button.setCheckable(True)
            button.setChecked(quantity == self._view.quantity)
            button.setToolTip(quantity.title)
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _=False, q=quantity: self.choose(q))
            self._buttons.addWidget(button)
            self._group.append(button)
        self.more.clear()
        self.more.addItems(["more  ▾", *(q.short for q in quantities[BUTTONS:])])
        self.more.setVisible(len(quantities) > BUTTONS)

    def choose(self, quantity: Quantity) -> None:
        """Show another quantity."""
        self._view.quantity = quantity
        for button in self._group:
            button.setChecked(button.toolTip() == quantity.title)
        at = self._shown.index(quantity) if quantity in self._shown else 0
        self.more.setCurrentIndex(max(0, at - BUTTONS + 1))
        self.chosen.emit()

    def choose_at(self, index: int) -> None:
        """Show the quantity of the button at index."""
        if index < len(self._shown):
            self.choose(self._shown[index])

    def _choose_more(self, index: int) -> None:
        if index > 0:
            self.choose(self._shown[BUTTONS + index - 1])

    def _choose_scale(self, index: int) -> None:
        self._view.scale = SCALES[index]
        self._view.ranges.lock(SCALES[index] == "locked")
        self.chosen.emit()


def _swatch(theme: Theme, answered: bool) -> QtGui.QPixmap:
    """A small piece of what a voxel without a value looks like."""
    picture = paint(
        np.full((16, 16), np.nan), 0.0, 1.0, colour_table(""), answered=np.full((16, 16), answered),
        hatch=(theme.hatch, theme.hatch_line), masked=theme.masked,
    )[:14, :22]  # fmt: skip
    return QtGui.QPixmap.fromImage(as_image(picture))

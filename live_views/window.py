"""The live window: panels around one model, drawn on the window's own timer.

Messages are taken as they come and change the model only; drawing looks at the newest state, at
most four times a second and never for more than a fifth of the time. A slow screen loses pictures,
never frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

from ..stream.messages import Decision, Focus, Message
from .cell_panel import CellPanel
from .compare_panel import ComparePanel
from .film_panel import FilmPanel
from .frame_panel import FramePanel
from .histogram_panel import HistogramPanel
from .map_panel import MapPanel
from .model import RunModel
from .next_panel import NextPanel
from .particle_facts import found_for, particle_at
from .particle_panel import ParticlePanel
from .pattern_panel import PatternPanel
from .picture import save_picture
from .ranges import Ranges
from .sinogram_panel import SinogramPanel
from .status_panel import StatusPanel
from .theme import Theme, style_sheet
from .trend_panel import TrendPanel
from .view_state import ViewState

DRAW_EVERY_S = 0.25  # painting a whole screen takes some 60 ms of one core

HELP = """space   hold the display; data goes on being taken
← →   earlier, later pause; beyond the last one the window follows the newest
1 … 5   quantity of the map
B   brush a range in the histogram
O   outlines of particles
P   the picked particle, or the detector
R   requests for another scan, or the log
↑ ↓ A V   choose a request; approve it, veto it (where control is allowed)
Esc   leave the comparison, let go of the voxel and its particle
S   save the window as PNG
?   this help

Click a voxel for its pattern, fit, particle and history; click two pauses to compare them."""


class LiveWindow(QtWidgets.QWidget):
    """model: what is shown; send: takes a Focus to the consumers, None where looking is all."""

    def __init__(
        self,
        model: RunModel,
        theme: Theme,
        send: Callable[[Message], None] | None = None,
        pictures: Path | None = None,
    ) -> None:
        super().__init__()
        self.setObjectName("window")
        self.setWindowTitle("operando")
        self.setStyleSheet(style_sheet(theme))
        self.model, self.view = model, ViewState(Ranges())
        self._send, self._pictures = send, pictures or Path.cwd()
        self._focused_scan = ""
        self._rest_until = 0.0
        self._pending: set[str] = {"all"}
        self._build(theme)
        self.setMinimumSize(1280, 760)
        self.resize(1920, 1080)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)

    def _build(self, theme: Theme) -> None:
        view = self.view
        self.status = StatusPanel(theme, view)
        self.map = MapPanel(theme, view)
        self.histogram, self.trend = HistogramPanel(theme, view), TrendPanel(theme, view)
        self.pattern, self.frame = PatternPanel(theme, view), FramePanel(theme)
        self.sinogram = SinogramPanel(theme, view)
        self.film, self.compare = FilmPanel(theme, view), ComparePanel(theme, view)
        self.particle = ParticlePanel(theme, view)
        self.cell, self.next = CellPanel(theme, view), NextPanel(theme, self._send is not None)
        self.lower = QtWidgets.QStackedWidget()
        self.lower.addWidget(_row((self.frame, 60), (self.sinogram, 40)))
        self.lower.addWidget(self.particle)
        right = _column((self.pattern, 52), (self.lower, 48))
        middle = _column((self.histogram, 54), (self.trend, 46))
        self.stack = QtWidgets.QStackedWidget()
        self.stack.addWidget(_row((self.map, 31), (middle, 24), (right, 45)))
        self.stack.addWidget(self.compare)
        self.help = QtWidgets.QLabel(HELP, self)
        self.help.setStyleSheet(
            f"background: {theme.card}; border: 1px solid {theme.active}; border-radius: 8px;"
            "padding: 22px; font-size: 15px;"
        )
        self.help.hide()
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(10, 10, 10, 10)
        outer.setSpacing(8)
        outer.addWidget(self.status)
        below = _row((self.cell, 68), (self.next, 32))
        for part, stretch in ((self.stack, 56), (self.film, 19), (below, 25)):
            outer.addWidget(_share(part, stretch), stretch)
        self.map.chosen.connect(self.redraw)
        self.map.picked.connect(self.pick)
        self.compare.picked.connect(self.pick)
        self.histogram.brushed.connect(self._brushed)
        self.film.compared.connect(self._compared)
        self.compare.closed.connect(self.leave_comparison)
        self.frame.rings.toggled.connect(self.redraw)
        self.cell.chosen.connect(self.redraw)
        self.next.requests.decided.connect(self._decide)
        self.frame.particle.clicked.connect(lambda: self.lower.setCurrentIndex(1))
        self.particle.add_button("detector", "The detector again (P)").clicked.connect(
            lambda: self.lower.setCurrentIndex(0)
        )

    # -- data -----------------------------------------------------------------------------------

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages into the model; nothing is drawn."""
        for message in messages:
            self.model.take(message)
        scan = self.model.scan()
        if self.view.picked is not None and scan is not None and scan.scan != self._focused_scan:
            self._ask(scan.scan)  # a new scan has a consumer that does not know where we look

    def tick(self) -> None:
        """Draw what has changed, unless drawing has had its share of the time."""
        self.status.show_connection(self.model)
        now = time.monotonic()
        if self.view.paused or now < self._rest_until:
            return
        self._pending |= self.model.changes()
        if self._pending:
            self.draw()
            spent = time.monotonic() - now
            self._rest_until = now + max(DRAW_EVERY_S, 5 * spent)

    def redraw(self) -> None:
        """Draw everything now: the person has chosen something."""
        self._pending = {"all"}
        self.draw()

    def draw(self) -> None:
        """Draw every panel whose data changed."""
        changed, self._pending = self._pending | self.model.changes(), set()
        everything = "all" in changed or "scan" in changed
        if everything or changed & {"samples", "status", "result"}:
            self.status.refresh(self.model)
        if everything or "result" in changed:
            self._draw_results()
        if everything or changed & {"frame", "reflections"}:
            self.frame.refresh(self.model)
        if everything or changed & {"samples", "result"}:
            self.cell.refresh(self.model)
        if everything or changed & {"status", "log", "requests"}:
            self.next.refresh(self.model)

    def _draw_results(self) -> None:
        if self.stack.currentWidget() is self.compare:
            self.compare.refresh(self.model)
        else:
            panels = (
                self.map, self.histogram, self.trend, self.pattern, self.sinogram, self.particle,
            )  # fmt: skip
            for panel in panels:
                panel.refresh(self.model)
        self.film.refresh(self.model)

    # -- the person -----------------------------------------------------------------------------

    def pick(self, row: int, column: int) -> None:
        """Look at a voxel: show it, and ask the consumers for its details."""
        self.view.picked = (row, column)
        scan = self.view.scan(self.model)
        self.view.particle = particle_at(found_for(self.model, scan), self.view.picked)
        if self.view.particle:
            self.lower.setCurrentWidget(self.particle)
        self._ask(scan.scan if scan else "")
        self.redraw()

    def _ask(self, scan: str) -> None:
        self._focused_scan = scan
        if self._send is not None and self.view.picked is not None:
            self._send(Focus(scan, *self.view.picked))

    def _decide(self, word: Decision) -> None:
        if self._send is not None:
            self._send(word)
        self.next.refresh(self.model)

    def _brushed(self) -> None:
        self.map.refresh(self.model)

    def _compared(self) -> None:
        two = len(self.view.compared) == 2
        self.stack.setCurrentIndex(1 if two else 0)
        self.redraw()

    def leave_comparison(self) -> None:
        """Back to the live map."""
        self.view.compared = ()
        self._compared()

    def save(self) -> Path:
        """Save the window as PNG; the file's path."""
        name = datetime.now().strftime("operando-%Y%m%d-%H%M%S-%f")[:-3] + ".png"
        return save_picture(self, self._pictures / name)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        key, keys = event.key(), QtCore.Qt.Key
        if key == keys.Key_Space:
            self.view.paused = not self.view.paused
            self.redraw()
        elif key in (keys.Key_Left, keys.Key_Right):
            self.view.step(self.model, -1 if key == keys.Key_Left else 1)
            self.redraw()
        elif keys.Key_1 <= key <= keys.Key_5:
            self.map.choose_at(key - keys.Key_1)
        elif key == keys.Key_B:
            self.histogram.brush_button.toggle()
        elif key == keys.Key_O:
            self.map.outline.toggle()
        elif key == keys.Key_P:
            self.lower.setCurrentIndex(1 - self.lower.currentIndex())
        elif key in (keys.Key_R, keys.Key_Up, keys.Key_Down, keys.Key_A, keys.Key_V):
            self.next.press(key)
        elif key == keys.Key_S:
            self.save()
        elif key == keys.Key_Escape:
            self.help.hide()
            self.view.picked, self.view.particle = None, 0
            self.lower.setCurrentIndex(0)
            self.leave_comparison()
        elif event.text() == "?":
            self.help.setVisible(not self.help.isVisible())
            self.help.adjustSize()
            self.help.move(self.rect().center() - self.help.rect().center())
            self.help.raise_()
        else:
            super().keyPressEvent(event)


def _row(*parts: tuple[QtWidgets.QWidget, int]) -> QtWidgets.QWidget:
    return _box(QtWidgets.QHBoxLayout(), parts)


def _column(*parts: tuple[QtWidgets.QWidget, int]) -> QtWidgets.QWidget:
    return _box(QtWidgets.QVBoxLayout(), parts)


def _box(
    layout: QtWidgets.QBoxLayout, parts: tuple[tuple[QtWidgets.QWidget, int], ...]
) -> QtWidgets.QWidget:
    holder = QtWidgets.QWidget()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(8)
    for part, stretch in parts:
        layout.addWidget(_share(part, stretch), stretch)
    holder.setLayout(layout)
    return holder


def _share(part: QtWidgets.QWidget, stretch: int) -> QtWidgets.QWidget:
    """part, made to take its share of the room whatever it would like to have."""
    policy = part.sizePolicy()
    ignored = QtWidgets.QSizePolicy.Policy.Ignored
    policy.setHorizontalPolicy(ignored)
    policy.setVerticalPolicy(ignored)
    policy.setHorizontalStretch(stretch)
    policy.setVerticalStretch(stretch)
    part.setSizePolicy(policy)
    return part

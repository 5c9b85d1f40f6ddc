"""The status line: is the cell safe, is data flowing, is anything lost?"""

from __future__ import annotations

import math

from PySide6 import QtCore, QtWidgets

from . import words
from .kit import ElidedLabel
from .model import RunModel
from .theme import Theme
from .view_state import ViewState


class _Cell(QtWidgets.QWidget):
    """A small caption above a large value."""

    def __init__(self, caption: str) -> None:
        super().__init__()
        self.caption = QtWidgets.QLabel(caption.upper())
        self.caption.setObjectName("caption")
        self.value = QtWidgets.QLabel("–")
        self.value.setObjectName("value")
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.caption)
        column.addWidget(self.value)

    def say(self, text: str, colour: str) -> None:
        """Show text in a colour; the cell keeps the width it once needed, so that none jumps."""
        self.value.setText(text)
        self.value.setStyleSheet(f"color: {colour};")
        self.setMinimumWidth(max(self.minimumWidth(), self.sizeHint().width()))


class StatusPanel(QtWidgets.QFrame):
    """One line on top of the window; every number in it has a unit."""

    def __init__(self, theme: Theme, view: ViewState) -> None:
        super().__init__()
        self.setObjectName("card")
        self._theme, self._view = theme, view
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(14, 7, 14, 7)
        row.setSpacing(24)
        self.pill = QtWidgets.QLabel("")
        self.pill.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        row.addWidget(self.pill)
        names = ("cell", "scan", "rate", "lag", "lost", "disk free")
        self.cells = {name: _Cell(name) for name in names}
        for cell in self.cells.values():
            row.addWidget(cell)
        right = QtWidgets.QVBoxLayout()
        right.setSpacing(1)
        self.trouble = QtWidgets.QLabel("")
        self.trouble.setObjectName("value")
        self.who = ElidedLabel("")
        self.sums = (ElidedLabel(""), ElidedLabel(""))  # of the newest scan's account
        for label in (self.who, *self.sums):
            label.setObjectName("note")
        for label in (self.who, *self.sums, self.trouble):
            label.setAlignment(
                QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
            )
        policy = QtWidgets.QSizePolicy.Policy
        for label in (self.who, *self.sums):
            label.setSizePolicy(policy.Ignored, policy.Preferred)
        health = QtWidgets.QHBoxLayout()
        health.setSpacing(10)
        health.addWidget(self.who, 1)
        health.addWidget(self.trouble)
        right.addLayout(health)
        for label in self.sums:
            right.addWidget(label)
        row.addLayout(right, 1)
        self.setFixedHeight(66)

    def refresh(self, model: RunModel) -> None:
        """Say how things stand now."""
        theme = self._theme
        cell = words.cell(model)
        colour = theme.level(cell.level) if cell.level != "quiet" else theme.muted
        self.pill.setText(f"●  {cell.text}" if cell.level != "fault" else f"▲  {cell.text}")
        self.pill.setStyleSheet(
            f"font-size: 18px; font-weight: 700; color: {theme.card}; background: {colour};"
            "border-radius: 6px; padding: 7px 14px;"
        )
        self.pill.setMinimumWidth(self.pill.sizeHint().width())
        history = model.history
        if len(history):
            since = words.cell_time(history.state_since())
            self.cells["cell"].say(f"{history.voltage_v[-1]:.3f} V, for {since}", theme.text)
        progress = words.progress(model)
        tone = theme.fault if progress.level == "fault" else theme.text
        self.cells["scan"].say(progress.text, tone)
        rate, lag = words.frames_per_s(model), words.lag_s(model)
        self.cells["rate"].say(f"{rate:.0f} frames/s" if math.isfinite(rate) else "–", theme.text)
        slow = math.isfinite(lag) and lag > 10
        self.cells["lag"].say(
            f"{lag:.1f} s" if math.isfinite(lag) else "–", theme.warning if slow else theme.text
        )
        lost = words.lost(model)
        self.cells["lost"].say(lost.text, theme.level(lost.level))
        sums = words.sums(model)
        for label, text in zip(self.sums, sums, strict=True):
            label.setText(text)
        self.cells["lost"].setToolTip("\n".join(s for s in (*sums, words.lost_why(model)) if s))
        free = words.disk_free(model)
        low = math.isfinite(free) and free < 5e9
        self.cells["disk free"].say(words.size(free), theme.fault if low else theme.text)
        self.show_connection(model)
        layout = self.layout()
        if layout is not None:
            layout.activate()  # a picture may be taken before the next event gives texts their room

    def show_connection(self, model: RunModel) -> None:
        """Say who is there; ages go on while nothing arrives."""
        said = words.trouble(model)
        text, colour = said.text, self._theme.level(said.level)
        if self._view.paused:
            text, colour = "display paused (space goes on)", self._theme.warning
        self.trouble.setText(text)
        self.trouble.setStyleSheet(f"color: {colour};")
        self.who.setText(words.connected(model))

"""What the plan will do next, what is asked of it, and what has happened, newest first."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Iterator, Mapping

from PySide6 import QtCore, QtWidgets

from ..stream.messages import Scalar
from . import words
from .kit import Card, ElidedLabel
from .model import LogLine, RunModel
from .request_panel import RequestPanel
from .theme import Theme

SHOWN = 60


class NextPanel(Card):
    """The plan's own words, from its status; below them the log, or the requests.

    control: whether a word on a request may be given here
    """

    def __init__(self, theme: Theme, control: bool = False) -> None:
        super().__init__("Next")
        self._theme = theme
        self.now, self.then = ElidedLabel(""), ElidedLabel("")
        self.now.setObjectName("headline")
        self.bar = QtWidgets.QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.log = QtWidgets.QTextBrowser()
        self.log.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.log.document().setDocumentMargin(0)
        self.log.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body.addWidget(self.now)
        self.body.addWidget(self.bar)
        self.body.addWidget(self.then)
        self.body.addSpacing(4)
        self.requests = RequestPanel(theme, control)
        self.pages = QtWidgets.QStackedWidget()
        self.pages.addWidget(self.log)
        self.pages.addWidget(self.requests)
        self.body.addWidget(self.pages, 1)
        self.tab = self.add_button("requests", "Requests for another scan, or the log (R)", True)
        self.tab.toggled.connect(lambda on: self.pages.setCurrentIndex(int(on)))
        self._waited = 0
        self._written = ""

    def refresh(self, model: RunModel) -> None:
        """Say what the plan said last."""
        now, then = plan_words(model)
        plan = model.status("plan")
        missed = plan is not None and bool(model.plan.marks_missed(plan.state))
        self.now.setText(now)
        self.now.setStyleSheet(f"color: {self._theme.warning};" if missed else "")
        self.then.setText(then)
        scan = model.scan()
        share = scan.completeness() if scan else 0.0
        self.bar.setValue(round(1000 * share))
        self.requests.refresh(model)
        waiting = self.requests.waiting(model)
        self.tab.setText(f"requests: {waiting} waiting" if waiting else "requests")
        if waiting > self._waited:  # seen before it happens
            self.tab.setChecked(True)
        self._waited = waiting
        written = "".join(self._line(line.wall_s, line.level, line.text) for line in _newest(model))
        if written != self._written:
            self._written = written
            self.log.setHtml(f"<table cellspacing=0 cellpadding=1>{written}</table>")

    def press(self, key: int) -> None:
        """A key of the window that speaks to the requests."""
        keys = QtCore.Qt.Key
        if key == keys.Key_R:
            self.tab.toggle()
        elif not self.tab.isChecked():
            return  # nothing is decided that is not seen
        elif key in (keys.Key_Up, keys.Key_Down):
            self.requests.step(-1 if key == keys.Key_Up else 1)
        elif key in (keys.Key_A, keys.Key_V):
            self.requests.decide("approved" if key == keys.Key_A else "vetoed")

    def _line(self, wall_s: float, level: str, text: str) -> str:
        colour = self._theme.text if level == "info" else self._theme.level(level)
        clock = time.strftime("%H:%M:%S", time.localtime(wall_s)) if math.isfinite(wall_s) else ""
        return (
            f'<tr><td style="color:{self._theme.muted}">{clock}&nbsp;&nbsp;</td>'
            f'<td style="color:{colour}">{html.escape(text)}</td></tr>'
        )


def _newest(model: RunModel) -> list[LogLine]:
    return list(reversed(model.log))[:SHOWN]


def plan_words(model: RunModel) -> tuple[str, str]:
    """(what the plan does now, what it will do next), in words."""
    plan = model.status("plan")
    if plan is None:
        return "No word from the plan yet", ""
    said = plan.values
    now = str(said.get("phase") or plan.state)
    now = now[:1].upper() + now[1:]
    mark, marks = words.number(said.get("mark")), words.number(said.get("marks"))
    missed = model.plan.marks_missed(plan.state)
    if missed:
        now += f" · {missed}"
    elif math.isfinite(mark) and math.isfinite(marks):
        now += _place(plan.state, int(mark), int(marks))
    done, frames = words.number(said.get("frames_done")), words.number(said.get("frames"))
    if math.isfinite(done) and frames > 0:
        now += f" · {done:.0f} of {frames:.0f} frames"
    return now, ", ".join(_then(plan.state, said))


def _place(state: str, mark: int, marks: int) -> str:
    """Where the run stands among its marks; mark: the last one it reached."""
    if not state.startswith("discharging"):
        return f" · mark {mark} of {marks}"
    return f" to mark {mark + 1} of {marks}" if mark < marks else " to the cut-off"


def _then(state: str, said: Mapping[str, Scalar]) -> Iterator[str]:
    """What is known of what comes, piece by piece."""
    if said.get("reason"):
        yield str(said["reason"])
    left = words.number(said.get("cell_seconds_left"))
    relaxing = state.startswith("relaxing")
    if relaxing and math.isfinite(left):
        yield f"{words.cell_time(left)} until the scan"
    following = str(said.get("next_mark", ""))
    if said.get("next"):
        yield f"next: {said['next']}"
    elif following.startswith("cut-off"):
        yield f"next: {following}"
    elif following:
        yield f"next mark: {following}"
    if not relaxing and math.isfinite(left):
        yield f"{words.cell_time(left)} until then"
    wall_left = words.number(said.get("remaining_s"))
    if math.isfinite(wall_left):
        yield f"{words.duration(wall_left)} left"

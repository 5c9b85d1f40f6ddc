"""What the plan will do next, and what has happened: a line, a bar, and a log, newest first."""

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
from .theme import Theme

SHOWN = 60


class NextPanel(Card):
    """The plan's own words, from its status."""

    def __init__(self, theme: Theme) -> None:
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
        self.body.addWidget(self.log, 1)
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
        written = "".join(self._line(line.wall_s, line.level, line.text) for line in _newest(model))
        if written != self._written:
            self._written = written
            self.log.setHtml(f"<table cellspacing=0 cellpadding=1>{written}</table>")

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

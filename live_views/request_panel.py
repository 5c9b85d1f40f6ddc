"""Requests for another scan: why, what they cost, what became of them; a word on them.

What is shown is what the plan and the hub have said. A word that was given here is marked as sent
until it comes back: a veto that got lost on its way must not look like one that holds.
"""

from __future__ import annotations

import html

from PySide6 import QtCore, QtWidgets

from .model import RunModel
from .request_queue import Request, decision
from .request_words import asked_for
from .theme import Theme

SHOWN = 12
SENT = {"approved": "approval sent", "vetoed": "veto sent"}


class RequestPanel(QtWidgets.QWidget):
    """Emits decided(Decision) for the chosen request; control: whether words are allowed."""

    decided = QtCore.Signal(object)

    def __init__(self, theme: Theme, control: bool) -> None:
        super().__init__()
        self._theme, self._control = theme, control
        self._model: RunModel | None = None
        self._chosen = ""
        self._sent: dict[str, tuple[str, int]] = {}
        self.list = QtWidgets.QTextBrowser()
        self.list.setOpenLinks(False)
        self.list.anchorClicked.connect(lambda url: self.choose(url.toString()))
        self.list.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self.list.document().setDocumentMargin(0)
        self.approve = QtWidgets.QPushButton("approve (A)")
        self.veto = QtWidgets.QPushButton("veto (V)")
        row = QtWidgets.QHBoxLayout()
        row.addStretch(1)
        for button, verdict in ((self.approve, "approved"), (self.veto, "vetoed")):
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _=False, v=verdict: self.decide(v))
            button.setVisible(control)
            row.addWidget(button)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list, 1)
        column.addLayout(row)

    def refresh(self, model: RunModel) -> None:
        """Show what the model holds now."""
        self._model = model
        shown = list(reversed(model.requests.all()))[:SHOWN]
        open_ = [r for r in shown if r.can_be_decided(model.clock())]
        if self._chosen not in {r.id for r in open_}:
            self._chosen = open_[-1].id if open_ else ""  # the oldest is due first
        for request in shown:
            sent = self._sent.get(request.id)
            if sent is not None and len(request.words) > sent[1]:
                del self._sent[request.id]  # somebody has spoken since
        self.approve.setEnabled(self._may("approved"))
        self.veto.setEnabled(self._may("vetoed"))
        lines = "".join(self._line(request) for request in shown)
        nothing = "No requests: nothing in the maps has asked for another scan."
        text = f"<table cellspacing=0 cellpadding=2>{lines}</table>" if lines else nothing
        if text != self.list.property("written"):
            self.list.setProperty("written", text)
            self.list.setHtml(text)

    def waiting(self, model: RunModel) -> int:
        """How many wait for a word."""
        now = model.clock()
        return sum(
            r.state == "proposed" and r.can_be_decided(now) for r in model.requests.all()
        )  # fmt: skip

    def step(self, by: int) -> None:
        """Choose another of those that can be decided."""
        if self._model is None:
            return
        now = self._model.clock()
        open_ = [r.id for r in reversed(self._model.requests.all()) if r.can_be_decided(now)]
        if open_:
            at = open_.index(self._chosen) + by if self._chosen in open_ else 0
            self.choose(open_[max(0, min(len(open_) - 1, at))])

    def choose(self, id_: str) -> None:
        """The request that the buttons speak of."""
        self._chosen = id_
        if self._model is not None:
            self.refresh(self._model)

    def decide(self, verdict: str) -> None:
        """Say verdict on the chosen request, where that is allowed."""
        if not self._may(verdict) or self._model is None:
            return
        request = self._model.requests.get(self._chosen)
        if request is not None:
            word = decision(request, verdict, self._model.wall(), "by hand")
            self._sent[request.id] = (verdict, len(request.words))
            self.decided.emit(word)
            self.refresh(self._model)

    def _may(self, verdict: str) -> bool:
        if not self._control or self._model is None:
            return False
        request = self._model.requests.get(self._chosen)
        if request is None or not request.can_be_decided(self._model.clock()):
            return False
        return verdict == "vetoed" or request.state != "approved"

    def _line(self, request: Request) -> str:
        asked = request.proposal
        if asked is None:
            return ""
        theme = self._theme
        chosen = request.id == self._chosen
        sent = self._sent.get(request.id)
        state = SENT[sent[0]] if sent else request.state
        colour = {
            "proposed": theme.warning,
            "approved": theme.active,
            "done": theme.good,
        }.get(state, theme.muted)
        if state in SENT.values():
            colour = theme.warning
        last = request.words[-1] if request.words else None
        said = f" · {last.verdict} by {last.by}" if last else ""
        said += f": {last.reason}" if last and last.reason else ""
        mark = "▸" if chosen and self._control else "&nbsp;"
        return (
            f'<tr><td>{mark}</td><td style="color:{colour}">'
            f'<a href="{html.escape(request.id)}" style="color:{colour};text-decoration:none">'
            f"{html.escape(state)}</a>&nbsp;&nbsp;</td><td>{html.escape(asked_for(asked))}"
            f'<br><span style="color:{theme.muted}">{html.escape(asked.reason)}'
            f"{html.escape(said)}</span></td></tr>"
        )

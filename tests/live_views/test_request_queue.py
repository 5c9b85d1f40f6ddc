"""What the window knows of proposals, whatever order the messages come in."""

from __future__ import annotations

import math

import pytest
from operando.live_views.model import RunModel
from operando.live_views.request_queue import KEPT, RequestQueue, decision
from operando.stream.messages import Decision, Proposal

NAN = math.nan


def asked(id_="1", kind="roi", run="run"):
    return Proposal(
        run, id_, kind, "s", "it deviates", (1.0, 2.0, 3.0), 0.01, 9.0, NAN, 160.0, 100.0
    )


def said(verdict, id_="1", at=101.0, by="plan", run="run"):
    return Decision(run, id_, verdict, by, "because", at)


def test_a_request_goes_through_its_states_and_ends():
    queue = RequestQueue()
    assert queue.take(asked(), 5.0)
    (request,) = queue.all()
    assert request.state == "proposed"
    assert request.can_be_decided(64.0)
    assert not request.can_be_decided(65.1)  # its sixty seconds are over
    assert queue.take(said("approved"), 6.0)
    assert request.can_be_decided(900.0)  # a veto ends what runs
    assert queue.take(said("done", at=103.0), 7.0)
    assert request.state == "done"
    assert not request.can_be_decided(8.0)
    assert not queue.take(said("approved", at=104.0), 9.0)
    assert request.state == "done"


def test_repeats_change_nothing_and_words_may_come_first():
    queue = RequestQueue()
    assert queue.take(said("refused"), 1.0)
    assert queue.all() == []
    assert queue.take(asked(), 2.0)
    assert not queue.take(asked(), 3.0)
    assert not queue.take(said("refused"), 3.0)
    assert [r.state for r in queue.all()] == ["refused"]


def test_the_oldest_go_first():
    queue = RequestQueue()
    for number in range(KEPT + 3):
        queue.take(asked(str(number)), 0.0)
    assert len(queue) == KEPT
    assert queue.all()[0].id == "3"
    queue.clear()
    assert len(queue) == 0


def test_a_window_approves_or_vetoes_and_nothing_else():
    queue = RequestQueue()
    queue.take(asked(), 0.0)
    word = decision(queue.get("1"), "vetoed", 77.0, "beam stop")
    assert word == Decision("run", "1", "vetoed", "window", "beam stop", 77.0)
    with pytest.raises(ValueError, match="approves or vetoes"):
        decision(queue.get("1"), "done", 77.0)
    queue.take(said("approved", "2"), 0.0)
    with pytest.raises(ValueError, match="has not come"):
        decision(queue.get("2"), "vetoed", 77.0)


def test_the_model_logs_them_and_forgets_them_with_their_run():
    model = RunModel(clock=lambda: 1.0, wall=lambda: 100.0)
    model.take(asked())
    model.take(said("refused"))
    model.take(said("refused"))
    assert "requests" in model.changes()
    assert [line.text for line in model.log] == [
        "proposed: roi, it deviates", "1 refused by plan: because",
    ]  # fmt: skip
    assert {line.level for line in model.log} == {"info"}
    model.take(asked("9", run="another"))
    assert [r.id for r in model.requests.all()] == ["9"]
    model.take(asked("2"))  # of the run that was left
    assert [r.id for r in model.requests.all()] == ["9"]

"""The board: late, lost, repeated and contradicting messages can only make the plan do nothing."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.plans.board import SILENT_S, Board
from operando.stream.messages import Decision, Proposal, Status

NAN = math.nan
KINDS = ("stop", "roi", "exposure")


class Clock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(id_="1", kind="roi", scan="s", valid_s=60.0):
    return Proposal(
        "run", id_, kind, scan, "why", (1.0, 2.0, 3.0), 0.01, NAN, NAN, 500.0 + valid_s, 500.0
    )


def said(verdict, id_="1", by="window", at=0.0):
    return Decision("run", id_, verdict, by, "", at)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sent():
    return []


@pytest.fixture
def board(clock, sent):
    return Board(sent.append, clock, lambda: 123.0)


def test_a_proposal_is_open_for_its_scan_and_kind_until_it_is_settled(board, sent):
    board.take(asked())
    assert board.open("s", ("stop",)) is None
    assert board.open("other", KINDS) is None
    assert board.open("s", KINDS) == asked()
    board.decide(asked(), "approved", "nobody vetoed", by="automatic")
    assert board.open("s", KINDS) == asked()
    board.decide(asked(), "done", "scan 2")
    board.decide(asked(), "refused", "once more")
    board.take(asked())  # told again after a reconnection
    assert board.open("s", KINDS) is None
    assert [(d.verdict, d.by, d.time) for d in sent] == [
        ("approved", "automatic", 123.0), ("done", "plan", 123.0),
    ]  # fmt: skip


def test_the_oldest_comes_first(board):
    board.take(asked("1"))
    board.take(asked("2"))
    assert board.open("s", KINDS).id == "1"


def test_what_is_too_old_expires_by_this_machines_clock(board, clock, sent):
    board.take(asked(valid_s=10.0))
    clock.now += 9.9
    assert board.open("s", KINDS) is not None
    assert board.age_s(asked(valid_s=10.0)) == pytest.approx(9.9)
    clock.now += 0.2
    assert math.isinf(board.age_s(asked(valid_s=10.0)))
    assert board.open("s", KINDS) is None
    assert [d.verdict for d in sent] == ["expired"]


def test_a_late_approval_is_none_and_a_veto_always_counts(board, clock):
    proposal = asked(valid_s=10.0)
    board.take(proposal)
    clock.now += 11
    board.take(said("approved"))
    assert board.word(proposal) is None
    board.take(said("vetoed"))
    assert board.word(proposal).verdict == "vetoed"
    board.take(said("approved"))
    assert board.word(proposal).verdict == "vetoed"


def test_words_about_what_nobody_asked_are_forgotten(board):
    board.take(said("approved", "7"))
    board.take(asked("7"))
    assert board.word(asked("7")) is None  # it may have been of another run


def test_the_plans_own_words_and_other_verdicts_do_not_approve(board):
    board.take(asked())
    for word in (said("approved", by="plan"), said("done"), said("refused"), said("expired")):
        board.take(word)
    assert board.word(asked()) is None


def test_a_recommender_is_waited_for_while_it_lives_and_has_not_finished(board, clock):
    def report(judged, left):
        board.take(Status("recommender", "", 0.0, {"judged": judged, "left": left}))

    assert not board.awaited(3)  # nobody was ever heard
    report(2, 0)
    assert board.awaited(3)
    report(3, 1)
    assert board.awaited(3)
    report(3, 0)
    assert not board.awaited(3)
    report(2, 0)
    clock.now += SILENT_S + 0.1
    assert not board.awaited(3)
    board.take(Status("recommender", "", 0.0, {}))
    assert board.awaited(3)
    board.take(Status("absorber", "", 0.0, {"judged": 9, "left": 0}))
    assert board.awaited(3)


MESSAGES = st.one_of(
    st.builds(asked, st.sampled_from("123"), st.sampled_from(KINDS), st.sampled_from("st"),
              st.floats(0, 100)),
    st.builds(said, st.sampled_from(["approved", "vetoed", "done"]), st.sampled_from("123"),
              st.sampled_from(["window", "plan", "person"])),
)  # fmt: skip


@given(st.lists(st.tuples(MESSAGES, st.floats(0, 50))))
def test_whatever_comes_nothing_vetoed_or_expired_is_ever_approved(history):
    clock, sent = Clock(), []
    board = Board(sent.append, clock)
    vetoed, first = set(), {}
    for message, wait_s in history:
        clock.now += wait_s
        board.take(message)
        if isinstance(message, Proposal) and message.id not in first:
            first[message.id] = (message, clock.now)
        known = isinstance(message, Decision) and message.id in first
        if known and message.verdict == "vetoed" and message.by != "plan":
            vetoed.add(message.id)
        for id_, (proposal, came) in first.items():
            word = board.word(proposal)
            if id_ in vetoed:
                assert word.verdict == "vetoed"
            late = clock.now >= came + (proposal.deadline - proposal.time)
            assert math.isinf(board.age_s(proposal)) == late
        found = board.open("s", KINDS)
        assert found is None or not math.isinf(board.age_s(found))
    ids = [d.id for d in sent if d.verdict == "expired"]
    assert len(ids) == len(set(ids))


def test_ids_keep_their_first_meaning(board):
    board.take(asked("1", kind="stop"))
    board.take(dataclasses.replace(asked("1"), reason="another"))
    assert board.open("s", KINDS).kind == "stop"

"""Proposals and decisions: who may send them, where they are kept, and back from the file."""

from __future__ import annotations

import dataclasses
import math

import pytest
from operando.stream.consistency import inconsistency
from operando.stream.live_cache import KEPT_REQUESTS, LiveCache
from operando.stream.messages import Decision, Proposal
from operando.stream.packing import pack, unpack
from operando.stream.permissions import refusal
from operando.stream.recorder import Recorder
from operando.stream.run_file import open_run

NAN = math.nan
ROI = Proposal(
    "run", "run-1", "roi", "s1", "particle 3 deviates by 6.1 sigma", (4.0, -2.5, 6.0), 0.01, 12.5,
    3.4e6, 160.0, 100.0,
)  # fmt: skip
STOP = Proposal("run", "run-2", "stop", "s1", "good", (NAN,) * 3, NAN, -30.0, NAN, 161.0, 101.0)
WORDS = [
    Decision("run", "run-1", "approved", "window", "", 102.0),
    Decision("run", "run-1", "done", "plan", "scan 2", 130.0),
]


@pytest.mark.parametrize(
    ("kind", "sender"),
    [
        ("proposal", "recommender"),
        ("decision", "window"),
        ("decision", "plan"),
        ("withdrawal", "plan"),
        ("focus", "window"),
        ("result", "absorber"),
        ("status", "recommender-status"),
    ],
)
def test_who_may(kind, sender):
    assert refusal(kind, sender) == ""


@pytest.mark.parametrize(
    ("kind", "sender"),
    [
        ("proposal", "window"),
        ("proposal", "plan"),
        ("decision", "recommender"),
        ("decision", "reducer-0"),
        ("withdrawal", "window"),
        ("withdrawal", "recommender"),
        ("result", "window"),
        ("frame", "window"),
        ("status", "window"),
        ("document", "recommender"),
        ("decision", "windows"),
    ],
)
def test_who_may_not_and_is_told_why(kind, sender):
    assert kind in refusal(kind, sender)
    assert sender in refusal(kind, sender)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "resume"}, "kind"),
        ({"id": ""}, "id of 0"),
        ({"id": "x" * 101}, "id of 101"),
        ({"deadline": 99.0}, "deadline"),
        ({"deadline": NAN}, "deadline"),
        ({"region": (0.0, NAN, 5.0)}, "region"),
        ({"region": (0.0, 0.0, 0.0)}, "region"),
        ({"kind": "exposure", "exposure_s": 0.0}, "exposure"),
        ({"kind": "exposure", "exposure_s": math.inf}, "exposure"),
    ],
)
def test_a_proposal_that_makes_no_sense_is_none(changes, words):
    assert inconsistency(ROI) == inconsistency(STOP) == ""
    assert words in inconsistency(dataclasses.replace(ROI, **changes))


def test_a_verdict_that_is_none_is_refused():
    assert inconsistency(WORDS[0]) == ""
    assert "resume" in inconsistency(dataclasses.replace(WORDS[0], verdict="resume"))


def test_the_file_gives_back_what_was_asked_and_what_became_of_it(tmp_path):
    path = tmp_path / "run.nxs"
    with Recorder(path) as recorder:
        for message in (ROI, WORDS[0], ROI, WORDS[0], WORDS[1]):  # told again after a restart
            assert recorder.take(message) == ""
    with open_run(path) as run:
        assert run.requests() == [ROI, *WORDS]


def test_a_recorder_that_goes_on_adds_to_what_stands_there(tmp_path):
    path = tmp_path / "run.nxs"
    first = Recorder(path)
    first.take(ROI)
    first.take(STOP)
    first.flush()
    first._file.close()  # a kill
    first._redo.close()
    with Recorder(path) as second:
        for message in (ROI, *WORDS):
            assert second.take(message) == ""
    with open_run(path) as run:
        one, two, *rest = run.requests()
    assert (one, rest) == (ROI, WORDS)
    assert (two.id, two.kind, two.deadline) == (STOP.id, "stop", 161.0)
    assert all(map(math.isnan, two.region))


def test_late_joiners_get_the_last_of_them_in_their_order():
    cache = LiveCache(1 << 20)
    for number in range(KEPT_REQUESTS + 5):
        message = dataclasses.replace(ROI, id=f"run-{number}")
        cache.keep_request(f"proposal/run/run-{number}", [bytes(p) for p in pack(message)])
    cache.keep_request("decision/run/run-7", [bytes(p) for p in pack(WORDS[0])])
    kept = [unpack(parts) for parts in cache.matching("")]
    assert len(kept) == KEPT_REQUESTS
    assert kept[-1] == WORDS[0]
    assert [m.id for m in kept[:2]] == ["run-6", "run-7"]
    assert [unpack(p) for p in cache.matching("decision/")] == [WORDS[0]]

"""What the harness says about contenders that are absent, wrong, broken, or fine."""

from __future__ import annotations

import math
import time

import pytest
from operando.benchmarks.harness import Absent, Agreement, Comparison, Contender, measure


def equal(mine: object, theirs: object) -> Agreement:
    return Agreement(mine == theirs, f"{mine} against {theirs}")


def answering(value: object, name: str = "peer", **more: object) -> Contender:
    return Contender(name, "1.2", lambda _: value, **more)  # type: ignore[arg-type]


def comparison(ours: Contender | Absent, *peers: Contender | Absent, **more: object) -> Comparison:
    return Comparison("work", ours, peers, equal, rounds=4, **more)  # type: ignore[arg-type]


def test_a_peer_that_is_not_installed_is_reported_absent_and_has_no_times():
    absent = Absent("elsewhere", "not installed", goal=5.0)
    (row,) = measure(comparison(answering(1, "ours"), absent))
    assert row.verdict() == "absent"
    assert "not installed" in row.note
    assert row.agrees is None
    assert row.goal == 5.0
    assert math.isnan(row.ratio)
    assert math.isnan(row.peer_s)


def test_a_peer_that_disagrees_gets_no_ratio_and_is_not_timed():
    calls = []
    wrong = Contender("wrong", "1", lambda n: calls.append(n), goal=1.0)
    (row,) = measure(comparison(answering(1, "ours"), wrong))
    assert row.agrees is False
    assert row.verdict() == "disagrees"
    assert "against" in row.difference
    assert math.isnan(row.ratio)
    assert calls == [0]


def test_a_peer_that_raises_is_a_row_and_the_others_are_still_measured():
    def broken(_: int) -> None:
        raise RuntimeError("no device\nlong story")

    rows = measure(
        comparison(answering(1, "ours"), Contender("broken", "1", broken), answering(1, "fine"))
    )
    assert [row.peer for row in rows] == ["broken", "fine"]
    assert rows[0].verdict() == "failed"
    assert rows[0].note == "failed: RuntimeError: no device"
    assert rows[1].ratio > 0


def test_our_side_missing_leaves_a_row_that_says_so_and_runs_nobody():
    calls = []
    peer = Contender("peer", "1", calls.append, goal=28.0)
    (row,) = measure(comparison(Absent("ours", "not there yet"), peer))
    assert row.verdict() == "not there yet"
    assert row.goal == 28.0
    assert calls == []


def test_the_ratio_is_that_of_the_medians_and_the_median_lies_within_its_range():
    def spin(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    ours = Contender("ours", "1", lambda _: spin(0.002))
    peer = Contender("peer", "1", lambda _: spin(0.008), goal=0.01)
    (row,) = measure(comparison(ours, peer))
    assert row.ratio == pytest.approx(row.peer_s / row.ours_s)
    assert row.ours_s >= 0.002
    assert row.peer_s >= 0.008
    assert row.verdict() == "met"
    assert row.ours_range_s[0] <= row.ours_s <= row.ours_range_s[1]
    assert row.peer_range_s[0] <= row.peer_s <= row.peer_range_s[1]
    assert row.repetitions == 4


def test_contenders_take_turns_in_rotating_order():
    order: list[str] = []

    def logging(name: str) -> Contender:
        def run(_: int) -> int:
            order.append(name)
            end = time.perf_counter() + 0.04  # one call a round
            while time.perf_counter() < end:
                pass
            return 0

        return Contender(name, "1", run)

    measure(comparison(logging("a"), logging("b"), logging("c")))
    timed = "".join(order)[6:]  # after the results and the trial calls
    assert timed == "abc" + "bca" + "cab" + "abc"


def test_each_input_comes_in_turn():
    seen: list[int] = []

    def run(n: int) -> int:
        seen.append(n)
        end = time.perf_counter() + 0.04
        while time.perf_counter() < end:
            pass
        return 0

    measure(comparison(Contender("ours", "1", run), answering(0)))
    assert seen == [0, 1, 0, 1, 2, 3]  # the result, the trial call, then the rounds


def test_a_scaled_peer_counts_by_what_it_would_have_taken():
    def spin(_: int) -> int:
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
        return 0

    part = Contender("part", "1", spin, scale=10.0, note="1 of 10 channels, scaled")
    (row,) = measure(comparison(Contender("ours", "1", spin), part))
    assert row.peer_s >= 0.05
    assert row.ours_s >= 0.005
    assert "scaled" in row.note

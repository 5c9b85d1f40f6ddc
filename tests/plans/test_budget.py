"""Budgets cannot be exceeded, whatever is asked for, and numbers that are none never fit."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.plans.budget import Budget, Spent, lifetime_s, may_ask, unaffordable
from operando.stream.messages import Proposal

ANY = st.floats(allow_nan=True, allow_infinity=True)
LIMITS = st.builds(
    Budget, st.floats(0, 1e4), st.integers(0, 20), st.floats(0, 1e9) | st.just(math.inf)
)


@given(budget=LIMITS, asked=st.lists(st.tuples(ANY, ANY), max_size=30))
def test_what_is_taken_never_exceeds_the_budget(budget, asked):
    spent = Spent()
    for cost_s, dose in asked:
        if not unaffordable(budget, spent, cost_s, dose):
            assert math.isfinite(cost_s)
            assert cost_s >= 0
            spent = spent.another(spent.pause_s + cost_s, max(spent.dose, dose))
    assert spent.rescans <= budget.rescans
    assert spent.pause_s <= budget.pause_s
    assert math.isinf(budget.dose) or spent.dose <= budget.dose


@given(ANY, ANY)
def test_a_budget_of_zero_takes_nothing(cost_s, dose):
    assert unaffordable(Budget(0.0, 0, 0.0), Spent(), cost_s, dose)


def test_the_refusal_says_what_is_used_up():
    budget = Budget(60.0, 2, 5.0)
    assert unaffordable(budget, Spent(10.0, 1, 2.0), 20.0, 4.0) == ""
    assert "2 of 2 rescans" in unaffordable(budget, Spent(10.0, 2), 20.0, 4.0)
    assert "may last 60 s" in unaffordable(budget, Spent(45.0, 1), 20.0, 4.0)
    assert "5 is the limit" in unaffordable(budget, Spent(10.0, 1), 20.0, 5.1)


@pytest.mark.parametrize("wrong", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (math.nan, 0, 0)])
def test_a_limit_below_zero_is_none(wrong):
    with pytest.raises(ValueError, match="below 0"):
        Budget(*wrong)


@given(st.lists(st.floats(0, 100), max_size=40), st.floats(0.1, 10))
def test_proposals_come_one_at_a_time_and_not_too_often(times, every_s):
    asked, last = [], -math.inf
    for now in sorted(times):
        if may_ask(now, last, every_s, 0):
            asked.append(now)
            last = now
        assert not may_ask(now, -math.inf, every_s, 1)
    assert all(b - a >= every_s for a, b in itertools.pairwise(asked))


def test_a_proposal_lives_as_long_as_its_own_times_say():
    nan = math.nan
    asked = Proposal("r", "1", "stop", "s", "", (nan,) * 3, nan, nan, nan, 160.0, 100.0)
    assert lifetime_s(asked) == 60.0

"""When live answers are made, told in numbers instead of waiting for them."""

from __future__ import annotations

import pytest
from operando.consumers.pace import FLOWING, LONGEST_S, Pace


def answered(took_s: float, frames: bool, interval_s: float = 0.4) -> Pace:
    """A pace whose last answer ended at 100 s, and frames came since or not."""
    pace = Pace(interval_s)
    pace.answered(100.0 - took_s, 100.0)
    if frames:
        pace.frame()
    return pace


def test_the_first_answer_is_due_at_once_and_the_next_after_the_interval():
    assert Pace(0.4).due(0.0)
    pace = answered(0.001, frames=True)
    assert not pace.due(100.39)
    assert pace.due(100.41)


@pytest.mark.parametrize("took_s", [0.08, 0.1, 0.2, 0.3])
def test_answers_take_at_most_their_share_while_frames_come(took_s):
    pace = answered(took_s, frames=True)
    assert took_s / (took_s + pace.pause_s()) <= FLOWING + 1e-9
    assert pace.due(100.0 + took_s / FLOWING)


def test_a_machine_that_is_twice_as_slow_gets_half_as_many_answers_not_a_larger_share():
    quiet, busy = answered(0.1, frames=True), answered(0.2, frames=True)
    assert busy.pause_s() == pytest.approx(2 * quiet.pause_s())


def test_a_picture_is_never_kept_back_for_long():
    assert answered(1.0, frames=True).pause_s() == LONGEST_S
    assert answered(5.0, frames=True).pause_s() == 5.0  # and never more than half of the time


def test_half_of_the_time_is_for_pictures_where_no_frame_came_since():
    assert answered(1.0, frames=False).pause_s() == pytest.approx(1.0)
    assert answered(0.01, frames=False).pause_s() == pytest.approx(0.4)


def test_only_frames_since_the_last_answer_count():
    pace = answered(1.0, frames=True)
    pace.answered(101.0, 102.0)
    assert pace.pause_s() == pytest.approx(1.0)

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.plans.angles import scan_angles, visiting_order

ORDERS: list[Any] = ["sequential", "bit_reversed", "interlaced"]


@given(st.integers(1, 400), st.sampled_from(ORDERS), st.integers(1, 20))
def test_every_order_visits_every_angle_once(count: int, order: Any, sweeps: int) -> None:
    assert sorted(visiting_order(count, order, sweeps)) == list(range(count))


def test_bit_reversed_order_of_eight_is_the_textbook_s() -> None:
    assert visiting_order(8) == (0, 4, 2, 6, 1, 5, 3, 7)


@given(st.integers(3, 7))
def test_the_first_power_of_two_angles_are_evenly_spread(bits: int) -> None:
    count, first = 1 << bits, sorted(visiting_order(1 << bits)[: 1 << (bits - 2)])
    assert {b - a for a, b in itertools.pairwise(first)} <= {4}
    assert count == 4 * len(first)


def test_interlaced_sweeps_run_one_way() -> None:
    order = visiting_order(21, "interlaced", 7)
    sweeps = [order[i : i + 3] for i in range(0, 21, 3)]
    assert all(list(sweep) == sorted(sweep) for sweep in sweeps)


def test_angles_cover_the_span_without_its_end() -> None:
    angles = scan_angles(40, "sequential", 180.0, 10.0)
    assert angles[0] == 10.0
    assert max(angles) == pytest.approx(185.5)
    assert sorted(scan_angles(40)) == sorted(scan_angles(40, "sequential"))


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": 4, "order": "golden"}, {"count": 4, "span_deg": 0.0}]
)
def test_impossible_scans_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        scan_angles(**wrong)

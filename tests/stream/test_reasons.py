"""Reasons by index as few words and ranges, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.stream.reasons import (
    MAX_REASON,
    MAX_REASONS,
    TOO_MANY,
    FewReasons,
    from_ranges,
    to_ranges,
)


@given(st.dictionaries(st.integers(0, 60), st.sampled_from(["late", "damaged", ""])))
def test_reasons_come_back_as_they_went_in_ascending_order(reasons):
    words, table = to_ranges(reasons)
    assert list(from_ranges(words, table).items()) == sorted(reasons.items())


def test_neighbours_of_one_reason_are_one_range():
    words, table = to_ranges({7: "b", 1: "a", 2: "a", 3: "b", 4: "a", 5: "a"})
    assert words == ["a", "b"]
    assert table.tolist() == [[1, 2, 0], [3, 3, 1], [4, 5, 0], [7, 7, 1]]


@pytest.mark.parametrize("index", [-1, 2_000_000])
def test_an_index_of_no_scan_is_named(index):
    with pytest.raises(ValueError, match=f"frame {index}"):
        to_ranges({index: "x"})


def test_the_words_of_a_scan_are_bounded_in_number_and_in_length():
    few = FewReasons()
    said = [few.said(f"frame {i} of scan s: it is odd", f"frame {i} of scan s: ") for i in (1, 2)]
    assert said == ["it is odd"] * 2
    assert len(few.said("x" * 10_000)) == MAX_REASON
    said = {few.said(f"reason {i}") for i in range(2 * MAX_REASONS)}
    assert len(said) == MAX_REASONS - 2 + 1
    assert TOO_MANY in said
    assert few.said("it is odd") == "it is odd"

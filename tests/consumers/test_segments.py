"""Segments by lattice parameter: as many as there are, in order."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.segments import segments_of


def mixture(*parts: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    a = np.concatenate([random.normal(mean, spread, count) for mean, spread, count in parts])
    of = np.repeat(np.arange(len(parts)), [count for *_, count in parts])
    order = random.permutation(a.size)
    return a[order], of[order]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_aged_electrodes_three_segments_are_found_in_order(seed: int) -> None:
    a, truth = mixture((8.21, 0.003, 900), (8.16, 0.004, 500), (8.12, 0.004, 200))
    found = segments_of(a, 4, seed)
    assert found.mean == pytest.approx([8.12, 8.16, 8.21], abs=0.001)
    assert (found.of == 2 - truth).mean() > 0.99
    assert found.share == pytest.approx([0.125, 0.3125, 0.5625], abs=0.01)


def test_one_population_stays_one() -> None:
    for seed in range(5):
        a = np.random.default_rng(seed).normal(8.16, 0.004, 1000)
        assert segments_of(a, 4).mean.size == 1


def test_a_handful_is_no_segment_and_nothing_is_none() -> None:
    a, _ = mixture((8.16, 0.002, 1000), (8.25, 0.002, 10))
    assert segments_of(a, 4).mean.size == 1
    assert segments_of(np.full(50, np.nan)).of.tolist() == [-1] * 50
    few = segments_of(np.r_[8.1, 8.2, np.nan])
    assert few.of.tolist() == [0, 0, -1]
    assert segments_of(np.full(50, 8.1)).mean == pytest.approx([8.1])

"""When a map is good enough: on maps whose noise and streaks are known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.plans.map_quality import (
    Criterion,
    Snapshot,
    good_enough,
    longer_exposure,
    moved,
    thinned,
    typical_sigma,
    typical_uncertainty,
)

TARGET = 1e-3
WANTED = Criterion(TARGET, TARGET)


def maps(angles, noise, streaks=0.0, seed=1, size=12):
    """Running means over projections with counting noise, and streaks that fade as 1/n.

    noise, streaks: [Å] at 1 projection
    """
    random = np.random.default_rng(seed)
    truth = 8.1 + 0.05 * random.random((size, size))
    found, total, done = [], np.zeros((size, size)), 0
    for n in angles:
        total += random.normal(0, noise * math.sqrt(n - done), (size, size))
        done = n
        pattern = streaks / n * np.sign(random.normal(size=(size, size)))
        values = truth + total / n + pattern
        values[0] = np.nan  # pores
        found.append(Snapshot(n, values, np.full((size, size), noise / math.sqrt(n))))
    return found, truth


COUNTS = (4, 6, 8, 12, 16, 24, 32, 48, 64)


def ends_at(history):
    for n in range(1, len(history) + 1):
        if good_enough(history[:n], WANTED):
            return history[n - 1].angles
    return math.inf


def test_it_ends_where_the_noise_has_reached_the_target_and_the_error_is_what_was_promised():
    history, truth = maps(COUNTS, noise=3e-3)
    end = ends_at(history)
    assert 9 <= end <= 32  # 3e-3 / sqrt(9) is the target
    last = next(s for s in history if s.angles == end)
    assert np.nanmedian(np.abs(last.values - truth)) <= TARGET


def test_streaks_that_no_photon_count_shows_keep_it_going():
    few, _ = maps(COUNTS, noise=1e-3)
    streaky, truth = maps(COUNTS, noise=1e-3, streaks=0.05)
    assert ends_at(few) == 12  # two maps with at most half of its projections: 4 and 6
    assert ends_at(streaky) > 32
    assert np.nanmedian(np.abs(streaky[4].values - truth)) > TARGET  # it was right to go on


def test_noise_alone_keeps_it_going():
    history, _ = maps(COUNTS, noise=20e-3)
    assert ends_at(history) == math.inf


def test_what_the_model_does_not_describe_keeps_it_going():
    history, _ = maps(COUNTS, noise=1e-4)
    assert ends_at(history) == 12
    misfit = [dataclasses.replace(s, chi2=np.full_like(s.sigma, 500.0**2)) for s in history]
    assert ends_at(misfit) == math.inf  # 500 times 1e-4 / sqrt(64)
    too_good = [dataclasses.replace(s, chi2=np.full_like(s.sigma, 1e-6)) for s in history]
    assert typical_uncertainty(too_good[0]) == typical_sigma(too_good[0])
    assert longer_exposure(misfit[0], 1.0, 1.0) == longer_exposure(history[0], 1.0, 1.0)


def test_maps_that_are_smoothed_alike_do_not_bear_each_other_out():
    history, _ = maps((4, 8, 16, 32), noise=1e-6)
    for sharpness, good in (
        ((1.0, 1.0, 1.0, 1.0), True),
        ((0.1, 0.25, 0.5, 1.0), True),
        ((0.1, 0.25, 0.5, 0.6), True),  # as far as it goes, the newer one is sharper each time
        ((0.1, 0.125, 0.125, 0.125), False),
        ((0.25, 0.5, 0.6, 0.6), False),
    ):
        smoothed = [
            dataclasses.replace(s, sharpness=share)
            for s, share in zip(history, sharpness, strict=True)
        ]
        assert bool(good_enough(smoothed, WANTED)) == good, sharpness


def test_nothing_ends_before_its_least_number_of_projections():
    history, _ = maps((2, 4, 8, 16), noise=1e-6)
    assert not good_enough(history, Criterion(TARGET, TARGET, least_angles=17))
    assert good_enough(history, Criterion(TARGET, TARGET, least_angles=16))


def test_the_words_name_the_numbers():
    history, _ = maps((4, 8, 16), noise=1e-6)
    assert "16 projections" in good_enough(history, WANTED)
    assert "wanted 0.001" in good_enough(history, WANTED)


@given(st.integers(0, 5), st.booleans())
def test_an_empty_or_unmeasured_map_is_never_good(voxels, bare):
    values = np.full((5, 5), np.nan)
    values.flat[: min(voxels, 4)] = 8.1
    sigma = np.full((5, 5), math.nan if bare else 1e-9)
    history = [Snapshot(n, values, sigma) for n in (4, 8, 16, 32)]
    assert good_enough(history, WANTED) == ""
    assert good_enough([], WANTED) == ""
    assert math.isnan(typical_sigma(history[0])) or bare


def test_maps_of_other_shapes_are_not_compared():
    small = Snapshot(4, np.ones((3, 3)), np.ones((3, 3)))
    large = Snapshot(8, np.ones((4, 4)), np.ones((4, 4)))
    assert math.isnan(moved(large, small))


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=80, unique=True))
def test_a_thinned_history_is_short_and_keeps_its_ends_and_order(counts):
    history = [Snapshot(n, np.ones((1, 1)), np.ones((1, 1))) for n in sorted(counts)]
    kept = thinned(history, 8)
    assert len(kept) == min(8, len(history))
    assert [kept[0], kept[-1]] == [history[0], history[-1]]
    assert [s.angles for s in kept] == sorted(s.angles for s in kept)


def test_thinning_keeps_a_map_near_every_half():
    history = [Snapshot(n, np.ones((1, 1)), np.ones((1, 1))) for n in range(1, 400)]
    angles = [s.angles for s in thinned(history)]
    for n in (399, 200, 100, 50):
        assert any(0.3 * n <= a <= 0.5 * n for a in angles)


def test_four_times_the_time_halves_the_uncertainty():
    snapshot = Snapshot(10, np.full((4, 4), 8.1), np.full((4, 4), 2e-3))
    assert longer_exposure(snapshot, 0.01, 1e-3) == pytest.approx(0.04)
    assert longer_exposure(snapshot, 0.01, 4e-3) == pytest.approx(0.0025)
    assert math.isnan(longer_exposure(Snapshot(1, np.ones((1, 1)), np.ones((1, 1))), 0.01, 1e-3))


@pytest.mark.parametrize("wrong", [{"target_sigma": 0}, {"settled": -1}, {"least_angles": 1}])
def test_a_criterion_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="needed"):
        Criterion(**{"target_sigma": 1.0, "settled": 1.0, **wrong})

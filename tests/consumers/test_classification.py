"""Who is accused: planted particles are found, and a population of one kind is left in peace."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.classification import (
    BOTH,
    CANNOT_TELL,
    NORMAL,
    OUTLIER,
    RULE,
    Rule,
    classify,
    misfit_voxels,
    mixed_voxels,
    without_steps,
)
from operando.sim.electrode import ElectrodeConfig, grow_electrode
from operando.sim.lithiation import Lithiation, LithiationConfig

STEPS = ((8.076, 8.145), (8.183, 8.205))
RULES = Rule((8.076, 8.145), STEPS)
VOXELS = 30


def judged(means, random=None, spread=0.0005, sigma=5e-4, mixed=(), rule=RULES):
    """Particles of VOXELS voxels each around their means; mixed: which are of two phases."""
    random = np.random.default_rng(0) if random is None else random
    label = np.repeat(np.arange(1, len(means) + 1), VOXELS).astype(np.int32)
    a = np.asarray(means)[label - 1] + random.normal(0, math.hypot(spread, sigma), label.size)
    two = np.isin(label, np.asarray(mixed, int) + 1)
    return classify(label, len(means), a, np.full(a.size, sigma), two, rule)


def bulk(random: np.random.Generator, count: int, middle: float, spread: float) -> np.ndarray:
    return middle + random.normal(0, spread, count)


def test_a_particle_inside_the_window_breaks_the_rule_and_stands_out() -> None:
    random = np.random.default_rng(1)
    means = np.r_[bulk(random, 25, 8.165, 0.004), 8.11]
    found = judged(means)
    assert found.code[:25].tolist() == [NORMAL] * 25
    assert found.code[25] == RULE  # inside a step the population is not asked
    assert np.isnan(found.outlier_z[25])
    assert found.inside_share[25] > 0.99
    assert found.rule_p[25] < 1e-9


def test_a_stray_outside_the_window_is_an_outlier_only() -> None:
    means = np.r_[bulk(np.random.default_rng(2), 25, 8.165, 0.002), 8.24]
    assert judged(means).code[25] == OUTLIER


def test_a_few_strays_do_not_hide_each_other() -> None:
    means = np.r_[bulk(np.random.default_rng(3), 30, 8.165, 0.002), 8.11, 8.112, 8.108, 8.111]
    assert (judged(means).code[30:] == RULE).all()
    strays = np.r_[means[:30], 8.24, 8.242, 8.238, 8.241]
    assert (judged(strays).code[30:] == OUTLIER).all()


def test_where_most_of_the_slice_is_inside_a_step_the_population_is_not_asked() -> None:
    random = np.random.default_rng(12)
    inside, ends = random.uniform(8.08, 8.14, 12), np.r_[8.06, 8.073, 8.146, 8.15, 8.16, 8.171]
    found = judged(np.r_[inside, ends], mixed=range(12))
    assert np.isnan(found.outlier_z).all()
    assert (found.code[12:] == NORMAL).all()


def test_what_scatters_over_the_window_is_a_mixture_even_if_the_width_does_not_say_so() -> None:
    random = np.random.default_rng(13)
    means = np.r_[bulk(random, 15, 8.165, 0.004), 8.11]
    assert judged(means, spread=0.012).code[15] == RULE
    assert judged(means, spread=0.027).code[15] == CANNOT_TELL


def test_voxels_of_two_phases_bear_no_witness() -> None:
    means = np.r_[bulk(np.random.default_rng(4), 20, 8.165, 0.01), 8.11]
    found = judged(means, mixed=[20])
    assert found.code[20] == CANNOT_TELL
    assert found.mixed_share[20] == 1
    assert found.inside_share[20] == 0


def test_half_before_the_step_and_half_behind_it_is_no_offence() -> None:
    label = np.repeat(np.arange(1, 12), 40).astype(np.int32)
    a = np.where(np.arange(label.size) % 2, 8.074, 8.147)  # the means are in the window's middle
    a = a + np.random.default_rng(5).normal(0, 5e-4, a.size)
    found = classify(label, 11, a, np.full(a.size, 5e-4), np.zeros(a.size, bool), RULES)
    assert (found.code == NORMAL).all()


def test_a_particle_at_the_windows_edge_is_within_the_systematic_error() -> None:
    means = np.full(12, 8.1443)
    assert (judged(means, spread=0.0, sigma=1e-4).code == NORMAL).all()
    strict = Rule(RULES.window, STEPS, systematic=1e-5)
    assert (judged(means, spread=0.0, sigma=1e-4, rule=strict).code == RULE).all()


def test_particles_on_both_sides_of_a_step_are_one_population() -> None:
    np.testing.assert_allclose(
        without_steps(np.array([8.05, 8.076, 8.1, 8.145, 8.2, 8.215]), STEPS),
        [8.05, 8.076, 8.076, 8.076, 8.114, 8.124],
    )
    random = np.random.default_rng(6)
    means = np.r_[bulk(random, 20, 8.072, 0.002), bulk(random, 4, 8.149, 0.002)]
    assert (judged(means).code == NORMAL).all()


@pytest.mark.parametrize("count", [8, 15, 40, 200])
def test_the_population_test_alarms_as_often_as_it_says(count: int) -> None:
    """Slices of one normal population: the share of them in which anybody is accused."""
    random = np.random.default_rng(7)
    slices, alarm = 400 if count < 100 else 150, 0.2
    rule = Rule((0.0, 0.0), (), alarm=alarm)
    alarms = 0
    for _ in range(slices):
        label = np.arange(1, count + 1, dtype=np.int32)
        a = 8.17 + random.normal(0, 0.004, count)
        found = classify(label, count, a, np.full(count, 1e-5), np.zeros(count, bool), rule)
        alarms += bool((found.code == OUTLIER).any())
    expected = 0.5 * alarm  # half of it belongs to the rule, which is not asked here
    assert alarms / slices < expected + 3 * math.sqrt(expected / slices)
    assert alarms > 0


def test_the_rule_alarms_less_often_than_it_says_where_means_lie_on_the_edge() -> None:
    random = np.random.default_rng(8)
    slices, alarm, count = 400, 0.2, 20
    rule = Rule(RULES.window, STEPS, systematic=0.0, alarm=alarm)
    alarms = 0
    for _ in range(slices):
        means = np.full(count, 8.145)
        found = judged(means, random, spread=0.0, rule=rule)
        alarms += bool((found.code == RULE).any())
    expected = 0.5 * alarm
    assert alarms / slices == pytest.approx(expected, abs=4 * math.sqrt(expected / slices))


def test_the_twins_bulk_is_left_in_peace_and_its_rich_particles_are_found() -> None:
    """Electrodes and states of charge that nothing here was tuned on."""
    random = np.random.default_rng(5000)
    accused = slices = planted = caught = 0
    for seed in range(5000, 5025):
        electrode = grow_electrode(ElectrodeConfig(lithium_rich=3), seed)
        lithiation = Lithiation(electrode, LithiationConfig(), seed)
        for mean in random.uniform(0.22, 0.97, 6):
            state = lithiation.at(float(mean))
            a = (
                state.lower_a * (1 - state.upper_share)
                + np.where(state.upper_share > 0, state.upper_a, 0.0) * state.upper_share
            )
            two = (state.upper_share > 0.02) & (state.upper_share < 0.98)
            width = 0.015 * np.where(two, 1.6, 1.0) + random.normal(0, 4e-4, a.shape)
            noisy = a + random.normal(0, 5e-4, a.shape)
            mixed = mixed_voxels(width.ravel(), np.full(a.size, 4e-4))
            found = classify(
                electrode.label.ravel(), electrode.particles, noisy.ravel(),
                np.full(a.size, 5e-4), mixed, RULES,
            )  # fmt: skip
            rich = electrode.lithium_rich[1:]
            slices += 1
            accused += int((found.code[~rich] > 0).any())
            core = np.array([
                np.nanmean(np.where(electrode.label == n, (a > 8.08) & (a < 8.14), np.nan))
                for n in range(1, electrode.particles + 1)
            ])  # fmt: skip
            visible = rich & (core > 0.7)
            planted += int(visible.sum())
            caught += int((np.isin(found.code, (RULE, BOTH)) & visible).sum())
    print(f"{accused} of {slices} slices accuse the bulk, {caught} of {planted} planted are found")
    assert planted > 100
    assert caught == planted
    assert accused <= 4  # 150 slices at 1 %: five or more have a probability of 2 %


def test_wide_peaks_tell_two_phases_even_where_most_voxels_have_them() -> None:
    random = np.random.default_rng(10)
    two = random.random(500) < 0.45
    width = np.where(two, 0.026, 0.015) + random.normal(0, 5e-4, 500)
    found = mixed_voxels(width, np.full(500, 5e-4))
    assert (found == two).mean() > 0.99
    unsure = mixed_voxels(width, np.full(500, 0.02))
    assert not unsure.any()
    assert mixed_voxels(np.full(3, np.nan), np.full(3, np.nan)).tolist() == [False] * 3


def test_a_fit_far_worse_than_usual_tells_two_phases_unless_most_are_worse_than_noise() -> None:
    random = np.random.default_rng(11)
    two = random.random(500) < 0.45
    for usual in (1.0, 2.2, 30.0):  # few photons, many, and a line shape that is not quite right
        chi2 = usual * np.where(two, random.uniform(6, 30, 500), random.uniform(0.7, 1.8, 500))
        assert (misfit_voxels(chi2) == two).all()
    assert not misfit_voxels(np.full(9, 1e3)).any()  # all alike
    assert not misfit_voxels(np.array([0.1, 0.1, 0.1, 0.9])).any()  # better than photons allow
    assert not misfit_voxels(np.full(3, np.nan)).any()


def test_nobody_is_judged_by_too_few_others_or_no_voxels() -> None:
    found = judged(np.array([8.16, 8.17, 8.25]))
    assert np.isnan(found.outlier_z).all()
    assert (found.code == NORMAL).all()
    nan = np.full(4, np.nan)
    silent = classify(np.ones(4, np.int32), 2, nan, nan, np.zeros(4, bool), RULES)
    assert silent.code.tolist() == [CANNOT_TELL, CANNOT_TELL]
    assert classify(np.zeros(4, np.int32), 0, nan, nan, np.zeros(4, bool), RULES).code.size == 0

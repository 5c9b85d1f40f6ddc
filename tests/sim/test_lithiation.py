"""Lithium in the voxels, and the lattice it makes."""

import numpy as np
import pytest
from operando.sim.electrode import ElectrodeConfig, grow_electrode
from operando.sim.lithiation import (
    Lithiation,
    LithiationConfig,
    lithium_rich_lattice_a,
    spinel_lattice,
)


@pytest.fixture(scope="module")
def electrode():
    return grow_electrode(ElectrodeConfig(), 1)


@pytest.fixture(scope="module")
def lithiation(electrode):
    return Lithiation(electrode, LithiationConfig(), 1)


@pytest.mark.parametrize("mean", [0.19, 0.3, 0.45, 0.6, 0.7, 0.9, 0.9977])
def test_mean_lithiation_is_the_cells(lithiation, electrode, mean):
    y = lithiation.at(mean).lithiation
    inside = electrode.filling > 0
    average = np.average(y[inside], weights=electrode.filling[inside])
    assert average == pytest.approx(mean, abs=1e-9)
    assert y[inside].min() >= 0
    assert y[inside].max() <= 1
    assert np.all(np.isnan(y[~inside]))


def test_pure_spinel_never_has_a_lattice_parameter_inside_a_step(lithiation, electrode):
    rich = electrode.lithium_rich[electrode.owner]
    for mean in np.linspace(0.19, 0.99, 41):
        state = lithiation.at(mean)
        for a in (state.lower_a[~rich], state.upper_a[~rich]):
            a = a[np.isfinite(a)]
            assert not np.any((a > 8.0760001) & (a < 8.1449999))
            assert not np.any((a > 8.1830001) & (a < 8.2049999))
            assert np.all((a >= 8.03) & (a <= 8.25))


def test_lithium_rich_particles_go_through_the_forbidden_window_in_one_phase(lithiation, electrode):
    rich = electrode.lithium_rich[electrode.label]
    seen = []
    for mean in np.linspace(0.19, 0.99, 21):
        state = lithiation.at(mean)
        assert np.all(state.upper_share[rich] == 0)
        a = state.lower_a[rich]
        assert np.all((a >= 8.080) & (a <= 8.223))
        seen.append(np.median(a))
        if 0.25 < mean < 0.9:
            core, skin = rich & (electrode.depth < 0.3), rich & (electrode.depth > 0.8)
            assert state.lower_a[core].mean() > state.lower_a[skin].mean() + 0.003
    assert np.all(np.diff(seen) > 0)
    assert np.sum((np.array(seen) > 8.076) & (np.array(seen) < 8.145)) >= 6


def test_at_the_pauses_of_the_demo_most_voxels_hold_one_spinel(lithiation, electrode):
    filled = electrode.label > 0
    for mean in (0.2, 0.55, 0.8, 0.95):
        share = lithiation.at(mean).upper_share[filled]
        assert np.mean((share > 0.02) & (share < 0.98)) < 0.3


def test_inside_a_step_particles_stand_before_and_behind_it(lithiation, electrode):
    state = lithiation.at(0.35)
    bulk = (electrode.label > 0) & ~electrode.lithium_rich[electrode.label]
    one = bulk & (state.upper_share == 0)
    assert np.any(state.lower_a[one] < 8.0761)
    assert np.any(state.lower_a[one] > 8.1449)


def test_two_phases_obey_the_lever_rule():
    lower, upper, share = spinel_lattice(np.array([0.21 + 0.25 * 0.24, 0.69]))
    np.testing.assert_allclose(lower, [8.076, 8.183])
    np.testing.assert_allclose(upper, [8.145, 8.205])
    np.testing.assert_allclose(share, [0.25, 0.5])


def test_lattice_runs_from_8_03_to_8_25():
    lower, upper, share = spinel_lattice(np.array([0.0, 0.21, 0.45, 0.63, 0.75, 1.0, np.nan]))
    np.testing.assert_allclose(lower, [8.03, 8.076, 8.145, 8.183, 8.205, 8.25, np.nan])
    assert np.all(np.isnan(upper))
    assert np.all(share == 0)
    np.testing.assert_allclose(lithium_rich_lattice_a(np.array([0.19, 1.0])), [8.080, 8.223])


def test_graded_particles_are_ahead_at_their_surface(electrode):
    even = LithiationConfig(particle_spread=0.0, gradient=0.06)
    state = Lithiation(electrode, even, 1).at(0.88)
    rich = electrode.lithium_rich[electrode.label]
    graded = electrode.graded[electrode.label] & ~rich & (electrode.label > 0)
    others = ~electrode.graded[electrode.label] & ~rich & (electrode.label > 0)
    y = state.lithiation
    skin, core = graded & (electrode.depth > 0.8), graded & (electrode.depth < 0.3)
    assert y[skin].mean() > y[core].mean() + 0.02
    assert np.ptp(y[others]) < 1e-9


def test_a_lithiation_no_electrode_has_is_refused(lithiation):
    with pytest.raises(ValueError, match=r"mean lithiation 1\.2"):
        lithiation.at(1.2)

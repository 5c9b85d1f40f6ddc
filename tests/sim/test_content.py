"""Phases in voxels, the mass they make, and the shells of particles."""

import math
from itertools import pairwise

import numpy as np
import pytest
from operando.sim.content import masses
from operando.sim.shells import shell_truth
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.truth import PHASES, STRUCTURES

# atoms of a unit cell, its volume [Å3]; masses of the standard atomic weights (IUPAC 2021)
LI, MN, OX = 6.94, 54.938, 15.999
CELLS = {
    "limn2o4": (8 * (LI + 2 * MN + 4 * OX), 8.236**3),
    "li05mn2o4": (4 * (LI + 4 * MN + 8 * OX), 8.1529**3),
    "limno2_rock_salt": (2 * (LI + MN + 2 * OX), 4.13**3),
    "li2mno3": (
        4 * (2 * LI + MN + 3 * OX),
        4.937 * 8.532 * 5.030 * math.sin(math.radians(109.46)),
    ),
}


def truth_of(**changes):
    specimen = Specimen(SpecimenConfig(**changes), 3)
    return specimen.truth(specimen.at(0.5))


@pytest.fixture(scope="module")
def truth():
    return truth_of(rock_salt=0.2, li05mn2o4=0.3, li2mno3=0.25)


def test_shares_and_mass_fractions_add_to_one_in_particles_and_are_nan_outside(truth):
    inside = truth.filling > 0
    assert truth.phases == PHASES
    assert truth.structures == STRUCTURES
    for parts in (truth.phase_share, truth.mass_fraction):
        np.testing.assert_allclose(parts[:, inside].sum(axis=0), 1.0, rtol=1e-12)
        assert np.all(np.isnan(parts[:, ~inside]))
        assert parts[:, inside].min() >= 0


def test_mass_fractions_follow_from_unit_cells_weighed_by_hand(truth):
    """Volume share times the cell's mass over its volume, its own a: no code of sim in it."""
    row, column = np.unravel_index(
        np.nanargmax(truth.phase_share[2] + (truth.particle > 0)), truth.filling.shape
    )
    mass = dict.fromkeys(STRUCTURES, 0.0)
    for phase, name in enumerate(
        ("limn2o4", "limn2o4", "limno2_rock_salt", "li2mno3", "li05mn2o4")
    ):
        share, a = truth.phase_share[phase, row, column], truth.phase_a[phase, row, column]
        cell, volume = CELLS[name]
        if phase < 2 and share > 0:
            volume = a**3
        mass[name] += share * cell / volume
    expected = np.array(list(mass.values())) / sum(mass.values())
    assert expected[2] > 0.1
    np.testing.assert_allclose(truth.mass_fraction[:, row, column], expected, rtol=1e-3)


def test_minor_phases_stand_where_they_are_said_to_be(truth):
    specimen = Specimen(SpecimenConfig(rock_salt=0.2, li05mn2o4=0.3, li2mno3=0.25), 3)
    electrode = specimen.electrode
    graded, rich = electrode.graded[electrode.owner], electrode.lithium_rich[electrode.owner]
    skin, core = electrode.depth > 0.85, electrode.depth < 0.3
    rock, layered, ordered = truth.phase_share[2:]
    assert rock[graded & skin].min() > 0.13
    assert rock[graded & core].max() < 0.03
    assert ordered[graded & core].min() > 0.25
    assert ordered[graded & skin].max() < 0.1
    assert np.all(rock[(electrode.owner > 0) & ~graded] == 0)
    assert layered[rich & core].min() > 0.2
    assert 0.08 < layered[rich & skin].min() < layered[rich & skin].max() < 0.14
    assert np.all(layered[(electrode.owner > 0) & ~rich] == 0)
    np.testing.assert_allclose(truth.phase_a[4][graded & core], 8.1529)


def test_shells_run_from_the_surface_to_the_core_and_keep_the_mass(truth):
    shells, whole = shell_truth(truth, 4), shell_truth(truth, 1)
    np.testing.assert_array_equal(shells.voxels.sum(axis=1), whole.voxels[:, 0])
    assert whole.voxels.sum() == np.count_nonzero(truth.particle)
    for particle in range(1, 4):
        mine = truth.particle == particle
        depths = [truth.depth_um[mine & (shells.shell == s)] for s in range(4)]
        for outer, inner in pairwise(depths):
            assert outer.max() <= inner.min()
    there = shells.voxels > 0
    np.testing.assert_allclose(shells.mass_fraction[:, there].sum(axis=0), 1.0)
    # a whole particle's mass fraction is the mean of its shells', each with its mass
    mass = masses_of(truth)
    for particle in range(whole.voxels.shape[0]):
        total = mass[:, truth.particle == particle + 1].sum(axis=1)
        np.testing.assert_allclose(whole.mass_fraction[:, particle, 0], total / total.sum())


def masses_of(truth):
    from operando.sim.content import Content

    return masses(Content(truth.phase_share, truth.phase_a)) * truth.filling


def test_a_graded_particle_has_its_rock_salt_outside(truth):
    specimen = Specimen(SpecimenConfig(), 3)
    graded = np.flatnonzero(specimen.electrode.graded[1:])
    rock = shell_truth(truth, 4).mass_fraction[STRUCTURES.index("limno2_rock_salt")]
    large = [n for n in graded if np.all(shell_truth(truth, 4).voxels[n] >= 4)]
    assert large
    for particle in large:
        assert np.all(np.diff(rock[particle]) < 0)


def test_without_minor_phases_everything_is_spinel():
    truth = truth_of(rock_salt=0.0, li05mn2o4=0.0, li2mno3=0.0)
    inside = truth.filling > 0
    np.testing.assert_allclose(truth.mass_fraction[0][inside], 1.0)

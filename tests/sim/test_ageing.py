"""An electrode after cycling."""

import numpy as np
import pytest
from operando.sim.ageing import age
from operando.sim.specimen import Specimen, SpecimenConfig

FIELD = {"field_um": 101.0, "particle_radius_um": (3.0, 8.0)}


@pytest.fixture(scope="module")
def aged():
    return Specimen(SpecimenConfig(cycles=150, **FIELD), 4)


@pytest.fixture(scope="module")
def truth(aged):
    return aged.truth(aged.at(0.95))


def mass_fraction(truth, chosen, structure):
    """Of the chosen voxels, each as full as it is."""
    weight = truth.filling[chosen]
    return np.average(
        truth.mass_fraction[truth.structures.index(structure)][chosen], weights=weight
    )


def test_three_kinds_of_regions_share_the_area(truth):
    inside = truth.particle > 0
    shares = np.bincount(truth.region[inside], minlength=3) / inside.sum()
    np.testing.assert_allclose(shares, (0.5, 0.3, 0.2), atol=0.06)


def test_regions_are_patches_of_particles_that_lie_together(aged):
    electrode = aged.electrode
    places = electrode.places[1:, :2]
    away = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    nearest = np.argmin(away, axis=1)
    regions = [age(electrode, 150, seed).region[1:] for seed in range(10)]
    alike = np.mean([region[nearest] == region for region in regions])
    assert alike > 0.6  # 0.38 if they were thrown at random


def test_worn_regions_hold_what_the_paper_found_and_the_lowest_lattice_parameter(truth):
    plain = (truth.particle > 0) & ~truth.lithium_rich
    means = [truth.lattice_parameter_a[plain & (truth.region == kind)].mean() for kind in range(3)]
    assert means[2] < means[1] < means[0]
    assert means[2] < 8.09
    worn = plain & (truth.region == 2)
    assert mass_fraction(truth, worn, "li2mno3") == pytest.approx(0.11, abs=0.01)
    assert mass_fraction(truth, worn, "limno2_rock_salt") == pytest.approx(0.20, abs=0.03)
    sound = plain & (truth.region == 0)
    assert mass_fraction(truth, sound, "li2mno3") < 0.02


def test_the_lowest_of_three_segments_by_lattice_parameter_are_the_worn_voxels(truth):
    plain = (truth.particle > 0) & ~truth.lithium_rich
    a = truth.lattice_parameter_a
    lowest = plain & (a < 8.10)
    assert np.mean(truth.region[lowest] == 2) > 0.95
    assert np.mean(lowest[plain & (truth.region == 2)]) > 0.95


@pytest.mark.parametrize("y", [0.192, 0.5, 0.8, 0.998])
def test_an_aged_electrode_goes_as_far_as_its_capacity(aged, y):
    moment = aged.at(y)
    truth = aged.truth(moment)
    assert 0.5 < aged.capacity_share < 0.95
    assert moment.mean_lithiation == pytest.approx(0.192 + aged.capacity_share * (y - 0.192))
    spinel = truth.filling * np.nan_to_num(truth.phase_share[:2].sum(axis=0))
    mean = np.average(np.nan_to_num(truth.lithiation), weights=spinel)
    assert mean == pytest.approx(moment.mean_lithiation, abs=1e-9)


def test_worn_particles_stay_behind(aged):
    truth = aged.truth(aged.at(0.9))
    plain = (truth.particle > 0) & ~truth.lithium_rich
    y = [truth.lithiation[plain & (truth.region == kind)].mean() for kind in range(3)]
    assert y[0] > 0.85
    assert y[1] < y[0] - 0.1
    assert y[2] < 0.35


def test_no_cycles_change_nothing_and_more_change_more():
    fresh = Specimen(SpecimenConfig(cycles=0), 4)
    assert fresh.capacity_share == 1.0
    assert np.all(fresh.truth(fresh.at(0.5)).region == 0)
    shares = [Specimen(SpecimenConfig(cycles=n), 4).capacity_share for n in (50, 150, 300)]
    assert np.all(np.diff(shares) < 0)


def test_impossible_cycles_are_refused():
    with pytest.raises(ValueError, match="electrode of 400 cycles"):
        Specimen(SpecimenConfig(cycles=400), 1)

"""Tomograms made directly as patterns."""

import math

import numpy as np
import pytest
from operando.sim.pattern_tomogram import pattern_tomogram
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.surroundings import Surroundings
from operando.sim.twin import Twin, TwinConfig

EDGES = np.linspace(1.1, 4.7, 361)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
ANGLES = np.array([0.0, 90.0, 45.0, 130.0])
PLACES = np.arange(-20.0, 21.0)


@pytest.fixture(scope="module")
def truth():
    specimen = Specimen(SpecimenConfig(), 1)
    return specimen.truth(specimen.at(0.55))


def test_patterns_are_those_of_the_twins_rays():
    """One kernel collects a line at once, the other a ray from all voxels: the same photons."""
    twin = Twin(TwinConfig(air=0.0, peek=0.0, aluminium=0.0, spots=0))
    twin.cell.step(2000.0, -8e-6)
    twin.begin_scan(1)
    edges = np.linspace(1.1, 4.3, 321)  # within the twin's detector
    made = pattern_tomogram(
        twin.truth(), edges, ANGLES, PLACES, background=0.0, seed=None, centre_um=0.3
    )
    config = twin.config
    scale = made.photons / (config.counts / config.path_um)
    for n, angle in enumerate(ANGLES):
        rays = np.array([twin.pattern(angle, s - 0.3, config.exposure_s) for s in PLACES])
        inside = rays[:, (twin.q_grid > 1.0995) & (twin.q_grid < 4.3005)]
        halves = 0.5 * (inside[:, 1:] + inside[:, :-1])
        expected = scale * halves.reshape(len(PLACES), 320, 10).mean(axis=2)
        np.testing.assert_allclose(made.projection(n), expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("pixels", [400.0, np.linspace(200, 900, 360)])
def test_the_strongest_ray_has_as_many_counts_in_its_strongest_line_as_asked_for(pixels):
    specimen = Specimen(SpecimenConfig(rock_salt=0.0, li05mn2o4=0.0, li2mno3=0.0), 1)
    truth = specimen.truth(specimen.at(0.9))
    made = pattern_tomogram(
        truth, EDGES, ANGLES, PLACES, counts=3000, pixels=pixels, background=0, seed=None
    )
    line = np.abs(CENTRES - 2 * math.pi / 8.23 * math.sqrt(3)) < 0.15
    most = max((made.projection(n) * made.pixels)[:, line].sum(axis=1).max() for n in range(4))
    assert most == pytest.approx(3000, rel=0.06)  # a is not that of the table's middle


def test_noise_is_that_of_the_photons_of_each_ring(truth):
    pixels = np.linspace(50.0, 900.0, 360)
    made = pattern_tomogram(truth, EDGES, ANGLES, PLACES, counts=3000, pixels=pixels)
    for n in range(len(ANGLES)):
        mean, seen = made.mean(n).astype(float), made.projection(n)
        counts = seen * pixels
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)
        pull = (seen - mean) / np.sqrt(mean / pixels)
        assert pull.mean() == pytest.approx(0, abs=0.03)
        assert pull.std() == pytest.approx(1, abs=0.02)
        bright = mean * pixels > 50
        ratio = made.sigma(seen)[bright] / np.sqrt(mean / pixels)[bright]
        assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_the_same_seed_gives_the_same_patterns_in_any_order(truth):
    first, again = (pattern_tomogram(truth, EDGES, ANGLES, PLACES, seed=5) for _ in range(2))
    other = pattern_tomogram(truth, EDGES, ANGLES, PLACES, seed=6)
    backwards = [again.projection(n) for n in (3, 2, 1, 0)][::-1]
    np.testing.assert_array_equal(first.patterns(), backwards)
    assert np.mean(first.projection(0) != other.projection(0)) > 0.5
    assert first.patterns().shape == (4, 41, 360)
    assert first.patterns().dtype == np.float32


def test_a_reduction_has_the_five_rows_of_an_integrated_frame(truth):
    pixels = np.full(360, 300.0)
    pixels[7] = 0
    made = pattern_tomogram(truth, EDGES, ANGLES, PLACES, pixels=pixels)
    rows, patterns = made.reductions(2), made.projection(2)
    assert rows.shape == (41, 5, 360)
    assert rows.dtype == np.float32
    for row in (0, 1):
        np.testing.assert_array_equal(rows[:, row], patterns)
    for row in (2, 3):
        np.testing.assert_array_equal(rows[:, row], made.sigma(patterns))
    np.testing.assert_array_equal(rows[:, 4], np.broadcast_to(pixels, (41, 360)))
    assert np.all(np.isnan(rows[:, :4, 7]))
    assert np.all(np.isfinite(np.delete(rows, 7, axis=2)))


def test_background_and_surroundings_are_relative_to_the_strongest_line(truth):
    made = pattern_tomogram(truth, EDGES, ANGLES, PLACES, background=0.1, seed=None)
    bare = pattern_tomogram(truth, EDGES, ANGLES, PLACES, background=0.0, seed=None)
    top = made.photons * made.longest_um
    np.testing.assert_allclose(made.mean(1) - bare.mean(1), 0.1 * top, rtol=1e-3)
    around = Surroundings(peek=0.2, aluminium=0.0, ring_um=(30.0, 40.0))
    ringed = pattern_tomogram(
        truth, EDGES, ANGLES, PLACES, background=0.0, seed=None, surroundings=around
    )
    peek = (ringed.mean(0) - bare.mean(0))[:, np.abs(CENTRES - 1.2) < 0.03].mean(axis=1)
    inner, outer = (np.sqrt(r**2 - PLACES**2) for r in (30.0, 40.0))
    np.testing.assert_allclose(peek / peek[20], (outer - inner) / 10, rtol=2e-3)
    assert 0.15 * top < peek[20] < 0.25 * top


def test_a_slice_of_the_papers_size_is_grown_and_seen():
    config = SpecimenConfig(field_um=351.0, particle_radius_um=(4.0, 12.0), lithium_rich=8)
    specimen = Specimen(config, 1)
    truth = specimen.truth(specimen.at(0.5))
    assert truth.filling.shape == (351, 351)
    assert 250 <= specimen.electrode.particles <= 600
    assert specimen.electrode.lithium_rich.sum() == 8
    places = np.arange(351) - 175.0
    made = pattern_tomogram(truth, EDGES, np.array([0.0, 90.0]), places, seed=None, background=0)
    line = np.abs(CENTRES - 2 * math.pi / 8.15 * math.sqrt(3)) < 0.1
    spinel = truth.filling * np.nan_to_num(truth.phase_share[:2].sum(axis=0))
    for n, axis in ((0, 0), (1, 1)):
        seen = made.projection(n)[:, line].sum(axis=1)
        assert np.corrcoef(seen, spinel.sum(axis=axis))[0, 1] > 0.9999


def test_what_makes_no_tomogram_is_refused(truth):
    with pytest.raises(ValueError, match="41 translations"):
        pattern_tomogram(truth, EDGES, ANGLES, PLACES[::-1])
    with pytest.raises(ValueError, match="no ray"):
        pattern_tomogram(truth, EDGES, ANGLES, PLACES + 500)

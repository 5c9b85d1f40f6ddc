"""The slow reference by hand, and the data that every contender gets."""

from __future__ import annotations

import numpy as np
import pytest
from operando.benchmarks import bench_fbp, data
from operando.benchmarks.chain_source import bit_reversed, description
from operando.benchmarks.reference import trimmed_rings


def test_the_reference_cuts_off_the_share_asked_for_at_either_end():
    counts = np.array([9, 1, 5, 3, 7, 2, 4, 6, 8, 1000], np.uint32)
    ring = np.zeros(10, np.int64)
    found = trimmed_rings(counts, ring, np.ones(10), 1, 0.2)
    assert found.mean[0] == pytest.approx(np.mean([2, 3, 4, 5, 6, 7, 8, 9]))
    assert found.pixels[0] == 10


def test_a_pixel_on_the_cut_counts_with_the_part_inside():
    counts = np.array([0, 10], np.uint32)
    found = trimmed_rings(counts, np.zeros(2, np.int64), np.ones(2), 1, 0.5)
    assert found.mean[0] == pytest.approx(5.0)
    wider = trimmed_rings(counts, np.zeros(2, np.int64), np.array([3.0, 1.0]), 1, 0.5)
    assert wider.mean[0] == pytest.approx(0.0)


def test_hidden_pixels_and_empty_rings_are_left_out():
    counts = np.array([4, 4, 99], np.uint32)
    found = trimmed_rings(counts, np.array([0, 0, 7]), np.ones(3), 2, 0.1)
    assert found.mean[0] == pytest.approx(4.0)
    assert np.isnan(found.mean[1])


def test_the_border_bound_covers_dropping_the_pixels_on_the_cuts():
    random = np.random.default_rng(1)
    counts = random.poisson(3.0, 400).astype(np.uint32)
    found = trimmed_rings(counts, np.zeros(400, np.int64), np.ones(400), 1, 0.1)
    ordered = np.sort(counts)
    dropped = ordered[21:379].mean()  # the cuts are between pixels 20 and 21: both sides dropped
    assert abs(dropped - found.mean[0]) <= found.border[0]


def test_the_pilatus_has_its_gaps_and_the_paper_s_pixels():
    assert data.PILATUS_2M.shape() == (1679, 1475)
    mask = data.PILATUS_2M.mask()
    assert mask[195:212].all()
    assert mask[:, 487:494].all()
    assert (~mask).sum() == pytest.approx(8 * 3 * 195 * 487, rel=2e-3)


def test_frames_are_the_same_for_everybody_and_have_the_counts_asked_for():
    camera = data.Camera(data.PILATUS_300K_W)
    (one,), (again,) = camera.frames(2.0, 1), camera.frames(2.0, 1)
    assert np.array_equal(one, again)
    assert np.median(one[~camera.mask]) in (1, 2)
    without_spots = np.sort(one[~camera.mask])[: -one.size // 100]
    assert without_spots.mean() == pytest.approx(2.0, rel=0.15)


def test_the_phantom_s_projections_hold_its_mass_at_every_angle():
    phantom = bench_fbp.phantom(2, translations=101, angles=7)
    mass = phantom.sinogram.sum(axis=1)
    assert np.allclose(mass, mass[0], rtol=0.02)
    assert np.allclose(phantom.truth.sum(axis=(0, 1)), mass[0], rtol=0.03)


def test_the_chain_s_scan_is_a_grid_of_351_translations_in_bit_reversed_order():
    scan = description(6, "poni")
    trajectory = scan.trajectory()
    assert scan.frames() == 6 * 351
    assert sorted(set(trajectory.axis("rotation").values)) == [0, 30, 60, 90, 120, 150]
    assert bit_reversed(6).tolist() == [0, 4, 2, 1, 5, 3]
    assert trajectory.axis("translation").values[:351].tolist() == list(np.arange(-175.0, 176.0))

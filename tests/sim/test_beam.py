"""Photons voxel by voxel, and the reaction they slow down."""

import dataclasses

import numpy as np
import pytest
from operando.sim.beam import Beam
from operando.sim.forward import ray_weights
from operando.sim.twin import Twin, TwinConfig

CAPACITY_S = 1.43e-5 / 8e-6 * 3600
SMALL = TwinConfig(
    field_um=31.0, particle_radius_um=(2.0, 3.5), shape=(64, 96), beam_pixel=(32, 8), spots=0,
    distance_m=0.05, chip_px=(64, 96), dead_modules=(), zingers=0.0,
)  # fmt: skip


def scanned(twin, number, rotations=(0.0, 45.0, 90.0, 135.0), half=False):
    twin.begin_scan(number)
    for angle in rotations:
        for key, s in enumerate(np.arange(-15.0, 0.0 if half else 15.1)):
            twin.expose(float(angle), float(s), 0.01, key)


@pytest.mark.parametrize("width", [1.0, 7.0])
def test_rays_side_by_side_bring_every_photon_once_whatever_their_width(width):
    """Lines over the whole field: each voxel has seen flux times time over the line's area."""
    centres = np.arange(20) - 9.5
    beam = Beam((20, 20), 1.0, flux_per_s=1e6, height_um=2.0, hindering_fluence=0.0)
    shifts = np.arange(-28.0, 28.0, width)
    for shift in shifts:
        beam.shine(*ray_weights(centres, centres, 1.0, 30.0, shift, width), 0.5)
    np.testing.assert_allclose(beam.fluence(), 1e6 * 0.5 / (2.0 * width), rtol=1e-9)


def test_truth_says_what_each_voxel_had_seen_when_its_scan_began():
    twin = Twin(SMALL)
    scanned(twin, 1, rotations=(0.0,), half=True)
    assert np.all(twin.truth().fluence == 0)
    fluence = twin.fluence()
    twin.begin_scan(2)
    np.testing.assert_array_equal(twin.truth().fluence, fluence)
    per_line = SMALL.flux_per_s * 0.01 / SMALL.beam_height_um
    np.testing.assert_allclose(fluence[:, :15], per_line, rtol=1e-9)
    assert np.all(fluence[:, 16:] == 0)


def test_irradiated_voxels_lag_and_the_others_carry_the_charge():
    hindered = dataclasses.replace(SMALL, hindering_fluence=2e8, lithium_rich=0)
    lagging, free = Twin(hindered), Twin(dataclasses.replace(hindered, hindering_fluence=0.0))
    for twin in (lagging, free):
        scanned(twin, 1, rotations=(0.0,), half=True)
        twin.cell.step(0.6 * CAPACITY_S, -8e-6)
        twin.begin_scan(2)
    truth, plain = lagging.truth(), free.truth()
    seen = (truth.particle > 0) & (truth.fluence > 5e7)
    spared = (truth.particle > 0) & (truth.fluence == 0)
    assert truth.lithiation[seen].mean() < plain.lithiation[seen].mean() - 0.03
    assert truth.lithiation[spared].mean() > plain.lithiation[spared].mean() + 0.03
    assert truth.beam_lag[seen].min() >= 0
    assert truth.beam_lag[seen].mean() > 0.05
    assert np.nanmax(np.abs(truth.beam_lag[spared])) == 0
    assert np.nanmax(np.abs(plain.beam_lag)) == 0
    spinel = truth.filling * np.nan_to_num(truth.phase_share[:2].sum(axis=0))
    mean = np.average(np.nan_to_num(truth.lithiation), weights=spinel)
    assert mean == pytest.approx(lagging.cell.lithiation, abs=1e-9)


def test_what_was_lost_stays_lost_and_no_step_is_counted_twice():
    twin = Twin(dataclasses.replace(SMALL, hindering_fluence=2e8, lithium_rich=0))
    scanned(twin, 1, rotations=(0.0,), half=True)
    twin.cell.step(0.3 * CAPACITY_S, -8e-6)
    twin.begin_scan(2)
    first = twin.truth()
    twin.begin_scan(3)
    np.testing.assert_allclose(twin.truth().lithiation, first.lithiation, atol=1e-12)
    twin.cell.step(0.3 * CAPACITY_S, -8e-6)
    twin.begin_scan(4)
    inside = first.particle > 0
    assert np.all(twin.truth().lithiation[inside] >= first.lithiation[inside] - 1e-12)

    straight = Twin(dataclasses.replace(SMALL, hindering_fluence=2e8, lithium_rich=0))
    scanned(straight, 1, rotations=(0.0,), half=True)
    straight.cell.step(0.6 * CAPACITY_S, -8e-6)
    straight.begin_scan(2)
    np.testing.assert_allclose(straight.truth().lithiation, twin.truth().lithiation, atol=1e-9)

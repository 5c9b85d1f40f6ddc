"""The truth on another grid."""

from __future__ import annotations

import numpy as np
import pytest
from operando.cli.against_truth import lattice_on
from operando.sim.twin import Twin, TwinConfig


@pytest.fixture(scope="module")
def truth():
    twin = Twin(TwinConfig(field_um=12, voxel_um=0.5, shape=(64, 96), beam_pixel=(32, 8),
                           chip_px=(64, 96), dead_modules=(), distance_m=0.05))  # fmt: skip
    twin.begin_scan(1)
    return twin.truth()


def test_on_its_own_grid_it_is_itself(truth):
    a, whole = lattice_on(truth, truth.x_um, truth.y_um)
    inside = np.isfinite(truth.lattice_parameter_a)
    np.testing.assert_allclose(a[inside], truth.lattice_parameter_a[inside])
    assert np.isnan(a[~inside]).all()
    np.testing.assert_array_equal(whole, truth.solid_solution)


def test_on_a_coarser_grid_it_is_the_mean_weighted_with_the_filling(truth):
    x_um, y_um = (axis.reshape(-1, 4).mean(axis=1) for axis in (truth.x_um, truth.y_um))
    a, whole = lattice_on(truth, x_um, y_um)
    for row, column in ((2, 3), (0, 0), (5, 1)):
        part = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
        weight = truth.filling[part] * np.isfinite(truth.lattice_parameter_a[part])
        if weight.sum() > 0:
            mean = np.average(np.nan_to_num(truth.lattice_parameter_a[part]), weights=weight)
            assert a[row, column] == pytest.approx(mean)
        assert whole[row, column] == truth.solid_solution[part].all()
    assert whole.any()
    assert not whole.all()


def test_beyond_the_slice_there_is_nothing(truth):
    a, whole = lattice_on(truth, truth.x_um + 100.0, truth.y_um)
    assert np.isnan(a).all()
    assert not whole.any()

"""The electrode slice."""

import numpy as np
import pytest
from operando.sim.electrode import ElectrodeConfig, grow_electrode


@pytest.fixture(scope="module", params=[1, 2, 7])
def electrode(request):
    return grow_electrode(ElectrodeConfig(), request.param)


def test_electrode_stays_inside_the_field_of_view_of_every_rotation(electrode):
    y, x = np.meshgrid(electrode.y_um, electrode.x_um, indexing="ij")
    assert np.hypot(x, y)[electrode.filling > 0].max() < 20.5


def test_slice_has_many_particles_with_pores_between(electrode):
    assert 8 <= electrode.particles <= 40
    assert len(np.unique(electrode.label)) == electrode.particles + 1
    inner = np.hypot(*np.meshgrid(electrode.x_um, electrode.y_um)) < 15
    assert 0.5 < electrode.filling[inner].mean() < 0.95


def test_three_particles_are_lithium_rich(electrode):
    assert electrode.lithium_rich.sum() == 3
    assert not electrode.lithium_rich[0]


def test_depth_runs_from_the_centre_to_the_surface(electrode):
    for particle in range(1, electrode.particles + 1):
        depth = electrode.depth[electrode.label == particle]
        assert depth.min() < 0.35
        assert 0.75 < depth.max() <= 1.0
    assert np.all(np.isnan(electrode.depth) == (electrode.owner == 0))


def test_a_voxel_cut_by_a_surface_is_filled_in_part(electrode):
    assert np.any((electrode.filling > 0.1) & (electrode.filling < 0.9))
    assert np.all((electrode.filling >= 0.5) == (electrode.label > 0))


def test_the_same_seed_grows_the_same_electrode():
    first, again = (grow_electrode(ElectrodeConfig(), 5) for _ in range(2))
    other = grow_electrode(ElectrodeConfig(), 6)
    np.testing.assert_array_equal(first.label, again.label)
    np.testing.assert_array_equal(first.filling, again.filling)
    assert np.any(first.label != other.label)


def test_a_finer_grid_shows_the_same_particles():
    coarse = grow_electrode(ElectrodeConfig(voxel_um=1.0), 3)
    fine = grow_electrode(ElectrodeConfig(voxel_um=0.5), 3)
    assert fine.label.shape == (82, 82)
    assert fine.particles == coarse.particles
    assert fine.filling.sum() * 0.25 == pytest.approx(coarse.filling.sum(), rel=0.01)


def test_impossible_electrodes_are_refused():
    with pytest.raises(ValueError, match="particle radii 5 to 2 um"):
        ElectrodeConfig(particle_radius_um=(5, 2))
    with pytest.raises(ValueError, match="voxels of 0"):
        ElectrodeConfig(voxel_um=0)

"""Where the pixels are, against pyFAI."""

import numpy as np
import pytest
from operando.sim.geometry import Geometry

pyFAI = pytest.importorskip("pyFAI")

TILTED = Geometry(
    shape=(512, 1028),
    pixel_m=(75e-6, 75e-6),
    distance_m=0.41,
    beam_pixel=(256.0, 40.0),
    energy_ev=50e3,
    rot1=0.02,
    rot2=-0.03,
    rot3=0.4,
)
OBLONG = Geometry((60, 40), (172e-6, 100e-6), 0.1, (10.5, -3.0), 12e3, rot2=0.2, polarisation=0.5)


@pytest.fixture(params=[TILTED, OBLONG], ids=["tilted", "oblong"])
def both(request, tmp_path):
    path = tmp_path / "geometry.poni"
    path.write_text(request.param.poni())
    return request.param, pyFAI.load(str(path))


def test_pyfai_reads_the_poni_as_it_was_meant(both):
    ours, theirs = both
    assert theirs.detector.shape == ours.shape
    assert (theirs.pixel1, theirs.pixel2) == ours.pixel_m
    assert theirs.wavelength == pytest.approx(12398.4198e-10 / ours.energy_ev, rel=1e-8)


def test_q_of_every_pixel_is_pyfais(both):
    ours, theirs = both
    expected = theirs.array_from_unit(ours.shape, "center", "q_A^-1", scale=True)
    # pyFAI's hc/e has fewer digits
    np.testing.assert_allclose(ours.q(), expected, rtol=1e-6, atol=1e-9)


def test_azimuth_of_every_pixel_is_pyfais(both):
    ours, theirs = both
    expected = theirs.center_array(ours.shape, "chi_rad", scale=False)
    turn = np.angle(np.exp(1j * (ours.azimuth() - expected)))
    assert np.abs(turn).max() < 1e-6


def test_solid_angle_and_polarisation_are_pyfais(both):
    ours, theirs = both
    np.testing.assert_allclose(ours.solid_angle(), theirs.solidAngleArray(ours.shape), rtol=1e-6)
    expected = theirs.polarization(ours.shape, factor=ours.polarisation)
    np.testing.assert_allclose(ours.polarised(), expected, rtol=1e-6)


def test_the_direct_beam_meets_the_detector_where_it_was_said():
    q = TILTED.q()
    row, col = np.unravel_index(np.argmin(q), q.shape)
    assert (row, col) in {(255, 39), (255, 40), (256, 39), (256, 40)}
    corners = q[255:257, 39:41]
    np.testing.assert_allclose(corners, corners.mean(), rtol=1e-2)

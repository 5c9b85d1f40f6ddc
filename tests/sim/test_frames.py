"""Frames: photons on pixels."""

import numpy as np
import pytest
from operando.sim.frames import FramePainter, Spot, detector_mask
from operando.sim.geometry import Geometry
from scipy import stats

GEOMETRY = Geometry((128, 200), (75e-6, 75e-6), 0.1, (64.0, 10.0), 50e3, rot1=0.01)
Q_GRID = np.arange(0.0, GEOMETRY.q().max() + 0.003, 0.001)
BARE = np.zeros(GEOMETRY.shape, bool)


def painter(mask=BARE, dtype="uint16", saturation=60_000):
    return FramePainter(GEOMETRY, Q_GRID, mask, dtype, saturation)


def flat(level):
    return np.full(len(Q_GRID), level, np.float32)


@pytest.mark.parametrize("level", [0.05, 0.5, 3.0, 12.0, 60.0, 300.0])
def test_counts_are_poisson_around_pattern_times_solid_angle_times_polarisation(level):
    expected = level * GEOMETRY.solid_angle() * GEOMETRY.polarised()
    paint = painter()
    frames = np.array([paint.paint(flat(level), seed, 0.0, []) for seed in range(40)], float)
    chi2 = ((frames - expected) ** 2 / expected).sum()
    n = frames.size
    # variance of (x - m)^2 / m is 2 + 1/m for a Poisson x
    assert chi2 == pytest.approx(n, abs=5 * np.sqrt(n * (2 + 1 / (level * 0.5))))
    pull = (frames.sum(axis=0) - 40 * expected) / np.sqrt(40 * expected)
    assert abs(pull.mean()) < 5 / np.sqrt(pull.size)
    if level > 1:
        assert stats.kstest(pull.ravel() + 0, "norm").statistic < 0.03


def test_the_pattern_is_read_between_its_points():
    slope = (1000 * Q_GRID).astype(np.float32)
    paint = painter(dtype="uint32")
    frame = paint.paint(slope, 1, 0.0, []).astype(float)
    expected = 1000 * GEOMETRY.q() * GEOMETRY.solid_angle() * GEOMETRY.polarised()
    pull = (frame - expected) / np.sqrt(np.maximum(expected, 1))
    assert abs(pull.mean()) < 5 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=0.03)


def test_the_same_seed_paints_the_same_frame():
    paint = painter()
    spots = [Spot(30.0, 100.0, 1.0, 900.0)]
    first, again = (paint.paint(flat(6), 9, 4.0, spots) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != paint.paint(flat(6), 10, 4.0, spots))


def test_masked_pixels_carry_the_largest_number_of_their_type():
    mask = BARE.copy()
    mask[20:30] = True
    mask[100, 100] = True
    for dtype, largest in (("uint16", 65535), ("uint32", 4294967295)):
        spots = [Spot(25.0, 100.0, 3.0, 1e5)]
        frame = painter(mask, dtype).paint(flat(6), 1, 500.0, spots)
        assert frame.dtype == dtype
        assert np.all(frame[mask] == largest)
        assert frame[~mask].max() <= 60_000


def test_counts_stop_at_saturation():
    frame = painter(saturation=50).paint(flat(100), 1, 100.0, [Spot(64, 100, 2, 1e6)])
    assert np.all(frame <= 50)
    assert (frame == 50).mean() > 0.9


def test_a_spot_is_a_cluster_and_a_zinger_one_pixel():
    paint = painter()
    plain = paint.paint(flat(6), 1, 0.0, []).astype(int)
    spot = paint.paint(flat(6), 1, 0.0, [Spot(40.3, 90.7, 1.2, 5000.0)]).astype(int) - plain
    row, col = np.indices(spot.shape)
    assert spot.sum() == pytest.approx(5000 * 2 * np.pi * 1.2**2, rel=0.05)
    assert (spot * row).sum() / spot.sum() == pytest.approx(40.3, abs=0.05)
    assert (spot * col).sum() / spot.sum() == pytest.approx(90.7, abs=0.05)
    zingers = paint.paint(flat(6), 1, 8.0, []).astype(int) - plain
    assert 1 <= np.count_nonzero(zingers) <= 25
    assert zingers[zingers != 0].min() >= 49


def test_a_spot_beyond_the_edge_is_cut_off():
    frame = painter().paint(flat(0), 1, 0.0, [Spot(0.0, 199.0, 1.5, 1000.0), Spot(-50, 9, 1, 1e4)])
    assert frame[0, 199] > 800
    assert frame[10:].sum() == 0


def test_mask_has_seams_dead_blocks_and_a_beamstop():
    mask = detector_mask((512, 1028), (256, 257), 2, ((10, 20, 30, 50),), 0, (300.0, 40.0, 9.0), 1)
    assert mask[255:257].all()
    assert mask[:, 256:258].all()
    assert mask[10:20, 30:50].all()
    assert mask[300, 40]
    assert not mask[320, 40]
    assert 0.01 < mask.mean() < 0.03


def test_what_cannot_be_painted_is_refused():
    with pytest.raises(ValueError, match="uint16 or uint32"):
        painter(dtype="float32")
    with pytest.raises(ValueError, match="saturation 65535"):
        painter(saturation=65535)
    with pytest.raises(ValueError, match=r"the detector to"):
        FramePainter(GEOMETRY, Q_GRID[:-300], BARE, "uint16", 100)
    for level, points in ((np.nan, len(Q_GRID)), (-1.0, len(Q_GRID)), (6.0, 5)):
        with pytest.raises(ValueError, match="finite numbers of 0 or more"):
            painter().paint(np.full(points, level, np.float32), 1, 0.0, [])
    with pytest.raises(ValueError, match=r"mask is \(2, 2\)"):
        painter(mask=np.zeros((2, 2), bool))

"""Large grains among the powder."""

import pytest
from operando.sim.frames import Spot
from operando.sim.grains import Grain

GRAIN = Grain(x_um=6.0, y_um=0.0, rotation_deg=40.0, spot=Spot(10.0, 20.0, 1.0, 900.0))
WHERE = 6.0 * 0.766044443119  # x cos 40 deg


def test_a_grain_is_seen_where_the_beam_meets_it_near_its_rotation():
    assert GRAIN.seen(40.0, WHERE, 2.0).peak == pytest.approx(1800.0)
    assert GRAIN.seen(40.0, WHERE + 1.4, 1.0).peak == pytest.approx(900.0)
    assert GRAIN.seen(40.0, WHERE + 1.6, 1.0) is None
    assert GRAIN.seen(46.0, WHERE, 1.0) is None
    assert 100 < GRAIN.seen(43.0, WHERE, 1.0).peak < 200  # two standard deviations
    assert GRAIN.seen(400.0, WHERE, 1.0).peak == pytest.approx(900.0)


def test_a_wide_beam_meets_it_in_more_frames_and_with_fewer_of_its_photons():
    assert GRAIN.seen(40.0, WHERE + 14.0, 1.0, beam_um=30.0).peak == pytest.approx(90.0)
    assert GRAIN.seen(40.0, WHERE + 15.1, 1.0, beam_um=30.0) is None

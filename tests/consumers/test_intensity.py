"""Three numbers a frame, as maps over any scan's axes."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.contract import FrameError
from operando.consumers.intensity import Intensity, IntensityConfig
from operando.stream.messages import Axis, Trajectory


def frames(count: int, shape=(128, 160)) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.poisson(2 + n, shape).astype(np.uint16) for n in range(count)]


def named(consumer: Intensity, final: bool = False):
    return {result.name: result for result in consumer.results(final)}


@pytest.mark.parametrize("order", ["plain", "bit-reversed", "snake"])
def test_maps_stand_on_the_axes_whatever_the_order_of_frames(
    make_start, make_trajectory, order
) -> None:
    trajectory = make_trajectory(4, 5, order)
    consumer = Intensity(IntensityConfig(), make_start(trajectory, poni=""))
    for i, frame in enumerate(frames(20)):
        consumer.absorb(i, consumer.reduce(i, frame))
    total = named(consumer)["total_counts"]
    assert total.dims == ("rotation", "translation")
    np.testing.assert_allclose(total.coords["rotation"], [0, 45, 90, 135])
    np.testing.assert_allclose(total.coords["translation"], [-2, -1, 0, 1, 2])
    angles, places = (axis.values for axis in trajectory.axes)
    for i, frame in enumerate(frames(20)):
        at = (int(angles[i] // 45), int(places[i] + 2))
        assert total.values[at] == pytest.approx(float(frame.sum()))
    assert total.completeness == 1.0


def test_numbers_leave_masked_and_saturated_pixels_out(make_start) -> None:
    mask = np.zeros((128, 160), bool)
    mask[0] = True
    consumer = Intensity(IntensityConfig(), make_start(mask=mask, saturation=1000))
    frame = np.ones((128, 160), np.uint16)
    frame[0] = 65535
    frame[5, 5], frame[6, 6], frame[7, 7] = 999, 1000, 65535
    total, maximum, saturated = consumer.reduce(0, frame)
    assert (total, maximum, saturated) == (127 * 160 - 3 + 999, 999, 2)
    nothing = consumer.reduce(0, np.full((128, 160), 65535, np.uint16))
    assert nothing[0] == 0
    assert np.isnan(nothing[1])
    assert nothing[2] == 127 * 160


def test_what_is_not_measured_is_nan_and_repeats_change_nothing(
    make_start, make_trajectory
) -> None:
    consumer = Intensity(IntensityConfig(), make_start(make_trajectory(4, 5)))
    assert np.isnan(named(consumer)["maximum"].values).all()
    frame = frames(1)[0]
    for _ in range(3):
        consumer.absorb(7, consumer.reduce(7, frame))
    result = named(consumer)["total_counts"]
    assert np.isfinite(result.values).sum() == 1
    assert result.values[1, 2] == pytest.approx(float(frame.sum()))
    assert result.completeness == pytest.approx(1 / 20)


@pytest.mark.parametrize("grid", [(), (3, 4), (12,)])
def test_a_trajectory_that_is_no_grid_counts_frames(make_start, grid) -> None:
    random = np.random.default_rng(2)
    axes = (Axis("x", "um", random.normal(size=12)), Axis("y", "um", random.normal(size=12)))
    consumer = Intensity(IntensityConfig(), make_start(Trajectory(grid, axes)))
    dims = named(consumer)["maximum"].dims
    assert dims == (("x",) if grid == (12,) else ("frame",))


def test_a_frame_of_another_shape_is_refused(make_start) -> None:
    consumer = Intensity(IntensityConfig(), make_start())
    with pytest.raises(FrameError, match=r"frame 2 .*\(3, 3\).*\(128, 160\)"):
        consumer.reduce(2, np.zeros((3, 3), np.uint16))
    with pytest.raises(ValueError, match="reduction 0"):
        consumer.absorb(0, np.zeros(5))

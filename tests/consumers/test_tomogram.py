"""Slots of a sinogram, the growing volume, gaps and measured positions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.contract import ScanNotForThis
from operando.consumers.rebuild import half_turn_shares, rebuild
from operando.consumers.sinogram_grid import sinogram_grid
from operando.consumers.tomogram import Tomogram
from operando.stream.messages import Axis, Positions, Trajectory

ROTATIONS, TRANSLATIONS = 24, 31


def spectrum(angle_deg: float, place_um: float) -> np.ndarray:
    """Two channels: a disc at (5, -4) of radius 6 and one at (-6, 3) of radius 4 (analytic)."""
    t = math.radians(angle_deg)
    return np.array(
        [
            2 * math.sqrt(max(r * r - (place_um - x * math.cos(t) - y * math.sin(t)) ** 2, 0.0))
            for x, y, r in ((5.0, -4.0, 6.0), (-6.0, 3.0, 4.0))
        ],
        np.float32,
    )


def filled(trajectory: Trajectory, leave_out: tuple[int, ...] = ()) -> Tomogram:
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 2, 0.0, True)
    angles, places = (axis.values for axis in trajectory.axes)
    for i in range(angles.size):
        if i not in leave_out:
            tomogram.absorb(i, spectrum(angles[i], places[i]))
    tomogram.advance()
    return tomogram


@pytest.mark.parametrize("order", ["bit-reversed", "snake"])
def test_any_order_of_frames_is_the_same_sinogram_and_volume(make_trajectory, order) -> None:
    plain = filled(make_trajectory(ROTATIONS, TRANSLATIONS))
    other = filled(make_trajectory(ROTATIONS, TRANSLATIONS, order))
    np.testing.assert_array_equal(plain.sinogram, other.sinogram)
    np.testing.assert_array_equal(rebuild(plain).volume, rebuild(other).volume)


def test_the_live_volume_ends_where_a_rebuild_with_its_filter_ends(make_trajectory) -> None:
    tomogram = filled(make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed"))
    assert tomogram.projections() == ROTATIONS
    live, final = tomogram.live_volume(), rebuild(tomogram).volume
    # Hann against ramp: same mean in a disc, smoother
    assert live[12:16, 18:22, 0].mean() == pytest.approx(1.0, abs=0.1)
    assert final[12:16, 18:22, 0].mean() == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(live.ravel(), final.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("rotations", "points", "sharp_at"),
    [(24, 31, 12), (120, 11, 9), (350, 351, 175)],  # half of all, or of pi/2 times the points
)
def test_a_live_volume_is_as_sharp_as_its_lines_resolve(
    make_trajectory, rotations: int, points: int, sharp_at: int
) -> None:
    trajectory = make_trajectory(rotations, points, "bit-reversed")
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 1, 0.0, True)
    seen = []
    for line in range(sharp_at):
        for point in range(points):
            tomogram.absorb(line * points + point, np.ones(1, np.float32))
        seen.append(tomogram.sharpness())
    assert seen == sorted(seen)
    assert seen[0] <= 0.25
    assert seen[-1] == 1.0 > seen[sharp_at // 2]


def test_few_bit_reversed_projections_already_show_the_discs(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed")
    whole = rebuild(filled(trajectory)).volume
    some = filled(trajectory, tuple(range(6 * TRANSLATIONS, ROTATIONS * TRANSLATIONS)))
    assert some.projections() == 6
    assert np.corrcoef(some.live_volume().ravel(), whole.ravel())[0, 1] > 0.75


def test_the_same_spectrum_again_changes_nothing_and_another_replaces_it(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    tomogram = filled(trajectory)
    before, final = tomogram.live_volume(), rebuild(tomogram).volume
    angles, places = (axis.values for axis in trajectory.axes)
    for i in (0, 40, 200):
        tomogram.absorb(i, spectrum(angles[i], places[i]))
    np.testing.assert_array_equal(tomogram.live_volume(), before)

    tomogram.absorb(40, np.array([50.0, 50.0], np.float32))
    tomogram.advance()
    assert np.abs(tomogram.live_volume() - before).max() > 0.1
    tomogram.absorb(40, spectrum(angles[40], places[40]))
    tomogram.advance()
    np.testing.assert_allclose(tomogram.live_volume(), before, atol=1e-4)
    np.testing.assert_array_equal(rebuild(tomogram).volume, final)


def test_frames_that_never_came_are_bridged_and_empty_projections_left_out(
    make_trajectory,
) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    every = rebuild(filled(trajectory))
    whole, count = every.volume, every.projections
    gaps = (5, 77, 200, 201, *range(10 * TRANSLATIONS, 11 * TRANSLATIONS - 3))
    holed = filled(trajectory, gaps)
    bridged = rebuild(holed)
    volume, used = bridged.volume, bridged.projections
    assert (count, used) == (ROTATIONS, ROTATIONS - 1)
    assert np.isnan(holed.sinogram).any()
    assert np.isfinite(volume).all()
    assert np.corrcoef(volume.ravel(), whole.ravel())[0, 1] > 0.98


def test_measured_positions_bring_back_what_was_blurred(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    clean = rebuild(filled(trajectory)).volume
    random = np.random.default_rng(3)
    angles, places = (axis.values for axis in trajectory.axes)
    really = places + np.repeat(random.uniform(-1.2, 1.2, ROTATIONS), TRANSLATIONS)
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 2, 0.0, True)
    for i in range(angles.size):
        tomogram.absorb(i, spectrum(angles[i], really[i]))
    blurred = rebuild(tomogram).volume
    tomogram.place(
        Positions("scan-1", "translation", "um", np.arange(angles.size), really),
        "rotation", "translation",
    )  # fmt: skip
    placed = rebuild(tomogram).volume
    tomogram.advance()
    assert tomogram.projections() == ROTATIONS
    assert np.abs(placed - clean).mean() < 0.5 * np.abs(blurred - clean).mean()


def test_positions_of_unknown_axes_and_frames_pass_by(make_trajectory) -> None:
    tomogram = filled(make_trajectory(ROTATIONS, TRANSLATIONS))
    before = tomogram.live_volume()
    for axis, index, value in (("height", 0, 1.0), ("rotation", 99999, 1.0),
                               ("rotation", 3, math.nan)):  # fmt: skip
        tomogram.place(
            Positions("s", axis, "um", np.array([index]), np.array([value])),
            "rotation", "translation",
        )  # fmt: skip
    np.testing.assert_array_equal(tomogram.live_volume(), before)


def test_a_rotation_axis_off_the_middle_is_followed(make_trajectory) -> None:
    trajectory = make_trajectory(60, TRANSLATIONS)
    angles, places = (axis.values for axis in trajectory.axes)
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 2, 2.0, True)
    for i in range(angles.size):
        tomogram.absorb(i, spectrum(angles[i], places[i] - 2.0))
    volume = rebuild(tomogram).volume[:, :, 0]
    y, x = np.mgrid[0:31, 0:31] - 15.0
    weight = np.where((volume > 0.5) & (np.hypot(x, y) < 12.5), 1.0, 0.0)
    assert (x * weight).sum() / weight.sum() == pytest.approx(5.0, abs=0.3)
    assert (y * weight).sum() / weight.sum() == pytest.approx(-4.0, abs=0.3)


def test_shares_of_the_half_turn_add_to_it() -> None:
    even = half_turn_shares(np.arange(0, 180, 10.0))
    np.testing.assert_allclose(even, math.pi / 18)
    uneven = half_turn_shares(np.array([0.0, 10.0, 90.0, 200.0]))
    assert uneven.sum() == pytest.approx(math.pi)
    assert uneven[2] == pytest.approx(math.radians(80))


@pytest.mark.parametrize(
    ("axes", "word"),
    [
        ((Axis("rotation", "deg", np.repeat([0.0, 90.0], 5)),), "translation"),
        ((Axis("rotation", "rad", np.repeat([0.0, 90.0], 5)),
          Axis("translation", "um", np.tile(np.arange(5.0), 2))), "deg"),
        ((Axis("rotation", "deg", np.repeat([0.0, 90.0], 5)),
          Axis("translation", "um", np.tile([0.0, 1.0, 2.0, 3.0, 9.0], 2))), "steps"),
        ((Axis("rotation", "deg", np.zeros(10)),
          Axis("translation", "um", np.tile(np.arange(5.0), 2))), "1 rotations"),
        ((Axis("rotation", "deg", np.array([0, 0, 0, 0, 0, 90, 90, 90, 90, 90.0])),
          Axis("translation", "um", np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 3.0]))), "frame 9"),
    ],
)  # fmt: skip
def test_a_trajectory_that_is_no_tomogram_is_refused(axes, word) -> None:
    with pytest.raises(ScanNotForThis, match=word):
        sinogram_grid(Trajectory((), axes), "rotation", "translation")


def test_a_volume_that_is_brought_on_in_steps_ends_where_one_step_ends(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed")
    angles, places = (axis.values for axis in trajectory.axes)
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 2, 0.0, True)
    for i in range(angles.size):
        tomogram.absorb(i, spectrum(angles[i], places[i]))
        if i % (2 * TRANSLATIONS) == 0:  # so that filters change on the way
            assert tomogram.advance(3) <= 3
    while tomogram.waiting():
        assert 0 < tomogram.advance(3) <= 3
    assert tomogram.projections() == ROTATIONS
    assert tomogram.advance() == 0
    np.testing.assert_allclose(tomogram.live_volume(), filled(trajectory).live_volume(), atol=2e-6)


def test_only_the_channels_asked_for_are_in_the_live_volume(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    angles, places = (axis.values for axis in trajectory.axes)
    grid = sinogram_grid(trajectory, "rotation", "translation")
    tomogram = Tomogram(grid, 2, 0.0, True, np.array([1]))
    for i in range(angles.size):
        tomogram.absorb(i, spectrum(angles[i], places[i]))
    tomogram.advance()
    both = filled(trajectory)
    np.testing.assert_array_equal(tomogram.live_volume(), both.live_volume()[:, :, 1:])
    np.testing.assert_allclose(tomogram.live_voxel(18, 9), both.live_volume()[18, 9], atol=1e-5)
    np.testing.assert_array_equal(
        rebuild(tomogram, np.array([1])).volume, rebuild(both).volume[:, :, 1:]
    )


def test_measured_positions_of_a_whole_scan_begin_the_volume_again(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    tomogram = filled(trajectory)
    before = tomogram.live_volume()
    places = trajectory.axes[1].values
    tomogram.place(
        Positions("s", "translation", "um", np.arange(places.size), places + 0.4),
        "rotation", "translation",
    )  # fmt: skip
    assert (tomogram.projections(), tomogram.waiting()) == (0, ROTATIONS)
    tomogram.advance()
    assert np.abs(tomogram.live_volume() - before).max() > 0.05


@pytest.mark.parametrize("order", ["plain", "bit-reversed", "snake"])
def test_the_rotation_axis_is_found_and_the_record_does_not_know_how(
    make_trajectory, order
) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS, order)
    angles, places = (axis.values for axis in trajectory.axes)
    grid = sinogram_grid(trajectory, "rotation", "translation")
    tracked, fixed = Tomogram(grid, 2, None, True), Tomogram(grid, 2, 1.3, True)
    for i in range(angles.size):
        for each in (tracked, fixed):
            each.absorb(i, spectrum(angles[i], places[i] - 1.3))
        if i % TRANSLATIONS == 0:
            tracked.advance(5)
    tracked.advance()
    assert tracked.centre_um() == pytest.approx(1.3, abs=0.3)
    found, wanted = rebuild(tracked), rebuild(fixed)
    assert found.centre_um == pytest.approx(1.3, abs=0.1)
    inside = np.s_[6:-6, 6:-6]
    apart = found.volume[inside] - wanted.volume[inside]
    assert np.sqrt(np.mean(apart**2)) < 0.03
    # the same frames in another order: the same axis, the same volume, bit for bit
    plain = Tomogram(
        sinogram_grid(make_trajectory(ROTATIONS, TRANSLATIONS), "rotation", "translation"),
        2, None, True,
    )  # fmt: skip
    for i, (angle, place) in enumerate(
        zip(*(axis.values for axis in make_trajectory(ROTATIONS, TRANSLATIONS).axes), strict=True)
    ):
        plain.absorb(i, spectrum(angle, place - 1.3))
    assert rebuild(plain).centre_um == found.centre_um
    np.testing.assert_array_equal(rebuild(plain).volume, found.volume)


def test_a_sample_larger_than_the_field_is_turned_about_its_middle(make_trajectory) -> None:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS)
    grid = sinogram_grid(trajectory, "rotation", "translation")
    tomogram = Tomogram(grid, 1, None, True)
    for i in range(len(grid.slots)):
        tomogram.absorb(i, np.array([100.0 + i % 7], np.float32))
    tomogram.advance()
    assert tomogram.centre_um() == rebuild(tomogram).centre_um == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_planned_positions_that_are_no_numbers_make_no_tomogram(make_trajectory, value) -> None:
    sound = make_trajectory(ROTATIONS, TRANSLATIONS)
    for number in (0, 1):
        axes = [Axis(a.name, a.unit, a.values.copy()) for a in sound.axes]
        axes[number].values[7] = value
        with pytest.raises(ScanNotForThis, match=f"{axes[number].name} of frame 7"):
            sinogram_grid(Trajectory(sound.grid, tuple(axes)), "rotation", "translation")


def test_measured_positions_that_are_no_numbers_pass_by(make_trajectory) -> None:
    tomogram = filled(make_trajectory(ROTATIONS, TRANSLATIONS))
    before = rebuild(tomogram).volume.copy()
    nowhere = np.array([math.nan, math.inf, -math.inf])
    for axis in ("rotation", "translation"):
        unit = "deg" if axis == "rotation" else "um"
        tomogram.place(Positions("s", axis, unit, np.arange(3), nowhere), "rotation", "translation")
    np.testing.assert_array_equal(rebuild(tomogram).volume, before)

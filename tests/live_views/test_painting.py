import numpy as np
import pytest
from operando.live_views.painting import enlargement, log_levels, paint, rgba
from operando.live_views.ranges import Ranges, StickyRange

TABLE = np.column_stack([np.arange(256)] * 3 + [np.full(256, 255)]).astype(np.uint8)
COLOURS = {"hatch": ("#000011", "#0000ff"), "masked": "#00ff00"}


def painted(values, answered, **more):
    values = np.asarray(values, float)
    return paint(values, 0.0, 1.0, TABLE, answered=np.asarray(answered), **COLOURS, **more)


def test_values_get_the_colours_of_their_range_and_stay_within_it():
    picture = painted([[0.0, 0.5], [1.0, 7.0]], np.ones((2, 2), bool))
    k = enlargement((2, 2))
    assert picture.shape == (2 * k, 2 * k, 4)
    assert [picture[0, 0, 0], picture[0, -1, 0]] == [0, 128]
    assert [picture[-1, 0, 0], picture[-1, -1, 0]] == [255, 255]


def test_a_voxel_not_measured_yet_is_hatched_and_not_the_colour_of_zero():
    picture = painted([[np.nan, 0.0]], [[False, True]])
    k = enlargement((1, 2))
    hatched = picture[:, :k].reshape(-1, 4)
    found = {tuple(c) for c in np.unique(hatched, axis=0).tolist()}
    assert found == {tuple(rgba("#000011").tolist()), tuple(rgba("#0000ff").tolist())}
    assert (picture[:, k:] == TABLE[0]).all()


def test_a_voxel_without_an_answer_is_grey_and_not_hatched():
    picture = painted([[np.nan]], [[True]])
    assert (picture == rgba("#00ff00")).all()


def test_voxels_outside_the_brush_step_back():
    fade = np.array([[True, False]])
    picture = painted([[1.0, 1.0]], [[True, True]], fade=fade, fade_to="#000000")
    assert picture[0, 0, 0] < 80
    assert picture[0, -1, 0] == 255


def test_large_maps_are_not_enlarged():
    assert enlargement((350, 351)) == 1
    assert enlargement((1, 1)) == 16


def test_masked_pixels_of_a_frame_have_no_value_and_do_not_set_its_colours():
    counts = np.full((40, 40), 9, np.uint16)
    mask = np.zeros((40, 40), bool)
    mask[:, 3] = True
    counts[:, 3] = 65535
    values, top = log_levels(counts, mask)
    assert np.isnan(values[:, 3]).all()
    assert values[0, 0] == pytest.approx(1.0)
    assert top == pytest.approx(1.0)


def test_a_range_does_not_flicker_with_small_changes_and_follows_large_ones():
    rng = np.random.default_rng(5)
    one = StickyRange()
    first = one.follow([rng.normal(8.1, 0.01, 1000)])
    assert one.follow([rng.normal(8.1, 0.0102, 1000)]) == first
    assert one.follow([rng.normal(8.2, 0.01, 1000)]) != first


def test_one_wild_voxel_does_not_flatten_the_picture():
    values = np.linspace(8.0, 8.1, 1000)
    values[3] = 1e6
    low, high = StickyRange().follow([values])
    assert 7.99 < low < high < 8.11


def test_a_locked_range_stays_and_nan_says_nothing():
    ranges = Ranges()
    one = ranges.of("a")
    assert one.follow([np.full(3, np.nan)]) == (0.0, 1.0)
    held = one.follow([np.array([1.0, 2.0])])
    ranges.lock(True)
    assert one.follow([np.array([5.0, 9.0])]) == held


def test_one_value_alone_lies_inside_its_range():
    low, high = StickyRange().follow([np.array([8.2])])
    assert low < 8.2 < high

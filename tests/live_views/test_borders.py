import itertools

import numpy as np
import pytest
from operando.live_views.borders import borders, paths_of


def edges_between(labels):
    """Every unit edge between two labels, by comparing each voxel with its right and upper ones."""
    framed = np.pad(labels, 1)
    found = set()
    for r in range(framed.shape[0] - 1):
        for c in range(framed.shape[1] - 1):
            if framed[r, c] != framed[r, c + 1]:
                found.add(((r - 1, c), (r, c)))
            if framed[r, c] != framed[r + 1, c]:
                found.add(((r, c - 1), (r, c)))
    return found


def edges_along(path):
    """The unit edges that a path of corners goes along, in its order."""
    found = []
    for (r0, c0), (r1, c1) in itertools.pairwise(path):
        assert (r0 == r1) != (c0 == c1)
        n = abs(r1 - r0) + abs(c1 - c0)
        dr, dc = (r1 - r0) // n, (c1 - c0) // n
        stops = [(r0 + k * dr, c0 + k * dc) for k in range(n + 1)]
        found += [tuple(sorted(pair)) for pair in itertools.pairwise(stops)]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_every_border_is_drawn_once_and_nothing_else(seed):
    labels = np.random.default_rng(seed).integers(0, 3, (9, 7))
    drawn = [edge for path in paths_of(labels) for edge in edges_along(path)]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == edges_between(labels)


def test_a_lonely_particle_has_one_closed_outline_with_its_corners_alone():
    labels = np.zeros((6, 8), int)
    labels[1:4, 2:7] = 3
    (path,) = paths_of(labels)
    assert path[0] == path[-1]
    assert set(path) == {(1, 2), (1, 7), (4, 2), (4, 7)}
    assert len(path) == 5


def test_an_outline_is_a_few_paths_of_many_edges():
    rows, cols = np.mgrid[:40, :40]
    labels = np.where(np.hypot(rows - 20, cols - 14) < 12, 1, 0)
    labels[np.hypot(rows - 20, cols - 29) < 8] = 2
    assert len(paths_of(labels)) <= 3


def test_borders_stand_in_the_units_of_the_map_with_nan_between_two():
    labels = np.zeros((4, 10), int)
    labels[1, 1], labels[1, 8] = 1, 2
    x, y = borders(labels, (-5.0, -1.0, 10.0, 2.0))
    assert np.isnan(x).sum() == np.isnan(y).sum() == 1
    assert (np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)) == (-4.0, 4.0, -0.5, 0.0)
    assert borders(np.zeros((3, 3), int), (0.0, 0.0, 3.0, 3.0))[0].size == 0

"""Identities from scan to scan: drift, new, lost and hidden particles, other voxel sizes."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.particles import Segmentation, find_particles
from operando.consumers.tracking import Atlas, Place, Tracks, begin_atlas, drift_um, follow_atlas

RADII = (5.0, 4.0, 6.0, 3.5, 4.5)
MIDDLES = ((-14.0, -12.0), (-2.0, -15.0), (10.0, -8.0), (-12.0, 4.0), (6.0, 12.0))


def seen(
    step: float = 1.0,
    half: float = 25.0,
    shift: tuple[float, float] = (0.0, 0.0),
    without: tuple[int, ...] = (),
    more: tuple[tuple[float, float, float], ...] = (),
    noise: float = 0.03,
    middle: tuple[float, float] = (0.0, 0.0),
) -> tuple[Segmentation, Place]:
    """Discs as a scan of that voxel size, field and place shows them."""
    points = round(2 * half / step) + 1
    line = (np.arange(points) - 0.5 * (points - 1)) * step
    place = Place(line + middle[0], line + middle[1])
    x, y = np.meshgrid(place.x_um, place.y_um)
    discs = [
        (*m, r) for n, (m, r) in enumerate(zip(MIDDLES, RADII, strict=True)) if n not in without
    ]
    filling = np.zeros_like(x)
    for mx, my, radius in (*discs, *more):
        away = radius - np.hypot(x - mx - shift[0], y - my - shift[1])
        filling += np.clip(away / step + 0.5, 0, 1)
    filling += np.random.default_rng(5).normal(0, noise, filling.shape)
    return find_particles(2.0 * filling, step), place


def disc_of(found: Segmentation, place: Place, label: int, shift=(0.0, 0.0)) -> int:
    """Which of the discs a label is; -1 for none of them."""
    x, y = np.meshgrid(place.x_um, place.y_um)
    mine = found.label == label
    away = [np.hypot(x[mine].mean() - mx - shift[0], y[mine].mean() - my - shift[1])
            for mx, my in MIDDLES]  # fmt: skip
    return int(np.argmin(away)) if min(away) < 2 else -1


def names_of(tracks, found, place, shift=(0.0, 0.0)) -> dict[int, int]:
    return {
        disc_of(found, place, n, shift): int(tracks.identity[n]) for n in range(1, found.count + 1)
    }


def followed(atlas: Atlas, found: Segmentation, place: Place) -> Tracks:
    return follow_atlas(atlas, found, place, drift_um(atlas, found, place))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -2.0), (-1.4, 0.7), (4.6, 4.6)])
def test_identities_follow_a_slice_that_drifts(shift: tuple[float, float]) -> None:
    first, place = seen()
    start = begin_atlas(first, place)
    known = names_of(start, first, place)
    later, there = seen(shift=shift)
    tracks = followed(start.atlas, later, there)
    assert names_of(tracks, later, there, shift) == known
    assert tracks.shift_um == pytest.approx(shift, abs=0.2)
    assert tracks.new == tracks.lost == ()


def test_a_new_particle_gets_a_new_name_and_a_lost_one_keeps_its_own() -> None:
    first, place = seen()
    start = begin_atlas(first, place)
    known = names_of(start, first, place)
    second, _ = seen(without=(3,), more=((17.0, 4.0, 3.5),))
    tracks = followed(start.atlas, second, place)
    assert tracks.lost == (known[3],)
    assert tracks.new == (6,)
    third, _ = seen(more=((17.0, 4.0, 3.5),))  # missed once, back again
    again = followed(tracks.atlas, third, place)
    assert again.new == again.lost == ()
    assert names_of(again, third, place) == {**known, -1: 6}


def test_a_particle_that_shrinks_where_another_one_comes_does_not_lose_its_name_to_it() -> None:
    first, place = seen()
    start = begin_atlas(first, place)
    # the third disc has fallen in two: its name stays with the larger part
    second, _ = seen(without=(2,), more=((8.2, -8.0, 4.0), (14.5, -8.0, 2.0)))
    tracks = followed(start.atlas, second, place)
    sizes = {int(tracks.identity[n]): int((second.label == n).sum()) for n in range(1, 7)}
    old = names_of(start, first, place)[2]
    assert sizes[old] > sizes[6]
    assert tracks.new == (6,)


@pytest.mark.parametrize("step", [0.5, 0.4])
def test_a_finer_scan_of_a_part_lands_on_the_same_names(step: float) -> None:
    first, place = seen()
    start = begin_atlas(first, place)
    known = names_of(start, first, place)
    shift = (1.0, -0.5)
    part, there = seen(step, half=8.0, shift=shift, middle=(8.0, -8.0))
    tracks = followed(start.atlas, part, there)
    assert names_of(tracks, part, there, shift)[2] == known[2]
    assert tracks.lost == ()  # what the part does not show is not lost
    np.testing.assert_array_equal(tracks.atlas.identity, start.atlas.identity)


def test_nothing_found_loses_nothing() -> None:
    first, place = seen()
    start = begin_atlas(first, place)
    empty = find_particles(np.zeros(first.label.shape), 1.0)
    tracks = followed(start.atlas, empty, place)
    assert tracks.atlas is start.atlas
    assert tracks.identity.tolist() == [0]
    then = followed(tracks.atlas, first, place)
    assert names_of(then, first, place) == names_of(start, first, place)


def test_a_first_scan_without_particles_can_be_followed() -> None:
    first, place = seen()
    empty = find_particles(np.zeros(first.label.shape), 1.0)
    tracks = followed(begin_atlas(empty, place).atlas, first, place)
    assert tracks.new == (1, 2, 3, 4, 5)

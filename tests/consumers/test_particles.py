"""Particles of the simulated electrode, found in a scale map as noisy and blurred as a slice is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from operando.consumers.particles import (
    Segmentation,
    areas_um2,
    equal_shells,
    find_particles,
)
from operando.sim.electrode import Electrode, ElectrodeConfig, grow_electrode
from seen_slices import scale_of


@dataclass(frozen=True)
class Match:
    """Found particles against true ones: how many of each, and the overlap of the pairs."""

    true: int
    found: int
    detected: int
    split: int
    merged: int
    overlap: np.ndarray


def compare(found: Segmentation, electrode: Electrode, least: int = 12) -> Match:
    """True particles of at least so many voxels; a pair is what shares more than half of both."""
    truth = electrode.label
    table = np.zeros((electrode.particles + 1, found.count + 1))
    np.add.at(table, (truth.ravel(), found.label.ravel()), 1)
    size_true, size_found = table.sum(axis=1), table.sum(axis=0)
    large = [n for n in range(1, electrode.particles + 1) if size_true[n] >= least]
    union = size_true[:, None] + size_found[None, :] - table
    overlap = (table / np.maximum(union, 1))[:, 1:]
    best = overlap[large].max(axis=1) if found.count else np.zeros(len(large))
    parts = (table[large][:, 1:] > 0.25 * size_true[large][:, None]).sum(axis=1)
    members = (table[1:, 1:] > 0.5 * np.maximum(size_true[1:, None], 1)).sum(axis=0)
    return Match(
        len(large), found.count, int((best > 0.5).sum()), int((parts > 1).sum()),
        int((members > 1).sum()), best[best > 0.5],
    )  # fmt: skip


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_the_twins_particles_are_found_one_for_one(noise: float) -> None:
    total = [0, 0, 0, 0]
    overlaps = []
    for seed in range(6):
        electrode = grow_electrode(ElectrodeConfig(field_um=61.0), seed)
        seen = scale_of(electrode.filling, electrode.x_um, noise, seed)
        match = compare(find_particles(seen, 1.0), electrode)
        overlaps.append(match.overlap)
        for n, value in enumerate((match.true, match.detected, match.split, match.merged)):
            total[n] += value
    true, detected, split, merged = total
    print(total, np.median(np.concatenate(overlaps)))
    assert true > 150
    assert detected / true > 0.95
    assert split / true < 0.02
    assert merged / true < 0.03
    assert np.median(np.concatenate(overlaps)) > 0.9


def test_touching_discs_are_separated_at_their_waist_and_a_rough_one_is_not_split() -> None:
    y, x = np.mgrid[:40, :60].astype(float)
    one = np.hypot(x - 18, y - 20) < 8.2
    two = np.hypot(x - 33, y - 20) < 7.4
    found = find_particles((one | two).astype(float), 1.0)
    assert found.count == 2
    assert len(set(found.label[one & ~two & (x < 24)])) == 1
    rough = np.hypot(x - 30, y - 20) < 12 * (1 + 0.07 * np.cos(7 * np.arctan2(y - 20, x - 30)))
    assert find_particles(rough.astype(float), 1.0).count == 1


def test_what_was_two_before_is_divided_where_it_was_and_nothing_else_is() -> None:
    y, x = np.mgrid[:40, :60].astype(float)
    bar = (np.abs(y - 20) < 5) & (np.abs(x - 30) < 14)  # no waist at all
    disc = np.hypot(x - 52, y - 8) < 5
    scale = (bar | disc).astype(float)
    assert find_particles(scale, 1.0).count == 2
    known = np.zeros(scale.shape, np.int32)
    known[bar & (x < 25)] = 7
    known[bar & (x >= 27)] = 3
    known[disc & (x < 49)] = 9  # less than the disc, and alone in it
    known[(y > 30) & (x < 10)] = 4  # of what is not there any more
    known[(y > 22) & (x > 27) & (x < 32)] = 5  # most of it is outside
    found = find_particles(scale, 1.0, known=known)
    assert found.count == 3
    left, right = (int(found.label[20, column]) for column in (20, 40))
    assert left != right
    assert (found.label[bar & (x < 26)] == left).all()
    assert (found.label[bar & (x > 26)] == right).all()
    assert len(set(found.label[disc])) == 1
    same = find_particles(scale, 1.0, known=np.zeros_like(known))
    np.testing.assert_array_equal(same.label, find_particles(scale, 1.0).label)


def test_the_area_is_that_of_the_disc_to_less_than_its_surface_voxels() -> None:
    fine = (np.arange(41 * 9) + 0.5) / 9 - 20.5
    for radius in (2.3, 4.0, 6.6):
        inside = np.hypot(fine[None, :] - 0.3, fine[:, None] + 0.2) < radius
        filling = inside.reshape(41, 9, 41, 9).mean(axis=(1, 3))
        found = find_particles(filling * 5, 1.0)
        assert areas_um2(found) == pytest.approx(np.pi * radius**2, rel=0.03)


def test_depth_is_the_distance_to_the_surface() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    away = np.hypot(x, y)
    found = find_particles((away < 10).astype(float), 2.0)
    inside = (found.label == 1) & (away > 1)  # in the middle the discrete circle is not round
    np.testing.assert_allclose(found.depth_um[inside], 2 * (10 - away[inside]), atol=1.3)
    shell = equal_shells(found, 4)
    assert set(np.unique(shell)) == {-1, 0, 1, 2, 3}
    inside = found.label == 1
    deepest = found.depth_um[inside].max()
    np.testing.assert_array_equal(
        shell[inside], np.minimum(np.floor(4 * found.depth_um[inside] / deepest), 3)
    )


def test_what_the_edge_of_the_map_cuts_is_said() -> None:
    y, x = np.mgrid[:30, :30].astype(float)
    scale = ((np.hypot(x - 15, y - 15) < 5) | (np.hypot(x - 15, y - 28) < 5)).astype(float)
    scale[:, :] = np.where(y < 29, scale, np.nan)
    found = find_particles(scale, 1.0)
    assert found.cut.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "scale",
    [
        np.full((9, 9), np.nan), np.zeros((9, 9)), np.full((9, 9), 3.0),
        np.full((9, 9), -1.0), np.where(np.eye(9) > 0, 1.0, np.nan),
    ],
    ids=["unknown", "empty", "even", "negative", "a line"],
)  # fmt: skip
def test_a_map_without_particles_has_none(scale: np.ndarray) -> None:
    found = find_particles(scale, 1.0)
    assert found.count == 0
    assert (found.label == 0).all()
    assert np.isnan(found.depth_um).all()

"""Variances of sums over regions of a volume, against scatter."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.rebuild import rebuild
from operando.consumers.region_noise import region_variances
from operando.consumers.sinogram_grid import sinogram_grid
from operando.consumers.tomogram import Tomogram
from operando.stream.messages import Positions

ROTATIONS, POINTS, REPEATS = 40, 31, 300
WIDTH = np.array([1.0, 4.0])
BOTH = np.arange(2)


def regions() -> np.ndarray:
    """One voxel, a disc off the axis, its rim, and a wide one around the axis; one is empty."""
    place = np.arange(POINTS) - 0.5 * (POINTS - 1)
    away = np.hypot(place[None, :] - 6.0, place[:, None] + 5.0)
    region = np.where(np.hypot(place[None, :] + 3.0, place[:, None] - 3.0) < 6.0, 4, -1)
    region[away < 4.0] = 2
    region[away < 2.5] = 1
    region[25, 20] = 0
    return region.astype(np.int32)


@pytest.mark.parametrize("moved", [0.0, 0.4], ids=["as planned", "measured between"])
def test_regions_scatter_by_what_is_stated(make_trajectory, moved: float) -> None:
    """Poisson counts again and again. A sum's variance is not that of its voxels added up."""
    trajectory = make_trajectory(ROTATIONS, POINTS)
    angles, places = (axis.values for axis in trajectory.axes)
    away = places - 6.0 * np.cos(np.radians(angles)) + 5.0 * np.sin(np.radians(angles))
    chord = 2 * np.sqrt(np.maximum(4.0**2 - away**2, 0.0))
    clean = np.stack([np.full(places.size, 400.0), 50.0 + 100.0 * chord], axis=1)
    random, region = np.random.default_rng(4), regions()
    grid = sinogram_grid(trajectory, "rotation", "translation")
    late = Positions("s", "translation", "um", np.arange(places.size), places + moved)
    sums, stated, voxels = [], [], []
    for n in range(REPEATS):
        tomogram = Tomogram(grid, 2, 0.0, True, width=WIDTH)
        noisy = (random.poisson(clean * WIDTH) / WIDTH).astype(np.float32)
        for i, spectrum in enumerate(noisy):
            tomogram.absorb(i, spectrum)
        if moved:
            tomogram.place(late, "rotation", "translation")
        record = rebuild(tomogram, noisy=BOTH)
        sums.append([record.volume[region == k].sum(axis=0) for k in range(5)])
        if n % 30 == 0:
            stated.append(region_variances(tomogram, record, region, 5, BOTH))
            rows, columns = np.nonzero(region == 1)
            voxels.append(record.variances(rows, columns).sum(axis=0))
    said = np.mean(stated, axis=0)
    filled = [0, 1, 2, 4]
    ratio = np.sqrt(np.var(sums, axis=0, ddof=1)[filled] / said[filled])
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)  # three times the scatter of 300 repeats
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.05)
    assert (said[3] == 0).all()
    if not moved:
        assert (said[1] < 0.85 * np.mean(voxels, axis=0)).all()

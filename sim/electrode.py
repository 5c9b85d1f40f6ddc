"""An electrode slice: irregular particles with pores between them, on a square grid of voxels.

Particles are packed at random, the largest first, into a round electrode that stays inside the
field of view, so that every ray of a tomogram sees the whole of it. Each is a disc whose radius
varies with direction. A voxel that a surface cuts is filled in part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

FINE = 5  # samples along a voxel's edge, for its filling
MOST_OVERLAP = 0.08  # of a particle's radius, that a neighbour placed before it may reach into it


@dataclass(frozen=True, slots=True)
class ElectrodeConfig:
    """What the slice looks like; lengths in um.

    field_um: edge of the square field of view; the electrode's radius is electrode_share of half
    particle_radius_um: smallest and largest mean radius
    roughness: relative standard deviation of a particle's radius around its outline
    lithium_rich: how many particles are lithium-rich
    graded_share: share of the particles with a radial gradient
    """

    field_um: float = 41.0
    voxel_um: float = 1.0
    electrode_share: float = 0.92
    particle_radius_um: tuple[float, float] = (2.2, 4.8)
    roughness: float = 0.09
    lithium_rich: int = 3
    graded_share: float = 0.4

    def __post_init__(self) -> None:
        small, large = self.particle_radius_um
        if not 0 < small <= large:
            raise ValueError(
                f"particle radii {small} to {large} um, 0 < smallest <= largest needed"
            )
        if not 0 < self.voxel_um <= self.field_um or not 0 < self.electrode_share <= 1:
            raise ValueError(
                f"electrode: voxels of {self.voxel_um} um in a field of {self.field_um} um, "
                f"share {self.electrode_share}; voxel <= field and 0 < share <= 1 needed"
            )


@dataclass(frozen=True, slots=True)
class Electrode:
    """The slice; maps are (n, n), row index along y, column index along x.

    x_um, y_um: (n,) float64 centres of the voxels, the rotation axis at 0
    filling: float64, share of the voxel that is particle
    label: int32, the particle that fills most of it, counted from 1; 0 where most is pore
    owner: int32, the particle with any part in it, 0 for none
    depth: float64, 0 in the particle's centre, 1 at its surface; nan outside
    depth_um: float64, distance from the particle's surface, where it ends or meets another; nan
        outside
    lithium_rich: (particles + 1,) bool, by label
    graded: (particles + 1,) bool, by label
    places: (particles + 1, 3) float64, by label: x, y of the centre and mean radius
    """

    voxel_um: float
    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    filling: NDArray[np.float64]
    label: NDArray[np.int32]
    owner: NDArray[np.int32]
    depth: NDArray[np.float64]
    depth_um: NDArray[np.float64]
    lithium_rich: NDArray[np.bool_]
    graded: NDArray[np.bool_]
    places: NDArray[np.float64]

    @property
    def particles(self) -> int:
        """How many there are."""
        return len(self.lithium_rich) - 1


def grow_electrode(config: ElectrodeConfig, seed: int) -> Electrode:
    """A slice; the same for the same seed."""
    random = np.random.default_rng((seed, 2))
    n = max(1, round(config.field_um / config.voxel_um))
    centres: NDArray[np.float64] = (np.arange(n, dtype=np.float64) - (n - 1) / 2) * config.voxel_um
    places = _pack(config, random)
    waves = _outlines(len(places), config.roughness, random)

    fine = ((np.arange(n * FINE) + 0.5) / FINE - n / 2) * config.voxel_um
    nearest = np.full((n * FINE, n * FINE), np.inf)
    owner = np.zeros((n * FINE, n * FINE), np.int32)
    for index, (x, y, radius) in enumerate(places):
        reach = radius * (1 + 4 * config.roughness)
        columns = slice(*np.searchsorted(fine, (x - reach, x + reach)))
        rows = slice(*np.searchsorted(fine, (y - reach, y + reach)))
        dx, dy = fine[None, columns] - x, fine[rows, None] - y
        outline = radius * _outline(np.arctan2(dy, dx), waves[index])
        depth = np.hypot(dx, dy) / outline
        closer = (depth < 1) & (depth < nearest[rows, columns])
        nearest[rows, columns] = np.where(closer, depth, nearest[rows, columns])
        owner[rows, columns] = np.where(closer, index + 1, owner[rows, columns])

    below = _below_surface(owner) * config.voxel_um / FINE
    filling, most, (depth, depth_um) = _coarsen(owner, (nearest, below), n)
    rich = np.zeros(len(places) + 1, bool)
    rich[1 + _spread_out(places, config.lithium_rich)] = True
    graded = np.r_[False, random.random(len(places)) < config.graded_share]
    label = np.where(filling >= 0.5, most, 0).astype(np.int32)
    return Electrode(
        voxel_um=config.voxel_um,
        x_um=centres,
        y_um=centres.copy(),
        filling=filling,
        label=label,
        owner=most,
        depth=depth,
        depth_um=depth_um,
        lithium_rich=rich,
        graded=graded,
        places=np.vstack([np.full((1, 3), np.nan), places]),
    )


def _pack(config: ElectrodeConfig, random: np.random.Generator) -> NDArray[np.float64]:
    """Particles that hardly overlap, largest first: random sequential packing.

    Returns (particles, 3): x, y and radius.
    """
    limit = config.electrode_share * config.field_um / 2
    small, large = config.particle_radius_um
    small, large = min(small, limit / 2), min(large, limit / 2)
    tries = round(25 * (limit / small) ** 2)
    # few large ones and many small ones, as sieved powders have
    radii = np.sort(small + (large - small) * random.random(tries) ** 4)[::-1]
    away = limit - radii * (1 + config.roughness)
    draws = random.random((tries, 2))
    distance, angle = away * np.sqrt(draws[:, 0]), 2 * math.pi * draws[:, 1]
    thrown = np.stack([distance * np.cos(angle), distance * np.sin(angle), radii], axis=1)
    placed: NDArray[np.float64] = thrown[_free(thrown)]
    return placed


@njit(cache=True, nogil=True)
def _free(thrown):  # type: ignore[no-untyped-def]
    """Which of the discs (tries, 3) find room among those before them: indices."""
    kept = np.empty(len(thrown), np.int64)
    count = 0
    for index in range(len(thrown)):
        x, y, radius = thrown[index]
        room = True
        for earlier in kept[:count]:
            gap = math.hypot(thrown[earlier, 0] - x, thrown[earlier, 1] - y)
            if gap - thrown[earlier, 2] - radius <= -MOST_OVERLAP * radius:
                room = False
                break
        if room:
            kept[count] = index
            count += 1
    return kept[:count]


def _outlines(count: int, roughness: float, random: np.random.Generator) -> NDArray[np.float64]:
    """(count, 5, 2) cosine and sine amplitudes of the waves 2 to 6 around each particle."""
    waves = random.normal(size=(count, 5, 2)) / np.arange(2, 7)[None, :, None] ** 0.8
    norm: NDArray[np.float64] = np.sqrt(0.5 * np.sum(waves**2, axis=(1, 2), keepdims=True))
    scaled: NDArray[np.float64] = waves * roughness / norm
    return scaled


def _outline(angle: NDArray[np.float64], waves: NDArray[np.float64]) -> NDArray[np.float64]:
    radius = np.ones_like(angle)
    for order, (cosine, sine) in enumerate(waves, start=2):
        radius += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
    return radius


def _below_surface(owner: NDArray[np.int32]) -> NDArray[np.float64]:
    """How far samples lie below their particle's surface [samples]; 0 outside particles."""
    surface = np.zeros(owner.shape, bool)
    for axis in (0, 1):
        differs = np.diff(owner, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        surface[tuple(before)] |= differs
        surface[tuple(after)] |= differs
    inside = owner > 0
    # the surface runs half a sample outside the samples that it passes
    below: NDArray[np.float64] = distance_transform_edt(inside & ~surface)
    return np.where(inside, below + 0.5, 0.0)


def _coarsen(
    owner: NDArray[np.int32], fields: tuple[NDArray[np.float64], ...], n: int
) -> tuple[NDArray[np.float64], NDArray[np.int32], list[NDArray[np.float64]]]:
    """From samples to voxels: filling, the particle with the largest part, its mean of fields."""
    blocks = _blocks(owner, n)
    filling = (blocks > 0).mean(axis=2)
    ordered = np.sort(blocks, axis=2)
    best = np.zeros((n, n), np.int32)
    most = np.zeros((n, n), np.int64)
    for sample in range(FINE * FINE):
        candidate = ordered[:, :, sample]
        size = (blocks == candidate[:, :, None]).sum(axis=2)
        better = (candidate > 0) & (size > most)
        best = np.where(better, candidate, best)
        most = np.where(better, size, most)
    mine = (blocks == best[:, :, None]) & (best[:, :, None] > 0)
    samples = np.maximum(mine.sum(axis=2), 1)
    means = [np.where(mine, _blocks(field, n), 0).sum(axis=2) / samples for field in fields]
    return filling, best, [np.where(best > 0, mean, np.nan) for mean in means]


def _blocks(samples: NDArray[Any], n: int) -> NDArray[Any]:
    """The samples of every voxel side by side, (n, n, FINE * FINE)."""
    return samples.reshape(n, FINE, n, FINE).transpose(0, 2, 1, 3).reshape(n, n, -1)


def _spread_out(places: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of count particles: the third largest, then large ones far from those chosen."""
    chosen = [min(2, len(places) - 1)] if count > 0 and len(places) else []
    while len(chosen) < min(count, len(places)):
        scores = [
            -1.0
            if i in chosen
            else r * min(math.hypot(x - places[c][0], y - places[c][1]) for c in chosen)
            for i, (x, y, r) in enumerate(places)
        ]
        chosen.append(int(np.argmax(scores)))
    return np.array(chosen, np.int64)

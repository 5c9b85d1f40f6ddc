"""What surrounds the field of a region-of-interest scan, taken off its projections.

Rays of a scan whose field is smaller than the sample pass through what is outside; filtered and
back-projected that becomes a bowl, and streaks. Continuing projections by their last values (edge
padding) removes what is even. The rest is known from wider scans of the same run: their volume
without the circle that this scan sees is projected along this scan's rays and taken off, ray by
ray, before filtering (the way of Finegan, Vamvakeros et al., Nat. Commun. 2020, 11, 631).

The field used is that of the scan which a rescan answers (its note "parent"), or of the newest
coarse scan, or of the newest broad one; and the fields that this one was itself freed of, each for
what lies beyond the circle of the finer one: so a broad scan adds the holder. What every ray holds
besides (air) is no part of a volume; a field knows it from its own projections.

Where a coarse or a broad scan tells the whole of the sample, what is left of a projection ends at
nothing and is continued by zeros: the last values, with their noise, are no longer relied upon.
What changed in the sample since a wider scan was taken stays in as an error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .field import Field
from .findings import WIDE, Findings, role_of
from .kernels import projector

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
FINE = 8  # points along the edge of a voxel that decide how much of it is outside a circle
Circle = tuple[float, float, float]  # x, y, radius [um]


class Outside:
    """What wider fields saw outside a circle, as projections of the scan that sees the circle.

    fields: findings with a field, finest first
    circle: (x, y, radius) that the scan sees, in the slice [um]
    exposure_s: of the scan; what a field holds is scaled by its own
    channels: of a pattern, in all
    whole: nothing of the sample is left outside the fields
    """

    def __init__(
        self, fields: Sequence[Findings], circle: Circle, exposure_s: float, channels: int
    ) -> None:
        self.whole = any(found.role in WIDE for found in fields)
        self._place = circle[:2]
        self._layers: list[_Layer] = []
        self._beside = np.zeros(channels, np.float32)
        circles = [circle]
        for field in (found.field for found in fields if found.field is not None):
            share = _share_outside(circles, field.x_um, field.y_um)
            scale = np.float32(exposure_s / field.exposure_s)
            volume = field.volume * (share.astype(np.float32) * scale)[:, :, None]
            self._layers.append(_Layer(field, volume, np.any(volume != 0, axis=2)))
            self._beside[field.channels] += scale * field.beside
            circles.append(field.circle)

    def projection(self, rotation_deg: float, rays_um: F64) -> F32:
        """(rays, channels) of what is outside; rays_um: (rays,) from the rotation axis."""
        total = np.tile(self._beside, (rays_um.size, 1))
        for layer in self._layers:
            layer.add(rotation_deg, rays_um, self._place, total)
        return total


@dataclass(frozen=True, slots=True)
class _Layer:
    """A field as it is projected, (rows, columns, channels): what the finer ones do not hold."""

    field: Field
    volume: F32
    filled: NDArray[np.bool_]

    def add(
        self, rotation_deg: float, rays_um: F64, place: tuple[float, float], total: F32
    ) -> None:
        """Add its projection to total, (rays, all channels); place: on the rotation axis."""
        angle, field = math.radians(rotation_deg), self.field
        cosine, sine = math.cos(angle), math.sin(angle)
        out = np.zeros((rays_um.size, field.channels.size), np.float32)
        projector.project(
            self.volume, self.filled, field.x_um[0], field.y_um[0], field.voxel_um, cosine, sine,
            rays_um + place[0] * cosine + place[1] * sine, out,
        )  # fmt: skip
        total[:, field.channels] += out


def with_beside(field: Field, projections: Iterable[tuple[float, F32]], rays_um: F64) -> Field:
    """The field, and what the rays through its middle hold besides it on average.

    projections: rotation [deg], and spectra of all rays, (rays, channels of the field)
    rays_um: (rays,) from the rotation axis
    """
    layer = _Layer(field, field.volume, np.any(field.volume != 0, axis=2))
    middle = np.abs(rays_um) <= 0.5 * field.circle[2]
    total, number = np.zeros(field.channels.size), 0
    for rotation_deg, spectra in projections:
        own = np.zeros((int(middle.sum()), field.q.size), np.float32)
        layer.add(rotation_deg, rays_um[middle], field.circle[:2], own)
        total += (spectra[middle] - own[:, field.channels]).sum(axis=0, dtype=np.float64)
        number += len(own)
    beside = (total / max(number, 1)).astype(np.float32)
    return dataclasses.replace(field, beside=beside)


def fields_around(start: ScanStart, earlier: Sequence[Findings], q: F64) -> list[Findings]:
    """Which of the earlier scans of the run surround a scan, finest first.

    q: (channels,) axis of this scan's patterns [1/Å]; fields on another one are of no use
    """
    role, sample = role_of(start), str(start.notes.get("sample", ""))
    known = {
        found.scan: found
        for found in earlier
        if found.field is not None and found.sample == sample and np.array_equal(found.field.q, q)
    }
    wide = {"broad": (), "coarse": ("broad",)}.get(role, ("coarse", "broad"))
    candidates = [found for each in wide for found in known.values() if found.role == each]
    newest = {found.role: found for found in candidates}
    parent = known.get(str(start.notes.get("parent", ""))) if role == "roi" else None
    for finest in (parent, *(newest.get(each) for each in wide)):
        if finest is not None and finest.field is not None:
            return [finest, *(known[scan] for scan in finest.field.rests_on if scan in known)]
    return []


def _share_outside(circles: Sequence[Circle], x_um: F64, y_um: F64) -> F64:
    """Share of every voxel that lies outside all circles, (rows, columns)."""
    voxel = x_um[1] - x_um[0]
    inner = (np.arange(FINE) + 0.5) / FINE - 0.5
    x = (x_um[:, None] + voxel * inner).reshape(-1)
    y = (y_um[:, None] + voxel * inner).reshape(-1)
    outside = np.ones((y.size, x.size), np.bool_)
    for centre_x, centre_y, radius in circles:
        outside &= np.hypot(x[None, :] - centre_x, y[:, None] - centre_y) > radius
    shares: F64 = outside.reshape(y_um.size, FINE, x_um.size, FINE).mean(axis=(1, 3))
    return shares

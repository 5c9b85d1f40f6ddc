"""What surrounds the field of a region-of-interest scan, taken off its projections.

Rays of a scan whose field is smaller than the sample pass through what is outside; filtered and
back-projected that becomes a bowl, and streaks. Continuing projections by their last values (edge
padding) removes what is even. The rest is known from wider scans of the same run: their volume
without the circle that this scan sees is projected along this scan's rays and taken off, ray by
ray, before filtering (the way of Finegan, Vamvakeros et al., Nat. Commun. 2020, 11, 631).

Wider scans are used from the finest to the coarsest, each for what lies beyond the circle of the
one before: the scan that a rescan answers (its note "parent"), the newest coarse scan, the newest
broad one, which adds the holder. A coarse scan is itself freed of what the broad one saw beyond it.
What changed in the sample since a wider scan was taken stays in as an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart
from .findings import Findings, role_of
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
    """

    def __init__(
        self,
        fields: Sequence[Findings],
        circle: Circle,
        exposure_s: float,
        channels: int,
    ) -> None:
        self._place = circle[:2]
        self._channels = channels
        self._layers: list[_Layer] = []
        circles = [circle]
        for found in fields:
            field = found.field
            if field is None:
                raise ValueError(f"findings of scan {found.scan} hold no field")
            share = _share_outside(circles, field.x_um, field.y_um)
            scale = np.float32(exposure_s / field.exposure_s)
            volume = field.volume * (share.astype(np.float32) * scale)[:, :, None]
            filled = np.any(volume != 0, axis=2)
            self._layers.append(
                _Layer(volume, filled, field.channels, field.x_um[0], field.y_um[0],
                       field.voxel_um)
            )  # fmt: skip
            circles.append(field.circle)

    def projection(self, rotation_deg: float, rays_um: F64) -> F32:
        """(rays, channels) of what is outside; rays_um: (rays,) from the rotation axis."""
        angle = math.radians(rotation_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        rays = rays_um + self._place[0] * cosine + self._place[1] * sine
        total = np.zeros((rays.size, self._channels), np.float32)
        for layer in self._layers:
            out = np.zeros((rays.size, layer.channels.size), np.float32)
            projector.project(
                layer.volume, layer.filled, layer.first_x, layer.first_y, layer.voxel_um, cosine,
                sine, rays, out,
            )  # fmt: skip
            total[:, layer.channels] += out
        return total


@dataclass(frozen=True, slots=True)
class _Layer:
    """A field as it is projected: what the finer ones do not hold."""

    volume: F32
    filled: NDArray[np.bool_]
    channels: NDArray[np.intp]
    first_x: float
    first_y: float
    voxel_um: float


def fields_around(start: ScanStart, earlier: Sequence[Findings], q: F64) -> list[Findings]:
    """Which of the earlier scans of the run surround a scan, finest first.

    q: (channels,) axis of this scan's patterns [1/Å]; fields on another one are of no use
    """
    role, sample = role_of(start), str(start.notes.get("sample", ""))
    if role not in ("roi", "coarse"):
        return []
    parent = start.notes.get("parent", "")
    newest: dict[str, Findings] = {}
    for found in earlier:
        field = found.field
        if field is None or found.sample != sample or not np.array_equal(field.q, q):
            continue
        if found.role == "broad" or (found.role == "coarse" and role == "roi"):
            newest[found.role] = found
        elif found.scan == parent and role == "roi":
            newest["parent"] = found
    return sorted(newest.values(), key=_voxel_um)


def _voxel_um(found: Findings) -> float:
    return math.inf if found.field is None else found.field.voxel_um


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

"""What the beam leaves behind: photons counted voxel by voxel, and the reaction they slow down.

Fluence is the number of photons that passed through a voxel over the area they passed through,
averaged over the voxel. A ray of width b and height h that carries N photons and meets a voxel of
edge v over a mean path l (forward.ray_weights) covers the share l b / v^2 of its area with
N / (b h) photons a unit of area: N l / (h v^2), whatever the width. Dose is proportional to it.

A voxel that has seen the fluence F makes exp(-F / F_e) of the common progress from then on: the
simplest law in which a little beam does little and much stops the reaction. F_e differs between
cells by orders of magnitude and has to be given; without it the beam does nothing.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from .lithiation import Hindrance


def beam_width(width_um: float) -> float:
    """The width of a beam [um]. Raises ValueError for one that is none."""
    if not 0 < width_um < math.inf:
        raise ValueError(f"beam of {width_um} um, a width of more than 0 is needed")
    return float(width_um)


class Beam:
    """The fluence of one sample and what it does; safe to call from several threads.

    shape: (rows, cols) of the maps
    flux_per_s: photons a second in the whole beam; height_um: of the beam
    hindering_fluence: after which a voxel reacts e times more slowly [photons/um2]; 0: never
    """

    def __init__(
        self,
        shape: tuple[int, int],
        voxel_um: float,
        flux_per_s: float,
        height_um: float,
        hindering_fluence: float,
    ) -> None:
        self._lock = threading.Lock()
        self._fluence = np.zeros(shape)
        self._per_um_s = flux_per_s / (height_um * voxel_um**2)
        self._hindering = hindering_fluence
        self._now = Hindrance(np.zeros(shape), np.ones(shape), 0.0)

    def shine(
        self, voxels: NDArray[np.int64], paths_um: NDArray[np.float64], exposure_s: float
    ) -> None:
        """Count one exposure; voxels and paths as forward.ray_weights() gives them."""
        with self._lock:
            self._fluence.reshape(-1)[voxels] += paths_um * (self._per_um_s * exposure_s)

    def fluence(self) -> NDArray[np.float64]:
        """Photons that each voxel has seen up to now, (rows, cols) [1/um2]."""
        with self._lock:
            return self._fluence.copy()

    def hindrance(self) -> Hindrance | None:
        """What it does to the reaction since the last settle(); None where it does nothing."""
        if self._hindering <= 0:
            return None
        rate = np.exp(-self.fluence() / self._hindering)
        self._now = Hindrance(self._now.behind, rate, self._now.since)
        return self._now

    def settle(self, progress: float) -> None:
        """Let what has been lost up to this common progress be lost for good."""
        self._now = Hindrance(self._now.lost(progress), self._now.rate, progress)

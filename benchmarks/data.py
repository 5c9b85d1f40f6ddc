"""What every contender gets: frames of a Pilatus 2M behind a LiMn2O4 cell, made here by the twin.

The detector and the energy are those of Finegan, Vamvakeros et al., Nat. Commun. 2020, 11, 631:
1679 x 1475 pixels of 172 um at 50 keV. Rings of LiMn2O4 on the background of air, PEEK and
aluminium, the gaps between the modules, dead pixels, and spots of large grains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from operando.materials.structures import structure
from operando.sim.background import background
from operando.sim.frames import FramePainter, Spot
from operando.sim.geometry import Geometry
from operando.sim.powder import REFERENCE_Q, Crystal, LineShape, pattern, strongest

ENERGY_EV = 50_000.0
POLARISATION = 0.99
BINS = 1000
SATURATION = 1_000_000  # of a 20-bit counter, as Pilatus3 has it
_MODULE, _GAP = (195, 487), (17, 7)  # pixels of a Pilatus module, and between two of them


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector in the beam.

    modules: (down, across); the beam meets the detector's middle
    q_range: that the detector covers well [1/Å]
    """

    name: str
    modules: tuple[int, int]
    distance_m: float
    pixel_m: float = 172e-6
    q_range: tuple[float, float] = (0.4, 6.5)

    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = (
            n * size + (n - 1) * gap
            for n, size, gap in zip(self.modules, _MODULE, _GAP, strict=True)
        )
        return rows, cols

    def geometry(self) -> Geometry:
        """Where its pixels are."""
        rows, cols = self.shape()
        middle = (rows / 2 + 3.2, cols / 2 - 5.7)
        pixel = (self.pixel_m, self.pixel_m)
        return Geometry(
            self.shape(), pixel, self.distance_m, middle, ENERGY_EV, rot1=0.002, rot2=-0.001,
            polarisation=POLARISATION,
        )  # fmt: skip

    def mask(self) -> NDArray[np.bool_]:
        """Gaps, beamstop and a thousand dead pixels, (rows, cols), True where hidden."""
        shape = self.shape()
        mask = np.zeros(shape, np.bool_)
        for axis in (0, 1):
            period = _MODULE[axis] + _GAP[axis]
            inside = np.arange(shape[axis]) % period < _MODULE[axis]
            mask |= ~(inside[:, None] if axis == 0 else inside[None, :])
        random = np.random.default_rng(1)
        mask[random.integers(0, shape[0], 1000), random.integers(0, shape[1], 1000)] = True
        row, col = np.ogrid[: shape[0], : shape[1]]
        mask |= np.hypot(row - shape[0] / 2, col - shape[1] / 2) < 12
        return mask


PILATUS_2M = Detector("Pilatus 2M", (8, 3), 0.70)
PILATUS_300K_W = Detector("Pilatus 300K-W", (1, 3), 0.70, q_range=(0.4, 5.0))
PILATUS_1M = Detector("Pilatus 1M", (5, 2), 0.50)


class Sample:
    """Mean patterns of a cell on an even q grid, before solid angle and polarisation."""

    def __init__(self, q_max: float) -> None:
        self.q_grid = np.linspace(0.0, q_max, 4000)
        self._spinel = Crystal(structure("limn2o4"))
        self._shape = LineShape()
        self._height = strongest(self._spinel.lines(REFERENCE_Q), self._shape, ENERGY_EV)

    def surroundings(self) -> NDArray[np.float64]:
        """Air, PEEK and aluminium, about 1 at large q."""
        return background(self.q_grid, ENERGY_EV, 1.0, 2.0, 1.5)

    def spinel(self, a: float = 8.15) -> NDArray[np.float64]:
        """Rings of LixMn2O4 with lattice parameter a [Å], the strongest of height 1."""
        lines = self._spinel.lines(float(self.q_grid[-1]), a)
        return pattern(lines, self._shape, self.q_grid, ENERGY_EV) / self._height


class Camera:
    """Takes frames of one detector; the same ones for the same seed."""

    def __init__(self, detector: Detector, dtype: str = "uint32") -> None:
        self.detector = detector
        geometry = detector.geometry()
        q = geometry.q()
        self.sample = Sample(float(q.max()) * 1.02)
        self.mask = detector.mask()
        saturation = min(SATURATION, int(np.iinfo(dtype).max) - 1)
        self._painter = FramePainter(geometry, self.sample.q_grid, self.mask, dtype, saturation)
        self._q = q
        roots = [2 * math.pi * math.sqrt(n) / 8.15 for n in (3, 11, 16, 19, 27, 32, 35)]
        near = [np.flatnonzero(np.abs(q.ravel() - root) < 0.004) for root in roots]
        self._rings = [pixels for pixels in near if pixels.size]
        self.poni = geometry.poni()

    def frame(
        self, means: NDArray[np.float64], seed: int, spots: int = 60
    ) -> NDArray[np.unsignedinteger]:
        """A frame with this pattern of mean counts, and spots on its rings."""
        random = np.random.default_rng(seed)
        top = float(means.max())
        where = []
        for _ in range(spots):
            ring = self._rings[random.integers(len(self._rings))]
            row, col = divmod(int(random.choice(ring)), self._q.shape[1])
            height = top * float(np.exp(random.uniform(math.log(5), math.log(500))))
            where.append(Spot(row, col, random.uniform(0.6, 1.8), height))
        return self._painter.paint(means.astype(np.float32), seed, 3.0, where)

    def frames(self, counts: float, number: int) -> list[NDArray[np.unsignedinteger]]:
        """Frames whose open pixels hold counts on average."""
        means = 4.0 * self.sample.spinel() + 3.0 * self.sample.surroundings()
        typical = float(np.interp(self._q[~self.mask], self.sample.q_grid, means).mean())
        return [self.frame(means * (counts / typical), seed) for seed in range(number)]

"""How the lithium of the whole electrode is shared among its voxels, and what lattice that makes.

Policy. Every voxel follows one common progress, ahead of or behind it by an offset: a particle's
own, plus a radial one in graded particles (their surface is ahead while the cell discharges).
Progress turns into lithiation y by a curve that is steep inside the two-phase steps: a particle
that phase-separates goes through a step while its neighbours wait, so at most moments most of them
stand before or behind it (the "mosaic" of Dreyer et al., Nat. Mater. 2010, 9, 448). Lithium-rich
particles have no steps. The common progress is the number that makes the mean lithiation, weighted
by the spinel in each voxel, equal to the cell's: found by bisection, exact.

Worn particles make only a part of the common progress, and the beam can hold voxels back (beam.py).
The others then have to go further: the charge is the cell's.

Lattice parameters of the steps and ends: Finegan et al., Nat. Commun. 2020, 11, 631. At which y the
steps begin and end is not in that paper: the values here put the first step on the upper voltage
plateau and the first solid solution at the voltage step of Doyle's curve, y about 0.5-0.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..materials.structures import (
    LITHIUM_RICH_SPINEL_A,
    SPINEL_DELITHIATED_A,
    SPINEL_FIRST_STEP_A,
    SPINEL_LITHIATED_A,
    SPINEL_SECOND_STEP_A,
)
from .electrode import Electrode

FIRST_STEP_Y = (0.21, 0.45)
SECOND_STEP_Y = (0.63, 0.75)
LITHIUM_RICH_Y = (0.19, 1.0)  # lithiation at the two ends of its lattice parameter
CORE_AHEAD_Y = 0.08  # by how much a lithium-rich core is richer than its mean
RESTED_Y = 0.192  # of a fresh cell at 4.2 V, where all particles begin
DISCHARGED_Y = 0.998  # of one at 3 V
_FURTHEST = (-4.0, 8.0)  # common progress that is looked for


@dataclass(frozen=True, slots=True)
class LithiationConfig:
    """How differently voxels go.

    particle_spread: standard deviation of the particles' offsets in progress
    gradient: how much a graded particle's surface is ahead of its centre
    step_width: width in progress of the first two-phase step; the second in proportion to its y.
        The smaller, the fewer particles are inside a step at one time
    """

    particle_spread: float = 0.06
    gradient: float = 0.05
    step_width: float = 0.03


@dataclass(frozen=True, slots=True)
class LatticeState:
    """The spinel of every voxel; maps (n, n) float64, nan outside the particles.

    lithiation: y
    lower_a, upper_a: lattice parameter of the phase with less and with more lithium [Å]; upper_a is
        nan where there is only one phase
    upper_share: share of the second phase by lever rule, 0 where there is one
    beam_lag: by how much more y there would be without the beam's doing, at the same progress
    progress: the common one
    """

    lithiation: NDArray[np.float64]
    lower_a: NDArray[np.float64]
    upper_a: NDArray[np.float64]
    upper_share: NDArray[np.float64]
    beam_lag: NDArray[np.float64]
    progress: float


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What the beam did to the voxels up to now; maps (n, n) float64.

    behind: progress that each has lost for good
    rate: of the common progress since `since`, the share that each makes
    """

    behind: NDArray[np.float64]
    rate: NDArray[np.float64]
    since: float

    def lost(self, progress: float) -> NDArray[np.float64]:
        """Progress that each voxel has lost when the common one has come to progress."""
        return self.behind + (1 - self.rate) * (progress - self.since)


class Lithiation:
    """The offsets of one electrode's voxels; at() gives their state at any mean lithiation.

    spinel: (n, n), share of the particle in each voxel that takes part; default all
    follows: (particles + 1,) by label, how much of the common progress each makes; default all
    """

    def __init__(
        self,
        electrode: Electrode,
        config: LithiationConfig,
        seed: int,
        spinel: NDArray[np.float64] | None = None,
        follows: NDArray[np.float64] | None = None,
    ) -> None:
        random = np.random.default_rng((seed, 3))
        own = np.r_[0.0, random.normal(0, config.particle_spread, electrode.particles)]
        depth = np.nan_to_num(electrode.depth, nan=0.5)
        radial = np.where(electrode.graded[electrode.owner], config.gradient * (depth - 0.5), 0.0)
        self._inside = electrode.owner > 0
        self._weight = electrode.filling * (1.0 if spinel is None else spinel)
        self._rich = electrode.lithium_rich[electrode.owner] & self._inside
        # the core of a lithium-rich particle is ahead whatever the others do
        self._core = np.where(self._rich, CORE_AHEAD_Y * (0.6 - depth), 0.0)
        self._follows = np.ones_like(depth) if follows is None else follows[electrode.owner]
        self._ahead = np.sqrt(self._follows) * np.where(
            self._rich, 0.3 * own[electrode.owner], own[electrode.owner] + radial
        )
        self._progress, self._y = _mosaic_curve(config.step_width)
        rested = np.where(self._rich, RESTED_Y, np.interp(RESTED_Y, self._y, self._progress))
        self._rested = (1 - self._follows) * rested

    def capacity_share(self) -> float:
        """How much of a fresh electrode's charge this one takes.

        Its discharge ends where particles that follow and are neither ahead nor behind are full.
        """
        if np.all(self._follows == 1):
            return 1.0
        y = self._local(self._rested + self._follows + self._core + self._ahead)
        full = float(np.average(y, weights=self._weight))
        return min((full - RESTED_Y) / (DISCHARGED_Y - RESTED_Y), 1.0)

    def at(self, mean_lithiation: float, hindrance: Hindrance | None = None) -> LatticeState:
        """The state at a mean y in 0.01 to 0.999, weighted with the voxels' spinel.

        Voxels that are hindered too much to ever get there leave the mean where they stop.
        """
        if not 0.01 <= mean_lithiation <= 0.999:
            raise ValueError(f"mean lithiation {mean_lithiation}, 0.01 to 0.999 is possible")
        # a rested, charged electrode is even; particles fall apart as soon as they are used
        unevenness = min(max(0.2 + (mean_lithiation - 0.19) / 0.15, 0.2), 1.0)
        offset = self._core + unevenness * self._ahead
        low, high = _FURTHEST
        for _ in range(200):
            middle = 0.5 * (low + high)
            if middle in (low, high):
                break
            y = self._local(self._reached(middle, hindrance) + offset)
            reached = np.average(y, weights=self._weight)
            low, high = (middle, high) if reached < mean_lithiation else (low, middle)
        y = np.where(self._inside, self._local(self._reached(low, hindrance) + offset), np.nan)
        unhindered = self._local(self._reached(low, None) + offset)
        lower, upper, share = spinel_lattice(y)
        lower = np.where(self._rich, lithium_rich_lattice_a(y), lower)
        upper = np.where(self._rich, np.nan, upper)
        share = np.where(self._rich, 0.0, share)
        return LatticeState(
            y, lower, upper, np.where(self._inside, share, np.nan), unhindered - y, low
        )

    def _reached(self, progress: float, hindrance: Hindrance | None) -> NDArray[np.float64]:
        """Where each voxel would stand without its offset."""
        lost = 0.0 if hindrance is None else hindrance.lost(progress)
        return self._rested + self._follows * (progress - lost)

    def _local(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        mosaic = np.interp(progress, self._progress, self._y)
        return np.where(self._rich, np.clip(progress, 0.0, 1.0), mosaic)


def spinel_lattice(
    y: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Lattice parameters of LiyMn2O4: of its poorer phase [Å], of its richer one, and its share.

    The richer is nan and its share 0 where there is one phase. Linear in y between the fixed
    points; share by lever rule.
    """
    (a1, a2), (a3, a4) = SPINEL_FIRST_STEP_A, SPINEL_SECOND_STEP_A
    (y1, y2), (y3, y4) = FIRST_STEP_Y, SECOND_STEP_Y
    before = np.interp(y, (0.0, y1), (SPINEL_DELITHIATED_A, a1))
    between = np.interp(y, (y2, y3), (a2, a3))
    after = np.interp(y, (y4, 1.0), (a4, SPINEL_LITHIATED_A))
    lower = np.select([y < y2, y < y4, y >= y4], [before, between, after], np.nan)
    first, second = (y > y1) & (y < y2), (y > y3) & (y < y4)
    upper = np.where(first, a2, np.where(second, a4, np.nan))
    share = np.where(first, (y - y1) / (y2 - y1), np.where(second, (y - y3) / (y4 - y3), 0.0))
    return lower, upper, share


def lithium_rich_lattice_a(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lattice parameter of Li1.1Mn1.9O4 [Å]: one solid solution, linear in y."""
    return np.interp(y, LITHIUM_RICH_Y, LITHIUM_RICH_SPINEL_A)


def _mosaic_curve(step_width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots of y against progress: both run 0 to 1, the steps are narrow in progress."""
    (y1, y2), (y3, y4) = FIRST_STEP_Y, SECOND_STEP_Y
    narrow = step_width / (y2 - y1)
    lengths = np.array([y1, (y2 - y1) * narrow, y3 - y2, (y4 - y3) * narrow, 1 - y4])
    progress = np.r_[0.0, np.cumsum(lengths / lengths.sum())]
    return progress, np.array([0.0, y1, y2, y3, y4, 1.0])

"""When a map is good enough to end its tomogram early, and how much longer it should have been.

Policy. A map of n projections is good enough where all three hold, all in the unit of the map:

- it rests on at least `least_angles` projections;
- the median standard uncertainty of its voxels is at most `target_sigma`: that of counting,
  widened by the root of the fit's reduced chi2 where that is above 1;
- its voxels moved by at most `settled` (median of the amounts) since each of the last two maps that
  rested on at most half of the projections.

The second knows photons, and what the model does not describe. The third is what neither knows:
with too few angles a map has streaks, and they move when angles are added, however many photons
there are. Two earlier maps, because one may agree by chance. A live map is smoothed while it rests
on few projections: two that are smoothed alike agree whatever their angles are, so a step counts
only where the newer one is sharper, or as sharp as it will be. Pure functions; nothing here knows a
run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
LEAST_VOXELS = 5  # below this a median says nothing
WITNESSES = 2  # earlier maps that the newest has to agree with


@dataclass(frozen=True, slots=True)
class Criterion:
    """target_sigma, settled: of a voxel [unit of the map], see above; least_angles: projections"""

    target_sigma: float
    settled: float
    least_angles: int = 8

    def __post_init__(self) -> None:
        if not (self.target_sigma > 0 and self.settled > 0 and self.least_angles >= 2):
            raise ValueError(f"{self}: target_sigma, settled > 0 and least_angles >= 2 are needed")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A map after so many projections; arrays of one shape, nan outside the sample.

    sigma: of counting; chi2: reduced, of the fits; None: not known
    sharpness: of the highest frequency that the map can hold, the share that it does hold
    """

    angles: int
    values: F64
    sigma: F64
    chi2: F64 | None = None
    sharpness: float = 1.0


def typical_sigma(snapshot: Snapshot) -> float:
    """Median standard uncertainty of the voxels, of counting; nan where there are too few."""
    return _median(snapshot.sigma, np.isfinite(snapshot.values))


def typical_uncertainty(snapshot: Snapshot) -> float:
    """The same with what the model does not describe."""
    misfit = 1.0 if snapshot.chi2 is None else np.sqrt(np.fmax(snapshot.chi2, 1.0))
    return _median(snapshot.sigma * misfit, np.isfinite(snapshot.values))


def moved(now: Snapshot, before: Snapshot) -> float:
    """Median amount by which voxels that both maps have differ; nan where there are too few.

    Infinite where both are smoothed alike: their agreement says nothing.
    """
    if now.values.shape != before.values.shape:
        return math.nan
    if before.sharpness >= now.sharpness < 1:
        return math.inf
    return _median(np.abs(now.values - before.values), np.isfinite(before.values))


def _median(values: F64, chosen: NDArray[np.bool_]) -> float:
    known = chosen & np.isfinite(values)
    return float(np.median(values[known])) if known.sum() >= LEAST_VOXELS else math.nan


def good_enough(history: Sequence[Snapshot], criterion: Criterion, unit: str = "Å") -> str:
    """Why the newest map of history is good enough, in words; "" where it is not.

    history: maps of one scan, oldest first
    """
    if not history or history[-1].angles < criterion.least_angles:
        return ""
    sigma = typical_uncertainty(history[-1])
    if not sigma <= criterion.target_sigma:
        return ""
    now = history[-1]
    earlier = [s for s in history if s.angles <= now.angles / 2][-WITNESSES:]
    steps = [moved(now, each) for each in earlier]
    if len(steps) < WITNESSES or not all(step <= criterion.settled for step in steps):
        return ""
    return (
        f"map good enough after {now.angles} projections: median uncertainty {sigma:.2g} {unit} "
        f"(wanted {criterion.target_sigma:.2g}), moved by {max(steps):.2g} {unit} since "
        f"{earlier[-1].angles} (wanted {criterion.settled:.2g})"
    )


def thinned(history: Sequence[Snapshot], kept: int = 24) -> tuple[Snapshot, ...]:
    """history in bounded memory: of maps with close numbers of projections the older ones go."""
    found = list(history)
    while len(found) > kept:
        gaps = [b.angles / max(a.angles, 1) for a, b in zip(found, found[2:], strict=False)]
        del found[1 + int(np.argmin(gaps))]
    return tuple(found)


def longer_exposure(snapshot: Snapshot, exposure_s: float, target_sigma: float) -> float:
    """Exposure that would have reached target_sigma [s]; exposure_s or less where it was reached.

    Counting statistics: sigma goes with the root of the time. nan where the map says nothing.
    """
    return exposure_s * (typical_sigma(snapshot) / target_sigma) ** 2

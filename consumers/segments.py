"""Voxels sorted into a few segments by lattice parameter, as an aged electrode falls into.

Policy. Lattice parameters are taken as a mixture of normal distributions. How many is decided by
the Bayesian information criterion (Schwarz, Ann. Stat. 1978, 6, 461) among one to `most`; a further
one must improve it by DECIDED (above 10 is very strong: Kass & Raftery, J. Am. Stat. Assoc. 1995,
90, 773) and hold at least LEAST_SHARE of the voxels, because neighbouring voxels are not
independent and skewed distributions tempt. Segments are numbered by ascending lattice parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

DECIDED = 10.0  # fall of the criterion for one segment more
LEAST_SHARE = 0.03
LEAST_VALUES = 20  # below these there is one segment


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments in ascending order of lattice parameter; arrays (segments,).

    of: (n,) segment of every value, -1 where it is nan
    mean, spread: of the values in the segment [Å]; share: of all values
    criterion: (tried,) Bayesian information criterion for 1, 2, ... segments
    """

    of: I32
    mean: F64
    spread: F64
    share: F64
    criterion: F64


def segments_of(a: F64, most: int = 4, seed: int = 0) -> Segments:
    """Sort lattice parameters, (n,) [Å], into 1 to most segments; the same for the same seed."""
    known = np.isfinite(a)
    values = a[known]
    of = np.full(a.size, -1, np.int32)
    if values.size < LEAST_VALUES or not np.ptp(values) > 0:
        of[known] = 0
        return _described(a, of, np.full(1, np.nan))
    from sklearn.mixture import GaussianMixture  # seconds that most processes never need

    scaled = ((values - values.mean()) / values.std())[:, None]
    best, criterion = np.zeros(values.size, np.int32), []
    for count in range(1, most + 1):
        mixture = GaussianMixture(count, n_init=3, reg_covar=1e-4, random_state=seed).fit(scaled)
        criterion.append(float(mixture.bic(scaled)))
        if count > 1 and criterion[-1] > criterion[-2] - DECIDED:
            break
        if count > 1 and float(mixture.weights_.min()) < LEAST_SHARE:
            break
        rank = np.argsort(np.argsort(mixture.means_[:, 0]))
        best = rank[mixture.predict(scaled)].astype(np.int32)
    of[known] = best
    return _described(a, of, np.array(criterion))


def _described(a: F64, of: I32, criterion: F64) -> Segments:
    taken = [a[of == n] for n in range(int(of.max(initial=-1)) + 1)]
    total = max(1, sum(part.size for part in taken))
    return Segments(
        of,
        np.array([part.mean() if part.size else np.nan for part in taken]),
        np.array([part.std() if part.size else np.nan for part in taken]),
        np.array([part.size / total for part in taken]),
        criterion,
    )

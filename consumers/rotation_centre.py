"""Where the rotation axis stands, by the sample's centre of mass.

The centre of mass of every projection is centre + u cos(theta) + v sin(theta), where (u, v) is the
sample's own centre of mass, measured from the axis: three unknowns, linear. This holds where the
whole sample is inside the field of view at every angle, and only there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 5  # projections
SPREAD_DEG = 100.0  # that their angles have to span: a short arc does not part centre and sample
_EDGE = 0.05  # of the field's width at either end, that has to be empty
_EMPTY = 0.1  # of the mean mass a ray: more at an edge, and the sample reaches beyond the field


def centre_of_rotation(angles: NDArray[np.float64], mass: NDArray[np.float32]) -> float | None:
    """Translation index, with fraction, of the ray through the axis; None where nothing tells.

    angles: (n,) [rad]; mass: (n, translations) intensity of what scatters, without background
    """
    if len(angles) < LEAST or np.ptp(angles) < np.radians(SPREAD_DEG):
        return None
    weights = mass.astype(np.float64)
    total = weights.sum(axis=1)
    points = weights.shape[1]
    edge = max(2, round(_EDGE * points))
    level = _EMPTY * total.mean() / points
    ends = weights[:, :edge].mean(), weights[:, -edge:].mean()
    if not (total.min() > 0.0 and max(abs(end) for end in ends) < level):
        return None
    centres = weights @ np.arange(points) / total
    columns = np.stack([np.ones_like(angles), np.cos(angles), np.sin(angles)], axis=1)
    solution = np.linalg.lstsq(columns, centres, rcond=None)[0]
    return float(solution[0])

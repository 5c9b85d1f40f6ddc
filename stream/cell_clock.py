"""The potentiostat's clock may be set, glitch, or begin again at 0: which samples are news then.

Samples come more than once: monitors repeat themselves after a reconnection, and what was not
acknowledged is put again. What is later by both clocks, the potentiostat's and ours, is news; what
is later by neither, or while the potentiostat's stands still, is a repeat. Where they disagree one
of them was set back: then a repeat is what is known with both its times. So no clock can end a
history by being set back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def news(
    time_s: Floats, wall_s: Floats, known_time_s: Floats, known_wall_s: Floats
) -> NDArray[np.bool_]:
    """Which samples are no repeat of those that are known.

    time_s, wall_s: (n,) float64, by the potentiostat's clock and in unix time [s]
    known_time_s, known_wall_s: (m,) float64, the same of the newest that are known, in their order
    """
    if not len(known_time_s):
        return np.ones(len(time_s), bool)
    later = time_s > known_time_s[-1]
    later_here = (wall_s > known_wall_s[-1]) & (time_s != known_time_s[-1])
    found: NDArray[np.bool_] = later | later_here
    if (later != later_here).any():
        known = set(zip(known_time_s.tolist(), known_wall_s.tolist(), strict=True))
        pairs = zip(time_s.tolist(), wall_s.tolist(), strict=True)
        found &= np.array([pair not in known for pair in pairs], bool)
    return found


def set_back(time_s: Floats, last_time_s: float) -> int:
    """How often the potentiostat's clock went back, from the last sample on."""
    return int((np.diff(time_s, prepend=last_time_s) < 0).sum())

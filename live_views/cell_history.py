"""The cell's history as the window keeps it: bounded, in order, without repeats.

Samples may arrive twice (a replay to a late joiner, a monitor that repeats itself) and in
stretches of any length. They stand in the order of unix time: the potentiostat's own clock may be
set back, or glitch, and the newest must stay the newest. When the store is full,
every second sample of its older half goes, so that a week fits at ever coarser steps while the
last hour stays fine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Samples

Floats = NDArray[np.float64]

_COLUMNS = ("time_s", "wall_s", "voltage_v", "current_a", "charge_ah", "temperature_c")


class CellHistory:
    """E, I, Q and the state over time.

    time_s, wall_s, voltage_v, current_a, charge_ah, temperature_c: (n,) float64
    states: n words, the potentiostat's own
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = max(capacity, 4)
        self._rows: Floats = np.empty((0, len(_COLUMNS)))
        self.states: list[str] = []

    def __len__(self) -> int:
        return len(self.states)

    def add(self, samples: Samples) -> bool:
        """Take a stretch of samples; True where it told anything new."""
        rows = np.column_stack([np.asarray(getattr(samples, c), np.float64) for c in _COLUMNS])
        states = list(samples.states)
        usable = np.isfinite(rows[:, :2]).all(axis=1)
        rows, states = rows[usable], [s for s, ok in zip(states, usable, strict=True) if ok]
        if not states:
            return False
        if len(self) and rows[0, 1] <= self._rows[-1, 1]:
            known = set(map(tuple, self._rows[:, :2].tolist()))
            new = np.array([tuple(clocks) not in known for clocks in rows[:, :2].tolist()])
            rows, states = rows[new], [s for s, ok in zip(states, new, strict=True) if ok]
            if not states:
                return False
        self._rows = np.concatenate([self._rows, rows])
        self.states += states
        if np.any(np.diff(self._rows[-len(states) - 1 :, 1]) <= 0):
            self._keep(np.unique(self._rows[:, 1::-1], axis=0, return_index=True)[1])
        while len(self) > self._capacity:
            half = len(self) // 2
            self._keep(np.r_[0:half:2, half : len(self)])
        return True

    def _keep(self, order: NDArray[np.intp]) -> None:
        self._rows = self._rows[order]
        self.states = [self.states[i] for i in order]

    def clear(self) -> None:
        """Forget everything: another run begins."""
        self._rows = self._rows[:0]
        self.states = []

    @property
    def time_s(self) -> Floats:
        return self._rows[:, 0]

    @property
    def wall_s(self) -> Floats:
        return self._rows[:, 1]

    @property
    def voltage_v(self) -> Floats:
        return self._rows[:, 2]

    @property
    def current_a(self) -> Floats:
        return self._rows[:, 3]

    @property
    def charge_ah(self) -> Floats:
        return self._rows[:, 4]

    @property
    def temperature_c(self) -> Floats:
        return self._rows[:, 5]

    def at_wall(self, wall_s: float) -> float:
        """The potentiostat's clock at unix time wall_s; nan outside what is known."""
        wall = self.wall_s
        known = np.isfinite(wall)
        if not known.any() or not np.nanmin(wall) - 5 <= wall_s <= np.nanmax(wall) + 5:
            return float("nan")
        return float(np.interp(wall_s, wall[known], self.time_s[known]))

    def state_since(self) -> float:
        """How long the newest state has lasted, on the potentiostat's clock [s]; nan if empty."""
        if not self.states:
            return float("nan")
        first = len(self.states) - 1
        while first > 0 and self.states[first - 1] == self.states[-1]:
            first -= 1
        return float(self.time_s[-1] - self.time_s[first])

    def end_of_state(self, time_s: float) -> float:
        """When the state that held at time_s ended [s]; the newest time where it still holds."""
        if not self.states:
            return float("nan")
        at = int(np.clip(np.searchsorted(self.time_s, time_s), 0, len(self) - 1))
        while at + 1 < len(self) and self.states[at + 1] == self.states[at]:
            at += 1
        return float(self.time_s[min(at + 1, len(self) - 1)])

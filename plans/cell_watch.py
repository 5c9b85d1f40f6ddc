"""The potentiostat's history as messages, during scans, between them and outside of runs.

Rule for joining: the IOC posts E, I, Q, T and STATE of a tick with one time stamp and then TIME. A
sample is made when TIME arrives, of the newest value of each that is not younger than TIME's
stamp. What is later by no clock is dropped: monitors repeat themselves after a reconnection. A time
that is no number is none.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..stream.cell_clock import news
from ..stream.messages import Message, Samples

_BATCH_S = 0.5
_LIMIT = 100_000  # samples kept while the channel takes nothing: over an hour at 20 Hz
_SAME_TICK_S = 1e-6  # stamps of one tick are equal but for what a float keeps of nanoseconds
_NAMES = ("voltage", "current", "charge", "temperature", "state")


class Monitored(Protocol):
    """A signal with ophyd's subscribe."""

    def subscribe(self, callback: Callable[..., None], *, run: bool = ...) -> int:
        """Call callback with value and timestamp at every change."""
        ...

    def unsubscribe(self, cid: int) -> None:
        """No more calls."""
        ...


@dataclass(frozen=True, slots=True)
class _Sample:
    run: str
    time_s: float
    wall_s: float
    values: tuple[float, float, float, float]
    state: str


class SampleJoiner:
    """The rule for joining, without threads or signals."""

    def __init__(self) -> None:
        self._newest: dict[str, deque[tuple[float, Any]]] = {n: deque(maxlen=4) for n in _NAMES}
        self._last = np.full((2, 1), -math.inf)  # by its clock, and in unix time [s]

    def value(self, name: str, value: Any, stamp: float) -> None:
        """A value of name, posted at stamp."""
        self._newest[name].append((stamp, value))

    def time(self, time_s: float, stamp: float, run: str) -> _Sample | None:
        """TIME has arrived: the sample, or None where it is none."""
        found = {name: self._at(name, stamp) for name in _NAMES}
        missing = any(found[name] is None for name in ("voltage", "current", "charge", "state"))
        times = np.array([[time_s], [stamp]])
        if missing or not np.isfinite(times).all() or not news(*times, *self._last).any():
            return None
        self._last = times
        numbers = tuple(
            math.nan if found[n] is None else float(found[n])
            for n in ("voltage", "current", "charge", "temperature")
        )
        voltage, current, charge, temperature = numbers
        return _Sample(
            run, time_s, stamp, (voltage, current, charge, temperature), str(found["state"])
        )

    def _at(self, name: str, stamp: float) -> Any:
        for posted, value in reversed(self._newest[name]):
            if posted <= stamp + _SAME_TICK_S:
                return value
        return None


class CellWatch:
    """Follows a potentiostat from start() to stop(); put must be safe to call from any thread.

    run: the run that samples belong to; "" before the first. Given as a RunEngine callback too,
        this object follows the outer run by itself.
    """

    def __init__(self, potentiostat: Any, put: Callable[[Message], None], run: str = "") -> None:
        """potentiostat: anything with voltage, current, charge, temperature, time and state."""
        self.run = run
        self._put = put
        self._signals: dict[str, Monitored] = {
            name: getattr(potentiostat, name) for name in (*_NAMES, "time")
        }
        self._words: tuple[str, ...] = tuple(getattr(potentiostat.state, "enum_strs", None) or ())
        self._joiner = SampleJoiner()
        self._waiting: deque[_Sample] = deque(maxlen=_LIMIT)
        self._subscriptions: list[tuple[Monitored, int]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._flush_often, name="cell-watch", daemon=True)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """RunEngine callback: samples belong to the run that is open, not to its scans."""
        if name == "start" and "operando_run" not in doc:
            self.run = str(doc["uid"])
        elif name == "stop" and doc.get("run_start") == self.run:
            self.flush()  # what comes after is still this run's: it shows how the cell was left

    def start(self) -> None:
        """Begin to follow."""
        for name in (*_NAMES, "time"):  # TIME last, as the IOC posts it
            signal = self._signals[name]
            self._subscriptions.append((signal, signal.subscribe(self._callback(name), run=True)))
        self._thread.start()

    def stop(self) -> None:
        """Put what is left and let go."""
        for signal, cid in self._subscriptions:
            signal.unsubscribe(cid)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        self.flush()

    def flush(self) -> None:
        """Put what has been collected."""
        with self._lock:
            samples = list(self._waiting)
            self._waiting.clear()
        for run in dict.fromkeys(s.run for s in samples):
            self._put(_batch(run, [s for s in samples if s.run == run]))

    def _callback(self, name: str) -> Callable[..., None]:
        def moved(*, value: Any, timestamp: float, **_: Any) -> None:
            if value is None:
                return
            with self._lock:
                if name == "time":
                    sample = self._joiner.time(float(value), timestamp, self.run)
                    if sample is not None:
                        self._waiting.append(sample)
                else:
                    self._joiner.value(name, self._word(value, name), timestamp)

        return moved

    def _word(self, value: Any, name: str) -> Any:
        if name != "state" or isinstance(value, str):
            return value
        return self._words[int(value)] if int(value) < len(self._words) else str(value)

    def _flush_often(self) -> None:
        while not self._stop.wait(_BATCH_S):
            self.flush()


def _batch(run: str, samples: list[_Sample]) -> Samples:
    columns = np.array([s.values for s in samples], np.float64).T
    return Samples(
        run=run,
        time_s=np.array([s.time_s for s in samples], np.float64),
        wall_s=np.array([s.wall_s for s in samples], np.float64),
        voltage_v=columns[0].copy(),
        current_a=columns[1].copy(),
        charge_ah=columns[2].copy(),
        temperature_c=columns[3].copy(),
        states=tuple(s.state for s in samples),
    )

"""A recorded run analysed in one go, in this process: what no fault can have touched.

The same consumers take the same frames, each scan in one thread, as the parts of a run do: sums
over several threads are rounded otherwise. Several scans are taken at once. Each scan's final
results are made after those of the scans before it, whose findings it is given, as the absorber
does it (consumers/absorber.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits

from ..consumers.contract import Consumer
from ..consumers.earlier_scans import EarlierScans
from ..consumers.reducer import Reducer, consumers_of
from ..stream.messages import Frame, Reduction, Result, ScanStart
from ..stream.run_file import RunFile
from .experiment import Experiment
from .experiment_file import check_consumers


class Reference:
    """The scans of run in their order; starts: of those, in that order.

    left_out: scan -> frames that are not to be used
    """

    def __init__(
        self, run: RunFile, experiment: Experiment, left_out: Mapping[str, Collection[int]]
    ) -> None:
        self._configs = check_consumers(experiment, "experiment")
        self.starts = [start for start in run.scans() if start.scan in left_out]
        self._reading = threading.Lock()  # h5py is used by one thread at a time
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
            self._consumers = list(
                pool.map(lambda s: self._taken(run, s, set(left_out[s.scan])), self.starts)
            )
        self._made: list[list[Result]] = []
        self._earlier = EarlierScans()

    def results(self, place: int) -> list[Result]:
        """Final results of a scan."""
        with threadpool_limits(1):
            while len(self._made) <= place:
                self._make(len(self._made))
        return self._made[place]

    def _taken(self, run: RunFile, start: ScanStart, left_out: set[int]) -> dict[str, Consumer]:
        reducer = Reducer(self._configs)
        reducer.take(start)
        consumers = consumers_of(start, self._configs)
        with self._reading:
            places = run.positions(start.scan)
            frames = run.frames(start.scan)
        for frame in iter(lambda: self._next(frames), None):
            reduction = reducer.take(frame) if frame.index not in left_out else None
            if isinstance(reduction, Reduction):
                for name, array in reduction.arrays.items():
                    consumers[name].absorb(frame.index, array)
        for positions in places:
            for consumer in consumers.values():
                consumer.place(positions)
        return consumers

    def _next(self, frames: Iterator[Frame]) -> Frame | None:
        with self._reading:
            return next(frames, None)

    def _make(self, place: int) -> None:
        """Make one scan's results; those of the scans before it are made."""
        start, consumers = self.starts[place], self._consumers[place]
        for name, consumer in consumers.items():
            consumer.follow(self._earlier.before(start, name))
        made = [r for consumer in consumers.values() for r in consumer.results(final=True)]
        self._made.append([result for result in made if result.final])
        found = {name: consumer.findings() for name, consumer in consumers.items()}
        self._earlier.keep(start, {name: each for name, each in found.items() if each is not None})

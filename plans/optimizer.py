"""The recommender as an optimizer: suggest() and ingest(), as bluesky-adaptive 1.0 and blop do.

For those who drive their own plans with such an optimizer: suggest() gives points, each a plain
dict with an "_id"; ingest() takes points back, each with the "_id" of a suggestion or without, and
with the maps of the scan that was taken for it. Neither package is needed here: the protocol is
two methods, and plain dicts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..stream.messages import Decision, Result, ScanStart
from .recommender import SETTLE_S, Policy, Recommender


class RescanOptimizer:
    """Suggests finer and longer scans from maps that it is given.

    clock: monotonic [s]
    """

    def __init__(self, policy: Policy, clock: Callable[[], float] = time.monotonic) -> None:
        self._recommender = Recommender(policy)
        self._clock = clock
        self._runs: dict[str, str] = {}  # id of a suggestion -> its run

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """At most num_points points (1 where not said); fewer where the maps ask for fewer.

        Keys: "_id", "kind", "scan", "x_um", "y_um", "width_um", "exposure_s", "reason"; nan where a
        kind has no such number.
        """
        points: list[dict[str, Any]] = []
        for _ in range(1 if num_points is None else num_points):
            found = self._recommender.ask(math.inf, time.time())
            if not found:
                break
            proposal = found[0]
            self._runs[proposal.id] = proposal.run
            x_um, y_um, width_um = proposal.region
            points.append(
                {
                    "_id": proposal.id,
                    "kind": proposal.kind,
                    "scan": proposal.scan,
                    "x_um": x_um,
                    "y_um": y_um,
                    "width_um": width_um,
                    "exposure_s": proposal.exposure_s,
                    "reason": proposal.reason,
                }
            )
            self._answered(proposal.id)
        return points

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take what was measured: "start", a ScanStart, and "results", its Results, where a point
        has them; a point with neither is only noted as answered. Raises TypeError for others.
        """
        now_s = self._clock()
        for point in points:
            if "_id" in point:
                self._answered(str(point["_id"]))
            start = point.get("start")
            if start is not None:
                self._recommender.take(_as(ScanStart, start), now_s - SETTLE_S)
            for result in point.get("results", ()):
                self._recommender.take(_as(Result, result), now_s - SETTLE_S)

    def _answered(self, id_: str) -> None:
        run = self._runs.get(id_, "")
        done = Decision(run, id_, "done", "optimizer", "", time.time())
        self._recommender.take(done, self._clock())


def _as(cls: type, value: object) -> Any:
    if not isinstance(value, cls):
        raise TypeError(f"a point holds a {type(value).__name__}, a {cls.__name__} is needed")
    return value

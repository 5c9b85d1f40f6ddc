"""Reads the maps of a run and says what the plan might do; it moves nothing itself.

Policy. While the tomogram of a pause runs, its live maps are kept at falling density, and where
the newest one is good enough the recommender proposes to stop between two lines. When the final
maps of it have come, it proposes, one after the other, a longer exposure where the uncertainty is
too large, and finer scans of the regions that deviate, the one with most evidence first. Only the
newest scan of the whole slice is judged: a rescan gives no reason for another. One proposal at a
time, and not more often than every `every_s`. Nothing is asked for twice, also not by a recommender
that was started again: it hears what was asked before.

No socket, no clock: messages and times are handed in. The plan has the last word on everything.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Decision, Message, Proposal, Result, ScanStart
from .budget import may_ask
from .deviations import Deviation, deviating_particles, deviating_voxels, untold_voxels
from .map_quality import Criterion, Snapshot, good_enough, longer_exposure, thinned, typical_sigma

SETTLE_S = 1.0  # after the final map, for the tables that follow it
FOLLOWS_S = 0.5  # after any map, for the chi2 of its fits; not every analysis has one
WORTH_IT = 1.2  # times the exposure: less is not worth another scan
SCANS_KEPT = 8
NOWHERE = (math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Finer:
    """A finer scan of a region, as the experiment declares it.

    points, step_um: of a line; angles: lines; exposure_s: at a point
    """

    points: int
    step_um: float
    angles: int
    exposure_s: float

    @property
    def width_um(self) -> float:
        """Of the region that it sees."""
        return self.points * self.step_um

    @property
    def wall_s(self) -> float:
        """What its frames take, without arming."""
        return self.points * self.angles * self.exposure_s


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be asked for.

    kinds: of PROPOSALS; criterion: for stopping and for the exposure
    sigmas: by which a voxel deviates; finer: how regions are looked at
    most_exposure: times the scan's own; every_s: between two proposals; valid_s: of a proposal
    value, width, misfit: results that are judged, and of "xrdct"
    """

    kinds: frozenset[str]
    criterion: Criterion
    finer: Finer
    sigmas: float = 4.0
    most_exposure: float = 8.0
    every_s: float = 1.0
    valid_s: float = 60.0
    consumer: str = "xrdct"
    value: str = "lattice_parameter"
    width: str = "peak_width"
    misfit: str = "fit_chi2"


@dataclass(slots=True)
class _Scan:
    """What is known of one scan.

    newest: a map that is not in history yet: its fits' chi2 may follow; since: it came [s]
    final_s: when its final map came [s, monotonic]
    """

    start: ScanStart
    history: tuple[Snapshot, ...] = ()
    newest: Result | None = None
    since: float = -math.inf
    finals: dict[str, Result] = field(default_factory=dict)
    final_s: float = math.nan
    wishes: list[Proposal] | None = None

    @property
    def role(self) -> str:
        return str(self.start.notes.get("role", "slice"))


class Recommender:
    """take() what the hub's live side says, ask() from time to time.

    judged: number of the last scan whose final maps were looked at; left: wishes not yet uttered
    """

    def __init__(self, policy: Policy) -> None:
        self.judged = 0
        self._policy = policy
        self._scans: OrderedDict[str, _Scan] = OrderedDict()
        self._undecided: dict[str, float] = {}  # id -> when nobody may act on it any more
        self._last_s = -math.inf
        self._count = 0
        self._known: set[str] = set()
        self._asked: set[tuple[str, str, str]] = set()

    @property
    def left(self) -> int:
        """Wishes that are still to be uttered, and those nobody has answered."""
        return len(self._undecided) + sum(len(s.wishes or ()) for s in self._scans.values())

    def take(self, message: Message, now_s: float) -> None:
        """Take one message; now_s: monotonic [s]."""
        if isinstance(message, ScanStart):
            self._begin(message)
        elif isinstance(message, Result):
            self._result(message, now_s)
        elif isinstance(message, Proposal):
            self._known.add(message.id)
            self._asked.add(_about(message))
        elif isinstance(message, Decision) and message.verdict != "approved":
            self._undecided.pop(message.id, None)
            if message.reason.startswith("budget"):
                self._forget_wishes()

    def ask(self, now_s: float, wall_s: float) -> list[Proposal]:
        """The next proposal, if there is one; now_s: monotonic, wall_s: unix time [s]."""
        scan = self._newest_slice()
        if scan is not None and now_s - scan.since >= FOLLOWS_S:
            _remember(scan, None)
        if scan is not None and scan.wishes is None and now_s - scan.final_s >= SETTLE_S:
            scan.wishes = list(self._wishes(scan))
            self.judged = scan.start.number
        for id_ in [i for i, until in self._undecided.items() if now_s >= until]:
            del self._undecided[id_]
        if not may_ask(now_s, self._last_s, self._policy.every_s, len(self._undecided)):
            return []
        wish = next((w for w in self._next() if _about(w) not in self._asked), None)
        if wish is None:
            return []
        self._asked.add(_about(wish))
        self._last_s = now_s
        proposal = self._stamped(wish, wall_s)
        self._undecided[proposal.id] = now_s + self._policy.valid_s
        return [proposal]

    # --- what is known

    def _begin(self, start: ScanStart) -> None:
        if start.scan in self._scans:
            return
        if any(s.start.run != start.run for s in self._scans.values()):
            self._scans.clear()
            self._undecided.clear()
            self._asked.clear()
            self.judged = 0
        scan = _Scan(start)
        if scan.role == "slice":
            self._forget_wishes()  # of the pause before
        self._scans[start.scan] = scan
        while len(self._scans) > SCANS_KEPT:
            self._scans.popitem(last=False)

    def _forget_wishes(self) -> None:
        for scan in self._scans.values():
            if scan.wishes is not None:
                scan.wishes = []

    def _newest_slice(self) -> _Scan | None:
        return next((s for s in reversed(self._scans.values()) if s.role == "slice"), None)

    def _result(self, result: Result, now_s: float) -> None:
        scan = self._scans.get(result.scan)
        if scan is None or result.consumer != self._policy.consumer or scan.role != "slice":
            return
        if result.final:
            scan.finals[result.name] = result
        if result.name == self._policy.misfit:
            _remember(scan, result)
        if result.name != self._policy.value or result.uncertainty is None:
            return
        _remember(scan, None)
        scan.newest, scan.since = result, now_s
        if result.final and math.isnan(scan.final_s):
            scan.final_s = now_s

    # --- what is wished for

    def _next(self) -> Iterator[Proposal]:
        scan = self._newest_slice()
        if scan is None:
            return
        while scan.wishes:
            yield scan.wishes.pop(0)
        if math.isnan(scan.final_s):
            yield from self._stop(scan)

    def _stop(self, scan: _Scan) -> Iterator[Proposal]:
        if "stop" not in self._policy.kinds:
            return
        why = good_enough(scan.history, self._policy.criterion)
        grid = scan.start.trajectory.grid
        if why and len(grid) == 2 and scan.history[-1].angles < grid[0]:
            lines = grid[0] - scan.history[-1].angles
            saved_s = lines * grid[1] * scan.start.exposure_s
            yield self._wish(scan, "stop", why, cost_s=-saved_s)

    def _wishes(self, scan: _Scan) -> Iterator[Proposal]:
        """What the final maps of a scan ask for, in the order of asking."""
        if not scan.history:
            return
        newest, policy, start = scan.history[-1], self._policy, scan.start
        if "exposure" in policy.kinds:
            wanted_s = longer_exposure(newest, start.exposure_s, policy.criterion.target_sigma)
            wanted_s = min(wanted_s, policy.most_exposure * start.exposure_s)
            if wanted_s >= WORTH_IT * start.exposure_s:
                why = (
                    f"median uncertainty {typical_sigma(newest):.2g} Å, wanted "
                    f"{policy.criterion.target_sigma:.2g}: {wanted_s:.3g} s a frame"
                )
                cost_s = start.frames * wanted_s
                yield self._wish(scan, "exposure", why, exposure_s=wanted_s, cost_s=cost_s)
        if "roi" in policy.kinds:
            seen: list[Deviation] = []
            width_um = policy.finer.width_um
            for deviation in self._deviations(scan):
                if any(_apart_um(deviation, s) < 0.25 * width_um for s in seen):
                    continue  # the scan of the other one shows it, too
                seen.append(deviation)
                yield self._wish(
                    scan, "roi", deviation.reason,
                    region=(deviation.x_um, deviation.y_um, width_um),
                    exposure_s=policy.finer.exposure_s, cost_s=policy.finer.wall_s,
                )  # fmt: skip

    def _deviations(self, scan: _Scan) -> list[Deviation]:
        """Particles that the table accuses; then voxels, where it cannot tell or there is none."""
        policy, finals = self._policy, scan.finals
        values, table = finals.get(policy.value), finals.get("particle_table")
        accused: list[Deviation] = []
        looked_at: NDArray[np.bool_] | None = None
        if table is not None and table.values.ndim == 2:
            columns = str(table.attrs.get("columns", "")).split(",")
            identities = table.coords.get("particle", np.arange(len(table.values)))
            judged = table.values.astype(float), columns, identities
            try:
                accused = deviating_particles(*judged)
                if (particles := finals.get("particles")) is None:
                    return accused
                looked_at = untold_voxels(particles.values.astype(float), *judged)
            except ValueError:
                pass  # a table of another kind: the map itself is looked at
        if values is None or values.uncertainty is None or values.dims != ("y", "x"):
            return accused
        width, misfit = (
            None if result is None else result.values.astype(float)
            for result in map(finals.get, (policy.width, policy.misfit))
        )
        try:
            window = tuple(float(values.attrs[f"forbidden_{end}"]) for end in ("low", "high"))
        except KeyError:
            return accused
        a = values.values.astype(float)
        voxels = deviating_voxels(
            a if looked_at is None else np.where(looked_at, a, np.nan),
            values.uncertainty.astype(float),
            (window[0], window[1]),
            values.coords["x"].astype(float),
            values.coords["y"].astype(float),
            policy.sigmas,
            width,
            misfit,
        )
        return [*accused, *voxels]

    def _wish(
        self,
        scan: _Scan,
        kind: str,
        reason: str,
        *,
        region: tuple[float, float, float] = NOWHERE,
        exposure_s: float = math.nan,
        cost_s: float = math.nan,
    ) -> Proposal:
        start = scan.start
        return Proposal(
            start.run, "", kind, start.scan, reason, region, exposure_s, cost_s, math.nan, 0.0, 0.0
        )

    def _stamped(self, wish: Proposal, wall_s: float) -> Proposal:
        """A wish with its id and its times; ids are new also after the recommender's restart."""
        while True:
            self._count += 1
            id_ = f"{wish.run[:8]}-{self._count}"
            if id_ not in self._known:
                break
        self._known.add(id_)
        return Proposal(
            wish.run, id_, wish.kind, wish.scan, wish.reason, wish.region, wish.exposure_s,
            wish.cost_s, wish.dose, wall_s + self._policy.valid_s, wall_s,
        )  # fmt: skip


def _about(proposal: Proposal) -> tuple[str, str, str]:
    """What makes two proposals the same wish."""
    return proposal.scan, proposal.kind, " ".join(f"{place:.2f}" for place in proposal.region)


def _apart_um(one: Deviation, other: Deviation) -> float:
    return math.hypot(one.x_um - other.x_um, one.y_um - other.y_um)


def _remember(scan: _Scan, misfit: Result | None) -> None:
    """Put the newest map into the history, where it is newer than what is there.

    misfit: the chi2 of some fits; where these are not the map's own, the map waits on
    """
    newest = scan.newest
    if newest is None or newest.uncertainty is None:
        return
    if misfit is not None and misfit.revision != newest.revision:
        return
    scan.newest = None
    angles = int(newest.attrs.get("projections", 0))
    if not scan.history or angles > scan.history[-1].angles or newest.final:
        snapshot = Snapshot(
            angles,
            newest.values.astype(float),
            newest.uncertainty.astype(float),
            None if misfit is None else misfit.values.astype(float),
            float(newest.attrs.get("sharpness", 1.0)),
        )
        scan.history = thinned((*scan.history, snapshot))

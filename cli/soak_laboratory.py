"""Does faults to one run while it goes on, and measures; the supervisor calls it (run.py).

Where nothing is disturbed it only measures, on the same cables: the run to compare with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .environment import environment
from .experiment import Experiment
from .folder import RunFolder, epics_environment
from .observer import Observer
from .parts import Parts
from .soak_cable import Cable
from .soak_clock import WallClock
from .soak_faults import Bench, NotNow, Strike, strike
from .soak_measure import Measure
from .soak_schedule import CHANNEL, STREAM, Deck, Fault

BEGINS = 0.05  # a fault of a scan is done between these shares of its frames
ENDS = 0.9
ASK_S = 1.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was done, and when [s of the run]."""

    at_s: float
    fault: Fault
    phase: str


@dataclass
class Laboratory:
    """A Disturbance of one run.

    deck: where the faults come from, one every every_s; None = nothing is disturbed
    ending: done as soon as it fits, after for_s of the plan's time and every fault of the deck
    disturbed_s: how long the plan has been at work
    cell: what the potentiostat itself said last, in its words; "" where it did not answer
    """

    folder: RunFolder
    clock: WallClock
    say: Callable[[str], None]
    deck: Deck | None = None
    every_s: float = 10.0
    ending: Fault | None = None
    for_s: float = float("inf")
    disturbed_s: float = 0.0
    measure: Measure = field(default_factory=Measure)
    struck: list[Struck] = field(default_factory=list)
    cell: str = ""
    _cables: dict[str, Cable] = field(default_factory=dict)
    _active: list[Strike] = field(default_factory=list)
    _bench: Bench | None = None
    _began: float = 0.0
    _plan_began: float = 0.0
    _next: float = 0.0

    def begin(self, experiment: Experiment) -> Mapping[str, Experiment]:
        """Lay the cables: the receiver's to the detector, the last reducer's to the hub."""
        self._cables = {
            STREAM: Cable(experiment.detector.stream),
            CHANNEL: Cable(experiment.network.items),
        }
        self._bench = Bench(experiment, self.folder, self._cables, self.clock)
        self._began = time.monotonic()
        self._next = self._began + self.every_s
        stream, items = self._cables[STREAM].address, self._cables[CHANNEL].address
        detector = experiment.detector.model_copy(update={"stream": stream})
        network = experiment.network.model_copy(update={"items": items})
        return {
            "receiver": experiment.model_copy(update={"detector": detector}),
            f"reducer-{experiment.analysis.reducers - 1}": experiment.model_copy(
                update={"network": network}
            ),
        }

    def step(self, parts: Parts, observer: Observer) -> None:
        """Measure, go on with what lasts, do what is due."""
        now = time.monotonic()
        self.measure.step(parts, observer)
        for active in list(self._active):
            if now >= active.until:
                active.mend()
                self._active.remove(active)
            else:
                active.meanwhile()
        if phase_of(observer) != "starting":
            self._plan_began = self._plan_began or now
            self.disturbed_s = now - self._plan_began
        if self.deck is None or self._bench is None or now < self._next:
            return
        fits = fitting(observer, {a.fault.victim for a in self._active})
        ending = self.ending if self.disturbed_s >= self.for_s and self.deck.complete else None
        # once the ending is due nothing else is done any more: its moment may be short
        fault = self.deck.deal(fits) if ending is None else ending
        if fault is None or not fits(fault):
            return
        try:
            self._active.append(strike(fault, self._bench, parts))
        except NotNow:  # in the next round
            if ending is None:
                self.deck.back(fault)
            return
        if fault.ends:
            self.deck = None
        self._next = now + self.every_s
        phase = phase_of(observer)
        self.struck.append(Struck(now - self._began, fault, phase))
        lasting = f" for {fault.lasts_s:g} s" if fault.lasts_s else ""
        self.say(f"{now - self._began:5.0f} s  fault {len(self.struck)}: {fault}{lasting}, {phase}")

    def calm(self) -> None:
        """Take back everything that lasts."""
        for active in self._active:
            active.mend()
        self._active = []
        for cable in self._cables.values():
            cable.mend()

    def last_look(self) -> None:
        """Ask the potentiostat itself how the cell was left."""
        if self._bench is not None:
            self.cell = cell_state(self._bench.experiment)

    def close(self) -> None:
        """Take the cables away."""
        self.calm()
        for cable in self._cables.values():
            cable.close()


def phase_of(observer: Observer) -> str:
    """What the plan is doing, in its own word."""
    plan = observer.statuses.get("plan")
    return plan.state if plan is not None else "starting"


def fitting(observer: Observer, disturbed: set[str]) -> Callable[[Fault], bool]:
    """Whether a fault makes sense now; disturbed: victims of what still lasts."""
    phase = phase_of(observer)
    newest = max(observer.scans.values(), key=lambda s: s.start.number, default=None)
    account = newest.account if newest is not None else None
    share = account.received / account.announced if account is not None else 0.0
    amid = account is not None and not account.closed and BEGINS < share < ENDS

    def fits(fault: Fault) -> bool:
        if fault.victim in disturbed or phase == "starting":
            return False
        if fault.kind in ("abort", "repeat") and "detector" in disturbed:  # it could not answer
            return False
        if fault.kind == "repeat" and not observer.scans:
            return False
        if fault.phase == "scanning":
            return phase == "scanning" and amid
        return fault.phase in ("", phase)

    return fits


def cell_state(experiment: Experiment) -> str:
    """The potentiostat's own word once no current flows, at the latest when its lease is over.

    "" where nobody answers.
    """
    from caproto import ChannelType
    from caproto.sync.client import read

    name = f"{experiment.potentiostat.prefix}STATE"
    deadline = time.monotonic() + experiment.potentiostat.lease_s + 2 * ASK_S
    state = ""
    with environment(epics_environment(experiment)):
        while time.monotonic() < deadline and state in ("", "RUNNING"):
            try:
                answer = read(name, data_type=ChannelType.STRING, timeout=ASK_S, repeater=False)
            except Exception:  # caproto's client raises many kinds, all meaning: no answer
                return ""
            state = bytes(answer.data[0]).decode(errors="replace")
            time.sleep(0.1)
    return state

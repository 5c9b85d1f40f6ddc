"""Which fault comes when: a deck of all of them, shuffled by a seed and dealt one after another."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

STREAM = "stream"  # the cable from the detector to the receiver
CHANNEL = "channel"  # the cable from the hub to the last reducer


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to do to a run.

    kind: see soak_faults.py
    victim: a part, or a cable
    lasts_s: until it is taken back [s]; 0 = there is nothing to take back
    amount: how slow, how far; in what unit depends on the kind
    phase: of the plan in which it makes sense; "" = any
    loses: frames may be lost by it, each by name
    ends: the run cannot go on after it
    """

    kind: str
    victim: str = ""
    lasts_s: float = 0.0
    amount: float = 0.0
    phase: str = ""
    loses: bool = False
    ends: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.victim}".strip()


def faults(reducers: int) -> tuple[Fault, ...]:
    """Every fault that a run with so many reducers has to survive."""
    last = f"reducer-{reducers - 1}"
    killed = dict.fromkeys(("hub", "recorder", "absorber", "window", "reducer-0", last))
    scanning = "scanning"
    return (
        *(Fault("kill", victim) for victim in killed),
        Fault("kill", "receiver", loses=True),
        Fault("kill", "detector", phase=scanning, loses=True),
        Fault("freeze", "hub", 2.0),
        Fault("freeze", "receiver", 2.0, phase=scanning),
        Fault("freeze", "recorder", 3.0, phase=scanning),
        Fault("freeze", "absorber", 3.0, phase=scanning),
        Fault("freeze", "reducer-0", 8.0, phase=scanning),  # longer than the hub waits for it
        Fault("freeze", "window", 4.0),
        Fault("freeze", "plan", 2.0),  # shorter than the lease
        Fault("freeze", "sim", 2.0),
        Fault("freeze", "detector", 3.0, phase=scanning),
        Fault("slow down", "recorder", 4.0, 0.1, scanning),
        Fault("slow down", "absorber", 4.0, 0.1, scanning),
        Fault("slow down", "window", 4.0, 0.1),
        Fault("cut", STREAM, 0.5, phase=scanning, loses=True),
        Fault("cut", CHANNEL, 0.5, phase=scanning),
        Fault("pull out", STREAM, 3.0, phase=scanning),
        Fault("pull out", CHANNEL, 7.0, phase=scanning),
        Fault("delay", STREAM, 3.0, 0.02, scanning),
        Fault("delay", CHANNEL, 3.0, 0.05, scanning),
        Fault("fill the disk of", "hub", 3.0, phase=scanning),
        Fault("fill the disk of", "recorder", 2.0, phase=scanning),
        Fault("set the clock", "forward", amount=3600.0),
        Fault("set the clock", "back", amount=-7200.0),
        Fault("abort", "the series", phase=scanning, loses=True),
        Fault("repeat", "the series", phase="discharging", loses=True),
    )


KILL_SIM = Fault("kill", "sim", phase="scanning", loses=True, ends=True)
KILL_PLAN = Fault("kill", "plan", phase="discharging", loses=True, ends=True)
# stage and potentiostat go, while current flows: nobody is left who could be asked or told
KILL_SIM_IN_CURRENT = Fault("kill", "sim", phase="discharging", loses=True, ends=True)
ENDINGS = (KILL_SIM_IN_CURRENT, KILL_PLAN, KILL_SIM)


def ending_of(seed: int) -> Fault:
    """How the last run of a soak is ended."""
    return ENDINGS[seed % len(ENDINGS)]


class Deck:
    """Deals faults in an order of its own; each comes once before any comes again."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._faults = faults
        self._random = random.Random(seed)
        self._left: list[Fault] = []
        self._undone = set(faults)

    @property
    def complete(self) -> bool:
        """Whether every fault was dealt, and not put back, at least once."""
        return not self._undone

    def deal(self, fits: Callable[[Fault], bool]) -> Fault | None:
        """The next fault that fits now; None where none of those left does."""
        if not self._left:
            self._left = list(self._faults)
            self._random.shuffle(self._left)
        for place, fault in enumerate(self._left):
            if fits(fault):
                self._undone.discard(fault)
                return self._left.pop(place)
        return None

    def back(self, fault: Fault) -> None:
        """Put a fault back that could not be struck."""
        self._left.insert(0, fault)
        self._undone.add(fault)

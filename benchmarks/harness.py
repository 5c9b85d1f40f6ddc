"""Contenders side by side: results first, then times, taken in turns.

Policy:
- Results are compared before any time is taken. Where they disagree the row says so, and there is
  no ratio.
- All contenders of a comparison run in turns in one process, the order rotating, so that a busy
  neighbour or a hot processor meets them all. What is reported is the median, with least and most.
- A peer that is not installed, or that fails, has a row that says so.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .rows import NAN, Row

ROUND_S = 0.03  # fast work is repeated until it lasts so long: timers and caches then do not matter
MOST_CALLS = 200
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work.

    run: does it on input number n, cyclic; returns the result
    scale: by which its time is multiplied, where it does a part of the work; note says which
    goal: how many times faster we want to be; nan for information only
    """

    name: str
    version: str
    run: Callable[[int], Any]
    goal: float = NAN
    scale: float = 1.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """A contender that cannot be measured here, and why."""

    name: str
    reason: str
    goal: float = NAN


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether two results are the same, and how far they are apart in words."""

    agrees: bool
    difference: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One piece of work with everybody who does it.

    agree: (our result, a peer's result) for input 0 -> Agreement
    rounds: how often each one's time is taken; fewer where budget_s [s] is used up
    threads: that each contender uses
    """

    work: str
    ours: Contender | Absent
    peers: Sequence[Contender | Absent]
    agree: Callable[[Any, Any], Agreement]
    rounds: int = 15
    budget_s: float = 60.0
    threads: int = 1
    note: str = ""


@dataclass(slots=True)
class _Times:
    """Wall and processor times of a contender, a call [s]."""

    calls: int = 1
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(self.wall)

    def range(self) -> tuple[float, float]:
        return min(self.wall), max(self.wall)


def measure(comparison: Comparison, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """The rows of a comparison, one a peer."""
    ours = comparison.ours
    if isinstance(ours, Absent):
        return [
            Row(comparison.work, p.name, _version(p), goal=p.goal, note=ours.reason)
            for p in comparison.peers
        ]
    our_result = ours.run(0)
    rows: dict[str, Row] = {}
    running: list[tuple[Contender, Agreement]] = []
    for peer in comparison.peers:
        judged = _compare(comparison, our_result, peer)
        if isinstance(judged, Row):
            say(f"{comparison.work}: {peer.name}: {judged.note or judged.difference}")
            rows[peer.name] = judged
        elif isinstance(peer, Contender):
            running.append((peer, judged))
    contenders = [ours, *[peer for peer, _ in running]]
    say(f"{comparison.work}: timing {', '.join(c.name for c in contenders)}")
    times = _take_times(contenders, comparison.rounds, comparison.budget_s)
    for (peer, agreement), taken in zip(running, times[1:], strict=True):
        rows[peer.name] = _row(comparison, ours, times[0], peer, taken, agreement)
        say(f"{comparison.work}: {peer.name}: {rows[peer.name].ratio:.2f} x")
    return [rows[peer.name] for peer in comparison.peers]


def _version(peer: Contender | Absent) -> str:
    return peer.version if isinstance(peer, Contender) else ""


def _compare(comparison: Comparison, ours: Any, peer: Contender | Absent) -> Row | Agreement:
    """What the peer's result says; a row where that is the end of it."""
    if isinstance(peer, Absent):
        return Row(comparison.work, peer.name, goal=peer.goal, note=f"absent: {peer.reason}")
    try:
        agreement = comparison.agree(ours, peer.run(0))
    except Exception as error:  # anything that other people's code may raise
        reason = f"failed: {type(error).__name__}: {error}".splitlines()[0]
        return Row(comparison.work, peer.name, peer.version, goal=peer.goal, note=reason)
    if agreement.agrees:
        return agreement
    return Row(
        comparison.work,
        peer.name,
        peer.version,
        goal=peer.goal,
        agrees=False,
        difference=agreement.difference,
        note="the results differ: no ratio",
    )


def _take_times(contenders: Sequence[Contender], rounds: int, budget_s: float) -> list[_Times]:
    times = [_Times(calls=_calls(contender)) for contender in contenders]
    began = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for place in range(len(contenders)):
                which = (place + number) % len(contenders)
                _time_once(contenders[which], times[which], number)
            spent = time.perf_counter() - began
            if number + 1 >= LEAST_ROUNDS and spent * (number + 2) / (number + 1) > budget_s:
                break
    finally:
        gc.enable()
    return times


def _calls(contender: Contender) -> int:
    began = time.perf_counter()
    contender.run(1)
    once = max(time.perf_counter() - began, 1e-7)
    return min(max(math.ceil(ROUND_S / once), 1), MOST_CALLS)


def _time_once(contender: Contender, times: _Times, number: int) -> None:
    first = number * times.calls
    wall, cpu = time.perf_counter(), time.process_time()
    for n in range(first, first + times.calls):
        contender.run(n)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    times.wall.append(wall / times.calls * contender.scale)
    times.cpu.append(cpu / times.calls * contender.scale)


def _row(
    comparison: Comparison,
    ours: Contender,
    our_times: _Times,
    peer: Contender,
    peer_times: _Times,
    agreement: Agreement,
) -> Row:
    return Row(
        work=comparison.work,
        peer=peer.name,
        peer_version=peer.version,
        ours_s=our_times.median(),
        peer_s=peer_times.median(),
        ratio=peer_times.median() / our_times.median(),
        goal=peer.goal,
        agrees=True,
        ours_range_s=our_times.range(),
        peer_range_s=peer_times.range(),
        ours_cpu_s=statistics.median(our_times.cpu),
        peer_cpu_s=statistics.median(peer_times.cpu),
        repetitions=len(our_times.wall),
        threads=comparison.threads,
        difference=agreement.difference,
        note="; ".join(n for n in (comparison.note, ours.note, peer.note) if n),
    )

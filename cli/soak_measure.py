"""What a run costs while it is disturbed: memory of every part, lag, rate."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from ..stream.messages import Status
from .observer import Observer
from .parts import Parts

EVERY_S = 1.0
WARM_UP_S = 15.0  # of a process: imports, compiled kernels, first scan
LONG_S = 20.0  # of samples after that, from which a slope can be told
MB = 1e6


@dataclass(slots=True)
class Life:
    """Memory of one process of a part.

    began: when it was first seen [s, monotonic]; times: since then [s]; sizes: [B]
    """

    began: float
    times: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


class Measure:
    """Looks at parts and hub about once a second.

    lives: part -> process id -> its life
    """

    def __init__(self) -> None:
        self.lags_s: list[float] = []
        self.lives: dict[str, dict[int, Life]] = {}
        self._next = 0.0
        self._report: Status | None = None

    def step(self, parts: Parts, observer: Observer) -> None:
        """Take what is new; cheap enough to be called ten times a second."""
        now = time.monotonic()
        report = observer.statuses.get("hub")
        if report is not self._report and report is not None:
            self._report = report
            if any(s.account is not None and not s.account.closed for s in observer.scans.values()):
                self.lags_s.append(float(report.values.get("lag_s", 0.0)))
        if now < self._next:
            return
        self._next = now + EVERY_S
        pids = {p.name: p.process.pid for p in parts.parts if p.process is not None and p.alive()}
        for name, pid in pids.items():
            size = memory_bytes(pid)
            if size:
                life = self.lives.setdefault(name, {}).setdefault(pid, Life(now))
                life.times.append(now - life.began)
                life.sizes.append(size)

    def peaks_mb(self) -> dict[str, float]:
        """Part -> the largest memory of any of its processes [MB]."""
        return {n: max(max(x.sizes) for x in of.values()) / MB for n, of in self.lives.items()}

    def slopes_mb_min(self) -> dict[str, float]:
        """Part -> growth while a process lives [MB/min]; nan where none lived long enough."""
        return {n: slope(list(of.values())) / MB * 60 for n, of in self.lives.items()}

    def span(self) -> tuple[float, float]:
        """When the first process was seen, and one for the last time [s, monotonic]."""
        lives = [life for of in self.lives.values() for life in of.values()]
        first = min((life.began for life in lives), default=0.0)
        return first, max((life.began + life.times[-1] for life in lives), default=first)

    def lag_s(self) -> tuple[float, float]:
        """Median and largest lag while a scan was open [s]; nan where there was none."""
        if not self.lags_s:
            return math.nan, math.nan
        return median(self.lags_s), max(self.lags_s)


def slope(lives: list[Life]) -> float:
    """Growth in the second half of a life, when buffers and kept scans have filled [B/s].

    Least squares over all lives, each with a constant of its own; nan: all are too short.
    """
    above = below = 0.0
    for life in lives:
        times, sizes = np.array(life.times), np.array(life.sizes)
        warm = times > max(WARM_UP_S, times[-1] / 2)
        times, sizes = times[warm], sizes[warm]
        if len(times) < 3 or times[-1] - times[0] < LONG_S:
            continue
        centred = times - times.mean()
        above += float(centred @ sizes)
        below += float(centred @ centred)
    return above / below if below else math.nan


def rate(observer: Observer) -> float:
    """Frames a second over all scans of a run, from first to last frame of each; nan: none."""
    frames = seconds = 0.0
    for scan in observer.scans.values():
        if scan.account is not None and scan.account.received > 1:
            spent = scan.last_frame - scan.first_frame
            if spent > 0:
                frames += scan.account.received - 1
                seconds += spent
    return frames / seconds if seconds else math.nan


def memory_bytes(pid: int) -> int:
    """Memory of a process, its share of what several have mapped [B]; 0 where it is gone.

    The proportional set size: frames lie in memory that hub and members map, too, and count once.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    except (OSError, IndexError, ValueError, StopIteration):
        return 0

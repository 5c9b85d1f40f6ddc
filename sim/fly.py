"""A fly program: translate line by line, rotate between lines, pulse the detector on the way.

Pulses are given by position compare, one a point, at most one a dwell time. Where the detector is
not ready for the next pulse the stage waits (the simulation is lossless) and the rate that was
reached is reported. A flight that is held finishes its line and stands still before the next one,
until it may go on or is aborted. What is reported as measured is where the stage really was, which
is what the detector was exposed at: the planned place plus the encoder's wander.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Trigger = Callable[[float, float], bool]  # rotation [deg], translation [um] -> taken
ENCODER_UM = 0.01  # resolution of the translation's encoder
ENCODER_DEG = 1e-4
_LOOK_S = 0.1  # how soon a held flight notices that it was aborted


@dataclass(frozen=True, slots=True)
class FlyProgram:
    """One tomogram.

    number: the client's own number for it, comes back with the positions
    angles_deg: rotation of every line, in the order of the lines
    start_um, stop_um, points: the line, ends included
    dwell_s: time at one point
    snake: odd lines run backwards
    """

    number: int
    angles_deg: tuple[float, ...]
    start_um: float
    stop_um: float
    points: int
    dwell_s: float
    snake: bool

    def __post_init__(self) -> None:
        if not self.angles_deg or not all(math.isfinite(a) for a in self.angles_deg):
            raise ValueError(f"{len(self.angles_deg)} angles: at least one, all finite, is needed")
        if self.points < 1 or not all(math.isfinite(v) for v in (self.start_um, self.stop_um)):
            raise ValueError(
                f"line of {self.points} points from {self.start_um} to {self.stop_um} um is none"
            )
        if not self.dwell_s > 0:
            raise ValueError(f"dwell of {self.dwell_s} s: a time is needed")

    def line_um(self, line: int) -> NDArray[np.float64]:
        """(points,) planned translations of one line, in the order they are passed."""
        places = np.linspace(self.start_um, self.stop_um, self.points)
        return places[::-1].copy() if self.snake and line % 2 else places


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured on one line; first is the index of its first frame."""

    number: int
    first: int
    translations_um: NDArray[np.float64]
    rotations_deg: NDArray[np.float64]


class Flight:
    """One run of a program; run() blocks, the rest may be read from other threads meanwhile."""

    def __init__(
        self, program: FlyProgram, trigger: Trigger, wander_um: float = 0.02, seed: int = 0
    ) -> None:
        self.program = program
        self.pulses = 0
        self.taken = 0
        self.rotation_deg = program.angles_deg[0]
        self.translation_um = program.start_um
        self.frames_per_s = math.nan
        self.held = False  # it stands still between two lines
        self._trigger = trigger
        self._wander_um = wander_um
        self._random = np.random.default_rng([seed, program.number])
        self._abort = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._finish = threading.Event()

    @property
    def aborted(self) -> bool:
        """True once abort() was called."""
        return self._abort.is_set()

    def abort(self) -> None:
        """Stop at the next point."""
        self._abort.set()

    def hold(self, wanted: bool) -> None:
        """Stand still before the next line; wanted False: go on."""
        if wanted:
            self._go.clear()
        else:
            self._go.set()

    def finish(self) -> None:
        """Let the present line be the last one, also where the stage stands still after it."""
        self._finish.set()
        self._go.set()

    def run(self, line_done: Callable[[Line], None]) -> bool:
        """Fly; line_done gets every finished line. False where it was aborted."""
        program = self.program
        began = due = time.monotonic()
        for line, angle_deg in enumerate(program.angles_deg):
            if not self._go.is_set():
                self._stand_still()
                due = time.monotonic()
            if line and self._finish.is_set():
                break
            planned = program.line_um(line)
            wander = self._random.normal(0.0, self._wander_um, program.points)
            translations = np.round((planned + wander) / ENCODER_UM) * ENCODER_UM
            rotation = round(angle_deg / ENCODER_DEG) * ENCODER_DEG
            first = self.pulses
            for translation in translations:
                if self._abort.wait(max(0.0, due - time.monotonic())):
                    return False
                self.rotation_deg, self.translation_um = rotation, float(translation)
                self.taken += self._trigger(rotation, float(translation))
                self.pulses += 1
                now = time.monotonic()
                self.frames_per_s = self.pulses / max(now - began, 1e-9)
                # never faster than the dwell time, but a wait is not caught up at once either
                due = max(due + program.dwell_s, now - 4 * program.dwell_s)
            line_done(Line(program.number, first, translations, np.full(program.points, rotation)))
        return not self._abort.wait(max(0.0, due - time.monotonic()))

    def _stand_still(self) -> None:
        self.held = True
        while not self._go.wait(_LOOK_S) and not self._abort.is_set():
            continue
        self.held = False

"""What a plan needs of its devices: Bluesky's protocols and a few readable signals.

Any object that fits will do, from ophyd or ophyd-async, real or simulated.
"""

from __future__ import annotations

from typing import Any, Protocol

from bluesky.protocols import (
    Collectable,
    Flyable,
    Movable,
    Preparable,
    Readable,
    Stageable,
    Stoppable,
    WritesStreamAssets,
)

Signal = Readable[Any]


class CellController(Movable[Any], Stoppable, Readable[Any], Protocol):
    """A potentiostat: set(technique) until its mark, stop() is its safe state.

    outcome: how the last program ended: REACHED, CUTOFF, STOPPED, ...
    zero_command: set to 1 to count charge from now
    """

    voltage: Signal
    current: Signal
    charge: Signal
    temperature: Signal
    time: Signal
    state: Signal
    outcome: Signal
    zero_command: Movable[Any]


class FlyStage(Preparable, Flyable, Stoppable, Readable[Any], Protocol):
    """A stage: prepare(FlyScan) and fly.

    frames: counts the pulses it gave in this flight
    hold: set to 1 it stands still before its next line, set to 0 it goes on
    finish: set to 1, the line that is being flown is the last one
    """

    frames: Signal
    hold: Movable[Any]
    finish: Movable[Any]


class Centring(Protocol):
    """Motors that put a place of the slice on the rotation axis [um]."""

    centre_x: Movable[Any]
    centre_y: Movable[Any]


class FlyDetector(
    Preparable, Flyable, Stageable, Collectable, WritesStreamAssets, Readable[Any], Protocol
):
    """A detector: prepare(Exposure) arms it; frames counts what it acquired; unstage disarms.

    end_early: set to the frames that were taken when no further ones will be triggered
    """

    frames: Signal
    end_early: Movable[Any]

    def answers(self) -> bool:
        """Whether there is somebody at its address: one that was started again can be armed."""
        ...

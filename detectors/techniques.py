"""What a potentiostat can be asked for: a technique, until a mark.

Marks are absolute: a charge since the run's start, a voltage, a time on the potentiostat's own
clock. Setting the same technique twice therefore ends at the same point of the cell's history;
a plan that is rewound and replayed does not pass the charge twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEASE_RENEWED_S = 1.0  # while current flows on its word a client shows itself this often


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the cell's history; exactly one of the three is given.

    capacity_ah: amount of charge passed since the run's start, positive in either direction [A h]
    voltage_v: cell voltage, reached from above in discharge and from below in charge [V]
    time_s: the potentiostat's own clock [s]
    """

    capacity_ah: float | None = None
    voltage_v: float | None = None
    time_s: float | None = None

    def __post_init__(self) -> None:
        given = {
            name: value
            for name, value in (
                ("capacity_ah", self.capacity_ah),
                ("voltage_v", self.voltage_v),
                ("time_s", self.time_s),
            )
            if value is not None
        }
        if len(given) != 1:
            raise ValueError(
                f"a mark needs exactly one of capacity_ah, voltage_v and time_s, got {given}"
            )
        ((name, value),) = given.items()
        if not math.isfinite(value):
            raise ValueError(f"mark {name} = {value} is no number")
        if name == "capacity_ah" and value <= 0:
            raise ValueError(
                f"mark capacity_ah = {value} A h: it is an amount of charge and must be positive"
            )

    def kind(self) -> str:
        """ "capacity", "voltage" or "time"."""
        if self.capacity_ah is not None:
            return "capacity"
        return "voltage" if self.voltage_v is not None else "time"

    def value(self) -> float:
        """The number that was given [A h, V or s]."""
        for value in (self.capacity_ah, self.voltage_v, self.time_s):
            if value is not None:
                return value
        raise ValueError("a mark without a value")

    def words(self) -> str:
        """This mark for people, e.g. "3.900 V"."""
        if self.capacity_ah is not None:
            return f"{1e3 * self.capacity_ah:.5g} mAh"
        return f"{self.value():.3f} V" if self.voltage_v is not None else f"{self.value():.0f} s"


@dataclass(frozen=True, slots=True)
class Galvanostatic:
    """Constant current until a mark, or until the voltage passes the cut-off.

    current_a: discharge negative (IUPAC) [A]
    until: None runs on until it is stopped
    cutoff_v: voltage at which the circuit is opened whatever the mark says [V]
    """

    current_a: float
    until: Mark | None = None
    cutoff_v: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.current_a) or self.current_a == 0:
            raise ValueError(
                f"galvanostatic at {self.current_a} A: a current other than 0 is needed "
                "(OpenCircuit is a technique of its own)"
            )


@dataclass(frozen=True, slots=True)
class Potentiostatic:
    """Constant voltage until a capacity or a time; not the same as open circuit."""

    voltage_v: float
    until: Mark | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.until.voltage_v is not None:
            raise ValueError("potentiostatic until a voltage: the voltage does not move, give time")


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """No current; until a time, where one is given. The cell stays open afterwards."""

    until: Mark | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.until.time_s is None:
            raise ValueError(
                f"open circuit until {self.until.words()}: only a time can be waited for"
            )


Technique = Galvanostatic | Potentiostatic | OpenCircuit


@dataclass(frozen=True, slots=True)
class Limits:
    """What the cell may never pass; the instrument itself opens the circuit beyond.

    voltage_low_v, voltage_high_v: [V]
    current_a: amount, either direction [A]
    charge_ah: amount since the run's start, either direction [A h]
    temperature_high_c: [deg C]
    """

    voltage_low_v: float
    voltage_high_v: float
    current_a: float
    charge_ah: float
    temperature_high_c: float

    def refuse(self, technique: Technique) -> str:
        """Why technique may not be started; "" where nothing speaks against it."""
        if isinstance(technique, OpenCircuit):
            return ""
        if isinstance(technique, Galvanostatic):
            if abs(technique.current_a) > self.current_a:
                return f"current {technique.current_a:g} A is beyond ±{self.current_a:g} A"
            if technique.cutoff_v is not None and (why := self._voltage(technique.cutoff_v)):
                return f"cut-off {why}"
        elif why := self._voltage(technique.voltage_v):
            return why
        until = technique.until
        if until is None:
            return ""
        if until.voltage_v is not None and (why := self._voltage(until.voltage_v)):
            return f"mark {why}"
        if until.capacity_ah is not None and until.capacity_ah > self.charge_ah:
            return f"mark {until.capacity_ah:g} A h is beyond {self.charge_ah:g} A h"
        return ""

    def _voltage(self, voltage_v: float) -> str:
        if self.voltage_low_v <= voltage_v <= self.voltage_high_v:
            return ""
        allowed = f"{self.voltage_low_v:g} to {self.voltage_high_v:g} V"
        return f"voltage {voltage_v:g} V is outside {allowed}"

"""The electrochemistry of the twin: a LiMn2O4 half-cell against lithium.

The equilibrium voltage is Doyle's measured curve; what a current adds to it is an ohmic step, a
charge-transfer (Butler-Volmer) step and a few first-order modes that stand for concentration
gradients in electrolyte and particles. The modes are why the voltage creeps for minutes after the
current stops. Each is solved exactly over a step, so the result does not depend on how long the
steps are while the current stands still.

Charge is counted as the potentiostat does: discharge is negative. Lithiation follows from it and
from nothing else.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..materials.curves import limn2o4_open_circuit_v

GAS_CONSTANT = 8.314462618  # J/(mol K), CODATA 2018
FARADAY = 96485.33212  # C/mol, CODATA 2018
HIGHEST_LITHIATION = 0.99842  # the curve runs to minus infinity at 0.998432


@dataclass(frozen=True, slots=True)
class CellConfig:
    """What the cell is made of.

    capacity_ah: charge between the two voltages at rated_current_a [A h]; 0.0143 mAh as in Finegan
        et al., Nat. Commun. 2020, 11, 631
    upper_v: rest voltage of the fresh, charged cell [V]
    lower_v: voltage under rated current at which the capacity is used up [V]
    rated_current_a: size of the discharge current the capacity belongs to [A]
    resistance_ohm: ohmic resistance [ohm]
    exchange_current_a: exchange current of the charge transfer (symmetric Butler-Volmer) [A]
    mode_resistances_ohm, mode_times_s: resistance and time constant of each slow mode
    """

    capacity_ah: float = 1.43e-5
    upper_v: float = 4.2
    lower_v: float = 3.0
    rated_current_a: float = 8e-6
    resistance_ohm: float = 1250.0
    exchange_current_a: float = 2e-5
    mode_resistances_ohm: tuple[float, ...] = (1200.0, 2000.0, 2500.0)
    mode_times_s: tuple[float, ...] = (8.0, 60.0, 300.0)
    temperature_c: float = 25.0

    def __post_init__(self) -> None:
        if len(self.mode_resistances_ohm) != len(self.mode_times_s):
            raise ValueError(
                f"CellConfig has {len(self.mode_resistances_ohm)} mode resistances "
                f"and {len(self.mode_times_s)} mode times, one time a resistance is needed"
            )
        positive = (self.capacity_ah, self.rated_current_a, self.exchange_current_a)
        if min(*positive, *self.mode_times_s) <= 0:
            raise ValueError(f"CellConfig needs capacity, currents and mode times > 0: {self}")
        if not 2.9 <= self.lower_v < self.upper_v <= 4.3:
            raise ValueError(
                f"CellConfig runs from {self.upper_v} to {self.lower_v} V, "
                "the curve of LiMn2O4 serves 4.3 to 2.9 V"
            )


@dataclass(frozen=True, slots=True)
class CellMoment:
    """A cell at one moment: its clock [s], the charge passed [A h], mean y of LiyMn2O4."""

    time_s: float
    charge_ah: float
    lithiation: float


class LmoCell:
    """A LiMn2O4 half-cell; every method is safe to call from several threads."""

    def __init__(self, config: CellConfig | None = None) -> None:
        self.config = config = config or CellConfig()
        self._lock = threading.RLock()
        self.lithiation_charged = _root(
            lambda y: config.upper_v - limn2o4_open_circuit_v(y), 0.15, HIGHEST_LITHIATION
        )
        drop = self._steady_overpotential_v(-config.rated_current_a)
        self.lithiation_discharged = _root(
            lambda y: config.lower_v - drop - limn2o4_open_circuit_v(y), 0.15, HIGHEST_LITHIATION
        )
        self._time_s = 0.0
        self._charge_ah = 0.0
        self._current_a = 0.0
        self._modes_v = [0.0] * len(config.mode_times_s)

    @property
    def time_s(self) -> float:
        """The cell's own clock: the sum of all steps [s]."""
        return self._time_s

    @property
    def voltage_v(self) -> float:
        """Cell voltage at the end of the last step [V]."""
        with self._lock:
            return self._voltage_v(self._current_a, self._charge_ah, self._modes_v)

    @property
    def current_a(self) -> float:
        """Current during the last step [A], discharge negative."""
        return self._current_a

    @property
    def charge_ah(self) -> float:
        """Charge passed since the start [A h], discharge negative."""
        return self._charge_ah

    @property
    def temperature_c(self) -> float:
        """Cell temperature [deg C]; the twin's cell is held at one."""
        return self.config.temperature_c

    @property
    def lithiation(self) -> float:
        """Mean y of LiyMn2O4 over the electrode, from the charge alone."""
        return self._lithiation(self._charge_ah)

    @property
    def open_circuit_v(self) -> float:
        """The voltage the cell would reach if it rested for ever [V]."""
        return limn2o4_open_circuit_v(self.lithiation)

    def moment(self) -> CellMoment:
        """The cell as it is now, between two steps."""
        with self._lock:
            return CellMoment(self._time_s, self._charge_ah, self.lithiation)

    def step(self, dt_s: float, current_a: float | None) -> None:
        """Let dt_s pass at a constant current; None is open circuit, discharge is negative."""
        if not dt_s >= 0:
            raise ValueError(f"cell step of {dt_s} s, a time of 0 or more is needed")
        current = 0.0 if current_a is None else float(current_a)
        if not math.isfinite(current):
            raise ValueError(f"cell step at {current} A, a finite current is needed")
        with self._lock:
            self._charge_ah, self._modes_v = self._after(dt_s, current)
            self._current_a = current
            self._time_s += dt_s

    def hold_potential(self, dt_s: float, voltage_v: float, limit_a: float = 1e-3) -> None:
        """Let dt_s pass with the voltage held (at most limit_a flows either way).

        Implicit steps of at most 2 s: the current of each is the one that puts the voltage at its
        end on voltage_v.
        """
        if not dt_s >= 0:
            raise ValueError(f"cell step of {dt_s} s, a time of 0 or more is needed")
        steps = max(1, math.ceil(dt_s / 2.0))
        with self._lock:
            for _ in range(steps):
                self.step(dt_s / steps, self._current_for(dt_s / steps, voltage_v, limit_a))

    def _current_for(self, dt_s: float, voltage_v: float, limit_a: float) -> float:
        def miss(current: float) -> float:
            charge, modes = self._after(dt_s, current)
            return self._voltage_v(current, charge, modes) - voltage_v

        if miss(-limit_a) >= 0:
            return -limit_a
        if miss(limit_a) <= 0:
            return limit_a
        return _root(miss, -limit_a, limit_a)

    def _after(self, dt_s: float, current_a: float) -> tuple[float, list[float]]:
        modes = []
        for mode, r, tau in zip(
            self._modes_v, self.config.mode_resistances_ohm, self.config.mode_times_s, strict=True
        ):
            kept = math.exp(-dt_s / tau)
            modes.append(mode * kept + r * current_a * (1.0 - kept))
        return self._charge_ah + current_a * dt_s / 3600.0, modes

    def _lithiation(self, charge_ah: float) -> float:
        span = self.lithiation_discharged - self.lithiation_charged
        y = self.lithiation_charged - charge_ah / self.config.capacity_ah * span
        return min(max(y, 0.0), HIGHEST_LITHIATION)

    def _voltage_v(self, current_a: float, charge_ah: float, modes_v: list[float]) -> float:
        open_circuit = limn2o4_open_circuit_v(self._lithiation(charge_ah))
        return open_circuit + self._instant_overpotential_v(current_a) + sum(modes_v)

    def _instant_overpotential_v(self, current_a: float) -> float:
        thermal = 2 * GAS_CONSTANT * (self.config.temperature_c + 273.15) / FARADAY
        kinetic = thermal * math.asinh(current_a / (2 * self.config.exchange_current_a))
        return current_a * self.config.resistance_ohm + kinetic

    def _steady_overpotential_v(self, current_a: float) -> float:
        slow = current_a * sum(self.config.mode_resistances_ohm)
        return self._instant_overpotential_v(current_a) + slow


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where function, increasing from low to high, crosses zero: bisection, to rounding."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)

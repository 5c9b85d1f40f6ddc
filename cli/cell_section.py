"""The cell in the experiment file: what it tolerates, its limits, and the potentiostat's lease.

A window is what a person declares that this cell tolerates; limits, which the potentiostat itself
enforces, must lie inside. A window has bounds of its own: what no cell before an X-ray beam can
mean is a slip of the pen, and is refused before it can reach an instrument.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..detectors.techniques import LEASE_RENEWED_S
from .section import Section

ABSOLUTE_ZERO_C = -273.15
HOTTEST_C = 1000.0  # solid oxide cells; glass and metal around a sample do not go further
WIDEST_V = 10.0  # of one cell, either sign; the strongest couples known give about 6 V
MOST_A = MOST_AH = 100.0  # more than a cell has that lets X-rays through
LONGEST_LEASE_S = 60.0
USUAL_LEASE_S = 5.0  # `operando check` warns above it


class Limits(Section):
    """Limits that the potentiostat itself enforces."""

    voltage_V: tuple[float, float] = Field(
        (2.9, 4.4), description="lowest and highest cell voltage [V]"
    )
    current_A: float = Field(1e-4, gt=0, description="largest current, either direction [A]")
    charge_Ah: float = Field(
        1e-4, gt=0, description="largest charge since the run's start, either direction [A h]"
    )
    temperature_C: float = Field(60.0, description="highest cell temperature [deg C]")

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        low, high = self.voltage_V
        if not low < high:
            raise ValueError(f"voltage_V is [{low}, {high}]: the lower limit comes first")
        return self


class Cell(Section):
    """The electrochemical experiment."""

    name: str = Field("LiMn2O4 against lithium", description="what a person calls the cell")
    current_A: float = Field(-8e-6, description="discharge current [A], negative (IUPAC)")
    cutoff_V: float = Field(3.0, description="the discharge ends here [V]")
    window_V: tuple[float, float] = Field(
        (2.8, 4.5), description="what the cell's chemistry tolerates [V]; limits must lie inside"
    )
    window_A: float = Field(
        0.01,
        description="largest current that the cell tolerates, either direction [A]; "
        "limits.current_A must lie inside",
    )
    window_Ah: float = Field(
        0.01,
        description="largest charge that the cell tolerates, either direction [A h]; "
        "limits.charge_Ah must lie inside",
    )
    window_C: tuple[float, float] = Field(
        (-20.0, 80.0),
        description="temperatures that the cell tolerates [deg C]; "
        "limits.temperature_C must lie inside",
    )
    limits: Limits = Field(default_factory=lambda: Limits())

    @model_validator(mode="after")
    def _sane(self) -> Cell:
        if self.current_A >= 0:
            raise ValueError(f"current_A is {self.current_A}: a discharge current is negative")
        self._check_windows()
        self._check_limits()
        low, high = self.limits.voltage_V
        if not low < self.cutoff_V < high:
            raise ValueError(
                f"cutoff_V {self.cutoff_V} lies outside limits.voltage_V [{low}, {high}]"
            )
        if abs(self.current_A) > self.limits.current_A:
            raise ValueError(
                f"current_A {self.current_A} is beyond limits.current_A {self.limits.current_A}"
            )
        return self

    def _check_windows(self) -> None:
        """Whether the windows are what a cell can mean. Raises ValueError."""
        for name, (low, high), (lowest, highest), unit in (
            ("window_V", self.window_V, (-WIDEST_V, WIDEST_V), "V"),
            ("window_C", self.window_C, (ABSOLUTE_ZERO_C, HOTTEST_C), "deg C"),
        ):
            if not lowest <= low < high <= highest:
                raise ValueError(
                    f"{name} [{low}, {high}]: a lower and a higher value within {lowest:g} to "
                    f"{highest:g} {unit} are needed; check the unit"
                )
        for name, most, possible, unit in (
            ("window_A", self.window_A, MOST_A, "A"),
            ("window_Ah", self.window_Ah, MOST_AH, "A h"),
        ):
            if not 0 < most <= possible:
                raise ValueError(
                    f"{name} {most:g}: more than 0 and at most {possible:g} {unit} is needed; "
                    "check the unit"
                )

    def _check_limits(self) -> None:
        """Whether the limits lie inside the windows. Raises ValueError."""
        limits = self.limits
        low, high = limits.voltage_V
        for name, span, shown, window in (
            ("voltage_V", (low, high), f"[{low}, {high}]", "window_V"),
            ("temperature_C", (limits.temperature_C,) * 2, f"{limits.temperature_C:g}", "window_C"),
        ):
            first, last = getattr(self, window)
            if not first <= span[0] <= span[1] <= last:
                raise ValueError(
                    f"limits.{name} {shown} leaves the cell's {window} [{first}, {last}]: "
                    "narrow the limits"
                )
        for name, limit, window in (
            ("current_A", limits.current_A, "window_A"),
            ("charge_Ah", limits.charge_Ah, "window_Ah"),
        ):
            if limit > (most := getattr(self, window)):
                raise ValueError(
                    f"limits.{name} {limit:g} leaves the cell's {window} {most:g}: "
                    "narrow the limit, or declare what this cell tolerates"
                )


class Potentiostat(Section):
    """The EPICS names of the potentiostat."""

    prefix: str = "SIM:POT:"
    lease_s: float = Field(
        USUAL_LEASE_S,
        description="a client silent this long leads to the safe state [s]; so long the current "
        f"flows on after a crash; more than {LEASE_RENEWED_S:g}, at most {LONGEST_LEASE_S:g}",
    )
    safe_state: Literal["open_circuit", "hold_potential"] = Field(
        "open_circuit",
        description="how the cell is left, at the end and when its client is lost; a passed limit "
        "or a fault always opens it",
    )
    safe_voltage_V: float | None = Field(None, description="of hold_potential [V]")

    @field_validator("lease_s")
    @classmethod
    def _renewable(cls, lease_s: float) -> float:
        if not LEASE_RENEWED_S < lease_s <= LONGEST_LEASE_S:
            raise ValueError(
                f"{lease_s:g} s: it is renewed every {LEASE_RENEWED_S:g} s and must be longer, "
                f"and at most {LONGEST_LEASE_S:g} s: so long current flows on after a crash"
            )
        return lease_s

    @model_validator(mode="after")
    def _held(self) -> Potentiostat:
        if (self.safe_state == "hold_potential") != (self.safe_voltage_V is not None):
            raise ValueError(
                "safe_state hold_potential and safe_voltage_V belong together: give both, or none"
            )
        return self

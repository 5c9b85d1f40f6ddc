"""What stands in the beam and what moves it: cell, potentiostat and stage, on Channel Access."""

from __future__ import annotations

from dataclasses import dataclass

from .beam import beam_width
from .cable import InBeam
from .cell import LmoCell
from .fly import Trigger
from .ioc_potentiostat import PotentiostatIoc
from .ioc_stage import StageIoc
from .iocs import IocServer
from .potentiostat import Instrument, InstrumentLimits


@dataclass(frozen=True, slots=True)
class Prefixes:
    """First part of the names of the process variables."""

    potentiostat: str = "SIM:CELL:"
    stage: str = "SIM:STAGE:"


class Bench:
    """A cell under its potentiostat, on its stage, from start() to stop().

    clock: cell seconds a wall second
    trigger: the cable to the detector
    ca_port: UDP port on which names are searched for; see IocServer
    limits: the instrument's own, inside which a client's limits must lie
    """

    def __init__(
        self,
        cell: LmoCell,
        beam_um: float,
        trigger: Trigger,
        clock: float = 1.0,
        ca_port: int = 5064,
        prefixes: Prefixes | None = None,
        limits: InstrumentLimits | None = None,
        lease_s: float = 5.0,
        tick_hz: float = 20.0,
    ) -> None:
        prefixes = prefixes or Prefixes()
        self._cell = cell
        self._beam_um = beam_um
        self.instrument = Instrument(cell, clock, limits, lease_s)
        self.stage = StageIoc(prefixes.stage, trigger, beam=(beam_um, self._set_beam))
        self._potentiostat = PotentiostatIoc(prefixes.potentiostat, self.instrument, tick_hz)
        self._iocs = IocServer([self._potentiostat, self.stage], ca_port)

    def in_beam(self) -> InBeam:
        """Cell, beam and stage at this moment."""
        return InBeam(self._cell.moment(), self._beam_um, *self.stage.where())

    def start(self) -> None:
        """Serve. Raises RuntimeError where the port cannot be had."""
        self._iocs.start()

    def stop(self) -> None:
        """Open the circuit, free the port."""
        self.instrument.open()
        self._iocs.stop()

    def _set_beam(self, width_um: float) -> None:
        self._beam_um = beam_width(width_um)

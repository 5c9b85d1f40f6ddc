"""The whole simulated beamline behind its wires: SIMPLON and its stream, Channel Access.

A client that talks to it cannot see that it is one process. The cable from the stage to the
detector is a call; everything else goes over loopback sockets.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from ..stream.dectris_faults import Misbehaviour
from .ioc_potentiostat import PotentiostatIoc
from .ioc_stage import StageIoc
from .iocs import IocServer
from .potentiostat import Instrument, InstrumentLimits
from .simplon_detector import SimulatedDetector
from .simplon_server import SimplonServer
from .twin import Twin

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """First part of the names of the process variables."""

    potentiostat: str = "SIM:CELL:"
    stage: str = "SIM:STAGE:"


class Simulation:
    """Everything that a beamline would offer to a plan, from start() to stop()."""

    def __init__(
        self,
        twin: Twin,
        clock: float = 1.0,
        rest_port: int = 0,
        stream_address: str = "tcp://127.0.0.1:*",
        ca_port: int = 5064,
        prefixes: Prefixes | None = None,
        truth_folder: Path | None = None,
        limits: InstrumentLimits | None = None,
        lease_s: float = 5.0,
        tick_hz: float = 20.0,
        detector_faults: Misbehaviour | None = None,
    ) -> None:
        """clock: cell seconds a wall second. truth_folder: gets truth_001.npz … , one a scan.

        ca_port: UDP port on which names are searched for; see IocServer
        limits: the instrument's own, inside which a client's limits must lie
        detector_faults: what the detector's stream does wrong
        """
        prefixes = prefixes or Prefixes()
        self.twin = twin
        self.instrument = Instrument(twin.cell, clock, limits, lease_s)
        self.detector = SimulatedDetector(
            twin,
            stream_address,
            self._scan_begins,
            lambda: self._stage.where(),
            faults=detector_faults,
        )
        self._stage = StageIoc(
            prefixes.stage, self.detector.trigger, beam=(twin.config.beam_um, twin.set_beam)
        )
        self._potentiostat = PotentiostatIoc(prefixes.potentiostat, self.instrument, tick_hz)
        self._iocs = IocServer([self._potentiostat, self._stage], ca_port)
        self._simplon = SimplonServer(self.detector, rest_port)
        self._truth_folder = truth_folder
        self._started = False

    @property
    def rest_url(self) -> str:
        """Of the detector, e.g. "http://127.0.0.1:8080"."""
        return self._simplon.url

    @property
    def stream_address(self) -> str:
        """Where the detector's stream can be fetched."""
        return self.detector.emitter.address

    @property
    def frames_per_s(self) -> float:
        """Rate reached in the last series; nan before the first."""
        return self.detector.frames_per_s

    def start(self) -> None:
        """Serve. Raises RuntimeError where a port cannot be had."""
        if self._truth_folder is not None:
            self._truth_folder.mkdir(parents=True, exist_ok=True)
        self._started = True
        try:
            self._iocs.start()
            self._simplon.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Open the circuit, end the series, free the ports."""
        self.instrument.open()
        self.detector.close()
        self._iocs.stop()
        self._simplon.stop()

    def run(self, stop_event: threading.Event) -> None:
        """start(), wait for stop_event, stop()."""
        self.start()
        try:
            stop_event.wait()
        finally:
            self.stop()

    def _scan_begins(self, number: int) -> None:
        with self.instrument.lock:  # the cell does not step while its lithiation is frozen
            self.twin.begin_scan(number)
        if self._truth_folder is not None:
            path = self._truth_folder / f"truth_{number:03d}.npz"
            self.twin.truth().save(path)
            _log.info("truth of scan %d is in %s", number, path)

"""The whole simulated beamline behind its wires, in one process.

A client that talks to it cannot see that it is one process. The cables between stage and detector
are calls; everything else goes over loopback sockets. Where the bench and the detector are to
stand, and die, in processes of their own, cable.py joins them (cli/hardware.py).
"""

from __future__ import annotations

import threading
from pathlib import Path

from ..stream.dectris_faults import Misbehaviour
from .bench import Bench, Prefixes
from .detector_server import DetectorServer
from .potentiostat import InstrumentLimits
from .twin import Twin


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
        """See Bench and DetectorServer."""
        self.twin = twin
        self._server = DetectorServer(
            twin,
            lambda: self._bench.in_beam(),
            rest_port,
            stream_address,
            truth_folder,
            detector_faults,
        )
        self.detector = self._server.detector
        self._bench = Bench(
            twin.cell,
            twin.config.beam_um,
            self.detector.trigger,
            clock,
            ca_port,
            prefixes,
            limits,
            lease_s,
            tick_hz,
        )
        self.instrument, self.stage = self._bench.instrument, self._bench.stage

    @property
    def rest_url(self) -> str:
        """Of the detector, e.g. "http://127.0.0.1:8080"."""
        return self._server.rest_url

    @property
    def stream_address(self) -> str:
        """Where the detector's stream can be fetched."""
        return self._server.stream_address

    @property
    def frames_per_s(self) -> float:
        """Rate reached in the last series; nan before the first."""
        return self._server.frames_per_s

    def start(self) -> None:
        """Serve. Raises RuntimeError where a port cannot be had."""
        try:
            self._bench.start()
            self._server.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Open the circuit, end the series, free the ports."""
        self.instrument.open()
        self._server.stop()
        self._bench.stop()

    def run(self, stop_event: threading.Event) -> None:
        """start(), wait for stop_event, stop()."""
        self.start()
        try:
            stop_event.wait()
        finally:
            self.stop()

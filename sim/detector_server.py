"""The simulated detector behind its wires: SIMPLON REST and the stream, with the twin before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ..stream.dectris_faults import Misbehaviour
from .cable import InBeam
from .simplon_detector import SimulatedDetector
from .simplon_server import SimplonServer
from .twin import Twin

_log = logging.getLogger(__name__)


class DetectorServer:
    """A detector that looks at what stands in the beam, from start() to stop().

    in_beam: asked whenever a scan begins, and for internal triggers
    truth_folder: gets truth_001.npz … , one a scan
    faults: what its stream does wrong
    initialized: False: somebody has to initialize it before it can be armed
    Raises OSError where the port cannot be had, ZMQError where the stream's address cannot.
    """

    def __init__(
        self,
        twin: Twin,
        in_beam: Callable[[], InBeam],
        rest_port: int = 0,
        stream_address: str = "tcp://127.0.0.1:*",
        truth_folder: Path | None = None,
        faults: Misbehaviour | None = None,
        initialized: bool = True,
    ) -> None:
        self._twin = twin
        self._in_beam = in_beam
        self._truth_folder = truth_folder
        self.detector = SimulatedDetector(
            twin, stream_address, self._scan_begins, self._where, faults, initialized
        )
        try:
            self._simplon = SimplonServer(self.detector, rest_port)
        except OSError:
            self.detector.close()
            raise

    @property
    def rest_url(self) -> str:
        """E.g. "http://127.0.0.1:8080"."""
        return self._simplon.url

    @property
    def stream_address(self) -> str:
        """Where the stream can be fetched."""
        return self.detector.emitter.address

    @property
    def frames_per_s(self) -> float:
        """Rate reached in the last series; nan before the first."""
        return self.detector.frames_per_s

    def start(self) -> None:
        """Serve."""
        if self._truth_folder is not None:
            self._truth_folder.mkdir(parents=True, exist_ok=True)
        self._simplon.start()

    def stop(self) -> None:
        """End the series, free the ports."""
        self.detector.close()
        self._simplon.stop()

    def _where(self) -> tuple[float, float]:
        now = self._in_beam()
        return now.rotation_deg, now.translation_um

    def _scan_begins(self, number: int) -> None:
        now = self._in_beam()
        self._twin.begin_scan(number, now.cell, now.beam_um)
        if self._truth_folder is not None:
            path = self._truth_folder / f"truth_{number:03d}.npz"
            self._twin.truth().save(path)
            _log.info("truth of scan %d is in %s", number, path)

"""A simulated beamline for tests: one small twin behind real wires, on free loopback ports."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "") -> None:
    """Poll condition until it is true. Fails the test where it never is."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what or condition}"
        pause.wait(0.01)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            udp.bind(("127.0.0.1", 0))
            ports.append(udp.getsockname()[1])
        return ports


def pytest_configure(config: pytest.Config) -> None:
    """Channel Access on loopback, on free ports: libca reads this once, when ophyd is imported."""
    server, repeater = _free_ports(2)
    os.environ.update(
        EPICS_CA_ADDR_LIST="127.0.0.1",
        EPICS_CA_AUTO_ADDR_LIST="NO",
        EPICS_CA_SERVER_PORT=str(server),
        EPICS_CA_REPEATER_PORT=str(repeater),
    )


@pytest.fixture(scope="session")
def ca_port() -> int:
    """The Channel Access port of this test process."""
    return int(os.environ["EPICS_CA_SERVER_PORT"])


@dataclass
class Beamline:
    """A simulation, its devices, and everything that came out of its detector's stream."""

    simulation: Any
    cell_prefix: str
    stage_prefix: str
    stream: list[Any] = field(default_factory=list)
    devices: list[Any] = field(default_factory=list)

    def potentiostat(self, **changes: Any) -> Any:
        """A connected Potentiostat; changes go to its limits."""
        from operando.detectors.potentiostat import Potentiostat
        from operando.detectors.techniques import Limits

        limits = {
            "voltage_low_v": 2.8,
            "voltage_high_v": 4.4,
            "current_a": 1e-4,
            "charge_ah": 1e-4,
            "temperature_high_c": 50.0,
            **changes,
        }
        device = Potentiostat(
            self.cell_prefix,
            name="cell",
            limits=Limits(**limits),
            lease_s=self.simulation.instrument.lease_s,
        )
        return self._connected(device)

    def stage(self) -> Any:
        """A connected ScanStage."""
        from operando.detectors.stage import ScanStage

        return self._connected(ScanStage(self.stage_prefix, name="stage"))

    def detector(self) -> Any:
        """A DectrisDetector."""
        from operando.detectors.dectris import DectrisDetector

        device = DectrisDetector(self.simulation.rest_url, name="eiger")
        self.devices.append(device)
        return device

    def _connected(self, device: Any) -> Any:
        device.wait_for_connection(timeout=60)
        self.devices.append(device)
        return device

    def of_stream(self, kind: str) -> list[Any]:
        """Messages of a kind, e.g. "Frame"."""
        return [m for m in self.stream if type(m).__name__ == kind]

    @property
    def cell(self) -> str:
        """The instrument's state, not by the wire."""
        return str(self.simulation.instrument.state.name)


@pytest.fixture
def beamline(ca_port: int, tmp_path: Path) -> Iterator[Callable[..., Beamline]]:
    """Makes a Beamline; keyword arguments go to the Simulation, twin=… to its TwinConfig."""
    from operando.sim.bench import Prefixes
    from operando.sim.server import Simulation
    from operando.sim.twin import Twin, TwinConfig
    from operando.stream.dectris_receiver import DectrisReceiver

    with ExitStack() as stack:

        def make(receive: bool = True, twin: dict[str, Any] | None = None, **settings: Any) -> Any:
            name = uuid.uuid4().hex[:8].upper()
            small = TwinConfig(
                field_um=8,
                particle_radius_um=(1.5, 2.5),
                lithium_rich=1,
                shape=(64, 96),
                beam_pixel=(32, 8),
                chip_px=(64, 96),
                dead_modules=(),
                dead_pixels=3,
                spots=5,
                distance_m=0.05,
                **(twin or {}),
            )
            settings = {"clock": 3000.0, "truth_folder": tmp_path / "truth", **settings}
            simulation = Simulation(
                Twin(small),
                ca_port=ca_port,
                prefixes=Prefixes(f"{name}:CELL:", f"{name}:STAGE:"),
                **settings,
            )
            made = Beamline(simulation, f"{name}:CELL:", f"{name}:STAGE:")
            simulation.start()
            stack.callback(simulation.stop)
            if receive:
                receiver = DectrisReceiver(simulation.stream_address, made.stream.append)
                stop = threading.Event()
                thread = threading.Thread(target=receiver.run, args=(stop,), daemon=True)
                thread.start()
                stack.callback(thread.join, 5.0)
                stack.callback(stop.set)
            stack.callback(lambda: [device.destroy() for device in made.devices])
            return made

        yield make


@pytest.fixture
def until() -> Callable[..., None]:
    """wait_until(condition, timeout_s, what)."""
    return wait_until

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from operando.sim.server import Simulation
from operando.sim.truth import load_truth
from operando.sim.twin import Twin, TwinConfig
from operando.stream.description import ScanDescription

Make = Callable[..., Any]


def test_the_cable_runs_from_the_stage_to_the_detector(
    beamline: Make, until: Callable[..., None], tmp_path: Path
) -> None:
    epics = pytest.importorskip("epics")
    line = beamline()
    url = line.simulation.rest_url
    description = ScanDescription("run", "scan", 7, "frames", (6,), ())

    def put(path: str, value: object) -> None:
        httpx.put(f"{url}/{path}", json={"value": value}, trust_env=False).raise_for_status()

    put("detector/api/1.8.0/config/trigger_mode", "exts")
    put("detector/api/1.8.0/config/ntrigger", 6)
    put("stream/api/1.8.0/config/mode", "enabled")
    put("stream/api/1.8.0/config/format", "cbor")
    put("stream/api/1.8.0/config/header_appendix", description.to_json())
    put("detector/api/1.8.0/command/arm", None)
    stage = line.stage_prefix
    for name, value in (
        ("ANGLES", [0.0, 90.0]), ("START", -1.0), ("STOP", 1.0), ("POINTS", 3), ("DWELL", 0.005),
        ("RUN", 1),
    ):  # fmt: skip
        assert epics.caput(f"{stage}FLY:{name}", value, wait=True, timeout=10) == 1
    until(lambda: line.of_stream("ScanStop"))
    assert [f.index for f in line.of_stream("Frame")] == list(range(6))
    assert line.simulation.frames_per_s > 0
    truth = load_truth(tmp_path / "truth" / "truth_007.npz")
    assert truth.number == 7
    with np.load(tmp_path / "truth" / "truth_007.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind != "O" for name in file.files)


def test_stopping_frees_the_ports_and_opens_the_circuit(ca_port: int) -> None:
    twin = Twin(TwinConfig(field_um=8, particle_radius_um=(1.5, 2.5), lithium_rich=1))
    for _ in range(2):
        simulation = Simulation(twin, ca_port=ca_port)
        simulation.start()
        simulation.stop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", ca_port))
        assert simulation.instrument.mode.name == "OCV"
        with pytest.raises(httpx.HTTPError):
            httpx.get(simulation.rest_url, trust_env=False, timeout=1)


def test_run_serves_until_it_is_told_to_stop(ca_port: int, until: Callable[..., None]) -> None:
    simulation = Simulation(
        Twin(TwinConfig(field_um=8, particle_radius_um=(1.5, 2.5), lithium_rich=1)),
        ca_port=ca_port,
    )
    stop = threading.Event()
    thread = threading.Thread(target=simulation.run, args=(stop,))
    thread.start()
    state = f"{simulation.rest_url}/detector/api/1.8.0/status/state"
    until(lambda: _answers(state))
    stop.set()
    thread.join(15)
    assert not thread.is_alive()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_taken_port_is_told_in_one_line(ca_port: int) -> None:
    twin = Twin(TwinConfig(field_um=8, particle_radius_um=(1.5, 2.5), lithium_rich=1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"IOC on port {port}"):
            Simulation(twin, ca_port=port).start()

"""What a dry run binds, it binds on loopback: nobody else's machine reaches it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import psutil
from operando.cli.experiment_file import parse
from operando.cli.folder import with_addresses
from operando.stream.admission import is_local
from operando.stream.hub import Hub, HubConfig

DRY = "title: t\nmarks: [{capacity_mAh: 0.002}]\nsimulation: {}\n"


def bound() -> set[tuple[str, int]]:
    """Addresses on which this process takes connections or datagrams."""
    connections = psutil.Process().net_connections("inet")
    return {
        (c.laddr.ip, c.laddr.port)
        for c in connections
        if c.laddr and (c.status == psutil.CONN_LISTEN or (c.type.name == "SOCK_DGRAM"))
    }


def test_hub_and_simulated_hardware_listen_on_loopback_only(beamline: Callable[..., Any]) -> None:
    before = bound()
    line = beamline()
    with Hub(HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")):
        new = bound() - before
    assert len(new) >= 5  # items, live, stream, REST, Channel Access
    outside = {a for a in new if not ipaddress.ip_address(a[0]).is_loopback}
    assert not outside, f"{outside} of {line.simulation}"


def test_addresses_that_the_experiment_file_leaves_open_are_local(tmp_path) -> None:
    experiment = with_addresses(parse(DRY, "f"), tmp_path)
    network = experiment.network
    assert all(map(is_local, (network.items, network.live, experiment.detector.stream)))
    assert experiment.detector.rest.startswith("http://127.0.0.1:")
    assert network.epics_addresses == "127.0.0.1"

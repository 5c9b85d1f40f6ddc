"""What is allowed, and what a person should know before it is done: warnings of a check."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..stream.admission import is_local
from .cell_section import USUAL_LEASE_S
from .experiment import Experiment
from .folder import epics_environment

_WHERE_NAMES_ARE_SOUGHT = ("EPICS_CA_ADDR_LIST", "EPICS_CA_NAME_SERVERS")


def cautions_of(experiment: Experiment, environment: Mapping[str, str] = os.environ) -> list[str]:
    """A line for each thing that is allowed and that somebody should have meant.

    environment: what EPICS finds where the experiment names nothing
    """
    cautions = []
    if (lease_s := experiment.potentiostat.lease_s) > USUAL_LEASE_S:
        cautions.append(
            f"potentiostat.lease_s: when the plan's process dies, current flows on for {lease_s:g} "
            f"s before the potentiostat goes to its safe state; {USUAL_LEASE_S:g} s are usual"
        )
    driven = experiment.simulation is None and experiment.frames is None
    if driven and (where := _beyond_this_machine(experiment, environment)):
        cautions.append(
            f"potentiostat {experiment.potentiostat.prefix} is reached by EPICS Channel Access at "
            f"{where}, without keys: anybody on that network can command the cell; put it on a "
            "network of its own, behind a gateway that lets others only read, or set the IOC's "
            "access security"
        )
    return cautions


def _beyond_this_machine(experiment: Experiment, environment: Mapping[str, str]) -> str:
    """Where names are searched for beyond this machine; "" where they are not."""
    epics = {**environment, **epics_environment(experiment)}
    named = [n for k in _WHERE_NAMES_ARE_SOUGHT for n in epics.get(k, "").split()]
    found = [address for address in named if not is_local(_as_tcp(address))]
    if epics.get("EPICS_CA_AUTO_ADDR_LIST", "YES").upper() != "NO":
        found.append("every network of this machine (EPICS_CA_AUTO_ADDR_LIST)")
    return ", ".join(found)


def _as_tcp(address: str) -> str:
    """An entry of EPICS_CA_ADDR_LIST, HOST or HOST:PORT, as the address of a socket."""
    return f"tcp://{address}" if ":" in address else f"tcp://{address}:0"

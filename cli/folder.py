"""The folder of a run, and the addresses that its parts meet at."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .experiment import Experiment
from .experiment_file import dump


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps what it leaves behind."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment file with every address filled in."""
        return self.path / "experiment.yaml"

    @property
    def file(self) -> Path:
        """The NeXus file with frames, positions, cell history, documents and results."""
        return self.path / "run.nxs"

    @property
    def spool(self) -> Path:
        """What was taken and is not yet safe elsewhere; gone when a run has ended well."""
        return self.path / "spool"

    @property
    def findings(self) -> Path:
        """What finished scans hand down to later ones; gone when a run has ended well."""
        return self.path / "findings"

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.path / "logs"

    @property
    def truth(self) -> Path:
        """What the twin knows, a file a scan; only in a dry run."""
        return self.path / "truth"

    @property
    def window(self) -> Path:
        """Pictures of the live window."""
        return self.path / "window"

    @property
    def report(self) -> Path:
        """Figures and tables of the finished run."""
        return self.path / "report"

    @property
    def summary(self) -> Path:
        """How it went, for scripts."""
        return self.path / "summary.json"


def new_folder(experiment: Experiment, out: Path | None) -> RunFolder:
    """A fresh folder for a run: out where given, else one named by the time under output."""
    if out is not None:
        path = out
    else:
        base = Path(experiment.output)
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        path = base / stamp
        for number in range(2, 1000):
            if not path.exists():
                break
            path = base / f"{stamp}_{number}"
    path.mkdir(parents=True, exist_ok=True)
    return RunFolder(path.resolve())


def with_addresses(experiment: Experiment, sockets: Path) -> Experiment:
    """The experiment with every address that was left empty filled in, on loopback only.

    With a simulation the addresses of hardware are replaced too, whatever the file says: a dry run
    of a beamline's own file must not reach the beamline.
    sockets: an existing folder with a short path, for ipc sockets
    """
    network = experiment.network.model_dump()
    network["items"] = network["items"] or f"ipc://{sockets}/items"
    network["live"] = network["live"] or f"ipc://{sockets}/live"
    detector = experiment.detector.model_dump()
    simulated = {}
    if experiment.simulation is not None:
        cables = {name: f"ipc://{sockets}/{name}" for name in ("bench", "pulses")}
        simulated = {"simulation": {**experiment.simulation.model_dump(), **cables}}
        detector["rest"] = f"http://127.0.0.1:{free_port()}"
        detector["stream"] = f"tcp://127.0.0.1:{free_port()}"
        network["epics_addresses"] = "127.0.0.1"
        network["epics_port"] = free_port()
        network["epics_repeater_port"] = free_port()
    return Experiment.model_validate(
        {**experiment.model_dump(), "network": network, "detector": detector, **simulated}
    )


def write_resolved(experiment: Experiment, folder: RunFolder) -> None:
    """Write the experiment with its addresses where the parts will read it."""
    folder.experiment.write_text(dump(experiment), encoding="utf-8")


def write_view(experiment: Experiment, folder: RunFolder, part: str) -> Path:
    """Write the experiment as one part alone is to see it; the file."""
    path = folder.path / f"experiment.{part}.yaml"
    path.write_text(dump(experiment), encoding="utf-8")
    return path


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for ipc sockets, whose paths may have some hundred characters at most."""
    return tempfile.TemporaryDirectory(prefix="operando-", ignore_cleanup_errors=True)


def free_port() -> int:
    """A TCP and UDP port of loopback that is free now."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
    raise OSError("no free port on 127.0.0.1: close some programs and try again")


def epics_environment(experiment: Experiment) -> dict[str, str]:
    """The EPICS variables that the experiment asks for; empty where it leaves them as they are."""
    network, found = experiment.network, {}
    if network.epics_addresses:
        found["EPICS_CA_ADDR_LIST"] = network.epics_addresses
        found["EPICS_CA_AUTO_ADDR_LIST"] = "NO"
    if network.epics_port:
        found["EPICS_CA_SERVER_PORT"] = str(network.epics_port)
    if network.epics_repeater_port:
        found["EPICS_CA_REPEATER_PORT"] = str(network.epics_repeater_port)
    if experiment.simulation is not None:
        found["EPICS_CAS_INTF_ADDR_LIST"] = "127.0.0.1"
    return found

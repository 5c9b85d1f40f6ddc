"""The simulated hardware as processes: all of it in one, or bench and detector each in its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import zmq

from ..stream.messages import Scalar
from .experiment import Experiment
from .experiment import Simulation as SimulationSection
from .experiment_file import check_faults, check_twin
from .kernel_cache import require_own_cache
from .parts import stop_when_asked
from .serve import configure_logging, heartbeat, use_epics


@contextmanager
def _one_line() -> Iterator[None]:
    """What keeps hardware from being served ends the process in a line: an address, mostly."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, zmq.ZMQError) as error:
        raise SystemExit(f"operando: simulated hardware cannot be served: {error}") from None


@_one_line()
def serve_sim(experiment: Experiment, truth: Path | None) -> None:
    """Serve the digital twin of an experiment with a simulation, all in this process."""
    require_own_cache()
    use_epics(experiment)
    from ..sim.server import Simulation
    from ..sim.twin import Twin

    simulation = Simulation(
        Twin(check_twin(experiment, "experiment")),
        rest_port=_rest_port(experiment),
        stream_address=experiment.detector.stream,
        truth_folder=truth,
        detector_faults=check_faults(experiment, "experiment"),
        **_bench_settings(experiment),
    )
    _serve_hardware(
        experiment, "sim", simulation, lambda: {"frames_per_s": round(simulation.frames_per_s, 1)}
    )


@_one_line()
def serve_bench(experiment: Experiment) -> None:
    """Serve the twin's cell, potentiostat and stage; the detector is another process."""
    require_own_cache()
    use_epics(experiment)
    from ..sim.bench import Bench
    from ..sim.cable import AnsweringEnd, PulseCable
    from ..sim.cell import LmoCell
    from ..sim.specimen import Specimen

    config, cables = check_twin(experiment, "experiment"), _simulation(experiment)
    share = Specimen(config.specimen(), config.seed).capacity_share
    with closing(PulseCable(cables.pulses)) as trigger:
        cell = LmoCell(config.cell(share))
        bench = Bench(cell, config.beam_um, trigger, **_bench_settings(experiment))
        asked = AnsweringEnd(cables.bench, lambda _: bench.in_beam().numbers())
        _serve_hardware(experiment, "sim", bench, dict, asked)


@_one_line()
def serve_detector(experiment: Experiment, truth: Path | None) -> None:
    """Serve the twin's detector; what stands in the beam is another process."""
    require_own_cache()
    from ..sim.cable import BENCH_S, AnsweringEnd, AskingEnd, InBeam
    from ..sim.detector_server import DetectorServer
    from ..sim.twin import Twin

    cables = _simulation(experiment)
    with closing(AskingEnd(cables.bench, BENCH_S)) as bench:
        server = DetectorServer(
            Twin(check_twin(experiment, "experiment")),
            lambda: InBeam.of(bench.ask()),
            _rest_port(experiment),
            experiment.detector.stream,
            truth,
            check_faults(experiment, "experiment"),
            initialized=False,
        )
        pulses = AnsweringEnd(
            cables.pulses, lambda place: (float(server.detector.trigger(*place)),)
        )
        _serve_hardware(
            experiment,
            "detector",
            server,
            lambda: {"frames_per_s": round(server.frames_per_s, 1)},
            pulses,
        )


class _Served(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


def _serve_hardware(
    experiment: Experiment,
    name: str,
    hardware: _Served,
    values: Callable[[], dict[str, Scalar]],
    *cables: _Served,
) -> None:
    """Hardware and its cables, until somebody asks this process to end."""
    configure_logging()
    stop = stop_when_asked()
    with heartbeat(experiment, name) as report, ExitStack() as served:
        for one in (hardware, *cables):
            served.callback(one.stop)
            one.start()
        report.state = "serving"
        while not stop.wait(0.5):
            report.values = values()


def _simulation(experiment: Experiment) -> SimulationSection:
    if experiment.simulation is None:
        raise ValueError("there is no `simulation:` section to serve")
    return experiment.simulation


def _rest_port(experiment: Experiment) -> int:
    rest = experiment.detector.rest
    port = urlsplit(rest).port
    if not port:
        raise ValueError(f"detector.rest {rest} has no port: http://127.0.0.1:PORT is needed")
    return port


def _bench_settings(experiment: Experiment) -> dict[str, Any]:
    from ..sim.bench import Prefixes

    return {
        "clock": _simulation(experiment).clock,
        "ca_port": experiment.network.epics_port,
        "prefixes": Prefixes(experiment.potentiostat.prefix, experiment.stage.prefix),
    }

"""The parts of a run as processes: each joins the hub, does its one thing, and ends when asked."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..stream.curve_keys import ClientKeys, KeysError, load_client_keys, load_server_keys
from ..stream.live import LiveSubscriber
from ..stream.members import Member, Producer
from ..stream.messages import Message, Scalar, ScanStart, Status
from .experiment import Experiment, Network
from .experiment_file import check_consumers, check_faults, check_twin
from .folder import epics_environment
from .kernel_cache import require_own_cache
from .parts import on_supervisor_gone, stop_when_asked

HEARTBEAT_S = 1.0


def configure_logging() -> None:
    """Log lines with time and origin to the part's own log."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("silx", "pyFAI"):  # they report every optional package that is not here
        logging.getLogger(chatty).setLevel(logging.ERROR)


def use_epics(experiment: Experiment) -> None:
    """Set the EPICS variables of this process; before anything imports epics or caproto."""
    os.environ.update(epics_environment(experiment))


def client_keys(network: Network) -> ClientKeys | None:
    """The keys with which the parts on this machine come to the hub; None where none are named."""
    try:
        return load_client_keys(Path(network.keys)) if network.keys else None
    except KeysError as error:
        raise SystemExit(f"operando: network.keys: {error}") from None


def producer_of(experiment: Experiment, name: str, window: int = 8) -> Producer:
    """A producer for the hub of experiment."""
    network = experiment.network
    return Producer(network.items, name, window=window, keys=client_keys(network))


def member_of(experiment: Experiment, group: str, role: str, name: str, credit: int) -> Member:
    """A member of a group of the hub of experiment."""
    network = experiment.network
    return Member(network.items, group, role, name, credit, keys=client_keys(network))


def subscriber_of(experiment: Experiment, topics: tuple[str, ...] = ("",)) -> LiveSubscriber:
    """A listener to the live side of experiment's hub."""
    network = experiment.network
    keys = client_keys(network) if network.live_keys else None
    return LiveSubscriber(network.live, topics=topics, keys=keys)


@contextmanager
def heartbeat(
    experiment: Experiment, component: str, report: Report | None = None
) -> Iterator[Report]:
    """Say once a second that this part lives, on a thread and a connection of its own."""
    said = report or Report()
    done = threading.Event()

    def beat() -> None:
        with producer_of(experiment, f"{component}-status") as producer:
            while True:
                values = {**said.values, **said.measure()}
                producer.put(Status(component, said.state, time.time(), values))
                if done.wait(HEARTBEAT_S):
                    return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield said
    finally:
        done.set()
        thread.join(2.0)


class Report:
    """What a part's heartbeat says; written by one thread, read by another.

    measure: asked at every beat for more values, on the heartbeat's thread; may set state first
    """

    def __init__(
        self,
        state: str = "starting",
        measure: Callable[[], dict[str, Scalar]] = dict,
    ) -> None:
        self.state = state
        self.measure = measure
        self.values: dict[str, Scalar] = {}


def serve_hub(experiment: Experiment, detector: bool, spool: Path | None = None) -> None:
    """Run the hub and, where wanted, the receiver of the detector's stream.

    spool: folder of what was taken; a hub that finds one there goes on from it
    """
    from ..stream.hub import Hub, HubConfig
    from ..stream.spool import SpoolConfig

    configure_logging()
    stop = stop_when_asked()
    network = experiment.network
    kept = None
    if spool is not None:
        kept = SpoolConfig(spool, network.spool_MB << 20, network.spool_keep_s)
    try:
        keys = load_server_keys(Path(network.keys)) if network.keys else None
    except KeysError as error:
        raise SystemExit(f"operando: network.keys: {error}") from None
    hub = Hub(
        HubConfig(
            network.items,
            network.live,
            window_bytes=network.window_MB << 20,
            spool=kept,
            keys=keys,
            live_keys=network.live_keys,
        )
    )
    hub.start()
    try:
        if detector:
            begun = [start for start in hub.open_scans if "detector_series" in start.notes]
            _receive(experiment, stop, begun[-1] if begun else None)
        else:
            stop.wait()
    finally:
        hub.stop()


def serve_receiver(experiment: Experiment) -> None:
    """Run the receiver alone; it goes on with a scan that one before it had begun."""
    from ..stream.open_scan import open_detector_scan

    configure_logging()
    stop = stop_when_asked()
    with subscriber_of(experiment, ("scan_start", "scan_stop", "status/hub")) as live:
        resume = open_detector_scan(live, stop)
    if not stop.is_set():
        _receive(experiment, stop, resume)


def _receive(experiment: Experiment, stop: threading.Event, resume: ScanStart | None) -> None:
    from ..stream.dectris_receiver import DectrisReceiver

    plan_holds = threading.Event()
    with (
        producer_of(experiment, "receiver", window=16) as producer,
        heartbeat(experiment, "receiver") as report,
        subscriber_of(experiment, ("status/plan",)) as live,
    ):
        receiver = DectrisReceiver(
            experiment.detector.stream,
            producer.put,
            version=experiment.detector.format,
            resume=resume,
            held=plan_holds.is_set,
        )

        def watch() -> None:
            while not stop.is_set():
                for message in live.poll(0.2):
                    if isinstance(message, Status) and message.state == "holding":
                        plan_holds.set()
                    elif isinstance(message, Status):
                        plan_holds.clear()
                heard = receiver.connected.is_set()
                report.state = "hears the detector" if heard else "starting"
                report.values = receiver.status()

        watcher = threading.Thread(target=watch, name="receiver-watch", daemon=True)
        watcher.start()
        try:
            receiver.run(stop)
        finally:
            stop.set()
            watcher.join()  # before its subscription is closed
        producer.flush(10.0)


def serve_recorder(experiment: Experiment, file: Path, to: Path) -> None:
    """Record everything until asked to end; then close and publish the file."""
    from ..stream.disk_watch import DiskWatch
    from ..stream.recorder import Recorder

    configure_logging()
    stop = stop_when_asked()
    member = member_of(experiment, "record", "all", "recorder", credit=32)
    disk = DiskWatch(to.absolute().parent, experiment.network.record_MB_s)
    recorder = Recorder(to, member, file.read_text(encoding="utf-8"), disk)
    report = Report()

    def measure() -> dict[str, Scalar]:
        values = disk.status()
        slow = "recording, the disk is slow" if "warning" in values else "recording"
        report.state = "waiting for room" if "held" in values else slow
        return values

    report.measure = measure
    try:
        with heartbeat(experiment, "recorder", report):
            recorder.run(stop)
    finally:
        recorder.close()
        member.close()


def serve_absorber(experiment: Experiment, findings: Path | None = None) -> None:
    """Put reductions together and publish results.

    findings: folder of what finished scans hand down to later ones
    """
    from ..consumers.absorber import Absorber
    from ..consumers.warm_up import warm_up

    require_own_cache()
    configure_logging()
    stop = stop_when_asked()
    configs = check_consumers(experiment, "experiment")
    warm_up(configs.items())
    member = member_of(experiment, "process", "absorb", "absorber", credit=64)
    try:
        settings = experiment.analysis
        memory_bytes = settings.memory_MB << 20
        Absorber(configs, settings.interval_s, findings, memory_bytes).run(member, stop)
    finally:
        member.close()


def serve_reducer(experiment: Experiment, name: str) -> None:
    """Reduce frames."""
    from ..consumers.reducer import Reducer
    from ..consumers.warm_up import warm_up

    require_own_cache()
    configure_logging()
    stop = stop_when_asked()
    configs = check_consumers(experiment, "experiment")
    warm_up(configs.items())
    member = member_of(experiment, "process", "reduce", name, credit=4)
    try:
        with heartbeat(experiment, name, Report("reducing")):
            Reducer(configs).run(member, stop)
    finally:
        member.close()


def serve_processing(experiment: Experiment) -> int:
    """Absorber and reducers of an experiment whose hub runs elsewhere, in one command.

    Ends when asked, with 0, or when a part stays down, with 1. Logs are kept in ./processing.
    """
    from .folder import RunFolder, write_resolved
    from .parts import Parts

    stop = stop_when_asked()
    folder = RunFolder(Path("processing").absolute())
    folder.path.mkdir(exist_ok=True)
    write_resolved(experiment, folder)
    parts = Parts(folder.logs, {})
    findings = ("--findings", str(folder.findings))
    parts.start("absorber", "absorb", str(folder.experiment), *findings, restart=True)
    for number in range(experiment.analysis.reducers):
        name = f"reducer-{number}"
        parts.start(name, "reduce", str(folder.experiment), "--name", name, restart=True)
    print(f"serving {experiment.network.items}, logs in {folder.logs}; Ctrl-C ends it", flush=True)
    try:
        while not stop.wait(0.5):
            for line in parts.look_after():
                print(line, flush=True)
            down = [part for part in parts.parts if part.process is None]
            if down:
                print(f"{down[0].name} stays down: {parts.tail(down[0])}", flush=True)
                return 1
    finally:
        parts.stop_all()
    return 0


def serve_window(network: Network, offscreen: bool, out: Path, every_s: float, theme: str) -> int:
    """Show the live window of the hub at network until it is closed; the exit code."""
    from ..live_views.main import watch

    configure_logging()
    on_supervisor_gone(lambda: os.kill(os.getpid(), signal.SIGTERM))
    keys = client_keys(network)
    source = LiveSubscriber(network.live, keys=keys if network.live_keys else None)

    def show(send: Callable[[Message], None] | None) -> int:
        return watch(
            network.live, offscreen=offscreen, out=out, every_s=every_s, theme=theme,
            send=send, source=source,
        )  # fmt: skip

    if not network.items:
        return show(None)
    with Producer(network.items, "window", keys=keys) as producer:

        def send(message: Message) -> None:
            producer.put(message, 1.0)

        return show(send)


def serve_sim(experiment: Experiment, truth: Path | None) -> None:
    """Serve the digital twin of an experiment with a simulation."""
    require_own_cache()
    use_epics(experiment)
    from ..sim.server import Prefixes, Simulation
    from ..sim.twin import Twin

    configure_logging()
    stop = stop_when_asked()
    clock = experiment.simulation.clock if experiment.simulation else 1.0
    with heartbeat(experiment, "sim") as report:
        simulation = Simulation(
            Twin(check_twin(experiment, "experiment")),
            clock=clock,
            rest_port=int(experiment.detector.rest.rsplit(":", 1)[1]),
            stream_address=experiment.detector.stream,
            ca_port=experiment.network.epics_port,
            prefixes=Prefixes(experiment.potentiostat.prefix, experiment.stage.prefix),
            truth_folder=truth,
            detector_faults=check_faults(experiment, "experiment"),
        )
        simulation.start()
        try:
            report.state = "serving"
            while not stop.wait(0.5):
                report.values = {"frames_per_s": round(simulation.frames_per_s, 1)}
        finally:
            simulation.stop()

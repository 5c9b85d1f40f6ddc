"""The parts of a run as processes: each joins the hub, does its one thing, and ends when asked."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from ..stream.curve_keys import ClientKeys, KeysError, load_client_keys, load_server_keys
from ..stream.link import HubUnreachable, insist
from ..stream.live import LiveSubscriber
from ..stream.members import Member, Producer
from ..stream.messages import Message, Scalar, ScanStart, Status
from .experiment import Experiment, Network
from .experiment_file import check_consumers, settings_checksum
from .folder import epics_environment
from .kernel_cache import require_own_cache
from .parts import on_supervisor_gone, stop_when_asked

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
# away from the hub for longer, a part hangs: frames take milliseconds to reduce, and the largest
# detector's geometry some seconds; a network disk that stalls for minutes is only slow
REDUCER_HANGS_S = 20.0
ABSORBER_HANGS_S = 60.0
RECORDER_HANGS_S = 300.0
ATTEMPT_S = 5.0  # at a put that is repeated; how soon a stop is noticed


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


def member_of(
    experiment: Experiment, group: str, role: str, name: str, credit: int, hung_after_s: float
) -> Member:
    """A member of a group of the hub of experiment."""
    network = experiment.network
    return Member(
        network.items, group, role, name, credit,
        keys=client_keys(network), hung_after_s=hung_after_s,
    )  # fmt: skip


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
        producer = producer_of(experiment, f"{component}-status")
        try:
            while True:
                values = {**said.values, **said.measure()}
                with suppress(HubUnreachable):  # the next one says it as well, when there is a hub
                    producer.put(Status(component, said.state, time.time(), values), HEARTBEAT_S)
                if done.wait(HEARTBEAT_S):
                    return
        finally:
            producer.close()

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

    spool: folder of what was taken; a hub that finds one there goes on from it. None = no spool
    """
    from ..stream.hub import Hub, HubConfig
    from ..stream.spool_room import SpoolConfig

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
    try:
        hub.start()
    except OSError as error:
        raise SystemExit(f"operando: the hub does not start: {error}") from None
    log.info("hub: %s", f"its spool is {spool}" if spool else "no spool, it keeps nothing on disk")
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
        put = partial(producer.put, timeout_s=ATTEMPT_S)
        receiver = DectrisReceiver(
            experiment.detector.stream,
            lambda message: insist(put, message, stop),  # waiting, it holds the detector back
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
    member = member_of(experiment, "record", "all", "recorder", 32, RECORDER_HANGS_S)
    disk = DiskWatch(to.absolute().parent, experiment.network.record_MB_s)
    recorder = Recorder(to, member, file.read_text(encoding="utf-8"), disk)
    report = Report()

    def measure() -> dict[str, Scalar]:
        values = disk.status()
        if recorder.trouble:
            values["held"] = recorder.trouble
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
    member = member_of(experiment, "process", "absorb", "absorber", 64, ABSORBER_HANGS_S)
    try:
        settings = experiment.analysis
        absorber = Absorber(
            configs, settings.interval_s, findings, settings.memory_MB << 20,
            settings_checksum(experiment),
        )  # fmt: skip
        absorber.run(member, stop)
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
    member = member_of(experiment, "process", "reduce", name, 4, REDUCER_HANGS_S)
    try:
        with heartbeat(experiment, name, Report("reducing")):
            Reducer(configs, settings_checksum(experiment)).run(member, stop)
    finally:
        member.close()


def serve_processing(experiment: Experiment) -> int:
    """Absorber and reducers of an experiment whose hub runs elsewhere, in one command.

    Ends when asked, with 0, or when a part stays down, with 1. Logs are kept in ./processing.
    """
    from .folder import RunFolder, write_resolved
    from .parts import Parts
    from .silence import Silence

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
    silence, hub = Silence(), None
    live = subscriber_of(experiment, ("status/hub",))
    try:
        while not stop.wait(0.5):
            hub = next((m for m in reversed(live.poll()) if isinstance(m, Status)), hub)
            for line in silence.end_silent(parts, hub) + parts.look_after():
                print(line, flush=True)
            down = [part for part in parts.parts if part.process is None]
            if down:
                print(f"{down[0].name} stays down: {parts.tail(down[0])}", flush=True)
                return 1
    finally:
        parts.stop_all()
        live.close()
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

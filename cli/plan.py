"""The part of a run that drives it: devices from the experiment file, the plan, its documents.

Runs in a process of its own, without Qt, on the main thread, so that Ctrl-C reaches the RunEngine.
Exit codes: 0 the plan ended, 130 it was stopped by a signal, 1 it failed. In every case the cell is
in its safe state (open circuit, if the file says nothing else) and the detector disarmed.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..stream.messages import Account, Scalar, Status
from ..stream.nexus import frames_dataset
from .experiment import Before, Experiment, Mark
from .experiment_file import check_twin
from .folder import epics_environment
from .parts import on_supervisor_gone
from .recommend import adaptive_of
from .serve import configure_logging, producer_of, subscriber_of

CONNECT_S = 20.0
READ_S = 10.0  # an IOC may hang for a moment; one that hangs for longer opens the cell by its lease
FLUSH_S = 10.0
KEPT_ACCOUNTS = 100
PLACE = ("mark", "marks", "marks_taken", "scan")  # of the plan's reports: where it stands

log = logging.getLogger(__name__)


def run_plan(experiment: Experiment, record: Path) -> int:
    """Run the experiment's plan to its end; the exit code.

    record: the run's NeXus file, for the documents that say where frames will be found
    """

    configure_logging()
    os.environ.update(epics_environment(experiment))

    from ophyd.signal import EpicsSignalBase

    from ..detectors.dectris import DectrisDetector
    from ..detectors.exposure import RunFile as FileOfScan
    from ..detectors.potentiostat import Limits, Potentiostat
    from ..detectors.stage import CentringStage, ScanStage
    from ..detectors.techniques import OpenCircuit, Potentiostatic
    from ..plans.backlog import Backlog
    from ..plans.cell_watch import CellWatch
    from ..plans.documents import DocumentPublisher
    from ..plans.engine import Stopped, make_engine, pause_on_signals, run_safely
    from ..plans.operando_tomography import operando_tomography
    from ..plans.outbox import Outbox
    from ..plans.position_watch import PositionWatch

    limits, safe_v = experiment.cell.limits, experiment.potentiostat.safe_voltage_V
    accounts = Accounts(experiment)
    uri = f"file://localhost{record.resolve()}"
    EpicsSignalBase.set_defaults(timeout=READ_S, connection_timeout=READ_S)
    potentiostat = Potentiostat(
        experiment.potentiostat.prefix,
        name="potentiostat",
        limits=Limits(*limits.voltage_V, limits.current_A, limits.charge_Ah, limits.temperature_C),
        lease_s=experiment.potentiostat.lease_s,
        safe=OpenCircuit() if safe_v is None else Potentiostatic(safe_v),
    )
    moves_sample = experiment.adaptive is not None and "roi" in experiment.adaptive.kinds
    stage_type = CentringStage if moves_sample else ScanStage
    stage = stage_type(experiment.stage.prefix, name="stage")
    detector = DectrisDetector(
        experiment.detector.rest,
        name="detector",
        version=experiment.detector.api,
        stream_format="legacy" if experiment.detector.format == "v1" else "cbor",
        run_file=lambda scan: FileOfScan(uri, frames_dataset(scan.number)),
        arrived=accounts.arrived,
        lost=accounts.lost,
    )
    for section, device in (("potentiostat", potentiostat), ("stage", stage)):
        try:
            device.wait_for_connection(timeout=CONNECT_S)
        except TimeoutError:
            print(
                f"operando: {section}.prefix: nobody serves {device.prefix}* within "
                f"{CONNECT_S:.0f} s: check the prefix and network.epics_addresses",
                flush=True,
            )
            return 1

    with producer_of(experiment, "plan", window=64) as producer, ExitStack() as stack:
        outbox = Outbox(producer.put)

        place: dict[str, Scalar] = {}  # a window opened after the end wants to know it, too

        def report(state: str, values: dict[str, Scalar]) -> None:
            place.update({key: values[key] for key in PLACE if key in values})
            outbox.put(Status("plan", state, time.time(), {**place, **values}))

        watch = CellWatch(potentiostat, outbox.put)
        places = PositionWatch(stage, outbox.put)
        weighed = adaptive_of(experiment, outbox)
        backlog = Backlog(
            lambda: subscriber_of(experiment, ("status/hub", "status/recorder")),
            experiment.network.spool_age_s,
        )
        engine = make_engine([DocumentPublisher(outbox.put), watch])
        on_supervisor_gone(lambda: os.kill(os.getpid(), signal.SIGINT))
        watch.start()
        places.start()
        backlog.start()
        if weighed is not None:
            weighed.listener.start()
        stack.enter_context(pause_on_signals(engine, last=True))  # also while the end is told
        try:
            plan = operando_tomography(
                potentiostat,
                stage,
                detector,
                **arguments(experiment),
                report=report,
                why_hold=backlog.why,
                account_of=accounts.of,
                adaptive=None if weighed is None else weighed.adaptive,
            )
            run_safely(engine, plan, potentiostat)
            code = 0
        except Stopped as stopped:
            log.warning("%s", stopped)
            report("stopped", {"reason": str(stopped)})
            code = 130
        except Exception as error:  # whatever it was: the cell is safe, the reason must be said
            log.exception("the plan failed")
            report("failed", {"reason": f"{type(error).__name__}: {error}"})
            code = 1
        finally:
            _last_samples(watch, potentiostat)
            places.stop()
            backlog.stop()
            if weighed is not None:
                weighed.listener.stop()
            outbox.close(FLUSH_S)
            accounts.close()
            potentiostat.destroy()
    return code


class Accounts:
    """The hub's accounts of the run's scans, the newest of each."""

    def __init__(self, experiment: Experiment) -> None:
        self._newest: dict[str, Account] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(experiment,), daemon=True)
        self._thread.start()

    def of(self, scan: str) -> Account | None:
        """The account of a scan; None for one that the hub has not heard of."""
        return self._newest.get(scan)

    def arrived(self, scan: str) -> int:
        """Frames of a scan that the hub has, or knows to be lost."""
        account = self.of(scan)
        return account.received + len(account.lost) if account is not None else 0

    def lost(self, scan: str) -> int:
        """Frames of a scan that are known to be lost."""
        account = self.of(scan)
        return len(account.lost) if account is not None else 0

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(2.0)

    def _listen(self, experiment: Experiment) -> None:
        with subscriber_of(experiment, ("account/",)) as subscriber:
            while not self._stop.is_set():
                for message in subscriber.poll(0.2):
                    if isinstance(message, Account):
                        self._newest[message.scan] = message
                        while len(self._newest) > KEPT_ACCOUNTS:
                            del self._newest[next(iter(self._newest))]


def _last_samples(watch: Any, potentiostat: Any) -> None:
    """Follow the cell until its own clock has moved on: the record ends with the state it is in."""
    try:
        before = potentiostat.time.get()
        deadline = time.monotonic() + 2.0
        while potentiostat.time.get() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)  # the monitors of the same tick
    except Exception as error:  # nobody answers: what is known must still be sent
        log.error("the cell's last state is not known: %s", error)
    finally:
        watch.stop()


def arguments(experiment: Experiment) -> dict[str, Any]:
    """The plan's arguments as the experiment file means them."""
    cell, scan = experiment.cell, experiment.scan
    lines, angles = scan.translations, scan.angles
    return {
        "marks": marks_of(experiment),
        "current_a": cell.current_A,
        "cutoff_v": cell.cutoff_V,
        "angles": angles.count,
        "order": angles.order.replace("-", "_"),
        "span_deg": angles.span_deg,
        "translations": lines.points,
        "step_um": (lines.stop_um - lines.start_um) / (lines.points - 1),
        "centre_um": 0.5 * (lines.start_um + lines.stop_um),
        "snake": scan.snake,
        "beam_um": scan.beam_um,
        "exposure_s": scan.exposure_s,
        "dwell_s": scan.exposure_s,
        "relaxation_s": scan.relaxation_s,
        "before": [_wide(each) for each in scan.before],
        "hold_limit_s": scan.hold_limit_s,
        "poni": _geometry(experiment),
        "technique": scan.technique,
        "notes": {"cell": cell.name},
        "md": {"title": experiment.title, "cell": cell.name},
    }


def _wide(before: Before) -> Any:
    from ..plans.wide_scans import WideScan

    lines = before.translations
    return WideScan(
        role=before.role,
        angles=before.angles.count,
        points=lines.points,
        step_um=(lines.stop_um - lines.start_um) / (lines.points - 1),
        centre_um=0.5 * (lines.start_um + lines.stop_um),
        order="sequential" if before.angles.order == "sequential" else "bit_reversed",
        exposure_s=before.exposure_s,
        dwell_s=before.exposure_s,
        beam_um=before.beam_um,
    )


def marks_of(experiment: Experiment) -> list[dict[str, float]]:
    """The marks of the file in the units of the plan."""
    return [_mark(mark) for mark in experiment.marks]


def _mark(mark: Mark) -> dict[str, float]:
    if mark.capacity_mAh is not None:
        return {"capacity_ah": mark.capacity_mAh * 1e-3}
    if mark.voltage_V is not None:
        return {"voltage_v": mark.voltage_V}
    return {"time_s": mark.time_s or 0.0}


def _geometry(experiment: Experiment) -> str:
    if experiment.geometry:
        return Path(experiment.geometry).read_text(encoding="utf-8")
    from ..sim.twin import Twin

    return Twin(check_twin(experiment, "experiment")).poni

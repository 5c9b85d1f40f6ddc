"""Check an experiment before anything moves: hardware, duration, data volume, this machine.

Predictions are simple sums, stated as such; what the machine can take is measured (measure.py).
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from .cautions import cautions_of
from .experiment import Experiment, duration_s
from .experiment_file import ExperimentError, check_twin
from .folder import epics_environment
from .kernel_cache import cache_fault
from .measure import disk_mb_s, existing, reduction, socket_mb_s

COMPRESSED_SHARE = 0.35  # of a uint16 frame of some counts a pixel, bitshuffle/LZ4
REACTION_S = 2.0  # from a spool's filling to a stage that stands: status, plan, end of a line
DEFAULT_SHAPE = (1679, 1475)  # a Pilatus 2M, where the detector cannot be asked


@dataclass(frozen=True, slots=True)
class Load:
    """What a run will ask of this machine.

    frame_bytes: a decoded frame; rate_hz: frames a second during a scan
    rescan_frames: the most that adaptive rescans may add
    """

    shape: tuple[int, int]
    frame_bytes: int
    rate_hz: float
    frames: int
    rescan_frames: int = 0

    @property
    def volume_gb(self) -> float:
        """What the record will take on disk [GB], an estimate."""
        frames = self.frames + self.rescan_frames
        return frames * self.frame_bytes * COMPRESSED_SHARE / 1e9

    @property
    def bandwidth_mb_s(self) -> float:
        """Compressed frames during a scan [MB/s], an estimate."""
        return self.rate_hz * self.frame_bytes * COMPRESSED_SHARE / 1e6


def faults_of(experiment: Experiment) -> list[str]:
    """Why the experiment cannot work as it is written, without reaching for anything."""
    from ..plans.marks import check_marks, parse_marks
    from .plan import marks_of

    faults = []
    cell = experiment.cell
    try:
        check_marks(parse_marks(marks_of(experiment)), cell.current_A, cell.cutoff_V)
    except ValueError as error:
        faults.append(f"marks: {error}")
    for place, mark in enumerate(experiment.marks):
        charge_ah = (mark.capacity_mAh or 0.0) * 1e-3
        if charge_ah > cell.limits.charge_Ah:
            faults.append(
                f"marks[{place}]: {charge_ah:g} A h is beyond limits.charge_Ah "
                f"{cell.limits.charge_Ah:g}: the potentiostat would open the cell first"
            )
        high = cell.limits.voltage_V[1]
        if mark.voltage_V is not None and mark.voltage_V >= high:
            faults.append(f"marks[{place}]: {mark.voltage_V} V is beyond limits.voltage_V {high}")
    faults += _adaptive_faults(experiment)
    try:
        check_twin(experiment, "experiment")
    except ExperimentError as error:
        faults.append(str(error))
    return faults


def _adaptive_faults(experiment: Experiment) -> list[str]:
    adaptive, scan = experiment.adaptive, experiment.scan
    if adaptive is None:
        return []
    faults = []
    if "stop" in adaptive.kinds and scan.angles.order == "sequential":
        faults.append(
            "adaptive.kinds: stop needs scan.angles.order bit-reversed or interlaced: "
            "a sequential scan that ends early lacks a whole wedge"
        )
    alone_s, budgets = duration_s(experiment)["scan_wall_s"], adaptive.budgets
    rescans = budgets.rescans > 0 and {"roi", "exposure"} & set(adaptive.kinds)
    if rescans and budgets.pause_s <= alone_s and "stop" not in adaptive.kinds:
        faults.append(
            f"adaptive.budgets.pause_s: {budgets.pause_s:g} s leave no room for a rescan, "
            f"the tomogram alone takes {alone_s:.0f} s"
        )
    return faults


def check_experiment(
    experiment: Experiment, say: Callable[[str], None], *, reach: bool, measure: bool
) -> bool:
    """Say what the experiment will do and need; False where it cannot work."""
    faults = faults_of(experiment)
    untrusted = cache_fault()
    faults += [untrusted] if untrusted else []
    say(f"ok    {experiment.title}: every key is known and in range")
    cell = experiment.cell
    say(
        f"ok    limits lie inside what the cell tolerates: {_span(cell.window_V)} V, "
        f"±{cell.window_A:g} A, ±{cell.window_Ah:g} A h, {_span(cell.window_C)} deg C"
    )
    for caution in cautions_of(experiment):
        say(f"WARN  {caution}")
    if experiment.simulation is None and reach:
        faults += _reach(experiment, say)
    elif experiment.simulation is not None:
        say("ok    dry run: the hardware is simulated, there is nothing to reach")
    load = _load(experiment, ask=reach and not faults)
    _say_duration(experiment, load, say)
    faults += _room(experiment, load, say) + _spool_room(experiment, load, say)
    if measure and not untrusted:
        faults += _measure(experiment, load, say)
    for fault in faults:
        say(f"FAULT {fault}")
    say("ready to run" if not faults else f"not ready: {len(faults)} fault(s)")
    return not faults


def _span(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g} to {pair[1]:g}"


def _load(experiment: Experiment, ask: bool) -> Load:
    twin = check_twin(experiment, "experiment")
    if twin is not None:
        shape = tuple(twin.shape)
    else:
        shape = _asked_shape(experiment) if ask else DEFAULT_SHAPE
    itemsize = np.dtype(twin.dtype).itemsize if twin is not None else 4
    frames = experiment.scan.frames() * len(experiment.marks) + experiment.scan.frames_before()
    return Load(
        (shape[0], shape[1]),
        shape[0] * shape[1] * itemsize,
        1 / min(_exposures_s(experiment)),
        frames,
        _rescan_frames(experiment) * len(experiment.marks),
    )


def _exposures_s(experiment: Experiment) -> list[float]:
    adaptive, scan = experiment.adaptive, experiment.scan
    own_s = [scan.exposure_s, *(wide.exposure_s for wide in scan.before)]
    finer = adaptive is not None and "roi" in adaptive.kinds and adaptive.budgets.rescans > 0
    return [*own_s, adaptive.roi.exposure_s] if adaptive is not None and finer else own_s


def _rescan_frames(experiment: Experiment) -> int:
    """The most that rescans may add to one pause, by their number and by their time."""
    adaptive = experiment.adaptive
    if adaptive is None:
        return 0
    sizes = [0]
    if "roi" in adaptive.kinds:
        sizes.append(adaptive.roi.points * adaptive.roi.angles)
    if "exposure" in adaptive.kinds:
        sizes.append(experiment.scan.frames())
    by_time = duration_s(experiment)["rescans_wall_s"] / min(_exposures_s(experiment))
    return min(adaptive.budgets.rescans * max(sizes), round(by_time))


def _asked_shape(experiment: Experiment) -> tuple[int, int]:
    from ..detectors.simplon import Simplon, SimplonError

    with closing(Simplon(experiment.detector.rest, experiment.detector.api)) as detector:
        try:
            rows = detector.get("detector", "config", "y_pixels_in_detector")
            columns = detector.get("detector", "config", "x_pixels_in_detector")
            return int(str(rows)), int(str(columns))
        except (SimplonError, ValueError):
            return DEFAULT_SHAPE


def _say_duration(experiment: Experiment, load: Load, say: Callable[[str], None]) -> None:
    times = duration_s(experiment)
    scan = experiment.scan
    say(
        f"plan  {len(experiment.marks)} pauses of {scan.angles.count} x "
        f"{scan.translations.points} = {scan.frames()} frames, {times['scan_wall_s']:.0f} s each"
    )
    for wide in scan.before:
        say(
            f"plan  before the discharge a {wide.role} scan of {wide.angles.count} x "
            f"{wide.translations.points} = {wide.frames()} frames, "
            f"{wide.frames() * wide.exposure_s:.0f} s"
        )
    if times["discharge_cell_s"]:
        last = f"last mark after at most {times['discharge_cell_s'] / 3600:.2f} h of discharge"
    else:
        last = "when a voltage is reached is not predicted"
    say(
        f"plan  {last}; {times['relaxation_cell_s'] / 60:.0f} min of rest; about "
        f"{times['wall_s'] / 60:.1f} min on the wall, without the way to the cut-off"
    )
    if experiment.adaptive is not None:
        budgets = experiment.adaptive.budgets
        say(
            f"plan  adaptive: at most {budgets.rescans} rescans a pause, at worst "
            f"{times['rescans_wall_s']:.0f} s more a pause and "
            f"{load.rescan_frames} frames more in all, approval {experiment.adaptive.approval}"
        )
    say(
        f"plan  {load.frames} frames of {load.shape[0]} x {load.shape[1]}, about "
        f"{load.volume_gb:.2f} GB on disk, {load.bandwidth_mb_s:.0f} MB/s during a scan"
    )


def _room(experiment: Experiment, load: Load, say: Callable[[str], None]) -> list[str]:
    """Whether the output folder can be written and has room for the run with a fifth to spare.

    The plan holds before the disk is full: for the sake of the spool, which lies there as well.
    """
    from ..stream.spool_room import HOLD_RESERVES, RESERVE_BYTES

    place = existing(Path(experiment.output))
    if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
        return [f"output: {place} cannot be written"]
    free_gb = shutil.disk_usage(place).free / 1e9
    hold_gb = HOLD_RESERVES * RESERVE_BYTES / 1e9
    need_gb = 1.2 * load.volume_gb + hold_gb
    if free_gb < need_gb:
        return [
            f"output: {free_gb:.1f} GB are free in {place}, {need_gb:.1f} needed: the plan holds "
            f"when {hold_gb:.1f} are left"
        ]
    say(f"ok    {free_gb:.0f} GB are free in {place}, {need_gb:.1f} needed")
    return []


def _spool_room(experiment: Experiment, load: Load, say: Callable[[str], None]) -> list[str]:
    """Whether the spool takes the line that is being flown when the plan decides to hold."""
    from ..plans.backlog import HOLD_ABOVE

    frames = experiment.scan.translations.points + REACTION_S * load.rate_hz
    need_mb = frames * load.frame_bytes * COMPRESSED_SHARE / (1 - HOLD_ABOVE) / 1e6
    if experiment.network.spool_MB < need_mb:
        return [
            f"network.spool_MB: {experiment.network.spool_MB} MB; {need_mb:.0f} needed, or a line "
            f"that begins when {100 * HOLD_ABOVE:.0f} % are full does not fit"
        ]
    say(f"ok    a spool of {experiment.network.spool_MB} MB, {need_mb:.0f} needed to hold in time")
    return []


def _reductions_room(experiment: Experiment, octets: int) -> list[str]:
    """Whether the spool takes the reductions of a whole scan, which it keeps until that is over."""
    from ..plans.backlog import HOLD_ABOVE

    frames = max(one.frames() for one in (experiment.scan, *experiment.scan.before))
    need_mb = frames * octets / HOLD_ABOVE / 1e6
    if experiment.network.spool_MB < need_mb:
        return [
            f"network.spool_MB: {experiment.network.spool_MB} MB; {need_mb:.0f} needed, or the "
            f"reductions of {frames} frames, {octets / 1e3:.0f} kB each, alone make the plan hold"
        ]
    return []


def _reach(experiment: Experiment, say: Callable[[str], None]) -> list[str]:
    from ..detectors.simplon import Simplon, SimplonError

    faults = []
    wires = experiment.detector
    with closing(Simplon(wires.rest, wires.api)) as detector:
        try:
            state = detector.get("detector", "status", "state")
            say(f"ok    detector at {wires.rest} answers: {state}")
        except SimplonError as error:
            faults.append(f"detector.rest: {error}")
    address = urlsplit(wires.stream)
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), 3.0):
            say(f"ok    detector stream {wires.stream} takes connections")
    except OSError as error:
        faults.append(
            f"detector.stream: {wires.stream} does not answer ({error}): enable the stream"
        )
    faults += _reach_epics(experiment, say)
    return faults


def _reach_epics(experiment: Experiment, say: Callable[[str], None]) -> list[str]:
    os.environ.update(epics_environment(experiment))
    import epics

    faults = []
    for section, prefix, name in (
        ("potentiostat", experiment.potentiostat.prefix, "STATE"),
        ("stage", experiment.stage.prefix, "FLY:STATE"),
    ):
        pv = epics.PV(prefix + name)
        if pv.wait_for_connection(timeout=3.0):
            say(f"ok    {section} {prefix}{name} = {pv.get(as_string=True)}")
        else:
            faults.append(
                f"{section}.prefix: nobody serves {prefix}{name}: check the prefix and "
                "network.epics_addresses"
            )
    return faults


def _measure(experiment: Experiment, load: Load, say: Callable[[str], None]) -> list[str]:
    faults = []
    try:
        disk = disk_mb_s(Path(experiment.output))
        needs = max(load.bandwidth_mb_s, experiment.network.record_MB_s)
        faults += _verdict("disk", disk, needs, "MB/s", say)
    except OSError as error:
        faults.append(f"output: {error}")
    wire = socket_mb_s(int(load.frame_bytes * COMPRESSED_SHARE))
    faults += _verdict("local sockets", wire, 3 * load.bandwidth_mb_s, "MB/s", say)
    measured = reduction(experiment, load.shape)
    if measured is None:
        say("plan  reduction is not measured: its geometry is not here")
    else:
        one, octets = measured
        faults += _reductions_room(experiment, octets)
        cores = os.cpu_count() or 1
        workers = min(experiment.analysis.reducers, cores)
        faults += _verdict(
            f"reduction by {workers} of {cores} cores", one * workers, load.rate_hz, "frames/s", say
        )
    return faults


def _verdict(
    what: str, has: float, needs: float, unit: str, say: Callable[[str], None]
) -> list[str]:
    line = f"{what}: {has:.0f} {unit} measured, {needs:.0f} needed"
    if has < needs:
        return [line + ": lengthen scan.exposure_s or use a faster machine"]
    say(f"ok    {line}" + ("" if has > 1.5 * needs else " (little to spare)"))
    return []

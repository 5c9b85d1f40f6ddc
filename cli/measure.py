"""What this machine takes, measured here and now for about a second each: disk, socket, reducer."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import zmq

from ..stream.compression import checksum as checksum_of
from ..stream.compression import decode, encode
from ..stream.messages import Axis, Detector, Frame, ScanStart, Trajectory
from .experiment import Experiment
from .experiment_file import check_consumers, check_twin

DISK_MB = 64
PROBE_S = 1.0


def existing(folder: Path) -> Path:
    """The nearest parent of folder that exists, or itself."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


def disk_mb_s(folder: Path) -> float:
    """Writing and syncing a file in folder, or in the nearest parent that exists [MB/s]."""
    block = np.random.default_rng(1).bytes(1 << 20)
    with tempfile.TemporaryFile(dir=existing(folder)) as file:
        began = time.perf_counter()
        for _ in range(DISK_MB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return DISK_MB / (time.perf_counter() - began)


def socket_mb_s(message_bytes: int) -> float:
    """PUSH to PULL between two threads over ipc [MB/s]."""
    count = max(20, min(500, int(300e6 / max(message_bytes, 1))))
    payload = bytes(message_bytes)
    with (
        tempfile.TemporaryDirectory(prefix="operando-") as folder,
        zmq.Context() as context,
        context.socket(zmq.PULL) as pull,
        context.socket(zmq.PUSH) as push,
    ):
        push.sndhwm = pull.rcvhwm = 8
        pull.bind(f"ipc://{folder}/probe")
        push.connect(f"ipc://{folder}/probe")
        sender = threading.Thread(
            target=lambda: [push.send(payload, copy=False) for _ in range(count)]
        )
        began = time.perf_counter()
        sender.start()
        for _ in range(count):
            pull.recv(copy=False)
        spent = time.perf_counter() - began
        sender.join()
    return count * message_bytes / 1e6 / spent


def reduction(experiment: Experiment, shape: tuple[int, int]) -> tuple[float, int] | None:
    """Frames a second that one reducer decodes and reduces, and the size of each reduction [B].

    None without a geometry.
    """
    from ..consumers.reducer import Reducer
    from ..stream.packing import pack

    start = _start(experiment, shape)
    if start is None:
        return None
    dtype = start.detector.dtype
    pixels = np.random.default_rng(1).poisson(6.0, shape).astype(dtype)
    data = encode(pixels, "bslz4")
    frame = Frame(start.scan, 0, shape, dtype, "bslz4", data, checksum_of(data))
    decode(frame)
    reducer = Reducer(check_consumers(experiment, "experiment"))
    reducer.take(start)
    reduced = reducer.take(frame)
    octets = sum(len(part) for part in pack(reduced)) if reduced is not None else 0
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < PROBE_S:
        reducer.take(frame)
        count += 1
    return count / (time.perf_counter() - began), octets


def _start(experiment: Experiment, shape: tuple[int, int]) -> ScanStart | None:
    if experiment.simulation is not None:
        from ..sim.twin import Twin

        twin = Twin(check_twin(experiment, "experiment"))
        detector, poni, energy = twin.detector, twin.poni, twin.energy_ev
    elif experiment.geometry:
        poni, energy = Path(experiment.geometry).read_text(encoding="utf-8"), float("nan")
        detector = Detector("probe", shape, "uint32", (172e-6, 172e-6), 2**31)
    else:
        return None
    translations = experiment.scan.translations
    line = np.linspace(translations.start_um, translations.stop_um, translations.points)
    trajectory = Trajectory(
        (2, translations.points),
        (
            Axis("rotation", "deg", np.repeat([0.0, 90.0], translations.points)),
            Axis("translation", "um", np.tile(line, 2)),
        ),
    )
    return ScanStart(
        "probe", "probe", 1, experiment.scan.technique, 2 * translations.points, detector,
        trajectory, poni, energy, experiment.scan.exposure_s, None, 0.0,
    )  # fmt: skip

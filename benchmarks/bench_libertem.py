"""A detector's stream to sums of frames, against LiberTEM-live; its simulator sends to both.

Each contender has a simulator of its own with the same series, arms it by its own REST interface,
and is timed from there to the result. LiberTEM-live has its usual workers, one a core; ours has
its receiver and a thread a core in one process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from operando.stream import compression
from operando.stream.dectris_receiver import DectrisReceiver
from operando.stream.messages import Frame, Message, ScanStop

from . import ours
from .harness import Absent, Agreement, Comparison, Contender
from .libertem_source import SHAPE, frame_of, pixels
from .machine import this_machine, version_of
from .peers_pyfai import pixel_widths

ROOT = Path(__file__).resolve().parents[1]
DIFFERENT = 16
MASKS = 64
PIXEL_M = 75e-6
PONI = (
    "poni_version: 2\nDetector: Detector\n"
    f"Detector_config: {json.dumps({'pixel1': PIXEL_M, 'pixel2': PIXEL_M})}\n"
    "Distance: 0.2\nPoni1: 0.0192\nPoni2: 0.0192\nWavelength: 2.47968e-11\n"
)
Q_RANGE = (0.01, 2.6)
WAIT_S = 60.0
IN_FLIGHT = 16


def libertem(quick: bool) -> Iterator[Comparison]:
    """Stream of 512 x 512 frames to their sum, and to 64 ring masks a frame."""
    frames = 256 if quick else 1024
    powder = ours.Powder(ours.scan_start(SHAPE, "uint16", (PIXEL_M, PIXEL_M), PONI), Q_RANGE, MASKS)
    ring, width = powder.rings(), pixel_widths(PONI, SHAPE)
    wide = np.bincount(ring, width, MASKS + 1)[:MASKS]
    mean = powder.mean()

    def ring_sums(image: Any) -> NDArray[np.float64]:
        return mean(image).values * wide

    with ExitStack() as stack:
        try:
            live: _LibertemLive | None = stack.enter_context(_libertem_live(frames, ring))
            reason = ""
        except (ImportError, _SourceError) as error:
            live, reason = None, str(error)
        name = "LiberTEM-live"
        receiver = stack.enter_context(_receiver(frames)) if live is not None else None
        for work, image, theirs, expected in (
            ("the sum of 512 x 512 frames", None, "sum", _sum(frames)),
            ("64 ring masks on 512 x 512 frames", ring_sums, "masks", _rings(frames, ring)),
        ):
            mine: Contender | Absent = Absent("operando", f"absent: {reason}")
            peer: Contender | Absent = Absent(name, reason)
            if live is not None and receiver is not None:
                mine = Contender(
                    "operando", ours.version(), _mine(receiver, image), scale=1 / frames
                )
                peer = Contender(
                    name, version_of("LiberTEM-live"), _theirs(live, theirs), scale=1 / frames
                )
            yield Comparison(
                work=f"DECTRIS V1 stream to {work}, a frame",
                ours=mine,
                peers=[peer],
                agree=_both(expected),
                rounds=3 if quick else 9,
                threads=this_machine().cores,
            )


def _mine(receiver: _Receiver, reduce: Callable[[Any], Any] | None) -> Callable[[int], Any]:
    return lambda _: receiver.acquire(reduce)


def _theirs(live: _LibertemLive, what: str) -> Callable[[int], Any]:
    return lambda _: live.acquire(what)


def _sum(frames: int) -> Any:
    shown = pixels(DIFFERENT).astype(np.int64)
    return sum(shown[frame_of(index, DIFFERENT)] for index in range(frames))


def _rings(frames: int, ring: NDArray[np.int64]) -> Any:
    sums = np.array([np.bincount(ring, p.ravel(), MASKS + 1)[:MASKS] for p in pixels(DIFFERENT)])
    return np.array([sums[frame_of(index, DIFFERENT)] for index in range(frames)])


def _both(expected: Any) -> Callable[[Any, Any], Agreement]:
    def agree(mine: Any, theirs: Any) -> Agreement:
        away = [float(np.abs(each / expected - 1).max()) for each in (mine, theirs)]
        said = f"ours {away[0]:.0e}, peer's {away[1]:.0e} from the truth at most, relative"
        return Agreement(max(away) < 1e-5, said)

    return agree


class _SourceError(RuntimeError):
    """The simulator did not come up."""


@contextmanager
def _source(frames: int) -> Iterator[dict[str, int]]:
    """LiberTEM-live's simulator in a process of its own; its ports."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "benchmarks.libertem_source", "--frames", str(frames),
            "--different", str(DIFFERENT),
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line.startswith("{"):
            said = process.stderr.read() if process.stderr is not None else ""
            raise _SourceError((said.strip().splitlines() or ["its simulator did not start"])[-1])
        # it reports every request there: nobody reads it, and a full pipe would hold it up
        threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
        ports: dict[str, int] = json.loads(line)
        yield ports
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _drain(pipe: Any) -> None:
    for _ in pipe:
        pass


class _LibertemLive:
    """A connection of LiberTEM-live to its simulator."""

    def __init__(self, context: Any, connection: Any, frames: int, ring: NDArray[np.int64]) -> None:
        from libertem.udf.masks import ApplyMasksUDF
        from libertem.udf.sum import SumUDF

        masks = np.array([(ring == b).reshape(SHAPE) for b in range(MASKS)], np.float32)
        self._udfs = {
            "sum": (SumUDF(), "intensity"),
            "masks": (
                ApplyMasksUDF(
                    lambda: masks, mask_count=MASKS, mask_dtype=np.float32, use_torch=False
                ),
                "intensity",
            ),
        }
        self._context, self._connection, self._frames = context, connection, frames

    def acquire(self, what: str) -> Any:
        """Arm, take the series in, reduce it."""
        udf, channel = self._udfs[what]
        side = round(self._frames**0.5)
        acquisition = self._context.make_acquisition(
            conn=self._connection,
            nav_shape=(side, self._frames // side),
            controller=self._connection.get_active_controller(trigger_mode="exte"),
        )
        found = self._context.run_udf(dataset=acquisition, udf=udf)[channel].data
        return found if what == "sum" else found.reshape(self._frames, MASKS)


@contextmanager
def _libertem_live(frames: int, ring: NDArray[np.int64]) -> Iterator[_LibertemLive]:
    from libertem_live.api import LiveContext

    with _source(frames) as ports, LiveContext() as context:
        opened = context.make_connection("dectris").open(
            api_host="127.0.0.1",
            api_port=ports["api"],
            data_host="127.0.0.1",
            data_port=ports["data"],
            buffer_size=512,
        )
        with opened as connection:
            yield _LibertemLive(context, connection, frames, ring)


class _Receiver:
    """Our receiver on a simulator of its own, and threads that decode and reduce."""

    def __init__(self, ports: dict[str, int], frames: int) -> None:
        from libertem_live.detectors.dectris.DEigerClient import DEigerClient

        self._detector = DEigerClient("127.0.0.1", port=ports["api"])
        self._frames = frames
        self._pool = ThreadPoolExecutor(this_machine().cores)
        self._room = threading.Semaphore(IN_FLIGHT)
        self._done = threading.Event()
        self._own = threading.local()
        self._sums: list[NDArray[np.int64]] = []
        self._rows: NDArray[np.float64] | None = None
        self._reduce: Callable[[Any], Any] | None = None
        self._receiver = DectrisReceiver(
            f"tcp://127.0.0.1:{ports['data']}", self._put, version="v1"
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receiver.run, args=(self._stop,), daemon=True)
        self._thread.start()
        if not self._receiver.connected.wait(WAIT_S):
            raise _SourceError("our receiver does not hear the simulator")

    def acquire(self, reduce: Callable[[Any], Any] | None) -> Any:
        """Arm, take the series in, sum it, or reduce every frame."""
        self._reduce, self._sums, self._own = reduce, [], threading.local()
        self._rows = None if reduce is None else np.empty((self._frames, MASKS))
        self._done.clear()
        self._detector.sendDetectorCommand("arm")
        if not self._done.wait(WAIT_S):
            raise _SourceError("the series did not end")
        for _ in range(IN_FLIGHT):
            self._room.acquire()
        self._room.release(IN_FLIGHT)
        return sum(self._sums) if self._rows is None else self._rows

    def close(self) -> None:
        """End receiver and threads."""
        self._stop.set()
        self._thread.join(5)
        self._pool.shutdown()

    def _put(self, message: Message) -> None:
        if isinstance(message, Frame):
            self._room.acquire()
            self._pool.submit(self._work, message)
        elif isinstance(message, ScanStop):
            self._done.set()

    def _work(self, frame: Frame) -> None:
        try:
            image = compression.decode(frame)
            if self._reduce is not None and self._rows is not None:
                self._rows[frame.index] = self._reduce(image)
                return
            total = getattr(self._own, "total", None)
            if total is None:
                total = self._own.total = np.zeros(SHAPE, np.int64)
                self._sums.append(total)
            np.add(total, image, out=total)
        finally:
            self._room.release()


@contextmanager
def _receiver(frames: int) -> Iterator[_Receiver]:
    with _source(frames) as ports:
        receiver = _Receiver(ports, frames)
        try:
            yield receiver
        finally:
            receiver.close()

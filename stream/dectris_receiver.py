"""A DECTRIS detector's stream in, ScanStart, Frame and ScanStop out.

Policy:
- Only images of the one open series are handed on, each once. Everything else is counted and
  dropped: images before a start or after a stop (a detector sends them after an abort), of another
  series, repeated ones. One that comes again with other content is named; the first is kept.
- A damaged image is lost by its index and the reason; it costs no other image.
- A start while a series is open closes the old one as "aborted".
- A receiver that takes over from one that was killed is told the scan that was open (resume): what
  the detector sends of that series is taken; what died with the former is lost by index, and said.
  Its end may have died with the former too: long silence ends it, unless the scan is being held.
- Bytes that are no stream at all are counted, and logged once for each kind. Nothing that arrives
  can end run(); what put() raises does, because then nobody takes the frames.
- Memory is bounded by the socket's high-water mark, the size of a message and the number of parts.
  A blocked put() leaves images at the detector, which drops them when its own buffer is full: then
  they are missing by index.
- No ZMTP heartbeats: without acknowledgements they turn a pulled cable from a pause into a loss.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import zmq

from . import dectris_series, dectris_v1, dectris_v2
from .dectris_series import End, Image, ImageError, Start, StreamError
from .line_monitor import LineMonitor
from .messages import Message, Scalar, ScanStart
from .series_account import OTHER_CONTENT, SeriesAccount, taken_over

Version = Literal["v1", "v2", "auto"]
_log = logging.getLogger(__name__)

_TICK_MS = 50  # how soon stop, abort and the grace time are noticed on a silent line
_BATCH = 64  # messages taken before looking at those again
_MAX_PARTS = (
    32  # a V1 header has nine; 200,000 small parts would pass the limit of each part's size
)
_REMEMBERED_SCANS = 1000
_RESUMED_SILENT_S = 30.0  # a series taken over whose end may have died with the former receiver


@dataclass(slots=True)
class Counters:
    """What a receiver has seen.

    messages: ZeroMQ messages of any kind
    frames: handed on
    duplicates: images that came again; conflicts: those of them whose content was another
    strays: images and ends of no open series
    scans, ends: series begun, and ends announced by the detector
    rejected: kind of fault -> how often; damaged images are among them
    """

    messages: int = 0
    frames: int = 0
    duplicates: int = 0
    conflicts: int = 0
    strays: int = 0
    scans: int = 0
    ends: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


class DectrisReceiver:
    """Receives from one detector; run() belongs to one thread, abort() may come from any.

    address: where the detector's PUSH socket is bound; several for several connections
    put: takes our messages; may block, which holds the detector back
    version: of the stream; "auto" looks at each message
    channel: which threshold's images to take; "" the first
    grace_s: how long after the end message, without any progress, missing images are waited for
    resume: the scan that a receiver before this one had begun and not ended
    held: whether the scan is being held, so that silence is no end
    high_water: messages in the socket's queue
    connected: set while a connection to every address stands
    """

    def __init__(
        self,
        address: str | Sequence[str],
        put: Callable[[Message], None],
        *,
        version: Version = "auto",
        channel: str = "",
        grace_s: float = 2.0,
        resume: ScanStart | None = None,
        held: Callable[[], bool] = bool,
        high_water: int = 16,
        max_message_bytes: int = 256 << 20,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        if version not in ("v1", "v2", "auto"):
            raise ValueError(f"stream version {version!r} is none of v1, v2, auto")
        self.addresses = (address,) if isinstance(address, str) else tuple(address)
        self.connected = threading.Event()
        self.counters = Counters()
        self._put = put
        self._version = version
        self._channel = channel
        self._grace_s = grace_s
        self._held = held
        self._high_water = high_water
        self._max_message_bytes = max_message_bytes
        self._context = context or zmq.Context.instance()
        self._parts = dectris_v1.PartsReader()
        self._open: SeriesAccount | None = None
        self._in_conflict: SeriesAccount | None = None  # until the next series begins
        self._pending: Start | None = None  # a V1 header without details, until its first image
        self._scans: deque[str] = deque(maxlen=_REMEMBERED_SCANS)
        self._logged: set[str] = set()
        if resume is not None:
            self._open = taken_over(resume, time.monotonic())
            self._scans.append(resume.scan)
        self._abort_reason = ""
        self._abort = threading.Event()

    def status(self) -> dict[str, Scalar]:
        """For a Status: what has come, and what was dropped, by kind; any thread may ask."""
        counters, series = self.counters, self._in_conflict
        values: dict[str, Scalar] = {
            "frames": counters.frames,
            "duplicates": counters.duplicates,
            "conflicts": counters.conflicts,
            "strays": counters.strays,
            "rejected": sum(counters.rejected.copy().values()),
        }
        for kind, count in counters.rejected.copy().items():
            values[f"rejected: {kind}"] = count
        if series is not None:
            values["warning"] = f"scan {series.start.number}: {series.conflict}"
        return values

    def abort(self, reason: str = "aborted") -> None:
        """Close the open scan, if there is one; what still comes of it is dropped."""
        self._abort_reason = reason
        self._abort.set()

    def run(self, stop: threading.Event) -> None:
        """Receive until stop is set. Raises what put() raises, nothing else."""
        socket = self._context.socket(zmq.PULL)
        lines = LineMonitor(socket)
        try:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, self._high_water)
            socket.setsockopt(zmq.MAXMSGSIZE, self._max_message_bytes)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
            for address in self.addresses:
                lines.connect(address)
            self._loop(socket, lines, stop)
            self._close("failed: the receiver was stopped", "the receiver was stopped")
        finally:
            self.connected.clear()
            lines.close()
            socket.close(linger=0)

    def _loop(self, socket: zmq.Socket[bytes], lines: LineMonitor, stop: threading.Event) -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(lines.socket, zmq.POLLIN)
        while not stop.is_set():
            ready = dict(poller.poll(_TICK_MS))
            if lines.socket in ready:
                lines.read(time.monotonic())
            self._watch(lines)
            if socket in ready:
                self._receive(socket)
            if self._abort.is_set():
                self._abort.clear()
                self._close(self._abort_reason, "aborted before it arrived")
            # Only a silent line lets time run out: a slow put() is no silence of the detector
            if socket not in ready:
                self._close_if_finished()

    def _watch(self, lines: LineMonitor) -> None:
        if lines.standing >= len(self.addresses):
            self.connected.set()
        else:
            self.connected.clear()
        for address in lines.revive(time.monotonic()):
            self._reject(
                "line given up",
                f"connection to {address} was dropped, by a message of over "
                f"{self._max_message_bytes} bytes or something that is no ZeroMQ; connected anew",
            )

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(_BATCH):
            try:
                parts = [socket.recv(zmq.DONTWAIT, copy=False)]
            except zmq.Again:
                return
            count = 1
            while socket.getsockopt(zmq.RCVMORE):
                part = socket.recv(copy=False)
                count += 1
                if count <= _MAX_PARTS:
                    parts.append(part)
            self.counters.messages += 1
            if count > _MAX_PARTS:
                self._reject("too many parts", f"a message of {count} parts")
                continue
            self._message([part.buffer for part in parts])

    def _message(self, parts: list[memoryview]) -> None:
        for item in self._items(parts):
            if isinstance(item, Start):
                self._start(item)
            elif isinstance(item, Image):
                self._image(item)
            elif isinstance(item, End):
                self._end(item)
            elif isinstance(item, ImageError):
                self._damaged(item)
            else:
                self._reject(item.kind, str(item))

    def _items(self, parts: list[memoryview]) -> Sequence[Start | Image | End | StreamError]:
        v1 = len(parts) > 1 or bytes(parts[0][:1]) == b"{"
        # A stray V1 part that announces a blob must not swallow the start of a V2 series
        v1 = v1 or (self._parts.expects_blob and parts[0][:3] != dectris_v2.SELF_DESCRIBED)
        try:
            if self._version == "v1" or (self._version == "auto" and v1):
                return self._parts.read(parts)
            if len(parts) > 1:
                raise StreamError("not CBOR", f"a message of {len(parts)} parts, V2 has one")
            return [dectris_v2.parse(parts[0], self._channel)]
        except StreamError as error:
            return [error]
        except Exception as error:  # a hole in a parser must not cost the scan
            _log.exception("a message of %d parts could not be read", len(parts))
            return [StreamError("reader failed", f"{type(error).__name__}: {error}")]

    def _start(self, start: Start) -> None:
        current = self._open
        # a detector that was started anew counts its series from 1 again: their names tell them
        if current is not None and start.unique and start.unique == current.unique:
            self.counters.duplicates += 1
            return
        self._close("aborted", "aborted: the next series began")
        if start.shape is None:
            self._pending = start
            return
        self._open_series(start)

    def _open_series(self, start: Start) -> None:
        self._pending = None
        for warning in start.warnings:
            self._reject("header warning", f"series {start.series}: {warning}")
        try:
            scan = dectris_series.scan_start(start, set(self._scans))
        except StreamError as error:
            self._reject(error.kind, str(error))
            return
        except Exception as error:  # as in _items: a hole in a parser must not end run()
            _log.exception("start of series %d could not be used", start.series)
            self._reject("reader failed", f"{type(error).__name__}: {error}")
            return
        self.counters.scans += 1
        self._in_conflict = None
        self._scans.append(scan.scan)
        self._put(scan)
        self._open = SeriesAccount(start.series, start.unique, scan, time.monotonic())

    def _image(self, image: Image) -> None:
        pending = self._pending
        if pending is not None and pending.series == image.series:
            name = np.dtype(image.dtype).name
            self._open_series(dataclasses.replace(pending, shape=image.shape, dtype=name))
        series = self._open
        if series is None or not series.matches(image.series, image.unique):
            self._stray()
            self._log_once("stray", f"image {image.index} of series {image.series} is of no scan")
            return
        if not series.announced(image.index):
            self._reject(
                "not announced",
                f"image {image.index} of series {image.series}, "
                f"which announced {series.start.frames}",
            )
            return
        if series.has(image.index):
            self._again(image, series)
            return
        try:
            self._check_form(image, series)
            frame = dectris_series.frame(image, series.start.scan)
        except ImageError as error:
            self._damaged(error)
            return
        self._put(frame)
        self.counters.frames += 1
        series.accept(image.index, frame.checksum, time.monotonic())
        self._close_if_finished()

    def _again(self, image: Image, series: SeriesAccount) -> None:
        try:
            self._check_form(image, series)
            checksum: int | None = dectris_series.frame(image, series.start.scan).checksum
        except ImageError:
            checksum = None
        self._came_again(image.index, checksum, series)

    def _came_again(self, index: int, checksum: int | None, series: SeriesAccount) -> None:
        self.counters.duplicates += 1
        if series.again(index, checksum):
            return
        self.counters.conflicts += 1
        if series is not self._in_conflict:
            self._in_conflict = series
            _log.warning(
                "image %d of series %d %s (further ones of this series are only counted)",
                *(index, series.series, OTHER_CONTENT),
            )

    def _stray(self) -> None:
        self.counters.strays += 1
        if self._open is not None:
            self._open.dropped["image of another series"] += 1

    def _check_form(self, image: Image, series: SeriesAccount) -> None:
        detector = series.start.detector
        name = np.dtype(image.dtype).name
        for kind, came, needed in (
            ("wrong shape", str(image.shape), str(detector.shape)),
            ("wrong dtype", name, detector.dtype),
        ):
            if came != needed:
                reason = f"it is {came}, the series announced {needed}"
                raise ImageError(image.series, image.index, kind, reason)

    def _damaged(self, error: ImageError) -> None:
        series = self._open
        if series is None or not series.matches(error.series, ""):
            self._stray()
            return
        if series.announced(error.index) and series.has(error.index):
            self._came_again(error.index, None, series)
            return
        scan = series.start.scan
        self._reject(error.kind, f"frame {error.index} of scan {scan} is lost: {error}")
        if series.announced(error.index):
            series.damage(error.index, str(error), time.monotonic())
            self._close_if_finished()

    def _end(self, end: End) -> None:
        self.counters.ends += 1
        if self._open is not None and self._open.matches(end.series, end.unique):
            self._open.end(time.monotonic())
            self._close_if_finished()
        elif self._pending is not None and self._pending.series == end.series:
            self._pending = None

    def _close_if_finished(self) -> None:
        series, now = self._open, time.monotonic()
        if series is None:
            return
        if series.resumed and not series.ended and self._held():
            series.held(now)
        if series.finished(now, self._grace_s):
            self._close("complete")
        elif series.resumed and series.silent_s(now) > _RESUMED_SILENT_S:
            self._close("failed: silence after the receiver was started again")

    def _close(self, reason: str, missing: str = "") -> None:
        series, self._open = self._open, None
        self._pending = None
        if series is not None:
            self._put(series.stop(reason, missing) if missing else series.stop(reason))

    def _reject(self, kind: str, reason: str) -> None:
        self.counters.rejected[kind] = self.counters.rejected.get(kind, 0) + 1
        if self._open is not None:
            self._open.dropped[f"message that was rejected: {kind}"] += 1
        self._log_once(kind, reason)

    def _log_once(self, kind: str, reason: str) -> None:
        if kind not in self._logged:
            self._logged.add(kind)
            _log.warning("%s (further ones of this kind are only counted): %s", kind, reason)

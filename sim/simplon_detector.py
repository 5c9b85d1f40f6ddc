"""The simulated detector itself: it is armed, takes pulses, exposes the twin, streams frames.

Two threads overlap making a frame (the twin's kernels run without the interpreter's lock) with
compressing and sending the one before. Between them and the pulses stand short queues: where the
stream is not fetched, or the twin is slow, pulses wait. A real detector would drop; a simulation
that drops proves nothing, so it is lossless and reports the rate it reached.

States as the vendor's: na -> initialize -> idle -> arm -> ready -> acquire -> (last frame sent) ->
idle.
"""

from __future__ import annotations

import functools
import logging
import math
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ..stream.compression import encode
from ..stream.dectris_emitter import DectrisEmitter, EmitterBlocked
from ..stream.dectris_faults import Misbehaviour
from ..stream.dectris_series import Start
from ..stream.description import DescriptionError, from_json
from .simplon_parameters import (
    READOUT_TIME_S,
    Parameter,
    Value,
    detector_config,
    stream_config,
)
from .twin import Twin

_log = logging.getLogger(__name__)
_QUEUE = 4  # frames waiting for the twin, and again for the compressor
_SEND_TIMEOUT_S = 0.5
_STOP_TIMEOUT_S = 5.0
_LAST = -2  # in place of a frame's index: the series ends here


class NotNow(RuntimeError):
    """A command that does not fit the detector's state."""


@dataclass(slots=True)
class _Series:
    """One arming. triggered and sent count frames; closed: no further pulse is taken."""

    number: int
    scan: int
    start: Start
    streamed: bool
    compression: str
    images_per_trigger: int
    triggered: int = 0
    sent: int = 0
    closed: bool = False
    armed_at: float = field(default_factory=time.monotonic)
    given_up: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


_Pulse = tuple[_Series, int, float, float]  # series, frame, rotation [deg], translation [um]
_Pixels = tuple[_Series, int, NDArray[np.generic] | None]  # None ends the series


class SimulatedDetector:
    """An EIGER2-like detector looking at a twin. Thread-safe."""

    def __init__(
        self,
        twin: Twin,
        stream_address: str,
        scan_begins: Callable[[int], None] | None = None,
        stage: Callable[[], tuple[float, float]] | None = None,
        faults: Misbehaviour | None = None,
        initialized: bool = True,
    ) -> None:
        """scan_begins: called at arm with the scan's number; default the twin's begin_scan.
        stage: where the stage stands (rotation [deg], translation [um]), for internal triggers
        faults: what its stream does wrong
        initialized: False: it has only just been switched on
        """
        self.twin = twin
        self._scan_begins = scan_begins or twin.begin_scan
        self._stage = stage or (lambda: (0.0, 0.0))
        shown = twin.detector
        self.detector: dict[str, Parameter] = detector_config(
            shown.shape,
            8 * np.dtype(shown.dtype).itemsize,
            shown.pixel_m,
            twin.energy_ev,
            int(shown.saturation),
        )
        self.stream: dict[str, Parameter] = stream_config()
        # which version it speaks is decided anew at each arm, by the stream's parameter `format`
        self.emitter = DectrisEmitter(
            stream_address, "v1", timeout_s=_SEND_TIMEOUT_S, misbehaviour=faults
        )
        self.dropped = 0
        self.frames_sent = 0
        self.frames_per_s = math.nan  # of the last series
        self._state = "idle" if initialized else "na"
        self._number = 0
        self._series: _Series | None = None
        self._lock = threading.RLock()
        self._quit = threading.Event()
        self._pulses: queue.Queue[_Pulse | None] = queue.Queue(_QUEUE)
        self._pixels: queue.Queue[_Pixels | None] = queue.Queue(_QUEUE)
        self._threads = [
            threading.Thread(target=self._expose, name="expose", daemon=True),
            threading.Thread(target=self._send, name="stream", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- what the REST interface calls ----------------------------------------------------------

    @property
    def state(self) -> str:
        """ "na", "idle", "ready", "acquire" or "error"."""
        return self._state

    def write(self, parameters: dict[str, Parameter], name: str, value: object) -> list[str]:
        """Write one parameter; the names of all that changed. Raises Refused, NotNow."""
        with self._lock:
            if self._series is not None and parameters is self.detector:
                raise NotNow(f"{name} cannot be changed while the detector is {self._state}")
            parameters[name].write(value)
            changed = [name]
            if parameters is self.detector:
                changed += self._follow(name)
            return changed

    def _follow(self, name: str) -> list[str]:
        """Vendor rule: a frame is at least its exposure plus the readout."""
        count, frame = self.detector["count_time"], self.detector["frame_time"]
        if name == "count_time" and _number(frame) < _number(count) + READOUT_TIME_S:
            frame.value = _number(count) + READOUT_TIME_S
            return ["frame_time"]
        if name == "frame_time" and _number(count) > _number(frame) - READOUT_TIME_S:
            count.value = _number(frame) - READOUT_TIME_S
            return ["count_time"]
        if name == "photon_energy":
            self.detector["threshold_energy"].value = _number(self.detector[name]) / 2
            return ["threshold_energy"]
        return []

    def arm(self) -> int:
        """Get ready for a series and announce it on the stream; its number."""
        with self._lock:
            if self._series is not None:
                raise NotNow(f"arm: the detector is {self._state}, disarm it first")
            if self._state == "na":
                raise NotNow("arm: initialize the detector first")
            streamed = self.stream["mode"].value == "enabled"
            self._number += 1
            series = self._new_series(streamed)
            try:
                self._scan_begins(series.scan)
            except Exception as error:
                self._state = "error"
                raise NotNow(f"arm: {error}") from error
            self._series, self._state = series, "ready"
            self._pixels.put((series, -1, None))  # the start goes before any frame can
        return series.number

    def _new_series(self, streamed: bool) -> _Series:
        shown, read = self.twin.detector, self.detector
        per_trigger = int(_number(read["nimages"]))
        triggers = int(_number(read["ntrigger"]))
        appendix = str(self.stream["header_appendix"].value)
        whole = self.stream["header_detail"].value == "all"
        start = Start(
            series=self._number,
            images=per_trigger * triggers,
            shape=shown.shape,
            dtype=np.dtype(shown.dtype).name,
            unique=uuid.uuid4().hex,
            exposure_s=_number(read["count_time"]),
            frame_time_s=_number(read["frame_time"]),
            energy_ev=_number(read["photon_energy"]),
            pixel_m=shown.pixel_m,
            beam_center_px=(_number(read["beam_center_x"]), _number(read["beam_center_y"])),
            saturation=int(shown.saturation),
            mask=np.asarray(shown.mask) != 0 if whole and shown.mask is not None else None,
            description=str(read["description"].value),
            serial_number=str(read["detector_number"].value),
            sensor_material=str(read["sensor_material"].value),
            sensor_thickness_m=_number(read["sensor_thickness"]),
            arm_date=datetime.now(UTC).isoformat(),
            user_data=appendix,
        )
        return _Series(
            number=self._number,
            scan=_scan_number(appendix, self._number),
            start=start,
            streamed=streamed,
            compression={"none": "raw"}.get(str(read["compression"].value), "")
            or str(read["compression"].value),
            images_per_trigger=per_trigger,
        )

    def software_trigger(self) -> None:
        """The REST command: a burst of nimages, taken at the detector's own pace."""
        with self._lock:
            series = self._series
            if series is None:
                raise NotNow(f"trigger: the detector is {self._state}, arm it first")
            if self.detector["trigger_mode"].value not in ("ints", "inte"):
                raise NotNow("trigger: trigger_mode waits for the cable, not for a command")
        due = time.monotonic()
        for _ in range(series.images_per_trigger):
            rotation, translation = self._stage()
            if not self._take(series, rotation, translation):
                return
            due += _number(self.detector["frame_time"])
            series.given_up.wait(max(0.0, due - time.monotonic()))

    def end_series(self, command: str) -> int:
        """disarm, cancel or abort: all end the series; its number.

        After cancel what was taken is sent; after the others what is on its way is thrown away.
        """
        with self._lock:
            series = self._series
            if series is None:
                return self._number
            series.closed = True
            if command != "cancel":
                series.given_up.set()
        if command == "cancel":
            self._pulses.put((series, _LAST, 0.0, 0.0))  # behind all that was taken
        else:
            self._pixels.put((series, series.triggered, None))
        if not series.over.wait(_STOP_TIMEOUT_S):
            self._state = "error"
            raise NotNow(f"{command}: series {series.number} does not end")
        return series.number

    # -- the cable from the stage ---------------------------------------------------------------

    def trigger(self, rotation_deg: float, translation_um: float) -> bool:
        """A pulse from the stage at this position; waits for room. False where it fell on the floor
        because the detector is not waiting for pulses.
        """
        with self._lock:
            series = self._series
            if series is None or self.detector["trigger_mode"].value not in ("exts", "exte"):
                return False
        return all(
            self._take(series, rotation_deg, translation_um)
            for _ in range(series.images_per_trigger)
        )

    def _take(self, series: _Series, rotation_deg: float, translation_um: float) -> bool:
        with self._lock:
            index = series.triggered
            if index >= series.start.images or series.closed:
                return False
            series.triggered += 1
            self._state = "acquire"
        while not (series.given_up.is_set() or self._quit.is_set()):
            try:
                self._pulses.put((series, index, rotation_deg, translation_um), timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    # -- the two threads --------------------------------------------------------------------------

    def _expose(self) -> None:
        while (pulse := self._pulses.get()) is not None:
            series, index, rotation_deg, translation_um = pulse
            if series.given_up.is_set():
                continue
            if index == _LAST:
                self._pixels.put((series, index, None))
                continue
            try:
                pixels = self.twin.expose(
                    rotation_deg, translation_um, series.start.exposure_s, index
                )
            except Exception:
                _log.exception("frame %d of series %d cannot be made", index, series.number)
                self._state = "error"
                series.given_up.set()
                self._pixels.put((series, index, None))
                continue
            self._pixels.put((series, index, pixels))

    def _send(self) -> None:
        while (item := self._pixels.get()) is not None:
            series, index, pixels = item
            if index == -1:
                self.emitter.speak("v1" if self.stream["format"].value == "legacy" else "v2")
                self._emit(series, functools.partial(self.emitter.start, series.start))
            elif pixels is None:
                self._finish(series)
            elif not series.given_up.is_set():
                self._send_image(series, index, pixels)

    def _send_image(self, series: _Series, index: int, pixels: NDArray[np.generic]) -> None:
        payload = encode(pixels, series.compression)
        began_s = time.monotonic() - series.armed_at
        image = functools.partial(
            self.emitter.image, series.number, index, payload, series.compression, began_s
        )
        if self._emit(series, image):
            series.sent += 1
            self.frames_sent += 1
        if series.sent == series.start.images:
            self._finish(series)

    def _emit(self, series: _Series, send: Callable[[], None]) -> bool:
        """Send, however long the receiver takes, unless the series is given up."""
        while series.streamed and not self._quit.is_set():
            try:
                send()
                return True
            except EmitterBlocked:
                if series.given_up.is_set():
                    return False
        return not series.streamed

    def _finish(self, series: _Series) -> None:
        if series.over.is_set():
            return
        if series.streamed:
            try:
                self.emitter.end(series.number)
            except EmitterBlocked:
                _log.warning("end of series %d: nobody fetches the stream", series.number)
        elapsed_s = time.monotonic() - series.armed_at
        self.frames_per_s = series.sent / elapsed_s if elapsed_s > 0 else math.nan
        with self._lock:
            if self._series is series:
                self._series = None
                if self._state != "error":
                    self._state = "idle"
        series.over.set()

    def recover(self) -> None:
        """initialize: begin, or forget an error."""
        with self._lock:
            if self._state in ("na", "error") and self._series is None:
                self._state = "idle"

    def close(self) -> None:
        """Give up whatever is going on and close the stream."""
        with self._lock:
            series = self._series
            if series is not None:
                series.given_up.set()
        self._quit.set()
        expose, send = self._threads
        self._pulses.put(None)
        expose.join(timeout=_STOP_TIMEOUT_S)
        self._pixels.put(None)
        send.join(timeout=_STOP_TIMEOUT_S)
        self.emitter.close(linger_s=0.5)


def _number(parameter: Parameter) -> float:
    value: Value = parameter.value
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"{value!r} is no number")


def _scan_number(appendix: str, otherwise: int) -> int:
    """The number that the plan gave the scan, where the appendix describes one."""
    try:
        return from_json(appendix).number
    except DescriptionError:
        return otherwise

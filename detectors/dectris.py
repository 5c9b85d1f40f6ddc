"""A DECTRIS detector as an ophyd device: SIMPLON REST for control, its own stream for the frames.

The frames never pass through here: they go from the detector to whoever receives its stream. The
documents carry how many there are and in which file they will be found. The scan's description
travels in the header appendix, so frames and description cannot be joined wrongly.

A series is never taken up again in the middle: pause() aborts it and tells the RunEngine that
nothing may be replayed, so that two passes are never mixed into one scan.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bluesky.utils import NoReplayAllowed
from ophyd import Component as Cpt
from ophyd import Device, Kind
from ophyd.signal import Signal
from ophyd.status import DeviceStatus

from ..stream.description import ScanDescription
from .exposure import Exposure, RunFile, no_file
from .simplon import NoAnswer, Simplon, SimplonError, Value
from .simplon_settings import put_back, settings_of
from .simplon_signals import EndSignal, SimplonSignal

_POLL_S = 0.05
ARRIVAL_S = 30.0  # without a new frame at the other end of the stream
TOO_MANY_LOST = 0.05  # of a scan's frames, above which it is no scan: somebody aborted it
INITIALIZE_S = 120.0
_IDLE = ("idle", "na")


class DetectorError(RuntimeError):
    """The detector did not do what it was asked to; says why."""


class FramesMissing(DetectorError):
    """The series ended, but its frames, or too many of them, did not come through."""


class DectrisDetector(Device):
    """An EIGER2 or PILATUS4 with SIMPLON, on stream V2 or V1."""

    state = Cpt(SimplonSignal, where="detector/status/state", kind=Kind.normal)
    temperature = Cpt(
        SimplonSignal, where="detector/status/temperature", unit="degC", kind=Kind.normal
    )
    humidity = Cpt(SimplonSignal, where="detector/status/humidity", unit="%", kind=Kind.normal)
    dropped = Cpt(SimplonSignal, where="stream/status/dropped", kind=Kind.normal)
    count_time = Cpt(SimplonSignal, where="detector/config/count_time", unit="s", kind=Kind.config)
    frame_time = Cpt(SimplonSignal, where="detector/config/frame_time", unit="s", kind=Kind.config)
    nimages = Cpt(SimplonSignal, where="detector/config/nimages", kind=Kind.config)
    ntrigger = Cpt(SimplonSignal, where="detector/config/ntrigger", kind=Kind.config)
    trigger_mode = Cpt(SimplonSignal, where="detector/config/trigger_mode", kind=Kind.config)
    photon_energy = Cpt(
        SimplonSignal, where="detector/config/photon_energy", unit="eV", kind=Kind.config
    )
    serial_number = Cpt(SimplonSignal, where="detector/config/detector_number", kind=Kind.config)
    # frames of the last series that reached their end; what a plan compares with what it announced
    frames = Cpt(Signal, value=0, kind=Kind.omitted)
    end_early = Cpt(EndSignal, value=0, kind=Kind.omitted)

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        version: str = "1.8.0",
        stream_format: str = "cbor",
        header_detail: str = "all",
        run_file: Callable[[ScanDescription], RunFile] = no_file,
        arrived: Callable[[str], int] | None = None,
        lost: Callable[[str], int] | None = None,
        **kwargs: Any,
    ) -> None:
        """prefix: the detector's URL, "http://host:port".

        stream_format: of its stream, "cbor" (V2) or "legacy" (V1)
        arrived: how many frames of a scan came out at the other end of the stream, those that are
            known to be lost included; complete() waits for them. None: nobody knows.
        lost: how many of these are lost
        """
        self.simplon = Simplon(prefix, version)
        self._stream_format = stream_format
        self._header_detail = header_detail
        self._arrived = arrived
        self._lost = lost
        self._run_file = run_file
        self._exposure: Exposure | None = None
        self._flying = False
        self._expected = 0  # frames of the series, fewer once it was ended early
        self._ended_by_us = threading.Event()
        self._arming = threading.Lock()  # an end that comes while arming ends what it armed
        self._resource = ""
        self._collected = 0
        self._settings: dict[str, Value] = {}  # as people had made them
        self._is_new = False  # it was initialized, and they are not all put back yet
        super().__init__(prefix, name=name, **kwargs)

    def destroy(self) -> None:
        """Close the connections too."""
        super().destroy()
        self.simplon.close()

    def answers(self) -> bool:
        """Whether there is somebody at the detector's address."""
        try:
            self.simplon.get("detector", "status", "state")
        except NoAnswer:
            return False
        return True

    # -- staging ----------------------------------------------------------------------------------

    def stage(self) -> list[object]:
        """The stream is switched on, and whatever was going on is ended.

        One that was started anew is initialized, and gets the settings that it had before.
        """
        state = self.simplon.get("detector", "status", "state")
        if state == "na":  # it was started, and by nobody initialized
            self._is_new = True
            self.simplon.command("initialize", timeout_s=INITIALIZE_S)
        elif state not in _IDLE:
            self.disarm()
        if self._is_new:
            changed = ", ".join(put_back(self.simplon, self._settings)) or "nothing"
            self.log.warning("%s was initialized; put back of its settings: %s", self.name, changed)
            self._is_new = False
        self._settings = settings_of(self.simplon)
        for key, value in (
            ("mode", "enabled"),
            ("format", self._stream_format),
            ("header_detail", self._header_detail),
        ):
            self.simplon.put("stream", key, value)
        return [self]

    def unstage(self) -> list[object]:
        """Disarmed, whatever happened."""
        self._end("disarm")
        return [self]

    def stop(self, *, success: bool = False) -> None:
        """Abort the series and disarm."""
        self._end("abort")
        self._end("disarm")

    def disarm(self) -> None:
        """End the series."""
        self._end("disarm")

    def abort(self) -> None:
        """End the series at once."""
        self._end("abort")

    def end_after(self, frames: int) -> None:
        """End the series with the frames taken so far, which is how many came before the pulses
        stopped; complete() ends well once they have arrived. Raises SimplonError.
        """
        self._expected = frames
        with self._arming:
            self.simplon.command("cancel")

    def _end(self, command: str) -> None:
        self._ended_by_us.set()
        self._flying = False
        with self._arming:
            self.simplon.command(command)

    # -- flying -----------------------------------------------------------------------------------

    def prepare(self, value: Exposure) -> DeviceStatus:
        """Configure and arm; armed when the status is done."""
        self._exposure = value
        self._resource, self._collected = "", 0
        self._expected = value.description.frames()
        self.frames.put(0)
        status = DeviceStatus(self, call_stop_on_failure=False)
        self._ended_by_us.clear()
        self._flying = True  # from here on nothing may be replayed
        threading.Thread(target=self._arm, args=(value, status), daemon=True).start()
        return status

    def _arm(self, exposure: Exposure, status: DeviceStatus) -> None:
        try:
            with self._arming:
                try:
                    self._configure_and_arm(exposure)
                except SimplonError as refused:
                    if self.simplon.get("detector", "status", "state") in _IDLE:
                        raise
                    self.log.warning("%s: somebody else's series is ended: %s", self.name, refused)
                    self.simplon.command("disarm")
                    self._configure_and_arm(exposure)
        except Exception as error:
            self._flying = False
            status.set_exception(error)
        else:
            status.set_finished()

    def _configure_and_arm(self, exposure: Exposure) -> None:
        self.configure_series(exposure)
        if self._ended_by_us.is_set():
            raise DetectorError(f"{self.name} was stopped before it was armed")
        self.simplon.command("arm")

    def configure_series(self, exposure: Exposure) -> None:
        """Write everything that the series needs. Raises SimplonError."""
        frames = exposure.description.frames()
        pulsed = exposure.trigger_mode == "exts"
        settings: list[tuple[str, str, float | int | str]] = [
            ("detector", "trigger_mode", exposure.trigger_mode),
            ("detector", "nimages", 1 if pulsed else frames),
            ("detector", "ntrigger", frames if pulsed else 1),
            ("detector", "count_time", exposure.exposure_s),
            ("stream", "header_appendix", exposure.description.to_json()),
        ]
        if exposure.frame_s:
            settings.insert(3, ("detector", "frame_time", exposure.frame_s))
        if exposure.energy_ev:
            settings.insert(0, ("detector", "photon_energy", exposure.energy_ev))
        for module, key, value in settings:
            self.simplon.put(module, key, value)

    def kickoff(self) -> DeviceStatus:
        """The detector waits for pulses, or takes its burst. Raises DetectorError if not armed."""
        if self._exposure is None or not self._flying:
            raise DetectorError(f"{self.name}: kickoff, but the detector is not armed")
        status = DeviceStatus(self, call_stop_on_failure=False)
        if self._exposure.trigger_mode == "ints":
            threading.Thread(target=self._burst, daemon=True).start()
        status.set_finished()
        return status

    def trigger_series(self) -> None:
        """The software trigger; returns when the burst has been taken. Raises SimplonError."""
        self.simplon.command("trigger", timeout_s=3600.0)

    def _burst(self) -> None:
        try:
            self.trigger_series()
        except SimplonError as error:
            self.log.error("%s", error)  # complete() sees that the series does not end well

    def complete(self) -> DeviceStatus:
        """Done when the last frame was sent and has arrived, or the detector was told to stop."""
        status = DeviceStatus(self, call_stop_on_failure=False)
        threading.Thread(target=self._watch, args=(status,), daemon=True).start()
        return status

    def _watch(self, status: DeviceStatus) -> None:
        exposure = self._exposure
        try:
            if exposure is None:
                raise DetectorError(f"{self.name}: complete without prepare")
            dropped_before = int(self.dropped.get())
            while True:
                state = str(self.simplon.get("detector", "status", "state"))
                if self._ended_by_us.is_set():
                    break
                if state == "na":
                    raise NoAnswer(f"{self.name} was started anew in the middle of a series")
                if state == "error":
                    raise DetectorError(f"{self.name}: the detector reports an error")
                if state in _IDLE:
                    self.frames.put(self._expected - int(self.dropped.get()) + dropped_before)
                    self._see_arrive(exposure.description)
                    break
                self._ended_by_us.wait(_POLL_S)
        except Exception as error:
            self._flying = False
            status.set_exception(error)
        else:
            self._flying = False
            status.set_finished()

    def _see_arrive(self, scan: ScanDescription) -> None:
        """Wait for the frames at the other end. Raises FramesMissing where they do not come.

        A detector whose stream nobody hears, which somebody else fetches, or whose series somebody
        else has aborted, looks as if all were well.
        """
        if self._arrived is None:
            return
        came, moved = 0, time.monotonic()
        while not self._ended_by_us.is_set():
            now = self._arrived(scan.scan)
            if now >= self._expected:
                lost = self._lost(scan.scan) if self._lost is not None else 0
                if lost > TOO_MANY_LOST * self._expected:
                    raise FramesMissing(
                        f"{self.name}: {lost} of the {self._expected} frames of scan {scan.number} "
                        "are lost; operando account says why"
                    )
                return
            if now != came:
                came, moved = now, time.monotonic()
            elif time.monotonic() - moved > ARRIVAL_S:
                raise FramesMissing(
                    f"{self.name} took {self._expected} frames of scan {scan.number}, {came} "
                    "arrived: see whether its stream is heard, and by nobody else"
                )
            self._ended_by_us.wait(_POLL_S)

    # -- pause ------------------------------------------------------------------------------------

    def pause(self) -> None:
        """While armed or flying: abort, and forbid the RunEngine to replay into another pass."""
        if not self._flying:
            return
        try:
            self.stop(success=True)
        finally:
            raise NoReplayAllowed(f"{self.name} was paused in the middle of a series")

    def resume(self) -> None:
        """Nothing: the plan takes the whole scan again."""

    # -- documents --------------------------------------------------------------------------------

    def describe_collect(self) -> dict[str, Any]:
        """Frames as external data of one image an event."""
        rows = int(self._config("y_pixels_in_detector"))
        cols = int(self._config("x_pixels_in_detector"))
        bits = int(self._config("bit_depth_image"))
        return {
            self.name: {
                "source": self.simplon.url,
                "dtype": "array",
                "dtype_numpy": np.dtype(f"uint{bits}").str,
                "shape": [1, rows, cols],
                "external": "STREAM:",
                "units": "photons",
            }
        }

    def _config(self, name: str) -> float:
        value = self.simplon.get("detector", "config", name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DetectorError(f"{self.name}: {name} is {value!r}, no number")
        return value

    def get_index(self) -> int:
        """Frames that are certain to exist."""
        return int(self.frames.get())

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """A stream_resource once, and a stream_datum for the frames that are new."""
        exposure = self._exposure
        upto = self.get_index() if index is None else min(index, self.get_index())
        if exposure is None or upto <= self._collected:
            return
        if not self._resource:
            self._resource = str(uuid.uuid4())
            where = self._run_file(exposure.description)
            shape = self.describe_collect()[self.name]["shape"]
            yield (
                "stream_resource",
                {
                    "uid": self._resource,
                    "data_key": self.name,
                    "mimetype": "application/x-hdf5",
                    "uri": where.uri,
                    "parameters": {"dataset": where.dataset, "swmr": False, "chunk_shape": shape},
                },
            )
        indices = {"start": self._collected, "stop": upto}
        self._collected = upto
        yield (
            "stream_datum",
            {
                "uid": f"{self._resource}/{indices['start']}",
                "stream_resource": self._resource,
                "descriptor": "",
                "indices": indices,
                "seq_nums": {"start": 0, "stop": 0},
            },
        )

    @property
    def hints(self) -> dict[str, Any]:
        """Nothing a line plot could show."""
        return {"fields": []}

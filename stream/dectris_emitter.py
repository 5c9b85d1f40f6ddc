"""What a DECTRIS detector's stream server does: for the simulated detector and for tests.

A PUSH socket with a short queue. A real detector drops images when nobody fetches them; here a
full queue is an error that the caller sees, because a simulation that drops silently proves
nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from types import TracebackType
from typing import Literal

import numpy as np
import zmq
from numpy.typing import NDArray

from . import compression, dectris_v1, dectris_v2
from .dectris_faults import FaultyLine, Misbehaviour
from .dectris_series import End, Image, Start


class EmitterBlocked(TimeoutError):
    """Nobody took the messages for the whole of the time allowed."""


class DectrisEmitter:
    """Sends series as a detector does; used by one thread.

    bind_address: e.g. "tcp://127.0.0.1:*"; .address is where that ended up
    timeout_s: how long a send may wait for room in the queue
    high_water: messages in the queue of one connection
    header_detail: of V1: "all", "basic", "none"
    parts_apart: V1: every part as a message of its own, as some emulators do
    misbehaviour: faults to inject
    """

    def __init__(
        self,
        bind_address: str,
        version: Literal["v1", "v2"] = "v2",
        *,
        timeout_s: float = 10.0,
        high_water: int = 8,
        header_detail: Literal["all", "basic", "none"] = "all",
        parts_apart: bool = False,
        misbehaviour: Misbehaviour | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        if version not in ("v1", "v2"):
            raise ValueError(f"stream version {version!r} is none of v1, v2")
        if misbehaviour is not None and misbehaviour.bad_md5 and version == "v2":
            raise ValueError("bad_md5: stream V2 carries no md5 that could be wrong")
        self._version = version
        self._timeout_s = timeout_s
        self._detail = header_detail
        self._parts_apart = parts_apart
        self._series: Start | None = None
        self._line = FaultyLine(misbehaviour or Misbehaviour(), self._image_parts, version == "v1")
        self._sending: Hashable = None
        self._unsent: deque[list[bytes]] = deque()
        self._socket = (context or zmq.Context.instance()).socket(zmq.PUSH)
        self._socket.setsockopt(zmq.SNDHWM, high_water)
        self._socket.setsockopt(zmq.SNDTIMEO, round(timeout_s * 1000))
        self._socket.bind(bind_address)
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def speak(self, version: Literal["v1", "v2"]) -> None:
        """Send in this version from the next series on."""
        self._version = version
        self._line.v1 = version == "v1"

    def start(self, start: Start) -> None:
        """Announce a series. Raises EmitterBlocked."""
        self._series = start
        if self._version == "v2":
            message = [dectris_v2.build_start(start)]
        else:
            message = dectris_v1.build_start(start, self._detail)
        self._send_all(
            ("start", start.series, start.unique),
            lambda: self._line.start(start.series, start.images, message),
        )

    def image(
        self,
        series: int,
        index: int,
        data: NDArray[np.generic] | bytes,
        encoding: str = "bslz4",
        time_s: float = math.nan,
    ) -> None:
        """Send one image of the series begun last.

        data: pixels, which are encoded here, or a payload that is so encoded already
        Raises EmitterBlocked; ValueError where no series was begun.
        """
        start = self._series
        if start is None or start.shape is None:
            raise ValueError(f"image {index}: no series was begun")
        payload = data if isinstance(data, bytes) else compression.encode(data, encoding)
        image = Image(
            series=series,
            index=index,
            shape=start.shape,
            dtype=np.dtype(start.dtype).newbyteorder("<").str,
            encoding=encoding,
            data=payload,
            time_s=time_s,
            unique=start.unique,
        )
        self._send_all(
            ("image", start.unique, series, index),
            lambda: self._line.image(image, self._end_parts(series)),
        )

    def send_image(self, image: Image) -> None:
        """Send image as it is, rare forms included. Raises EmitterBlocked."""
        self.send(self._image_parts(image))

    def _image_parts(self, image: Image) -> list[bytes]:
        exposure_s = 0.0
        if self._series is not None and math.isfinite(self._series.exposure_s):
            exposure_s = self._series.exposure_s
        if self._version == "v2":
            return [dectris_v2.build_image(image, exposure_s)]
        return dectris_v1.build_image(image, exposure_s)

    def end(self, series: int | None = None) -> None:
        """End a series, the one begun last where none is named. Raises EmitterBlocked."""
        current = self._series
        if series is None:
            if current is None:
                raise ValueError("no series was begun")
            series = current.series
        number = series
        self._send_all(
            ("end", current.unique if current else "", number),
            lambda: self._line.end(self._end_parts(number)),
        )

    def _end_parts(self, series: int) -> list[bytes]:
        current = self._series
        unique = current.unique if current is not None and current.series == series else ""
        end = End(series, unique)
        if self._version == "v2":
            return [dectris_v2.build_end(end)]
        return dectris_v1.build_end(end)

    def _send_all(self, what: Hashable, messages: Callable[[], Iterable[list[bytes]]]) -> None:
        """Send messages; the same call after EmitterBlocked goes on where it stopped."""
        if what != self._sending:
            self._unsent = deque(messages())
            self._sending = what
        while self._unsent:
            self.send(self._unsent[0])
            self._unsent.popleft()
        self._sending = None

    def send(self, parts: Sequence[bytes]) -> None:
        """Send parts as they are. Raises EmitterBlocked."""
        groups = [[part] for part in parts] if self._parts_apart else [parts]
        for group in groups:
            try:
                self._socket.send_multipart(group, copy=False)
            except zmq.Again:
                raise EmitterBlocked(
                    f"nobody took a message from {self.address} for {self._timeout_s} s"
                ) from None

    def close(self, linger_s: float = 2.0) -> None:
        """Close, giving what is queued linger_s to leave."""
        self._socket.close(linger=round(linger_s * 1000))

    def __enter__(self) -> DectrisEmitter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

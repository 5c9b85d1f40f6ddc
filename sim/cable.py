"""The cables between simulated hardware that stands in several processes.

A line carries numbers both ways: one end asks, the other answers, one question after another. The
stage asks the detector for every pulse (rotation, translation: was it taken?), which waits while
the detector has no room, however long; the detector asks when it is armed what stands in the beam.
As with a cable, what is sent to nobody is gone: an end that dies is noticed at once, and the next
question tries a new connection.

On the wire: a byte, how many numbers; the numbers, float64, little-endian.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from .cell import CellMoment

_log = logging.getLogger(__name__)
CONNECT_S = 5.0
BENCH_S = 5.0  # the bench answers at once

Answer = Callable[[tuple[float, ...]], tuple[float, ...]]


class NobodyThere(ConnectionError):
    """The other end does not answer."""


@dataclass(frozen=True, slots=True)
class InBeam:
    """What stands in the beam: the cell at a moment, the beam's width [um], and where it goes.

    rotation_deg, translation_um: of the stage
    """

    cell: CellMoment
    beam_um: float
    rotation_deg: float
    translation_um: float

    def numbers(self) -> tuple[float, ...]:
        """As they go over a line."""
        return (*astuple(self.cell), self.beam_um, self.rotation_deg, self.translation_um)

    @classmethod
    def of(cls, numbers: tuple[float, ...]) -> Self:
        """What numbers() gave. Raises ValueError."""
        if len(numbers) != 6 or not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"what stands in the beam is 6 finite numbers, not {numbers}")
        return cls(CellMoment(*numbers[:3]), *numbers[3:])


class AnsweringEnd:
    """Answers every question that comes to address, from start() to stop().

    address: "ipc://path" or "tcp://host:port"
    Raises OSError where it cannot be had.
    """

    def __init__(self, address: str, answer: Answer) -> None:
        self._answer = answer
        family, where = _place(address)
        if isinstance(where, str):
            _clear(Path(where))
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(where)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            raise OSError(f"{address}: {error.strerror or error}") from error
        self._there: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._listen, name="cable", daemon=True).start()

    def stop(self) -> None:
        """Hang up."""
        with self._lock:
            for connection in (self._listener, *self._there):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # stopped
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._there.add(connection)
        try:
            while True:
                _send(connection, self._answer(_receive(connection)))
        except OSError:  # hung up
            pass
        except (TypeError, ValueError) as error:
            _log.warning("what came over the cable is no question: %s", error)
        finally:
            with self._lock:
                self._there.discard(connection)
            connection.close()


class AskingEnd:
    """Asks whoever answers at address; may be used by several threads, one after another.

    patience_s: for an answer; None: as long as the other end lives
    Raises ValueError for an address that is none.
    """

    def __init__(self, address: str, patience_s: float | None) -> None:
        self._address = address
        self._family, self._where = _place(address)
        self._patience_s = patience_s
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()

    def ask(self, *numbers: float) -> tuple[float, ...]:
        """The answer. Raises NobodyThere."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connected()
                _send(self._connection, numbers)
                return _receive(self._connection)
            except OSError as error:
                self._hang_up()
                raise NobodyThere(f"{self._address}: no answer ({error})") from error

    def close(self) -> None:
        """Hang up; the next question connects again."""
        with self._lock:
            self._hang_up()

    def _connected(self) -> socket.socket:
        connection = socket.socket(self._family, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_S)
        try:
            connection.connect(self._where)
        except OSError:
            connection.close()
            raise
        connection.settimeout(self._patience_s)
        if self._family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PulseCable:
    """From the stage to a detector in another process: the stage's Trigger."""

    def __init__(self, address: str) -> None:
        self._line = AskingEnd(address, None)
        self._heard = True

    def __call__(self, rotation_deg: float, translation_um: float) -> bool:
        """Whether the pulse was taken; False where nobody is there to take it."""
        try:
            (taken,) = self._line.ask(rotation_deg, translation_um)
        except (NobodyThere, ValueError) as error:
            if self._heard:
                _log.warning("pulses fall on the floor: %s", error)
            self._heard = False
            return False
        self._heard = True
        return taken == 1.0

    def close(self) -> None:
        """Hang up; the next pulse connects again."""
        self._line.close()


def _place(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    kind, _, where = address.partition("://")
    if kind == "ipc" and where and hasattr(socket, "AF_UNIX"):  # not everywhere
        return socket.AF_UNIX, where
    host, _, port = where.rpartition(":")
    if kind == "tcp" and host and port.isdecimal() and int(port) < 1 << 16:
        return socket.AF_INET, (host, int(port))
    raise ValueError(f"{address!r} is no address of a cable: ipc://path or tcp://host:port")


def _clear(path: Path) -> None:
    """Take away the socket of an end that was killed; none that is served, and no other file."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(CONNECT_S)
        try:
            knock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:  # what it is, bind() tells
            pass


def _send(connection: socket.socket, numbers: tuple[float, ...]) -> None:
    connection.sendall(struct.pack(f"<B{len(numbers)}d", len(numbers), *numbers))


def _receive(connection: socket.socket) -> tuple[float, ...]:
    (count,) = _exactly(connection, 1)
    found: tuple[float, ...] = struct.unpack(f"<{count}d", _exactly(connection, 8 * count))
    return found


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionResetError("it hung up")
        data += more
    return data

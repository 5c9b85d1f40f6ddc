"""The channels of bench_channel: both ends in processes of their own, commanded by pipes.

Each end answers "ready", then for every number of frames it is told moves as many; the receiving
end answers with how many arrived whole, by their checksums. Who binds writes his address into the
channel's folder before that, and who connects reads it there.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

WAIT_S = 60.0
FORCED_EVERY_S = 0.1  # to the disk, as the spool does
SPOOL_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Way:
    """How frames go from one end to the other.

    transport: "ipc", or "tcp" over loopback
    shared: the ends whose machine is the hub's: they may have pixels in shared memory; only ours
        asks
    disk: folder on a disk, for the hub's spool, or for what written() writes; None: there is none
    """

    transport: str = "ipc"
    shared: tuple[str, ...] = ("sender", "receiver")
    disk: Path | None = None

    def anywhere(self, folder: str, name: str) -> str:
        """An address to bind to."""
        return "tcp://127.0.0.1:*" if self.transport == "tcp" else f"ipc://{folder}/{name}"


def payload(size: int) -> bytes:
    """Incompressible bytes, the same in every process."""
    return np.random.default_rng(7).bytes(size)


class Channel:
    """Processes that carry frames of a size from one to the other; a context manager."""

    def __init__(self, size: int, way: Way, ends: dict[str, Callable[..., None]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="operando-channel-")
        self._pipes: dict[str, Connection] = {}
        self._processes = []
        spawn = multiprocessing.get_context("spawn")
        for name, end in ends.items():
            here, there = spawn.Pipe()
            process = spawn.Process(
                target=end, args=(there, self._folder.name, size, way), daemon=True
            )
            process.start()
            there.close()
            self._pipes[name], self._processes = here, [*self._processes, process]
            self._answer(name)

    def move(self, frames: int) -> int:
        """Move frames; how many arrived whole."""
        for name in ("receiver", "sender"):
            self._pipes[name].send(frames)
        return int(self._answer("receiver"))

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        self._folder.cleanup()

    def _answer(self, name: str) -> Any:
        if not self._pipes[name].poll(WAIT_S):
            raise TimeoutError(f"{name} said nothing for {WAIT_S:.0f} s")
        return self._pipes[name].recv()


def plain(size: int, way: Way) -> Channel:
    """ZeroMQ's PUSH and PULL: the sender's work is done when it has sent."""
    return Channel(size, way, {"receiver": _pull, "sender": _push})


def forwarded(size: int, way: Way) -> Channel:
    """The same through a third process that only forwards, as ours does: nothing is answered."""
    return Channel(size, way, {"receiver": _pull, "forwarder": _forward, "sender": _push_further})


def written(size: int, way: Way) -> Channel:
    """PUSH and PULL whose receiver writes every frame to a file on way.disk, and reads none."""
    return Channel(size, way, {"receiver": _pull_and_write, "sender": _push})


def hub(size: int, way: Way) -> Channel:
    """Producer, hub and member: every frame is acknowledged by the member."""
    return Channel(size, way, {"hub": _hub, "receiver": _member, "sender": _producer})


def _say(folder: str, name: str, address: str) -> None:
    (Path(folder) / f"{name}.address").write_text(address, encoding="utf-8")


def _address(folder: str, name: str) -> str:
    return (Path(folder) / f"{name}.address").read_text(encoding="utf-8")


def _bound(folder: str, name: str, way: Way) -> Any:
    import zmq

    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, 8)
    socket.bind(way.anywhere(folder, name))
    _say(folder, name, socket.getsockopt_string(zmq.LAST_ENDPOINT))
    return socket


def _connected(folder: str, name: str) -> Any:
    import zmq

    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, 8)
    socket.connect(_address(folder, name))
    return socket


def _forward(pipe: Connection, folder: str, size: int, way: Way) -> None:
    import zmq

    taken, given = _bound(folder, "further", way), _connected(folder, "plain")
    pipe.send("ready")
    zmq.proxy(taken, given)


def _push_further(pipe: Connection, folder: str, size: int, way: Way) -> None:
    _push(pipe, folder, size, way, "further")


def _push(pipe: Connection, folder: str, size: int, way: Way, to: str = "plain") -> None:
    socket = _connected(folder, to)
    data = payload(size)
    pipe.send("ready")
    while True:
        for _ in range(pipe.recv()):
            socket.send(data, copy=False)


def _pull(pipe: Connection, folder: str, size: int, way: Way) -> None:
    from operando.stream.compression import checksum

    socket = _bound(folder, "plain", way)
    wanted = checksum(payload(size))
    pipe.send("ready")
    while True:
        frames = pipe.recv()
        pipe.send(sum(checksum(socket.recv(copy=False).buffer) == wanted for _ in range(frames)))


def _pull_and_write(pipe: Connection, folder: str, size: int, way: Way) -> None:
    from operando.stream.compression import checksum

    if way.disk is None:
        raise ValueError("there is no disk to write to")
    way.disk.mkdir(parents=True, exist_ok=True)
    socket = _bound(folder, "plain", way)
    wanted = checksum(payload(size))
    with (way.disk / "written").open("wb", buffering=0) as file:

        def force() -> None:
            while True:
                time.sleep(FORCED_EVERY_S)
                os.fdatasync(file.fileno())

        threading.Thread(target=force, daemon=True).start()
        pipe.send("ready")
        while True:
            frames, whole = pipe.recv(), 0
            file.seek(0)
            file.truncate()
            for _ in range(frames):
                data = socket.recv(copy=False).buffer
                whole += checksum(data) == wanted and file.write(data) == size
            pipe.send(whole)


def _hub(pipe: Connection, folder: str, size: int, way: Way) -> None:
    from operando.stream.hub import Hub, HubConfig
    from operando.stream.spool import SpoolConfig

    spool = SpoolConfig(way.disk / "spool", SPOOL_BYTES) if way.disk is not None else None
    addresses = (way.anywhere(folder, "items"), way.anywhere(folder, "live"))
    with Hub(HubConfig(*addresses, groups=("process",), spool=spool)) as hub:
        _say(folder, "items", hub.items_address)
        pipe.send("ready")
        pipe.recv()


def _producer(pipe: Connection, folder: str, size: int, way: Way) -> None:
    from operando.stream.compression import checksum
    from operando.stream.members import Producer
    from operando.stream.messages import Frame

    data = payload(size)
    crc = checksum(data)
    with Producer(
        _address(folder, "items"), "source", window=16, share="sender" in way.shared
    ) as producer:
        pipe.send("ready")
        scans = 0
        while True:
            frames, scans = pipe.recv(), scans + 1
            scan = f"scan {scans}"
            producer.put(_start(scan, frames, size))
            for index in range(frames):
                producer.put(Frame(scan, index, (1, size), "uint8", "raw", data, crc))
            producer.put(_stop(scan, frames))


def _member(pipe: Connection, folder: str, size: int, way: Way) -> None:
    from operando.stream.compression import checksum
    from operando.stream.members import Member
    from operando.stream.messages import Frame

    with Member(
        _address(folder, "items"),
        "process",
        "all",
        "taker",
        credit=8,
        share="receiver" in way.shared,
    ) as member:
        pipe.send("ready")
        while True:
            left, whole = pipe.recv(), 0
            while left:
                delivery = member.receive(WAIT_S)
                if delivery is None:
                    break
                if isinstance(delivery.message, Frame):
                    whole += checksum(delivery.message.data) == delivery.message.checksum
                    left -= 1
                member.acknowledge(delivery)
            pipe.send(whole)


def _start(scan: str, frames: int, size: int) -> Any:
    from operando.stream.messages import Detector, ScanStart, Trajectory

    detector = Detector("none", (1, size), "uint8", (1e-4, 1e-4), 255)
    return ScanStart(
        "", scan, 1, "frames", frames, detector, Trajectory((), ()), "", 1.0, 0.01, None, 0.0
    )


def _stop(scan: str, frames: int) -> Any:
    from operando.stream.messages import ScanStop

    return ScanStop(scan, frames, "complete")

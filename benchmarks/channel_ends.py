"""The channels of bench_channel: both ends in processes of their own, commanded by pipes.

Each end answers "ready", then for every number of frames it is told moves as many; the receiving
end answers with how many arrived whole, by their checksums.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

WAIT_S = 60.0


def payload(size: int) -> bytes:
    """Incompressible bytes, the same in every process."""
    return np.random.default_rng(7).bytes(size)


class Channel:
    """Processes that carry frames of a size from one to the other; a context manager."""

    def __init__(self, size: int, ends: dict[str, Callable[..., None]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="operando-channel-")
        self._pipes: dict[str, Connection] = {}
        self._processes = []
        spawn = multiprocessing.get_context("spawn")
        for name, end in ends.items():
            here, there = spawn.Pipe()
            process = spawn.Process(target=end, args=(there, self._folder.name, size), daemon=True)
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


def plain(size: int) -> Channel:
    """ZeroMQ's PUSH and PULL over ipc: the sender's work is done when it has sent."""
    return Channel(size, {"receiver": _pull, "sender": _push})


def forwarded(size: int) -> Channel:
    """The same through a third process that only forwards, as ours does: nothing is answered."""
    return Channel(size, {"receiver": _pull, "forwarder": _forward, "sender": _push_further})


def hub(size: int) -> Channel:
    """Producer, hub and member: every frame is acknowledged by the member."""
    return Channel(size, {"hub": _hub, "receiver": _member, "sender": _producer})


def _forward(pipe: Connection, folder: str, size: int) -> None:
    import zmq

    taken, given = (zmq.Context.instance().socket(kind) for kind in (zmq.PULL, zmq.PUSH))
    taken.setsockopt(zmq.RCVHWM, 8)
    given.setsockopt(zmq.SNDHWM, 8)
    taken.bind(f"ipc://{folder}/further")
    given.connect(f"ipc://{folder}/plain")
    pipe.send("ready")
    zmq.proxy(taken, given)


def _push_further(pipe: Connection, folder: str, size: int) -> None:
    _push(pipe, folder, size, "further")


def _push(pipe: Connection, folder: str, size: int, to: str = "plain") -> None:
    import zmq

    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, 8)
    socket.connect(f"ipc://{folder}/{to}")
    data = payload(size)
    pipe.send("ready")
    while True:
        for _ in range(pipe.recv()):
            socket.send(data, copy=False)


def _pull(pipe: Connection, folder: str, size: int) -> None:
    import zmq
    from operando.stream.compression import checksum

    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, 8)
    socket.bind(f"ipc://{folder}/plain")
    wanted = checksum(payload(size))
    pipe.send("ready")
    while True:
        frames = pipe.recv()
        pipe.send(sum(checksum(socket.recv(copy=False).buffer) == wanted for _ in range(frames)))


def _hub(pipe: Connection, folder: str, size: int) -> None:
    from operando.stream.hub import Hub, HubConfig

    with Hub(HubConfig(*_addresses(folder), groups=("process",))):
        pipe.send("ready")
        pipe.recv()


def _producer(pipe: Connection, folder: str, size: int) -> None:
    from operando.stream.compression import checksum
    from operando.stream.members import Producer
    from operando.stream.messages import Frame

    data = payload(size)
    crc = checksum(data)
    with Producer(_addresses(folder)[0], "source", window=16) as producer:
        pipe.send("ready")
        scans = 0
        while True:
            frames, scans = pipe.recv(), scans + 1
            scan = f"scan {scans}"
            producer.put(_start(scan, frames, size))
            for index in range(frames):
                producer.put(Frame(scan, index, (1, size), "uint8", "raw", data, crc))
            producer.put(_stop(scan, frames))


def _member(pipe: Connection, folder: str, size: int) -> None:
    from operando.stream.compression import checksum
    from operando.stream.members import Member
    from operando.stream.messages import Frame

    with Member(_addresses(folder)[0], "process", "all", "taker", credit=8) as member:
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


def _addresses(folder: str) -> tuple[str, str]:
    return f"ipc://{Path(folder) / 'items'}", f"ipc://{Path(folder) / 'live'}"


def _start(scan: str, frames: int, size: int) -> Any:
    from operando.stream.messages import Detector, ScanStart, Trajectory

    detector = Detector("none", (1, size), "uint8", (1e-4, 1e-4), 255)
    return ScanStart(
        "", scan, 1, "frames", frames, detector, Trajectory((), ()), "", 1.0, 0.01, None, 0.0
    )


def _stop(scan: str, frames: int) -> Any:
    from operando.stream.messages import ScanStop

    return ScanStop(scan, frames, "complete")

"""What dranspose does when a worker is killed in mid-scan: how many events reach its reducer.

    python -m benchmarks.peer_dranspose --python VENV/bin/python --redis redis-server

Not part of the complete benchmark: dranspose needs a Redis server and an environment of its own
(its dependencies are not ours). Where one of the two is missing that is what is reported. Ours is
held to the same by tests/faults: there every frame of a scan arrives after any number of kills.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import zmq

FRAMES, SHAPE = 300, (200, 200)
CONTROLLER = "http://127.0.0.1:5000/api/v1"  # the port is fixed in dranspose
READY_S, WAIT_S = 40.0, 60.0
CLASSES = """
import os
import time


class Worker:
    def __init__(self, *args, **kwargs):
        pass

    def process_event(self, event, *args, **kwargs):
        time.sleep(0.005)
        return event.event_number


class Reducer:
    def __init__(self, *args, **kwargs):
        self.publish = {}
        self.file = open(os.environ["ARRIVED"], "a", buffering=1)

    def process_result(self, result, *args, **kwargs):
        print(result.payload, file=self.file)
"""


def main() -> int:
    """Run once undisturbed and once with a kill; one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="an interpreter with dranspose")
    parser.add_argument("--redis", default="redis-server", help="the Redis server's program")
    chosen = parser.parse_args()
    found = subprocess.run(
        [chosen.python, "-c", "import dranspose"], capture_output=True, check=False
    )
    if found.returncode:
        print(f"dranspose: absent, no such package for {chosen.python}")
        return 0
    if shutil.which(chosen.redis) is None:
        print(f"dranspose: absent, it needs a Redis server and there is no {chosen.redis}")
        return 0
    for kill in (False, True):
        arrived, spent_s = run(chosen.python, chosen.redis, kill)
        how = "one of three workers killed" if kill else "undisturbed"
        print(
            f"dranspose, {how}: {arrived} of {FRAMES + 2} events arrived, "
            f"{spent_s:.0f} s after the last frame",
            flush=True,
        )
    return 0


def run(python: str, redis: str, kill: bool) -> tuple[int, float]:
    """Events that arrived, and the time from the last frame to the last event, or WAIT_S [s]."""
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="dranspose-") as name, zmq.Context() as context:
        folder = Path(name)
        (folder / "classes.py").write_text(CLASSES)
        redis_port, results_port = _free_port(), _free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": name,
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "REDUCER_URL": f"tcp://127.0.0.1:{results_port}",
            "ARRIVED": str(folder / "arrived"),
        }

        def start(*command: str) -> subprocess.Popen[bytes]:
            with (folder / f"log-{len(processes)}").open("wb") as log:
                made = subprocess.Popen(
                    command, cwd=name, env=environment, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
            processes.append(made)
            return made

        source = context.socket(zmq.PUSH)
        source.setsockopt(zmq.LINGER, 0)
        address = f"tcp://127.0.0.1:{source.bind_to_random_port('tcp://127.0.0.1')}"
        try:
            start(redis, "--port", str(redis_port), "--save", "")
            time.sleep(1.0)
            cli = (python, "-m", "dranspose.cli")
            start(*cli, "controller", "--host", "127.0.0.1")
            start(*cli, "reducer", "-c", "classes:Reducer", "-p", str(_free_port()))
            ingester = "ZmqPullSingleIngester"
            start(*cli, "ingester", "-c", ingester, "-n", "eiger", "-u", address)
            workers = [
                start(*cli, "worker", "-n", f"w{n}", "-c", "classes:Worker") for n in range(3)
            ]
            _until_ready()
            mapping = {"eiger": [[{"constraint": n}] for n in range(FRAMES + 2)]}
            _ask("mapping", mapping)
            _send(source, {"htype": "header", "filename": "", "msg_number": 0})
            for index in range(FRAMES):
                if kill and index == FRAMES // 3:
                    os.killpg(workers[0].pid, signal.SIGKILL)
                image = {"htype": "image", "frame": index, "shape": SHAPE, "type": "uint16"}
                _send(
                    source,
                    {**image, "compression": "none", "msg_number": index + 1},
                    bytes(2 * SHAPE[0] * SHAPE[1]),
                )
                time.sleep(0.01)
            _send(source, {"htype": "series_end", "msg_number": FRAMES + 1})
            began = time.monotonic()
            arrived = folder / "arrived"
            events: set[str] = set()
            while len(events) < FRAMES + 2 and time.monotonic() - began < WAIT_S:
                time.sleep(0.5)
                events = set(arrived.read_text().split()) if arrived.is_file() else set()
            return len(events), time.monotonic() - began
        finally:
            source.close()
            for process in reversed(processes):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _until_ready() -> None:
    """Until ingester, reducer and three workers have registered. Raises TimeoutError."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            state = _ask("config")
        except OSError:
            continue
        if len(state["workers"]) == 3 and state["ingesters"] and state["reducer"]:
            time.sleep(3.0)  # workers and ingester find each other
            return
    raise TimeoutError(f"dranspose was not ready within {READY_S:.0f} s")


def _ask(path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{CONTROLLER}/{path}", data)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10.0) as answer:
        return json.load(answer)


def _send(source: zmq.Socket[bytes], header: dict[str, Any], *buffers: bytes) -> None:
    source.send_multipart([json.dumps(header).encode(), *buffers])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())

"""One Channel Access server for all simulated process variables, in a thread of its own.

The caller names the port; EPICS reads it from the environment only, which is therefore set for
the moment of start-up and put back. Loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from caproto.asyncio.server import Context
from caproto.server import PVGroup

from .ca_repeater import Repeater

_START_TIMEOUT_S = 10.0


class IocServer:
    """Serves the PVs of some groups on 127.0.0.1 from start() to stop()."""

    def __init__(self, groups: Sequence[PVGroup], port: int) -> None:
        """port: UDP port for searches; TCP on the same number where that is free.

        The repeater takes EPICS_CA_REPEATER_PORT, where that is set and free.
        """
        # its warnings of "high load" are about 30 ms, which nobody here waits for
        logging.getLogger("caproto").setLevel(logging.ERROR)
        repeater_port = int(os.environ.get("EPICS_CA_REPEATER_PORT", "0"))
        self._repeater = Repeater(repeater_port) if repeater_port else None
        self.pvdb: Mapping[str, Any] = {
            name: channel for group in groups for name, channel in group.pvdb.items()
        }
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ioc", daemon=True)

    def start(self) -> None:
        """Begin to serve. Raises OSError or RuntimeError where the port cannot be had."""
        if self._repeater is not None:
            self._repeater.start()
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise RuntimeError(f"IOC on port {self.port} is not up after {_START_TIMEOUT_S:g} s")
        if self._failure is not None:
            raise RuntimeError(f"IOC on port {self.port}: {self._failure}") from self._failure

    def stop(self) -> None:
        """End and wait until the ports are free."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._repeater is not None:
            self._repeater.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to start(), which raises it
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        with ExitStack() as environment:
            environment.enter_context(_on_loopback(self.port))
            context = Context(dict(self.pvdb), interfaces=["127.0.0.1"])

            async def up(async_lib: Any) -> None:
                environment.close()  # only now: where beacons go is read after the context is made
                self._ready.set()

            self._task = asyncio.ensure_future(context.run(startup_hook=up))
            try:
                await self._task
            finally:  # caproto leaves them open: a client would take the next server for this one
                for circuit in tuple(context.circuits):
                    circuit.client.close()
                await asyncio.sleep(0)  # in which they are closed


_environment = threading.Lock()


@contextmanager
def _on_loopback(port: int) -> Iterator[None]:
    """The environment of a server that neither listens nor speaks beyond this machine."""
    wanted = {
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    }
    with _environment:
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

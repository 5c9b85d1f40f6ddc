"""A Channel Access repeater as far as one machine needs it: it confirms its clients.

libca looks for one on the repeater's port and, where it finds none, tries to start a program that
Python installations do not have, and complains. Beacons are passed on, so that clients notice a
restarted server at once.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_HEADER = struct.Struct(">HHHHII")
_REGISTER, _CONFIRM, _BEACON = 24, 17, 13
_MAX_CLIENTS = 100


class Repeater:
    """Serves 127.0.0.1:port from start() to stop(); a port in use means that there is one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ca-repeater", daemon=True)

    def start(self) -> bool:
        """Begin; False where another repeater serves already."""
        try:
            self._socket.bind(("127.0.0.1", self._port))
        except OSError:
            self._socket.close()
            return False
        self._socket.settimeout(0.2)
        self._thread.start()
        return True

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._socket.close()

    def _run(self) -> None:
        clients: dict[tuple[str, int], None] = {}
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:  # an ICMP "port unreachable" of a client that has gone
                continue
            command = _HEADER.unpack_from(data)[0] if len(data) >= _HEADER.size else _REGISTER
            if command == _REGISTER and len(clients) < _MAX_CLIENTS:
                clients[sender] = None
                self._send(_HEADER.pack(_CONFIRM, 0, 0, 0, 0, 0x7F000001), sender, clients)
            elif command == _BEACON:
                for client in list(clients):
                    if client != sender:
                        self._send(data, client, clients)

    def _send(
        self, data: bytes, client: tuple[str, int], clients: dict[tuple[str, int], None]
    ) -> None:
        try:
            self._socket.sendto(data, client)
        except OSError:
            with contextlib.suppress(KeyError):
                del clients[client]

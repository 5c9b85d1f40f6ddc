"""A cable that can be cut, pulled out and made slow: what arrives is what was sent, or nothing."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from operando.cli.soak_cable import Cable

PATIENCE_S = 60.0


class Echo:
    """Listens, and sends back whatever comes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(end,), daemon=True).start()

    def _answer(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while said := end.recv(1 << 16):
                end.sendall(said)


@pytest.fixture
def cable():
    echo = Echo()
    made = Cable(echo.address)
    yield made
    made.close()
    echo.listener.close()


def connect(cable: Cable) -> socket.socket:
    host, port = cable.address.removeprefix("tcp://").split(":")
    end = socket.create_connection((host, int(port)))
    end.settimeout(PATIENCE_S)
    return end


def exchanged(end: socket.socket, said: bytes) -> bytes:
    threading.Thread(target=end.sendall, args=(said,), daemon=True).start()
    heard = b""
    while len(heard) < len(said):
        piece = end.recv(1 << 16)
        if not piece:
            break
        heard += piece
    return heard


def broken(end: socket.socket) -> bool:
    try:
        end.sendall(b"x")
        return end.recv(1) == b""
    except ConnectionError:
        return True


def test_every_byte_comes_through_in_order(cable):
    said = bytes(range(256)) * 4000
    with connect(cable) as end:
        assert exchanged(end, said) == said
    assert cable.bytes >= 2 * len(said) - (1 << 16)


def test_a_cut_breaks_what_stands_and_refuses_what_comes_until_it_is_mended(cable):
    with connect(cable) as before:
        assert exchanged(before, b"before") == b"before"
        cable.cut()
        assert broken(before)
        with connect(cable) as meanwhile:
            assert broken(meanwhile)
        cable.mend()
    with connect(cable) as after:
        assert exchanged(after, b"after") == b"after"


def test_a_pulled_plug_loses_nothing(cable):
    with connect(cable) as end:
        assert exchanged(end, b"before") == b"before"
        cable.pull()
        end.sendall(b"waiting")
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            end.recv(1)
        end.settimeout(PATIENCE_S)
        cable.mend()
        assert end.recv(100) == b"waiting"


def test_a_slow_cable_holds_every_piece(cable):
    with connect(cable) as end:
        cable.slow(0.5)
        end.sendall(b"late")
        end.settimeout(0.1)
        with pytest.raises(TimeoutError):
            end.recv(1)
        end.settimeout(PATIENCE_S)
        assert end.recv(100) == b"late"


def test_a_cable_to_nowhere_lets_its_end_try_again():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Cable(f"tcp://127.0.0.1:{port}")
    with connect(made) as end:
        assert broken(end)
    made.close()

"""Who may connect to a socket that is bound: addresses, CURVE, and the list of those allowed.

Without keys a socket is bound to this machine only. With keys every peer must hold a secret key
whose public half is on the list; ZeroMQ asks the Doorkeeper about each. CURVE without one would
let any key in (encryption is not authorisation), so the two come together here, and the socket is
told to refuse everybody should nobody answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
from typing import Any

import zmq
from zmq.utils import z85

from .curve_keys import ClientKeys, KeysError, ServerKeys
from .permissions import PART

log = logging.getLogger(__name__)

_ASK_AT = "inproc://zeromq.zap.01"  # fixed by ZeroMQ's ZAP (RFC 27)
_DOMAIN = b"operando"
_TICK_MS = 100


def is_local(address: str) -> bool:
    """Whether only this machine can reach a ZeroMQ address that is bound."""
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if scheme != "tcp" or host in ("localhost", "lo"):
        return scheme == "tcp"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, an interface, or * for all of them
        return False


def is_here(address: str) -> bool:
    """Whether a ZeroMQ address to connect to is one of this machine, by whatever network.

    A name other than localhost is not looked up, which may take long, and counts as elsewhere.
    """
    if is_local(address):
        return True
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return False
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))  # the system lets nobody have an address that is another's
        except OSError:
            return False
    return scheme == "tcp"


def guard(bound: zmq.Socket[Any], keys: ServerKeys) -> None:
    """Let a socket that is not yet bound take only peers that the Doorkeeper lets in."""
    bound.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
    bound.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # nobody to ask: nobody gets in
    bound.setsockopt(zmq.CURVE_SERVER, 1)
    bound.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


def introduce(connected: zmq.Socket[Any], keys: ClientKeys | None) -> None:
    """Let a socket that is not yet connected speak CURVE with these keys; None: in clear."""
    if keys is not None:
        connected.setsockopt(zmq.CURVE_SERVERKEY, keys.server)
        connected.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        connected.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


def key_role(part: zmq.Frame) -> str:
    """The role for which the key was made with which this part came; "" where none is known."""
    try:
        return str(part.get("User-Id"))
    except (zmq.ZMQError, ValueError):
        return ""


class Doorkeeper:
    """Answers ZeroMQ's question who may come in, for all sockets of a context.

    refused: peers turned away
    """

    def __init__(self, keys: ServerKeys, context: zmq.Context[Any]) -> None:
        """Serve from now to close(). Raises KeysError where the context has such a one already."""
        self.refused = 0
        self._allowed, self._roles = keys.allowed, keys.roles
        self._closing = threading.Event()
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(_ASK_AT)
        except zmq.ZMQError as error:
            self._socket.close()
            raise KeysError(f"keys: this process has an authenticator already: {error}") from None
        self._thread = threading.Thread(target=self._run, name="doorkeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                if self._socket.poll(_TICK_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ContextTerminated:
            return
        finally:
            # closing alone frees the name some time later: the next hub here would find it taken
            with contextlib.suppress(zmq.ZMQError):
                self._socket.unbind(_ASK_AT)
            self._socket.close()

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """The reply to [version, id, domain, address, identity, mechanism, credentials...]."""
        version, asked, domain, address, _, mechanism, *credentials = [*question, *[b""] * 6][
            : max(6, len(question))
        ]
        key = b""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            key = z85.encode(credentials[0])
        known = version == b"1.0" and domain == _DOMAIN and key in self._allowed
        if not known:
            self.refused += 1
            if self.refused <= 10 or self.refused % 1000 == 0:
                log.warning("a peer at %s is not on the list (%d so far)", address, self.refused)
        status, text = (b"200", b"OK") if known else (b"400", b"not on the list")
        role = self._roles.get(key, PART).encode() if known else b""
        return [b"1.0", asked, status, text, role, b""]

"""Key pairs in a folder: who the hub is, who its peers are, and whom it lets in.

FOLDER/server.key_secret, server.key    the hub's pair, its public half
FOLDER/client.key_secret, client.key    the pair of the parts on this host
FOLDER/allowed/NAME.key                 public keys of those that the hub lets in, and their roles
FOLDER/NAME/                            a folder to carry to another host, as whom NAME comes

The files have the form of ZeroMQ's certificates. Secret ones are made readable by their owner
alone, and one that anybody else can read is refused: it is not secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from .permissions import PART, ROLES

SERVER, CLIENT, ALLOWED = "server", "client", "allowed"
_SECRET, _PUBLIC = ".key_secret", ".key"
_MAX_FILE_BYTES = 4096
_MAX_ALLOWED = 1000
_LINE = re.compile(r'^\s*(public|secret)-key\s*=\s*"([^"\s]{40})"\s*$', re.MULTILINE)
_ROLE = re.compile(r'^\s*role\s*=\s*"([^"]*)"\s*$', re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class KeysError(ValueError):
    """Keys that are missing, damaged or not secret; one line that says which file."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The hub's pair, Z85 text as bytes.

    allowed: public keys of those who may connect
    roles: key -> what it was made for, see permissions.py; a key without one is a part of the run
    """

    public: bytes
    secret: bytes = field(repr=False)
    allowed: frozenset[bytes]
    roles: dict[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """A peer's pair and the public key of the one hub that it talks to, Z85 text as bytes."""

    server: bytes
    public: bytes
    secret: bytes = field(repr=False)


def make_keys(folder: Path) -> list[Path]:
    """New keys for a hub and for the parts on its host; the files made. Raises KeysError."""
    if (folder / (SERVER + _SECRET)).exists() or (folder / (SERVER + _PUBLIC)).exists():
        raise KeysError(f"{folder}: holds keys already; name another folder, or add a client")
    _make_folder(folder)
    _make_folder(folder / ALLOWED)
    server, client = _new_pair(), _new_pair()
    return [
        *_write_pair(folder, SERVER, server),
        *_write_pair(folder, CLIENT, client),
        _write_public(folder / ALLOWED, CLIENT, client[0]),
    ]


def add_client(folder: Path, name: str, role: str = PART) -> list[Path]:
    """New keys for another host in folder/name, and its entry in the list of those allowed.

    role: what may be said with it, one of permissions.ROLES. Raises KeysError.
    """
    if role not in ROLES:
        raise KeysError(f"role {role[:60]!r} is none of {', '.join(ROLES)}")
    if not _NAME.fullmatch(name) or name in (SERVER, CLIENT, ALLOWED):
        raise KeysError(f"client {name[:60]!r}: a name of letters, digits, - and _ is needed")
    server, _ = _read(folder / (SERVER + _PUBLIC), secret=False)
    place = folder / name
    if place.exists():
        raise KeysError(f"{place}: exists; to replace a client remove it and its allowed key")
    _make_folder(place)
    client = _new_pair()
    return [
        _write_public(place, SERVER, server),
        *_write_pair(place, CLIENT, client),
        _write_public(folder / ALLOWED, name, client[0], role),
    ]


def load_server_keys(folder: Path) -> ServerKeys:
    """The hub's keys and the list of those allowed. Raises KeysError."""
    public, secret = _read(folder / (SERVER + _SECRET), secret=True)
    files = sorted((folder / ALLOWED).glob("*" + _PUBLIC))
    if not files:
        raise KeysError(f"{folder / ALLOWED}: no client's key is there: nobody could connect")
    if len(files) > _MAX_ALLOWED:
        raise KeysError(f"{folder / ALLOWED}: {len(files)} keys, at most {_MAX_ALLOWED} are read")
    keys = {_read(f, secret=False)[0]: _role(f) for f in files}
    return ServerKeys(public, secret, frozenset(keys), keys)


def load_client_keys(folder: Path) -> ClientKeys:
    """A peer's keys. Raises KeysError."""
    server, _ = _read(folder / (SERVER + _PUBLIC), secret=False)
    public, secret = _read(folder / (CLIENT + _SECRET), secret=True)
    return ClientKeys(server, public, secret)


def _new_pair() -> tuple[bytes, bytes]:
    try:
        public, secret = zmq.curve_keypair()
    except zmq.ZMQError as error:
        raise KeysError(f"this ZeroMQ has no CURVE: {error}") from None
    return public, secret


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise KeysError(f"{folder}: cannot be made: {error.strerror}") from None


def _write_pair(folder: Path, name: str, pair: tuple[bytes, bytes]) -> list[Path]:
    public, secret = (key.decode("ascii") for key in pair)
    path = folder / (name + _SECRET)
    _write(path, f'curve\n    public-key = "{public}"\n    secret-key = "{secret}"\n', 0o600)
    return [path, _write_public(folder, name, pair[0])]


def _write_public(folder: Path, name: str, public: bytes, role: str = "") -> Path:
    path = folder / (name + _PUBLIC)
    metadata = f'metadata\n    role = "{role}"\n' if role else ""
    _write(path, f'{metadata}curve\n    public-key = "{public.decode("ascii")}"\n', 0o644)
    return path


def _write(path: Path, text: str, mode: int) -> None:
    try:
        # Never readable by others for a moment, and never over a key that is in use
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, mode)  # whatever the umask says
            file.write(text)
    except OSError as error:
        raise KeysError(f"{path}: cannot be written: {error.strerror}") from None


def _role(path: Path) -> str:
    """The role that stands in a public key's file; a part's where none does. Raises KeysError."""
    found = _ROLE.findall(path.read_bytes()[:_MAX_FILE_BYTES].decode("ascii", "replace"))
    if not found:
        return PART
    if len(found) > 1 or found[0] not in ROLES:
        raise KeysError(f"{path}: role {found[0][:60]!r} is none of {', '.join(ROLES)}")
    role: str = found[0]
    return role


def _read(path: Path, secret: bool) -> tuple[bytes, bytes]:
    """Public and secret key in a file; the second b"" in a public one."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise KeysError(
            f"{path}: cannot be read: {error.strerror}; `operando keys` makes keys"
        ) from None
    if secret and stat.S_IMODE(mode) & 0o077:
        raise KeysError(f"{path}: others can read it (mode {stat.S_IMODE(mode):o}): chmod 600 it")
    found = {kind: key.encode("ascii", "replace") for kind, key in _LINE.findall(text)}
    for kind in ("public", "secret") if secret else ("public",):
        if kind not in found or not _is_key(found[kind]):
            raise KeysError(f"{path}: holds no {kind} key")
    if secret and zmq.curve_public(found["secret"]) != found["public"]:
        raise KeysError(f"{path}: its two keys are no pair")
    return found["public"], found["secret"] if secret else b""


def _is_key(text: bytes) -> bool:
    with contextlib.suppress(zmq.ZMQError, ValueError, KeyError):
        return zmq.curve_public(text) is not None
    return False

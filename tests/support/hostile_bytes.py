"""Bytes that nobody honest sends: named cases, and seeded mutations of sound messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from random import Random

import cbor2
import msgpack

PORT_SCANNERS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c403035f") + bytes(range(200)),
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "smb": bytes.fromhex("000000a4ff534d4272000000000801c8"),
    "redis": b"*1\r\n$4\r\nINFO\r\n",
    "zmtp-2": bytes.fromhex("ff00000000000000017f"),
    "newlines": b"\r\n" * 100,
}

MSGPACK = {
    "nothing": b"",
    "reserved byte": b"\xc1",
    "array of 4 G": b"\xdd\xff\xff\xff\xff",
    "map of 4 G": b"\xdf\xff\xff\xff\xff",
    "binary of 4 GB": b"\xc6\xff\xff\xff\xff",
    "text of 4 GB": b"\xdb\xff\xff\xff\xff",
    "extension": b"\xc7\x05\x01hello",
    "timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "nested 100000 deep": b"\x91" * 100_000,
    "maps 50000 deep": b"\x81\xa1a" * 50_000,
    "text that is no UTF-8": b"\xa2\xff\xfe",
    "trailing bytes": msgpack.packb({"v": 1}) + b"\x00",
    "key of two kinds": b"\x82\x01\x01\xa1a\x02",
    "version as truth value": msgpack.packb({"v": True, "kind": "focus", "fields": {}}),
    "kind as list": msgpack.packb({"v": 1, "kind": ["frame"], "fields": {}}),
    "unknown operation": msgpack.packb({"op": "shutdown"}),
    "operation as list": msgpack.packb({"op": ["put"], "seq": 1, "base": 1, "group": ""}),
    "put at 2**64": msgpack.packb({"op": "put", "seq": 2**64 - 1, "base": 1, "group": ""}),
    "put before 0": msgpack.packb({"op": "put", "seq": -1, "base": 1, "group": ""}),
    "put as nan": msgpack.packb({"op": "put", "seq": math.nan, "base": 1, "group": ""}),
    "pickle": b"cos\nsystem\n(S'echo pwned'\ntR.",
}


def _ours(kind: str, fields: dict[str, object], buffers: int) -> list[bytes]:
    header = msgpack.packb({"v": 1, "kind": kind, "fields": fields})
    return [header, *[b""] * buffers]


_NOTHING_OF_MUCH = ("<f8", [0, 2**62])  # needs no byte, and is larger than an address can say
_COLUMNS = ("time_s", "wall_s", "voltage_v", "current_a", "charge_ah", "temperature_c")
MESSAGES = {  # whole, with a header in which all but a shape makes sense
    "samples of 0 x 2**62": _ours(
        "samples",
        {"run": "r", "states": []} | {n: [i, *_NOTHING_OF_MUCH] for i, n in enumerate(_COLUMNS)},
        len(_COLUMNS),
    ),
    "final result of 0 x 2**62": _ours(
        "result",
        {
            "run": "r", "scan": "s", "number": 1, "consumer": "c", "name": "n", "dims": ["x"],
            "coords": [], "units": [], "unit": "", "values": [0, *_NOTHING_OF_MUCH],
            "uncertainty": None, "completeness": 1.0, "revision": 1, "final": True, "live": False,
            "attrs": [],
        },
        1,
    ),
}  # fmt: skip

CBOR = {
    "nothing": b"",
    "break alone": b"\xff",
    "map of 2**64": b"\xbb" + b"\xff" * 8,
    "array of 2**64": b"\x9b" + b"\xff" * 8,
    "bytes of 2**63": b"\x5b\x7f" + b"\xff" * 7,
    "nested 100000 deep": b"\x81" * 100_000,
    "tags 100000 deep": b"\xc1" * 100_000,
    "endless map": b"\xbf" + b"\x61a\x01" * 10,
    "endless text of texts": b"\xa1\x7f" + b"\x61a" * 1000,
    "reference to itself": b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",
    "regular expression": b"\xa1\x64type\xd8\x23\x68(a+)+$aa",
    "bignum": b"\xa1\x61a\xc2\x5a\x00\x01\x00\x00" + b"\xff" * 65536,
    "fraction of bignums": b"\xa1\x61a\xc4\x82\x1b" + b"\x7f" + b"\xff" * 7 + b"\x01",
    "key twice": b"\xa2\x64type\x63end\x64type\x65image",
    "key as list": b"\xa1\x80\x01",
    "key as nan": b"\xa1\xf9\x7e\x00\x01",
    "reserved length": b"\xa1\x1c",
    "100001 items": b"\xa1\x61a\x9a\x00\x01\x86\xa1" + b"\x00" * 100_001,
    "start without anything": cbor2.dumps({"type": "start"}),
    "image without anything": cbor2.dumps({"type": "image"}),
    "image of series -1": cbor2.dumps({"type": "image", "series_id": -1, "image_id": 0}),
    "start of 2**63 images": cbor2.dumps({"type": "start", "number_of_images": 2**63}),
}

PARTS = {  # DECTRIS stream V1
    "no object": [b"[]"],
    "nested 100000 deep": [b'{"a":' * 100_000],
    "number of 5000 digits": [b'{"series":' + b"9" * 5000 + b"}"],
    "infinite series": [b'{"htype":"dheader-1.0","series":Infinity}'],
    "image without pixels": [b'{"htype":"dimage-1.0","series":1,"frame":0}', b"{}", b"{}"],
    "blob that is announced and never comes": [b'{"htype":"dimage_d-1.0","shape":[1,1]}'],
    "header in a header": [b'{"htype":"dheader-1.0","series":1}'] * 9,
    "end of no series": [b'{"htype":"dseries_end-1.0"}'],
    "htype as list": [b'{"htype":["dimage-1.0"],"series":1}'],
    "text that is no UTF-8": [b'{"\xff":1}'],
    "empty parts": [b""] * 9,
}

YAML = {
    "nothing": "",
    "object": "title: !!python/object/apply:os.system [ls]",
    "laughs": "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\ntitle: [*b,*b,*b,*b]",
    "itself": "title: &a [*a]",
    "tab": "title:\n\t- x",
    "number too large": "title: t\nscan: {exposure_s: 1e999}\nmarks: [{time_s: 1}]\nsimulation: {}",
    "not a number": "title: t\nscan: {exposure_s: .nan}\nmarks: [{time_s: .nan}]\nsimulation: {}",
    "many frames": "title: t\nscan: {angles: {count: 99999999}}\nmarks: [{time_s: 1}]",
    "typo": "title: t\nmark: []\nsimulation: {}",
    "key twice": "title: a\ntitle: b",
    "half a surrogate pair": 'title: "\\ud800"\nmarks: [{time_s: 1}]\nsimulation: {}',
    "half a surrogate pair as a key": '"\\ud800": 1\nmarks: [{time_s: 1}]\nsimulation: {}',
    "half a surrogate pair in the twin": (
        'title: t\nmarks: [{time_s: 1}]\nsimulation: {twin: {"\\ud800": "\\ud800"}}'
    ),
}

_NUMBERS = (0, 1, -1, 255, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, -(2**63))
_VALUES: tuple[object, ...] = (
    *_NUMBERS, None, True, False, math.nan, math.inf, -0.0, 1e308, "", "x" * 1000, "\x00", b"",
    b"\xff" * 16, [], {}, [[[[[[[[[[1]]]]]]]]]], {"a": {"b": 1}}, [0, 2**62], "bslz4", "lz4", "raw",
    "uint32", "float64", "../../x", "scan", "\ud800", -3, 3.7,
)  # fmt: skip


def broken(read: Callable[..., object], name: str, value: object) -> Callable[..., object]:
    """read, but with a hole in it: it breaks over what has this value under this name."""

    def breaks(parts: Sequence[object]) -> object:
        message = read(parts)
        if getattr(message, name, None) == value:
            raise ZeroDivisionError("nobody thought of that")
        return message

    return breaks


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """data with one to four of a dozen kinds of damage."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_DAMAGE)(random, data, others)
    return data


def _flip(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x00"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]


def _overwrite(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = random.randrange(len(data) + 1)
    new = random.randbytes(random.randrange(1, 9))
    return data[:place] + new + data[place + len(new) :]


def _number(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_NUMBERS) % (1 << 8 * size)
    place = random.randrange(len(data) + 1)
    return (
        data[:place] + value.to_bytes(size, random.choice(("big", "little"))) + data[place + size :]
    )


def _cut(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _grow(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + random.randbytes(random.randrange(1, 40))


def _remove(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    first = random.randrange(len(data) + 1)
    return data[:first] + data[first + random.randrange(1, 32) :]


def _repeat(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    first = random.randrange(len(data) + 1)
    end = first + random.randrange(1, 64)
    return data[:end] + data[first:]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else data
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


_DAMAGE: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _overwrite, _number, _number, _cut, _grow, _remove, _repeat, _splice,
)  # fmt: skip


def mutated_tree(random: Random, tree: object) -> object:
    """A structure of dicts, lists and values with one thing in it changed, gone or added."""
    if isinstance(tree, dict) and tree and random.random() < 0.85:
        key = random.choice(list(tree))
        changed = dict(tree)
        kind = random.random()
        if kind < 0.1:
            del changed[key]
        elif kind < 0.2:
            changed[random.choice(("x", key if isinstance(key, str) else "y", 3))] = random.choice(
                _VALUES
            )
        else:
            changed[key] = mutated_tree(random, tree[key])
        return changed
    if isinstance(tree, list) and tree and random.random() < 0.85:
        place = random.randrange(len(tree))
        changed_list = list(tree)
        kind = random.random()
        if kind < 0.1:
            del changed_list[place]
        elif kind < 0.2:
            changed_list.insert(place, random.choice(_VALUES))
        else:
            changed_list[place] = mutated_tree(random, tree[place])
        return changed_list
    if isinstance(tree, cbor2.CBORTag) and random.random() < 0.9:
        if random.random() < 0.1:
            return cbor2.CBORTag(
                random.choice((0, 2, 28, 29, 40, 64, 70, 85, 1040, 56500)), tree.value
            )
        return cbor2.CBORTag(tree.tag, mutated_tree(random, tree.value))
    return random.choice(_VALUES)


def mutated_msgpack(random: Random, data: bytes) -> bytes:
    """A msgpack structure changed in one place, well-formed again."""
    tree = mutated_tree(random, msgpack.unpackb(data, raw=False, strict_map_key=False))
    try:
        return bytes(msgpack.packb(tree, use_bin_type=True))
    except (OverflowError, ValueError):
        return data


def mutated_cbor(random: Random, data: bytes) -> bytes:
    """A CBOR structure changed in one place, well-formed again."""
    try:
        return bytes(cbor2.dumps(mutated_tree(random, cbor2.loads(data))))
    except (cbor2.CBORError, ValueError):
        return data


def mutated_json(random: Random, data: bytes) -> bytes:
    """A JSON object changed in one place, well-formed again."""
    tree = mutated_tree(random, json.loads(data))
    return json.dumps(tree, default=lambda value: value.decode("latin-1")).encode()

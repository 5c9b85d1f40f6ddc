"""Messages to bytes and back: a msgpack header with a version, then raw buffers.

pack() gives the parts of a ZeroMQ message: the header and one part for each array or payload,
none of them copied. What is said frame by frame (index -> reason) travels as in reasons.py, or the
header of a scan that broke off would be too large to be read. unpack() gives the message back, its
arrays being read-only views of the parts. Everything that comes from outside is checked here,
against the types that messages.py declares, once: unknown kinds, wrong versions, missing or extra
fields, wrong types, lying shapes and oversize headers raise PackingError. There is no pickle and no
object array.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np

from .consistency import inconsistency
from .messages import Message
from .reasons import from_ranges, to_ranges

VERSION = 1
MAX_HEADER_BYTES = 8 << 20  # the largest header seen is a document of some 100 kB
MAX_DIMENSIONS = 8
_DTYPE_KINDS = "buif"  # bool, integers, floats: never objects, never strings

Buffer = bytes | memoryview
Part = Any  # bytes, memoryview, or a zmq.Frame, which offers .buffer
T = typing.TypeVar("T")


class PackingError(ValueError):
    """Bytes that are no message of ours, or a message that cannot be packed."""


def _kind(cls: type) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")


_KINDS: dict[str, type] = {_kind(cls): cls for cls in typing.get_args(Message)}


def kind_of(message: Message) -> str:
    """The kind under which message travels, e.g. "scan_start"."""
    return _kind(type(message))


def pack(message: Message) -> list[Buffer]:
    """The parts of message: header first, then its arrays and payloads, uncopied."""
    return pack_fields(message)


def pack_fields(value: Any) -> list[Buffer]:
    """The parts of any dataclass whose fields are such as messages have; see unpack_fields()."""
    buffers: list[Buffer] = []
    fields = _pack_value(value, buffers)
    kind = _kind(type(value))
    header: bytes = msgpack.packb({"v": VERSION, "kind": kind, "fields": fields}, use_bin_type=True)
    if len(header) > MAX_HEADER_BYTES:
        raise PackingError(
            f"a {kind} with a header of {len(header)} bytes, at most {MAX_HEADER_BYTES} are read"
        )
    return [header, *buffers]


def _pack_value(value: Any, buffers: list[Buffer]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _DTYPE_KINDS:
            raise PackingError(f"arrays of dtype {value.dtype} do not travel")
        array = np.ascontiguousarray(value)
        buffers.append(array.reshape(-1).view(np.uint8).data if array.size else b"")
        return [len(buffers) - 1, array.dtype.str, list(value.shape)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        buffers.append(memoryview(value).cast("B"))
        return len(buffers) - 1
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _pack_value(getattr(value, f.name), buffers) for f in dataclasses.fields(value)
        }
    if isinstance(value, dict) and any(isinstance(k, int) for k in value):
        return _pack_reasons(value, buffers)
    if isinstance(value, dict):
        return [[k, _pack_value(v, buffers)] for k, v in value.items()]
    if isinstance(value, (tuple, list)):
        return [_pack_value(v, buffers) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _pack_reasons(value: dict[int, str], buffers: list[Buffer]) -> list[Any]:
    try:
        words, table = to_ranges(value)
    except (TypeError, ValueError) as error:
        raise PackingError(str(error)) from None
    return [words, _pack_value(table, buffers)]


def unpack(parts: Sequence[Part]) -> Message:
    """The message whose parts these are. Raises PackingError saying what is wrong with them."""
    message = _read_parts(parts, _KINDS)
    wrong = inconsistency(message)
    if wrong:
        raise PackingError(f"{kind_of(message)}: {wrong}")
    return typing.cast(Message, message)


def unpack_fields(cls: type[T], parts: Sequence[Part]) -> T:
    """What pack_fields() made of an object of class cls. Raises PackingError."""
    return typing.cast(T, _read_parts(parts, {_kind(cls): cls}))


def _read_parts(parts: Sequence[Part], kinds: dict[str, type]) -> Any:
    if not parts:
        raise PackingError("no parts: nothing to unpack")
    views = [_view(p) for p in parts]
    cls, fields, kind = _read_header(views[0], kinds)
    used: set[int] = set()
    found = _reader(cls)(fields, views[1:], used, kind)
    if len(used) != len(views) - 1:
        raise PackingError(f"{kind}: {len(views) - 1} buffers came, {len(used)} are named")
    return found


def peek(part: Part) -> tuple[str, dict[str, Any]]:
    """Kind and plain fields of a message from its header alone, for those who only route it."""
    _, fields, kind = _read_header(_view(part), _KINDS)
    return kind, fields


def _view(part: Part) -> memoryview:
    buffer: Any = getattr(part, "buffer", part)
    return memoryview(buffer).cast("B")


def _read_header(view: memoryview, kinds: dict[str, type]) -> tuple[type, dict[str, Any], str]:
    if len(view) > MAX_HEADER_BYTES:
        raise PackingError(f"header of {len(view)} bytes, at most {MAX_HEADER_BYTES} are read")
    try:
        header = msgpack.unpackb(view, raw=False, strict_map_key=True, max_ext_len=0)
    except Exception as error:  # msgpack raises many kinds, all meaning: not ours
        raise PackingError(f"header is not msgpack: {error}") from None
    if not isinstance(header, dict) or set(header) != {"v", "kind", "fields"}:
        raise PackingError("header is not one of ours: it needs exactly v, kind and fields")
    if header["v"] != VERSION or isinstance(header["v"], bool):
        raise PackingError(f"message of version {header['v']!r}, this program reads {VERSION}")
    cls = kinds.get(header["kind"]) if isinstance(header["kind"], str) else None
    if cls is None:
        raise PackingError(f"unknown kind of message {header['kind']!r}")
    if not isinstance(header["fields"], dict):
        raise PackingError(f"{header['kind']}: fields are not a map")
    return cls, header["fields"], header["kind"]


# A reader turns a decoded header value into a field's value, checking it against the field's type.
Reader = Callable[[Any, Sequence[memoryview], set[int], str], Any]


@functools.cache
def _reader(annotation: Any) -> Reader:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _dataclass_reader(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _union_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is dict:
        return _read_reasons if arguments == (int, str) else _dict_reader(arguments)
    if origin is np.ndarray:
        (dtype,) = typing.get_args(arguments[1])
        return functools.partial(_read_array, None if dtype is np.generic else np.dtype(dtype))
    if annotation is float:
        return _read_float
    return functools.partial(_read_plain, annotation)


def _dataclass_reader(cls: type) -> Reader:
    hints = typing.get_type_hints(cls)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(cls)}

    def read(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
        if not isinstance(value, dict) or value.keys() != readers.keys():
            names = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise PackingError(f"{where}: came with {names}, needs {sorted(readers)}")
        return cls(**{n: r(value[n], buffers, used, f"{where}.{n}") for n, r in readers.items()})

    return read


def _union_reader(arguments: tuple[Any, ...]) -> Reader:
    if bytes in arguments:  # bytes | memoryview: a payload
        return _read_payload
    optional = type(None) in arguments
    rest = tuple(a for a in arguments if a is not type(None))
    if all(a in (str, int, float, bool) for a in rest) and len(rest) > 1:
        return _read_scalar
    (inner,) = rest

    def read(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
        if value is None and optional:
            return None
        return _reader(inner)(value, buffers, used, where)

    return read


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    repeated = len(arguments) == 2 and arguments[1] is Ellipsis

    def read(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
        if not isinstance(value, list) or (not repeated and len(value) != len(arguments)):
            raise PackingError(f"{where}: needs a list, got {str(value)[:60]!r}")
        kinds = [arguments[0]] * len(value) if repeated else arguments
        return tuple(
            _reader(k)(v, buffers, used, f"{where}[{i}]")
            for i, (k, v) in enumerate(zip(kinds, value, strict=True))
        )

    return read


def _dict_reader(arguments: tuple[Any, ...]) -> Reader:
    read_key, read_value = _reader(arguments[0]), _reader(arguments[1])

    def read(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
        if not isinstance(value, list) or any(
            not isinstance(pair, list) or len(pair) != 2 for pair in value
        ):
            raise PackingError(f"{where}: needs a list of pairs, got {str(value)[:60]!r}")
        found = {
            read_key(k, buffers, used, f"{where} key"): read_value(
                v, buffers, used, f"{where}[{k!r}]"
            )
            for k, v in value
        }
        if len(found) != len(value):
            raise PackingError(f"{where}: a key stands twice")
        return found

    return read


def _read_reasons(
    value: Any, buffers: Sequence[memoryview], used: set[int], where: str
) -> dict[int, str]:
    if value == []:
        return {}
    if not isinstance(value, list) or len(value) != 2:
        raise PackingError(f"{where}: needs reasons and their ranges, got {str(value)[:60]!r}")
    words = _reader(tuple[str, ...])(value[0], buffers, used, where)
    table = _read_array(np.dtype(np.int64), value[1], buffers, used, where)
    try:
        return from_ranges(words, table)
    except ValueError as error:
        raise PackingError(f"{where}: {error}") from None


def _take(index: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> memoryview:
    if type(index) is not int or not 0 <= index < len(buffers) or index in used:
        raise PackingError(f"{where}: names buffer {index!r}, {len(buffers)} came, each used once")
    used.add(index)
    return buffers[index]


def _read_payload(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
    return _take(value, buffers, used, where)


def _read_array(
    dtype: np.dtype[Any] | None,
    value: Any,
    buffers: Sequence[memoryview],
    used: set[int],
    where: str,
) -> Any:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[2], list):
        raise PackingError(f"{where}: not an array description")
    index, name, shape = value
    try:
        found = np.dtype(name) if isinstance(name, str) else None
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found.kind not in _DTYPE_KINDS or found.hasobject or found.subdtype:
        raise PackingError(f"{where}: dtype {name!r} does not travel")
    if dtype is not None and found != dtype:
        raise PackingError(f"{where}: dtype {found}, needs {dtype}")
    if len(shape) > MAX_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise PackingError(f"{where}: shape {str(shape)[:60]} is none")
    buffer = _take(index, buffers, used, where)
    need = math.prod(shape) * found.itemsize
    if need != len(buffer):
        raise PackingError(f"{where}: shape {shape} of {found} is {need} bytes, {len(buffer)} came")
    try:
        return np.frombuffer(buffer, found).reshape(shape)
    except (
        ValueError,
        OverflowError,
    ) as error:  # of no element, and yet too large, e.g. (0, 2**62)
        raise PackingError(f"{where}: shape {str(shape)[:60]} of {found}: {error}") from None


def _read_float(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PackingError(f"{where}: {str(value)[:60]!r} is no number")
    return float(value)


def _read_scalar(value: Any, buffers: Sequence[memoryview], used: set[int], where: str) -> Any:
    if not isinstance(value, (str, int, float, bool)):
        raise PackingError(f"{where}: {str(value)[:60]!r} is no text, number or truth value")
    return value


def _read_plain(
    kind: type, value: Any, buffers: Sequence[memoryview], used: set[int], where: str
) -> Any:
    if type(value) is not kind:
        raise PackingError(f"{where}: {str(value)[:60]!r} is no {kind.__name__}")
    return value

"""A small CBOR (RFC 8949) reader for bytes that come from a network.

It reads plain values only and makes no copy of byte strings: they are views of the message, so a
10 MB image costs nothing here. Depth, number of items and length of texts are bounded, and nothing
is allocated because a length says so. General decoders offer what nobody on a detector's wire
needs: references between items, regular expressions, bignums, trailing bytes.

A tag becomes Tagged; what it means is the reader's business. Raises CborError, which carries the
entries of the outermost map that had been read by then: a cut image message still says which image
it is.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

MAX_DEPTH = 16
MAX_ITEMS = 100_000  # a start message with every table has some 200
MAX_TEXT_BYTES = 16 << 20

Key = str | int

_SELF_DESCRIBED = 55799  # a tag without meaning, which DECTRIS puts before every message
_BREAK = object()
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}  # undefined is read as null


class CborError(ValueError):
    """Bytes that are no CBOR message within the bounds."""

    def __init__(self, reason: str, partial: dict[Key, object] | None = None) -> None:
        super().__init__(reason)
        self.partial: dict[Key, object] = partial or {}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with a tag that says what it means."""

    tag: int
    value: object


def read_map(message: memoryview) -> dict[Key, object]:
    """The map that is the whole of message. Raises CborError.

    Values are None, bool, int, float, str, memoryview, list, dict and Tagged.
    """
    reader = _Reader(message)
    found: dict[Key, object] = {}
    try:
        major, argument = reader.head()
        while major == 6 and argument == _SELF_DESCRIBED:
            major, argument = reader.head()
        if major != 5:
            raise CborError("the message is no map")
        reader.entries(argument, found, depth=1)
        if reader.place != len(message):
            raise CborError(f"{len(message) - reader.place} bytes follow the message")
    except CborError as error:
        raise CborError(str(error), found) from None
    return found


class _Reader:
    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.place = 0
        self.items = 0

    def take(self, count: int) -> memoryview:
        start, end = self.place, self.place + count
        if end > len(self.view):
            raise CborError(f"cut: {count} bytes due at byte {start} of {len(self.view)}")
        self.place = end
        return self.view[start:end]

    def head(self) -> tuple[int, int | None]:
        """Major type and argument of the next item; None as argument: of indefinite length.

        The argument of simple values and floats (major 7) is left as the additional information.
        """
        self.items += 1
        if self.items > MAX_ITEMS:
            raise CborError(f"more than {MAX_ITEMS} items")
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7 or info < 24:
            return major, info
        if info < 28:
            return major, int.from_bytes(self.take(1 << (info - 24)), "big")
        if info == 31 and major in (2, 3, 4, 5):
            return major, None
        raise CborError(f"byte {first:#04x} at {self.place - 1} begins no item")

    def item(self, depth: int) -> object:
        value = self.item_or_break(depth)
        if value is _BREAK:
            raise CborError("a break where an item is due")
        return value

    def item_or_break(self, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise CborError(f"nested deeper than {MAX_DEPTH}")
        major, argument = self.head()
        if major == 7:
            return self.simple(argument or 0)
        if major == 2:
            return self.take(argument) if argument is not None else self.pieces(2)
        if major == 3:
            return self.text(argument)
        if major == 4:
            return self.array(argument, depth + 1)
        if major == 5:
            found: dict[Key, object] = {}
            self.entries(argument, found, depth + 1)
            return found
        if argument is None:
            raise CborError("an integer or tag of indefinite length")
        if major == 6:
            return Tagged(argument, self.item(depth + 1))
        return argument if major == 0 else -1 - argument

    def simple(self, info: int) -> object:
        if info == 31:
            return _BREAK
        if info in _FLOATS:
            form = _FLOATS[info]
            return float(form.unpack(self.take(form.size))[0])
        if info in _SIMPLE:
            return _SIMPLE[info]
        raise CborError(f"simple value {info} means nothing here")

    def text(self, length: int | None) -> str:
        if length is not None and length > MAX_TEXT_BYTES:
            raise CborError(f"a text of {length} bytes, at most {MAX_TEXT_BYTES} are read")
        raw = self.take(length) if length is not None else self.pieces(3)
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError:
            raise CborError("a text that is not UTF-8") from None

    def pieces(self, major: int) -> memoryview:
        """A string sent in pieces, joined."""
        pieces: list[memoryview] = []
        while True:
            kind, length = self.head()
            if kind == 7 and length == 31:
                return memoryview(b"".join(pieces))
            if kind != major or length is None:
                raise CborError("a string in pieces holds something that is none of its own")
            pieces.append(self.take(length))

    def array(self, count: int | None, depth: int) -> list[object]:
        found: list[object] = []
        while count is None or len(found) < count:
            value = self.item_or_break(depth)
            if value is _BREAK:
                if count is None:
                    break
                raise CborError("a break in a list of known length")
            found.append(value)
        return found

    def entries(self, count: int | None, found: dict[Key, object], depth: int) -> None:
        """Read count entries of a map into found; None: until the break."""
        done = 0
        while count is None or done < count:
            key = self.item_or_break(depth)
            if key is _BREAK:
                if count is None:
                    return
                raise CborError("a break in a map of known length")
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise CborError(f"a {type(key).__name__} as a key")
            if key in found:
                raise CborError(f"key {str(key)[:40]!r} stands twice")
            found[key] = self.item(depth)
            done += 1


def finite(value: object) -> float:
    """value as float where it is a finite number, else nan."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan

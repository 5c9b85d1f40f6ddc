"""What a message says in its header, for those who hand it on without decoding its payload."""

from __future__ import annotations

from typing import Any

from .held import FrameKey


class Refusal(ValueError):
    """A message that cannot be right, e.g. a frame of a scan that nobody has announced."""


def text_of(kind: str, fields: dict[str, Any], name: str) -> str:
    """A field that has to be text. Raises Refusal."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise Refusal(f"{kind}: {name} is {str(value)[:60]!r}, needs text")
    return value


def key_of(kind: str, fields: dict[str, Any]) -> FrameKey:
    """Scan and index of a frame or a reduction. Raises Refusal."""
    index = fields.get("index")
    if type(index) is not int or index < 0:
        raise Refusal(f"{kind}: index is {str(index)[:60]!r}, needs a number from 0")
    return text_of(kind, fields, "scan"), index

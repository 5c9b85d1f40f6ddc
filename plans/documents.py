"""Bluesky documents to messages, in the order they come, with the run they belong to.

All documents of an experiment carry the uid of its outer run, those of the scans inside it too:
the scan's start document names it under "operando_run".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ..stream.messages import Document, Message


class DocumentPublisher:
    """A RunEngine callback; put must be safe to call from the RunEngine's thread."""

    def __init__(self, put: Callable[[Message], None]) -> None:
        self._put = put
        self._run_of: dict[str, str] = {}  # uid of start, descriptor, resource -> outer run

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Publish one document."""
        run = self._run(name, doc)
        text = orjson.dumps(doc, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        self._put(Document(run, name, text))

    def _run(self, name: str, doc: Mapping[str, Any]) -> str:
        if name == "start":
            run = str(doc.get("operando_run", doc["uid"]))
            self._run_of[str(doc["uid"])] = run
            return run
        for key in ("run_start", "descriptor", "stream_resource", "resource"):
            if (run := self._run_of.get(str(doc.get(key, "")), "")) != "":
                if name in ("descriptor", "stream_resource", "resource"):
                    self._run_of[str(doc["uid"])] = run
                elif name == "stop" and run == doc.get("run_start"):
                    self._run_of.clear()
                return run
        return ""


def _plain(value: object) -> object:
    """What orjson does not know: numpy arrays it cannot take as they are, tuples' relatives."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)

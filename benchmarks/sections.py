"""A part of the page that is no comparison: a title, text in Markdown, and its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .rows import Row, from_json, plain, to_json


@dataclass(frozen=True, slots=True)
class Section:
    """data: plain values for the JSON file."""

    title: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)


def write_answer(path: Path, rows: Iterable[Row], sections: Iterable[Section]) -> None:
    """Write what a case has found so far."""
    answer = {"rows": to_json(rows), "sections": plain([asdict(s) for s in sections])}
    path.write_text(json.dumps(answer), encoding="utf-8")


def read_answer(path: Path) -> tuple[list[Row], list[Section]]:
    """What a case has found; nothing where there is no file."""
    if not path.is_file():
        return [], []
    answer = json.loads(path.read_text(encoding="utf-8"))
    return from_json(answer["rows"]), [Section(**each) for each in answer["sections"]]

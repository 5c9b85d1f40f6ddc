"""What runs have found, by entry, in a folder: `latest.json`, the page made of it, the picture.

A complete run replaces everything. A run of some entries with --update replaces these alone: each
entry carries its own date, command and machine, so the page never claims that all were measured
at once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import figure
from .machine import Machine
from .rows import Row, from_json, plain, to_json
from .sections import Section
from .table import markdown


@dataclass(frozen=True, slots=True)
class Measured:
    """What one entry of the catalogue found.

    when: ISO time with its offset; command: as it was typed
    """

    name: str
    when: str
    command: str
    machine: Machine
    rows: Sequence[Row]
    sections: Sequence[Section]


def merged(
    stored: Sequence[Measured], new: Sequence[Measured], order: Sequence[str]
) -> list[Measured]:
    """stored with new ones in the place of those of the same name, in this order of names."""
    by_name = {each.name: each for each in (*stored, *new)}
    return [by_name[name] for name in order if name in by_name]


def write(folder: Path, measured: Sequence[Measured]) -> None:
    """latest.json, latest.md and latest.png in folder."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "name": each.name,
            "when": each.when,
            "command": each.command,
            "machine": dataclasses.asdict(each.machine),
            "rows": to_json(each.rows),
            "sections": plain([dataclasses.asdict(section) for section in each.sections]),
        }
        for each in measured
    ]
    text = json.dumps({"entries": entries}, indent=1)
    (folder / "latest.json").write_text(text + "\n", encoding="utf-8")
    (folder / "latest.md").write_text(markdown(measured), encoding="utf-8")
    rows = rows_of(measured)
    try:
        figure.draw(rows, folder / "latest.png", _title(measured))
    except ImportError:
        print("no figure: matplotlib is not installed", flush=True)


def read(folder: Path) -> list[Measured]:
    """What write() wrote; nothing where there is no file."""
    file = folder / "latest.json"
    if not file.is_file():
        return []
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return [
        Measured(
            name=entry["name"],
            when=entry["when"],
            command=entry["command"],
            machine=Machine(**entry["machine"]),
            rows=from_json(entry["rows"]),
            sections=[Section(**section) for section in entry["sections"]],
        )
        for entry in document["entries"]
    ]


def rows_of(measured: Iterable[Measured]) -> list[Row]:
    """All rows, in the order of the entries."""
    return [row for each in measured for row in each.rows]


def _title(measured: Sequence[Measured]) -> str:
    if not measured:
        return ""
    dates = sorted({each.when[:10] for each in measured})
    return f"{measured[0].machine.processor}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"

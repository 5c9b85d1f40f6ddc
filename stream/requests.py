"""Proposals and decisions in a run's file: two growing tables, a row a message.

    /entry/proposals, /entry/decisions     NXcollection, one dataset a field of the message

The newest decision on an id is what became of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import h5py
import numpy as np

from .messages import Decision, Proposal
from .nexus import new_group
from .table import (
    PLACES,
    new_column,
    new_text_column,
    read_texts,
    rows_of,
    write_rows,
    write_texts,
)

Request = Proposal | Decision
REGION = ("x", "y", "width")  # columns of Proposal.region
UNITS = {"x": "um", "y": "um", "width": "um", "exposure_s": "s", "cost_s": "s", "deadline": "s",
         "time": "s"}  # fmt: skip
_NAMES: dict[type[Request], str] = {Proposal: "proposals", Decision: "decisions"}


def append_request(entry: h5py.Group, message: Request) -> None:
    """Add one row."""
    row = _row(message)
    name = _NAMES[type(message)]
    if name not in entry:
        group = new_group(entry, name, "NXcollection", ordered=True)
        for column, value in row.items():
            if isinstance(value, str):
                new_text_column(group, column)
            else:
                new_column(group, column, np.float64, UNITS.get(column, ""))
    group = entry[name]
    have = rows_of(group, row)
    for column, value in row.items():
        if isinstance(value, str):
            write_texts(group, column, have, [value])
        else:
            write_rows(group[column], have, np.array([value], np.float64))


def read_requests(entry: h5py.Group) -> list[Request]:
    """All of both tables in the order of their times, a proposal before the words on it."""
    found: list[Request] = []
    for cls, name in _NAMES.items():
        if name in entry:
            group = entry[name]
            names = [column for column in group if not column.endswith(PLACES)]
            count = rows_of(group, names)
            columns = {column: _column(group, column, count) for column in names}
            rows = ({c: v[i] for c, v in columns.items()} for i in range(count))
            found += [_message(cls, row) for row in rows if row["id"]]
    return sorted(found, key=lambda message: message.time)


def _row(message: Request) -> dict[str, str | float]:
    row: dict[str, str | float] = {}
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        row |= dict(zip(REGION, value, strict=True)) if field.name == "region" else {
            field.name: value
        }  # fmt: skip
    return row


def _message(cls: type[Request], row: dict[str, Any]) -> Request:
    if cls is Proposal:
        row["region"] = tuple(row.pop(column) for column in REGION)
    message: Request = cls(**row)
    return message


def _column(group: h5py.Group, name: str, count: int) -> list[str] | list[float]:
    if name + PLACES in group:
        return read_texts(group, name, count)
    return [float(value) for value in group[name][:count]]

"""Proposals and decisions in a run's file: two growing tables, a row a message.

    /entry/proposals, /entry/decisions     NXcollection, one dataset a field of the message

The newest decision on an id is what became of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import h5py
import numpy as np

from .history import append_rows
from .messages import Decision, Proposal
from .nexus import TEXT, new_group

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
            dtype = TEXT if isinstance(value, str) else np.float64
            dataset = group.create_dataset(column, (0,), dtype, maxshape=(None,), chunks=(64,))
            if column in UNITS:
                dataset.attrs["units"] = UNITS[column]
    for column, value in row.items():
        dtype = object if isinstance(value, str) else np.float64
        append_rows(entry[name][column], np.array([value], dtype=dtype))


def read_requests(entry: h5py.Group) -> list[Request]:
    """All of both tables in the order of their times, a proposal before the words on it."""
    found: list[Request] = []
    for cls, name in _NAMES.items():
        if name in entry:
            group = entry[name]
            columns = {column: dataset[()] for column, dataset in group.items()}
            count = min((len(values) for values in columns.values()), default=0)
            rows = ({c: _plain(v[i]) for c, v in columns.items()} for i in range(count))
            found += [_message(cls, row) for row in rows]
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


def _plain(value: Any) -> str | float:
    return value.decode() if isinstance(value, bytes) else float(value)

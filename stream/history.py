"""The growing tables of a run's file: the potentiostat's history and the Bluesky documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import h5py
import numpy as np

from .cell_clock import news, set_back
from .messages import Document, Samples
from .nexus import new_group
from .table import (
    new_column,
    new_text_column,
    read_texts,
    rows_of,
    write_rows,
    write_texts,
)

log = logging.getLogger(__name__)

SIGN_RULE = "discharge is negative (IUPAC); charge counts from the start of the run"
# field of Samples -> (name in the file, units)
COLUMNS = {
    "time_s": ("time", "s"),
    "wall_s": ("wall_time", "s"),
    "voltage_v": ("voltage", "V"),
    "current_a": ("current", "A"),
    "charge_ah": ("charge", "A h"),
    "temperature_c": ("temperature", "deg C"),
}
RUN_HISTORY = "potentiostat"  # of the run; potentiostat_2 where a file holds another
OUTSIDE_HISTORY = "potentiostat_outside"  # before a run and after it: samples that name none
DOCUMENT_FIELDS = ("run", "name", "text")
SAMPLE_COLUMNS = (*(name for name, _ in COLUMNS.values()), "state")
STATE_BYTES = 32
KNOWN = 10_000  # samples among which a repeat is looked for; more have been acknowledged long ago
STATE = h5py.string_dtype("utf-8", STATE_BYTES)


def append_samples(entry: h5py.Group, samples: Samples) -> None:
    """Add what is no repeat of what the run's history has, in the order in which it comes."""
    group = _samples_group(entry, samples.run)
    have = rows_of(group, SAMPLE_COLUMNS)
    known = [group[name][max(0, have - KNOWN) : have] for name in ("time", "wall_time")]
    new = news(samples.time_s, samples.wall_s, *known)
    if not new.any():
        return
    last, first = float(known[0][-1]) if have else -np.inf, float(samples.time_s[new][0])
    jumps = set_back(samples.time_s[new], last)
    if jumps:
        log.warning(
            "run %r: the potentiostat's clock went back: %g s, %g s", samples.run, last, first
        )
        group.attrs["clock_set_back"] = int(group.attrs.get("clock_set_back", 0)) + jumps
    states = [s for s, n in zip(samples.states, new, strict=True) if n]
    for field, (name, _) in COLUMNS.items():
        write_rows(group[name], have, getattr(samples, field)[new])
    write_rows(group["state"], have, np.array([s.encode()[:STATE_BYTES] for s in states], STATE))


def read_samples(group: h5py.Group) -> Samples:
    """One run's history; a tail that a crash left half written is cut off."""
    count = rows_of(group, SAMPLE_COLUMNS)
    columns = {field: group[name][:count] for field, (name, _) in COLUMNS.items()}
    states = tuple(s.decode(errors="replace") for s in group["state"][:count])
    return Samples(run=str(group.attrs["run"]), states=states, **columns)


def append_documents(entry: h5py.Group, documents: Sequence[Document]) -> None:
    """Add documents; many at once cost little more than one."""
    if "documents" not in entry:
        group = new_group(entry, "documents", "NXcollection")
        for field in DOCUMENT_FIELDS:
            new_text_column(group, field)
    group = entry["documents"]
    have = rows_of(group, DOCUMENT_FIELDS)
    for field in DOCUMENT_FIELDS:
        write_texts(group, field, have, [getattr(document, field) for document in documents])


def read_documents(group: h5py.Group) -> list[Document]:
    """All documents, in the order they came in; one that a crash left half written is left out."""
    count = rows_of(group, DOCUMENT_FIELDS)
    columns = [read_texts(group, field, count) for field in DOCUMENT_FIELDS]
    return [Document(*row) for row in zip(*columns, strict=True) if row[1] and row[2]]


def history_groups(entry: h5py.Group) -> list[h5py.Group]:
    """The histories in a file, one a run and one of no run."""
    return [
        group
        for name, group in entry.items()
        if name.startswith(RUN_HISTORY) and "run" in group.attrs
    ]


def _free_name(entry: h5py.Group, run: str) -> str:
    base = RUN_HISTORY if run else OUTSIDE_HISTORY
    number, name = 1, base
    while name in entry:
        number += 1
        name = f"{base}_{number}"
    return name


def _samples_group(entry: h5py.Group, run: str) -> h5py.Group:
    for group in history_groups(entry):
        if group.attrs["run"] == run:
            return group
    name = _free_name(entry, run)
    group = new_group(entry, name, "NXdata", run=run, signal="voltage", sign_rule=SIGN_RULE)
    group.attrs["auxiliary_signals"] = ["current", "charge"]
    group.attrs["axes"] = ["time"]
    group.attrs["title"] = "potentiostat"
    for column, units in COLUMNS.values():
        new_column(group, column, np.float64, units)
    new_column(group, "state", STATE)
    if entry.attrs.get("default", OUTSIDE_HISTORY) == OUTSIDE_HISTORY:
        entry.attrs["default"] = name
    return group

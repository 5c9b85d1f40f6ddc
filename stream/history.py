"""The growing tables of a run's file: the potentiostat's history and the Bluesky documents."""

from __future__ import annotations

import h5py
import numpy as np

from .messages import Document, Samples
from .nexus import TEXT, new_group

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


def append_samples(entry: h5py.Group, samples: Samples) -> None:
    """Add what is newer than the end of the run's history."""
    group = _samples_group(entry, samples.run)
    have = len(group["time"])
    last = group["time"][have - 1] if have else -np.inf
    new = samples.time_s > last
    count = int(new.sum())
    if not count:
        return
    states = [s for s, n in zip(samples.states, new, strict=True) if n]
    for field, (name, _) in COLUMNS.items():
        append_rows(group[name], getattr(samples, field)[new])
    append_rows(group["state"], np.array(states, dtype=object))


def read_samples(group: h5py.Group) -> Samples:
    """One run's history; a tail that a crash left half written is cut off."""
    names = [name for name, _ in COLUMNS.values()]
    count = min(len(group[n]) for n in (*names, "state"))
    columns = {field: group[name][:count] for field, (name, _) in COLUMNS.items()}
    states = tuple(s.decode() for s in group["state"][:count])
    return Samples(run=str(group.attrs["run"]), states=states, **columns)


def append_document(entry: h5py.Group, document: Document) -> None:
    """Add one document."""
    if "documents" not in entry:
        group = new_group(entry, "documents", "NXcollection")
        for field in DOCUMENT_FIELDS:
            group.create_dataset(field, (0,), TEXT, maxshape=(None,), chunks=(256,))
    for field in DOCUMENT_FIELDS:
        append_rows(entry["documents"][field], np.array([getattr(document, field)], dtype=object))


def read_documents(group: h5py.Group) -> list[Document]:
    """All documents, in the order they came in."""
    columns = [group[field][()] for field in DOCUMENT_FIELDS]
    rows = zip(*columns, strict=False)  # a crash may have left the last row half written
    return [Document(*(text.decode() for text in row)) for row in rows]


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
        dataset = group.create_dataset(column, (0,), np.float64, maxshape=(None,), chunks=(1024,))
        dataset.attrs["units"] = units
    group.create_dataset("state", (0,), TEXT, maxshape=(None,), chunks=(1024,))
    if entry.attrs.get("default", OUTSIDE_HISTORY) == OUTSIDE_HISTORY:
        entry.attrs["default"] = name
    return group


def append_rows(dataset: h5py.Dataset, values: np.ndarray) -> None:  # type: ignore[type-arg]
    """Let a table's column grow by these."""
    have = len(dataset)
    dataset.resize(have + len(values), axis=0)
    dataset[have:] = values

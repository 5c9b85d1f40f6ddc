"""Tables that grow row by row in a file that a kill may leave at any moment.

Text stands as plain bytes, all rows one after another, beside the places where each begins and
ends. HDF5's own text of variable length lives in a heap of the file: a kill between the writing of
the table and that of the heap left rows that point at what is not theirs, and then nothing of the
table could be read (12 of 15 files, each after four kills of a busy writer). What a kill leaves of
a row here is cut off, or is an empty text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import h5py
import numpy as np
from numpy.typing import NDArray

PLACES = "_places"  # NAME_places: (rows, 2) from and to which byte of NAME a row's text stands


def new_column(group: h5py.Group, name: str, dtype: object, units: str = "") -> h5py.Dataset:
    """Begin a column of numbers, or of text of fixed length."""
    dataset = group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1024,))
    if units:
        dataset.attrs["units"] = units
    return dataset


def new_text_column(group: h5py.Group, name: str) -> None:
    """Begin a column of text of any length."""
    group.create_dataset(name, (0,), np.uint8, maxshape=(None,), chunks=(1 << 14,))
    group.create_dataset(name + PLACES, (0, 2), np.int64, maxshape=(None, 2), chunks=(256, 2))


def rows_of(group: h5py.Group, names: Iterable[str]) -> int:
    """How many rows are whole in all of these columns."""
    return min(len(group[n + PLACES if n + PLACES in group else n]) for n in names)


def write_rows(dataset: h5py.Dataset, have: int, values: NDArray[np.generic]) -> None:
    """Let a column go on after its first have rows; what stood behind them is cut off."""
    dataset.resize(have + len(values), axis=0)
    dataset[have:] = values


def write_texts(group: h5py.Group, name: str, have: int, texts: Sequence[str]) -> None:
    """Let a column of text go on after its first have rows."""
    encoded = [text.encode() for text in texts]
    begin = len(group[name])
    ends = begin + np.cumsum([len(e) for e in encoded], dtype=np.int64)
    write_rows(group[name], begin, np.frombuffer(b"".join(encoded), np.uint8))
    places = np.stack([np.concatenate(([begin], ends[:-1])), ends], axis=1)
    write_rows(group[name + PLACES], have, places)


def read_texts(group: h5py.Group, name: str, count: int) -> list[str]:
    """The first count texts of a column; "" for what a kill has left of one."""
    everything = group[name][()].tobytes()
    found = []
    for begin, end in group[name + PLACES][:count].tolist():
        sound = 0 <= begin <= end <= len(everything)
        found.append(everything[begin:end].decode(errors="replace") if sound else "")
    return found

"""The tables of a recorded run as CSV: one file for each scan and table.

A table is a result of two dimensions whose attributes name its columns ("columns", one text with
commas); its rows are named by "regions", or by the coordinate of the first dimension. Values stand
with the digits of their own precision, what is not known as an empty cell.
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np

from ..stream.messages import Result
from ..stream.run_file import open_run


def export_tables(file: Path, out: Path) -> list[Path]:
    """Write every table of a run into out; the files written. Raises RunFileError, OSError."""
    with open_run(file) as run:
        tables = [result for result in run.results() if is_table(result)]
    if tables:
        out.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        name = re.sub(r"[^\w.-]+", "_", f"scan_{table.number:03}_{table.consumer}_{table.name}")
        path = out / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as text:
            csv.writer(text).writerows(table_rows(table))
        written.append(path)
    return written


def is_table(result: Result) -> bool:
    """Whether the result names its columns, and as many as it has."""
    names = result.attrs.get("columns")
    return (
        isinstance(names, str)
        and result.values.ndim == 2
        and len(names.split(",")) == result.values.shape[1]
    )


def table_rows(table: Result) -> list[list[str]]:
    """Heading and rows as text."""
    columns = str(table.attrs["columns"]).split(",")
    first = table.dims[0]
    named = table.attrs.get("regions")
    if isinstance(named, str) and len(named.split(",")) == len(table.values):
        names = named.split(",")
    else:
        names = [_text(value) for value in np.asarray(table.coords[first], np.float64)]
    rows = [
        [name, *[_text(value) for value in row]]
        for name, row in zip(names, table.values, strict=True)
    ]
    return [[first, *columns], *rows]


def _text(value: float) -> str:
    """A number of single precision, as short as it can be read back."""
    if not math.isfinite(value):
        return ""
    return np.format_float_positional(np.float32(value), unique=True, trim="-")

"""Calibration tables: what a lattice parameter says about a material's lithium or charge.

A table is CSV text. Lines that begin with # are for people. The header is

    segment, PARAMETER, QUANTITY [UNIT], sigma

PARAMETER is a or c [Å]; the unit in brackets and the column sigma (standard uncertainty of the
quantity) may be missing. Rows of one segment are one solid solution, in ascending order of the
quantity, and are joined by straight lines. Between two segments the material is a mixture of the
end of one and the beginning of the next: there a lattice parameter says nothing.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise

SHIPPED = {"limn2o4": "limn2o4_calibration.csv"}


@dataclass(frozen=True, slots=True)
class Segment:
    """One solid solution.

    parameter: lattice parameter at each point [Å]
    quantity: strictly ascending; sigma: its standard uncertainty
    """

    parameter: tuple[float, ...]
    quantity: tuple[float, ...]
    sigma: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration table.

    name: of the shipped table, or whose it is
    parameter: "a" or "c"
    quantity, unit: what it is a measure of, e.g. "y", ""
    segments: in ascending order of the quantity, which do not overlap
    """

    name: str
    parameter: str
    quantity: str
    unit: str
    segments: tuple[Segment, ...]

    def steps(self) -> tuple[tuple[float, float], ...]:
        """Lattice parameters on either side of every two-phase step [Å], the smaller first."""
        ends = pairwise(self.segments)
        pairs = [(first.parameter[-1], then.parameter[0]) for first, then in ends]
        return tuple((min(pair), max(pair)) for pair in pairs)


def calibration(table: str) -> Calibration:
    """The shipped table of that name, or the one in CSV text.

    Raises ValueError, one line, where there is none or it is not as described above.
    """
    if table in SHIPPED:
        place = resources.files(__package__).joinpath(SHIPPED[table])
        return read_calibration(place.read_text(encoding="utf-8"), table)
    if "\n" in table:
        return read_calibration(table, "of the experiment")
    shipped = ", ".join(SHIPPED)
    raise ValueError(
        f"calibration table {table[:60]!r} is neither shipped ({shipped}) nor CSV text"
    )


def read_calibration(text: str, name: str) -> Calibration:
    """A table from CSV text; name stands in the messages. Raises ValueError."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    except csv.Error as error:
        raise ValueError(f"calibration table {name}: not CSV: {error}") from None
    header = rows[0] if rows else []
    if len(header) not in (3, 4) or header[0] != "segment" or header[1] not in ("a", "c"):
        raise ValueError(
            f"calibration table {name}: header {','.join(header)[:80]!r}, "
            "'segment,a,QUANTITY [UNIT],sigma' (or c for a, or without sigma) is needed"
        )
    numbers = [_numbers(name, n, row, len(header)) for n, row in enumerate(rows[1:], start=1)]
    order = list(dict.fromkeys(row[0] for row in numbers))
    segments = tuple(_segment([row for row in numbers if row[0] == key]) for key in order)
    _check(name, segments)
    quantity, _, unit = header[2].partition("[")
    return Calibration(name, header[1], quantity.strip(), unit.strip(" ]"), segments)


def _numbers(name: str, place: int, row: list[str], columns: int) -> list[float]:
    try:
        found = [float(cell) for cell in row]
    except ValueError:
        found = []
    if len(found) != columns or not all(math.isfinite(value) for value in found):
        raise ValueError(
            f"calibration table {name}, row {place}: {','.join(row)[:80]!r}, "
            f"{columns} numbers are needed"
        )
    return found if columns == 4 else [*found, 0.0]


def _segment(rows: list[list[float]]) -> Segment:
    _, parameter, quantity, sigma = zip(*rows, strict=True)
    return Segment(parameter, quantity, sigma)


def _check(name: str, segments: tuple[Segment, ...]) -> None:
    if not segments:
        raise ValueError(f"calibration table {name}: no rows")
    path = [value for segment in segments for value in segment.quantity]
    if any(len(segment.quantity) < 2 for segment in segments):
        raise ValueError(f"calibration table {name}: a segment of one row, two are needed")
    if any(later <= earlier for earlier, later in pairwise(path)):
        raise ValueError(
            f"calibration table {name}: the quantity does not ascend from row to row and from "
            "segment to segment"
        )
    if any(value <= 0 for segment in segments for value in segment.parameter):
        raise ValueError(f"calibration table {name}: a lattice parameter is not above 0")
    if any(min(segment.parameter) == max(segment.parameter) for segment in segments):
        raise ValueError(f"calibration table {name}: a segment in which nothing changes")
    if any(value < 0 for segment in segments for value in segment.sigma):
        raise ValueError(f"calibration table {name}: a sigma is below 0")

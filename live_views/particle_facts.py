"""What a scan's results say of its particles, as plain arrays; no Qt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Result
from .borders import borders
from .model import RunModel, ScanRecord
from .quantities import extent_of
from .words import number

Floats = NDArray[np.float64]

# codes of the column "classification"
ORDINARY, BREAKS_RULE, OUTLIER, BOTH, CANNOT_TELL = 0, 1, 2, 3, -1
VERDICTS = {
    ORDINARY: "like the others",
    BREAKS_RULE: "where pure spinel cannot be",
    OUTLIER: "apart from the population",
    BOTH: "where pure spinel cannot be, and apart from the population",
    CANNOT_TELL: "cannot be told",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """Something against depth or by shell; all arrays (n,); sigma is nan where there is none."""

    x: Floats
    values: Floats
    sigma: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Where particles end, in the units of the map's axes.

    labels: (rows, cols) identities; extent: (x, y, width, height) of their map
    places: identity -> a point inside it, the largest particle first
    accused: identities that deviate; pause: number of the scan that found them
    """

    labels: Array
    extent: tuple[float, float, float, float]
    places: Mapping[int, tuple[float, float]]
    accused: frozenset[int]
    pause: int

    def edges(self, of: Iterable[int]) -> tuple[Floats, Floats]:
        """The borders of these particles as paths; nan stands between two of them."""
        return borders(np.where(np.isin(self.labels, list(of)), self.labels, 0), self.extent)


def found_for(model: RunModel, scan: ScanRecord | None) -> ScanRecord | None:
    """The scan itself where its particles are known, else the last one before it."""
    if scan is None:
        return None
    known = [s for s in model.scans() if s.number <= scan.number and identities(s) is not None]
    return known[-1] if known else None


def outlines_of(scan: ScanRecord | None) -> Outlines | None:
    """The outlines of a scan's particles; None where nobody has found any."""
    labels, result = identities(scan), scan.result("particles") if scan else None
    if scan is None or labels is None or result is None:
        return None
    x, y, width, height = extent = extent_of(result)
    rows, cols = labels.shape
    sizes = np.bincount(np.maximum(labels, 0).ravel())
    places = {}
    for name in np.argsort(-sizes, kind="stable"):
        row, column = np.nonzero(labels == name)
        if name == 0 or not row.size:
            continue
        off = (row - row.mean()) ** 2 + (column - column.mean()) ** 2
        inner = int(off.argmin())  # a voxel of its own: the mean of a crescent lies beside it
        places[int(name)] = (
            x + (column[inner] + 0.5) * width / cols,
            y + (row[inner] + 0.5) * height / rows,
        )
    return Outlines(labels, extent, places, frozenset(accused(particle_rows(scan))), scan.number)


def identities(scan: ScanRecord | None) -> Array | None:
    """(rows, cols) which particle each voxel belongs to, 0 for none; None where nobody has said."""
    result = scan.result("particles") if scan else None
    if result is None or result.values.ndim != 2:
        return None
    return np.nan_to_num(np.asarray(result.values, np.float64)).astype(np.int64)


def particle_at(scan: ScanRecord | None, picked: tuple[int, int] | None) -> int:
    """The identity of the particle at a voxel; 0 where there is none."""
    labels = identities(scan)
    if labels is None or picked is None:
        return 0
    row, column = picked
    within = 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]
    return int(labels[row, column]) if within else 0


def particle_rows(scan: ScanRecord | None) -> dict[int, Mapping[str, float]]:
    """Identity -> column name -> value, for the scan's particles in the order of the table."""
    result = scan.result("particle_table") if scan else None
    return dict(_rows(result, "particle")) if result is not None else {}


def accused(rows: Mapping[int, Mapping[str, float]]) -> set[int]:
    """Identities that break the material's rule or stand apart from the others."""
    return {name for name, row in rows.items() if row.get("classification", 0.0) > ORDINARY}


def verdict_of(row: Mapping[str, float]) -> str:
    """What a particle was found to be, in words; "" where the table does not say."""
    code = number(row.get("classification"))
    return VERDICTS.get(int(code), "") if math.isfinite(code) else ""


def profile_of(scan: ScanRecord | None, name: str, identity: int) -> Profile | None:
    """One particle's row of a result with dims (particle, something); None where there is none."""
    result = scan.result(name) if scan else None
    if result is None or result.values.ndim != 2 or result.dims[0] != "particle":
        return None
    names = np.asarray(result.coords.get("particle", np.empty(0)))
    found = np.flatnonzero(names == identity)
    if found.size != 1 or names.size != len(result.values):
        return None
    x = np.asarray(result.coords.get(result.dims[1], np.arange(result.values.shape[1])), np.float64)
    values = np.asarray(result.values[found[0]], np.float64)
    if x.shape != values.shape:
        return None
    sigma = (
        np.full_like(values, math.nan)
        if result.uncertainty is None
        else np.asarray(result.uncertainty[found[0]], np.float64)
    )
    return Profile(x, values, sigma)


def middle_of_others(scan: ScanRecord | None, name: str, identity: int) -> Profile | None:
    """The median of all other particles in such a result; sigma: half of the 16 to 84 % range."""
    mine, result = profile_of(scan, name, identity), scan.result(name) if scan else None
    if mine is None or result is None:
        return None
    others = np.asarray(result.coords["particle"]) != identity
    values = np.asarray(result.values[others], np.float64)
    some = np.isfinite(values).any(axis=0)
    low, middle, high = np.full((3, values.shape[1]), math.nan)
    if some.any():
        low[some], middle[some], high[some] = np.nanpercentile(values[:, some], (16, 50, 84), 0)
    return Profile(mine.x, middle, 0.5 * (high - low))


def particle_csv(model: RunModel) -> str:
    """Every particle of every scan, one line each [um, Å]; "" where none is known."""
    lines: list[str] = []
    columns: list[str] = []
    for scan in model.scans():
        for identity, row in particle_rows(scan).items():
            columns = columns or list(row)
            cells = (f"{row.get(column, math.nan):.7g}" for column in columns)
            lines.append(",".join((str(scan.number), str(identity), *cells)))
    return "\n".join([",".join(("pause", "particle", *columns)), *lines, ""]) if lines else ""


def shell_phases(scan: ScanRecord | None, identity: int) -> dict[str, Profile]:
    """Phase -> its mass fraction by shell of one particle."""
    if scan is None:
        return {}
    found = {}
    for (_, name), result in sorted(scan.results.items()):
        if name.startswith("particle_shell_fraction_"):
            profile = profile_of(scan, name, identity)
            if profile is not None:
                phase = str(result.attrs.get("phase") or name.rpartition("fraction_")[2])
                found[phase] = profile
    return found


def history_of(model: RunModel, identity: int) -> Profile | None:
    """A particle's mean a over the scans of the run, as the newest scan that knows it says."""
    for scan in reversed(model.scans()):
        profile = profile_of(scan, "particle_history", identity)
        if profile is not None:
            return profile
    return None


def voxels_of(scan: ScanRecord | None, identity: int) -> tuple[Floats, Floats]:
    """Lattice parameters of one particle's voxels, and of all other particles' voxels."""
    labels = identities(scan)
    lattice = scan.result("lattice_parameter") if scan else None
    if labels is None or lattice is None or lattice.values.shape != labels.shape:
        return np.empty(0), np.empty(0)
    a = np.asarray(lattice.values, np.float64)
    measured = np.isfinite(a) & (labels > 0)
    return a[measured & (labels == identity)], a[measured & (labels != identity)]


def _rows(result: Result, index: str) -> list[tuple[int, Mapping[str, float]]]:
    columns = str(result.attrs.get("columns", "")).split(",")
    names = np.asarray(result.coords.get(index, np.empty(0)))
    if result.values.ndim != 2 or result.values.shape != (names.size, len(columns)):
        return []
    return [
        (int(name), dict(zip(columns, (float(v) for v in row), strict=True)))
        for name, row in zip(names, result.values, strict=True)
    ]

"""What the scans say at their places in the cell's history: charge balance, a particle's life."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .cell_history import CellHistory
from .model import RunModel, ScanRecord
from .particle_facts import Floats, history_of
from .words import number


@dataclass(frozen=True, slots=True)
class ChargeBalance:
    """The quantity (e.g. lithium per formula) by the maps and by the charge that has passed.

    time_s: (n,) of the scans on the potentiostat's clock; mean, sigma: (n,) of their maps
    low, high: (n,) the mean if every ambiguous voxel were at its lower or upper end
    coulomb: (n,) by the charge; charge_ah: (n,) that had passed [A h]
    slope, offset: the line that leads from charge [A h] to the quantity, nan where it cannot be
        told from the scans
    """

    quantity: str
    unit: str
    time_s: Floats
    mean: Floats
    sigma: Floats
    low: Floats
    high: Floats
    coulomb: Floats
    charge_ah: Floats
    slope: float
    offset: float

    def by_charge(self, charge_ah: Floats) -> Floats:
        """The quantity that a charge stands for."""
        return self.offset + self.slope * charge_ah


@dataclass(frozen=True, slots=True)
class ParticleSeries:
    """A particle's mean lattice parameter at the scans of a run; all (n,), time in s."""

    time_s: Floats
    a: Floats
    sigma: Floats


def time_of(scan: ScanRecord, history: CellHistory) -> float:
    """When a scan began, on the potentiostat's clock [s]; nan where nobody has said."""
    if scan.start is None:
        return math.nan
    cell = scan.start.cell
    if cell is not None and math.isfinite(cell.time_s):
        return cell.time_s
    return history.at_wall(scan.start.time)


def scan_period(model: RunModel, scan: ScanRecord) -> tuple[float, float] | None:
    """When a scan ran, on the potentiostat's clock [s].

    It begins at the cell state it was announced with. Its stop carries no time: it ends when the
    stop was seen here, but not after the state of the cell at its begin ended, which holds for
    replays and late joiners too.
    """
    history = model.history
    if scan.start is None or not len(history):
        return None
    if scan.start.cell is not None and math.isfinite(scan.start.cell.time_s):
        begin = scan.start.cell.time_s
    else:
        begin = history.at_wall(scan.start.time)
    if not math.isfinite(begin):
        return None
    end = history.end_of_state(begin)
    seen = history.at_wall(scan.stopped_wall_s) if scan.stop is not None else float("nan")
    if math.isfinite(seen) and begin < seen < end:
        end = seen
    return (begin, end) if end > begin else None


def scan_periods(model: RunModel) -> list[tuple[ScanRecord, tuple[float, float]]]:
    """Each scan with its begin and its end [s], in their order; none reaches into the next."""
    found = [(s, p) for s in model.scans() if (p := scan_period(model, s)) is not None]
    for at in range(len(found) - 1):  # one scan at a time: a gap in the history hides the end
        scan, (begin, end) = found[at]
        found[at] = (scan, (begin, min(end, found[at + 1][1][0])))
    return found


def time_unit(history: CellHistory) -> tuple[str, float]:
    """The unit that a history is drawn in, and its seconds."""
    span = float(history.time_s[-1] - history.time_s[0]) if len(history) else 0.0
    return ("s", 1.0) if span < 300 else ("min", 60.0) if span < 3 * 3600 else ("h", 3600.0)


def prefixed(values: Floats, unit: str) -> tuple[str, float]:
    """The unit with the prefix that these values read well with, and the factor to it."""
    top = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if top >= 1.0:
        return unit, 1.0
    return (f"m{unit}", 1e3) if top >= 1e-3 else (f"µ{unit}", 1e6)


def charge_balance(model: RunModel) -> ChargeBalance | None:
    """From the scans' `soc_balance`; None where no scan has one."""
    rows, charges = [], []
    quantity = unit = ""
    for scan in model.scans():
        result = scan.result("soc_balance")
        if result is None:
            continue
        columns = str(result.attrs.get("columns", "")).split(",")
        if result.values.shape != (len(columns),):
            continue
        values = dict(zip(columns, np.asarray(result.values, np.float64), strict=True))
        sigma = math.nan
        if result.uncertainty is not None and "mean" in columns:
            sigma = float(result.uncertainty[columns.index("mean")])
        keys = ("mean", "low", "high", "coulomb")
        mean, low, high, coulomb = (float(values.get(key, math.nan)) for key in keys)
        rows.append((time_of(scan, model.history), mean, sigma, low, high, coulomb))
        charges.append(number(result.attrs.get("charge_ah")))
        quantity, unit = str(result.attrs.get("quantity", "")), result.unit
    if not rows:
        return None
    table = np.array(rows).T
    slope, offset = _line(np.array(charges), table[5])
    return ChargeBalance(quantity, unit, *table, np.array(charges), slope, offset)


def particle_series(model: RunModel, identity: int) -> ParticleSeries | None:
    """The history of a particle; None where none is known."""
    known = history_of(model, identity) if identity else None
    if known is None:
        return None
    by_number = {scan.number: scan for scan in model.scans()}
    time_s = np.array(
        [
            time_of(by_number[int(n)], model.history) if int(n) in by_number else math.nan
            for n in known.x
        ]
    )
    return ParticleSeries(time_s, known.values, known.sigma)


def _line(charge_ah: Floats, coulomb: Floats) -> tuple[float, float]:
    # two scans at different charges tell the line: the count is linear in the charge
    usable = np.isfinite(charge_ah) & np.isfinite(coulomb)
    charge, count = charge_ah[usable], coulomb[usable]
    if charge.size < 2 or charge.max() == charge.min():
        return math.nan, math.nan
    first, last = int(charge.argmin()), int(charge.argmax())
    slope = float((count[last] - count[first]) / (charge[last] - charge[first]))
    return slope, float(count[first] - slope * charge[first])

"""The cell's history with its scans, and what the maps say along it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ..cell_series import charge_balance, prefixed, scan_periods, time_of, time_unit
from ..model import RunModel, ScanRecord
from ..quantities import known, map_of, quantities_of
from ..ranges import Ranges
from ..scan_words import is_slice, with_voltage
from ..theme import LIGHT
from .histograms import draw_histogram, frame_histograms
from .maps import BOTTOM, GAP, HEAD, LEFT, RIGHT, aspect_of, bar, draw_map, grid_for, inner
from .maps import outlines_of, range_of  # fmt: skip
from .sheet import COLUMN_MM, LETTERS_PT, LINE_PT, PAGE_MM, Sheet, spare

MOST_SHOWN = 5  # maps in a row under the voltage curve
MAX_DRAWN = 4000  # samples


def evolution(model: RunModel, ranges: Ranges) -> Sheet:
    """Voltage with the scans marked, the maps of the lattice parameter, and their histograms."""
    lattice = quantities_of(model.scans())[0]
    scans = spread([s for s in model.scans() if is_slice(s) and map_of(s, lattice) is not None])
    some = map_of(scans[0], lattice)
    assert some is not None
    grid = grid_for(max(3, len(scans)), aspect_of(some), PAGE_MM)
    tall, counts = 24.0, 18.0
    above = HEAD + tall + BOTTOM
    maps_end = above + HEAD + grid.side * grid.height + BOTTOM
    sheet = Sheet(PAGE_MM, maps_end + HEAD + counts + BOTTOM)
    voltage = sheet.panel(LEFT, HEAD, PAGE_MM - LEFT - RIGHT, tall)
    draw_voltage(voltage, model)
    sheet.title(voltage, "Cell voltage; shaded: scans")
    low, high = range_of(model, ranges, lattice)
    for column, scan in enumerate(scans):
        axes = sheet.panel(*grid.place(0, column, above))
        draw_map(axes, map_of(scan, lattice), low, high, outlines=outlines_of(scan))
        sheet.title(axes, with_voltage(scan))
        inner(axes, left=column == 0, bottom=True)
    bar(sheet, axes, low, high, some)
    below = []
    for column, scan in enumerate(scans):
        left = grid.place(0, column)[0]
        axes = sheet.panel(left, maps_end + HEAD, grid.side, counts)
        draw_histogram(axes, scan, low, high)
        sheet.title(axes, "")
        inner(axes, left=column == 0, bottom=True)
        below.append(axes)
    frame_histograms(below, scans)
    return sheet


def cell(model: RunModel) -> Sheet:
    """Voltage, current and charge, and the lattice parameter's median and spread."""
    history = model.history
    rows = ("E", "I", "a") if len(history) else ("a",)
    sheet = Sheet(COLUMN_MM, HEAD + len(rows) * 25.0 + BOTTOM - 4.0)
    panels = {
        name: sheet.panel(11.0, HEAD + at * 25.0, COLUMN_MM - 24.0, 20.0)
        for at, name in enumerate(rows)
    }
    unit, seconds = time_unit(history)
    for name, axes in panels.items():
        {"E": draw_voltage, "I": _current, "a": _medians}[name](axes, model)
        sheet.title(axes, {"E": "Voltage", "I": "Current (line), charge (dashed)",
                           "a": "Lattice parameter: median, 10 to 90 %"}[name])  # fmt: skip
        axes.set_xlabel(f"time ({unit})")
        if len(history):
            axes.set_xlim(history.time_s[0] / seconds, history.time_s[-1] / seconds)
        inner(axes, left=True, bottom=name == rows[-1])
    return sheet


def charge(model: RunModel, ranges: Ranges) -> Sheet:
    """The maps of the state of charge; below, their mean against the coulomb count."""
    soc = next(q for q in quantities_of(model.scans()) if q.key == "soc")
    scans = spread([s for s in model.scans() if is_slice(s) and map_of(s, soc) is not None])
    some = map_of(scans[0], soc)
    balance = charge_balance(model)
    assert some is not None and balance is not None
    grid = grid_for(max(3, len(scans)), aspect_of(some), PAGE_MM)
    maps_end = HEAD + grid.side * grid.height + BOTTOM
    sheet = Sheet(PAGE_MM, maps_end + HEAD + 38.0 + BOTTOM)
    low, high = range_of(model, ranges, soc)
    for column, scan in enumerate(scans):
        axes = sheet.panel(*grid.place(0, column))
        draw_map(axes, map_of(scan, soc), low, high)
        sheet.title(axes, with_voltage(scan))
        inner(axes, left=column == 0, bottom=True)
    bar(sheet, axes, low, high, some)
    axes = sheet.panel(LEFT + 2, maps_end + HEAD, 68.0, 38.0)
    sheet.title(axes, "Mean of the map and coulomb count")
    unit, factor = prefixed(balance.charge_ah, "A h")
    x = balance.charge_ah * factor
    known_x = x[np.isfinite(x)]
    line = np.array([known_x.min(), known_x.max()]) if known_x.size else np.zeros(2)
    axes.plot(line, balance.by_charge(line / factor), color=LIGHT.good, ls="--",
              label="coulomb count")  # fmt: skip
    reach = np.array([balance.mean - balance.low, balance.high - balance.mean])
    axes.errorbar(x, balance.mean, np.clip(np.nan_to_num(reach), 0, None), color=LIGHT.active,
                  alpha=0.35, lw=3, fmt="none", label="if two-phase voxels are at either end")  # fmt: skip
    axes.errorbar(x, balance.mean, np.nan_to_num(balance.sigma), color=LIGHT.active, fmt="o",
                  label="mean of the map")  # fmt: skip
    what = f"{balance.quantity or 'SOC'}" + (f" ({balance.unit})" if balance.unit else "")
    axes.set_xlabel(f"charge Q ({unit})")
    axes.set_ylabel(f"mean {what}")
    if line[0] < 0 <= 1e-9 - line[1]:  # a discharge: time goes to the right
        axes.invert_xaxis()
    axes.legend(loc="best")
    spare(axes)
    rest = sheet.panel(LEFT + 68 + 20, maps_end + HEAD, PAGE_MM - LEFT - 68 - 20 - 6, 38.0)
    sheet.title(rest, "Map less coulomb count")
    rest.axhline(0, color=LIGHT.good, ls="--")
    apart = balance.mean - balance.coulomb
    rest.errorbar(x, apart, np.clip(np.nan_to_num(reach), 0, None), color=LIGHT.active,
                  alpha=0.35, lw=3, fmt="none")  # fmt: skip
    rest.errorbar(x, apart, np.nan_to_num(balance.sigma), color=LIGHT.active, fmt="o")
    rest.set_xlabel(f"charge Q ({unit})")
    rest.set_ylabel(f"difference in {what}")
    rest.set_xlim(axes.get_xlim())
    spare(rest)
    return sheet


def draw_voltage(axes: Axes, model: RunModel) -> None:
    """E(t), the scans shaded and numbered."""
    history = model.history
    unit, seconds = time_unit(history)
    step = max(1, len(history) // MAX_DRAWN)
    axes.plot(
        history.time_s[::step] / seconds, history.voltage_v[::step], color=LIGHT.active, lw=LINE_PT
    )
    shade_scans(axes, model, named=True)
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel("E (V)")
    if len(history):
        axes.set_xlim(history.time_s[0] / seconds, history.time_s[-1] / seconds)
        low, high = np.nanmin(history.voltage_v), np.nanmax(history.voltage_v)
        axes.set_ylim(low - 0.06 * (high - low), high + 0.22 * (high - low))
    spare(axes)


def shade_scans(axes: Axes, model: RunModel, named: bool = False) -> None:
    """Where the scans are on the axis of time; named: their numbers on top."""
    _, seconds = time_unit(model.history)
    for scan, (begin, end) in scan_periods(model):
        if not is_slice(scan):
            continue
        axes.axvspan(begin / seconds, end / seconds, color=LIGHT.shade, alpha=0.15, lw=0)
        if named:
            pause = scan.start.notes.get("mark", scan.number) if scan.start else scan.number
            axes.text(
                (begin + end) / 2 / seconds, 0.98, str(pause), size=LETTERS_PT, weight="bold",
                transform=axes.get_xaxis_transform(), ha="center", va="top",
            )  # fmt: skip


def spread(scans: Sequence[ScanRecord], most: int = MOST_SHOWN) -> list[ScanRecord]:
    """At most so many of the scans, the first and the last among them."""
    if len(scans) <= most:
        return list(scans)
    return [scans[round(at)] for at in np.linspace(0, len(scans) - 1, most)]


def _current(axes: Axes, model: RunModel) -> None:
    history = model.history
    _, seconds = time_unit(history)
    step = max(1, len(history) // MAX_DRAWN)
    t = history.time_s[::step] / seconds
    unit, factor = prefixed(history.current_a, "A")
    axes.plot(t, history.current_a[::step] * factor, color=LIGHT.fit)
    axes.set_ylabel(f"I ({unit})")
    right = axes.twinx()
    unit, factor = prefixed(history.charge_ah, "A h")
    right.plot(t, history.charge_ah[::step] * factor, color=LIGHT.good, ls="--")
    right.set_ylabel(f"Q ({unit})")
    shade_scans(axes, model)
    for one in (axes, right):
        one.margins(y=0.12)
        one.spines["top"].set_visible(False)


def _medians(axes: Axes, model: RunModel) -> None:
    _, seconds = time_unit(model.history)
    rows = []
    for scan in model.scans():
        lattice = scan.result("lattice_parameter")
        if lattice is not None and is_slice(scan) and (values := known(lattice.values)).size:
            low, middle, high = np.percentile(values, (10, 50, 90))
            rows.append((time_of(scan, model.history) / seconds, low, middle, high))
    if not rows:
        return
    t, low, middle, high = np.array(rows).T
    axes.errorbar(t, middle, (middle - low, high - middle), fmt="o", color=LIGHT.active)
    axes.plot(t, middle, color=LIGHT.active, lw=0.5)
    shade_scans(axes, model)
    axes.set_ylabel("a (Å)")
    axes.margins(y=0.12)
    spare(axes)

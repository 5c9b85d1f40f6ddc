"""The cell's history with its scans, and what the maps say along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes

from ..cell_series import ChargeBalance, prefixed, scan_periods, time_of, time_unit
from ..model import RunModel
from ..quantities import QUANTITIES, Floats, Quantity, known
from ..ranges import Ranges
from ..scan_words import is_slice
from ..theme import LIGHT
from .histograms import draw_histogram, frame_histograms
from .maps import (
    BOTTOM,
    HEAD,
    LEFT,
    RIGHT,
    aspect_of,
    draw_row,
    grid_for,
    inner,
    maps_of,
    range_of,
)
from .sheet import COLUMN_MM, LETTERS_PT, LINE_PT, PAGE_MM, Sheet, spare

T = TypeVar("T")
PITCH = 25.0  # from one panel of a column to the next [mm]
MOST_SHOWN = 5  # maps in a row under the voltage curve
MAX_DRAWN = 4000  # samples


def evolution(model: RunModel, ranges: Ranges) -> Sheet:
    """Voltage with the scans marked, the maps of the lattice parameter, and their histograms."""
    shown = spread(maps_of([s for s in model.scans() if is_slice(s)], QUANTITIES[0]))
    grid = grid_for(len(shown), aspect_of(shown[0][1]))
    tall, counts = 24.0, 18.0
    above = HEAD + tall + BOTTOM
    maps_end = above + HEAD + grid.side * grid.height + BOTTOM
    sheet = Sheet(grid.width, maps_end + HEAD + counts + BOTTOM)
    voltage = sheet.panel(LEFT, HEAD, grid.width - LEFT - RIGHT, tall)
    draw_voltage(voltage, model)
    sheet.title(voltage, "Cell voltage; shaded: scans")
    span = range_of(model, ranges, QUANTITIES[0])
    draw_row(sheet, grid, shown, span, top=above)
    below = []
    for column, (scan, _) in enumerate(shown):
        axes = sheet.panel(grid.place(0, column)[0], maps_end + HEAD, grid.side, counts)
        draw_histogram(axes, scan, *span)
        sheet.title(axes)
        inner(axes, left=column == 0, bottom=True)
        below.append(axes)
    frame_histograms(below, [scan for scan, _ in shown])
    return sheet


def cell(model: RunModel) -> Sheet:
    """Voltage, current and charge, and the lattice parameter's median and spread."""
    history = model.history
    rows = [("Lattice parameter: median, 10 to 90 %", _medians)]
    if len(history):
        rows = [("Voltage", draw_voltage), ("Current (line), charge (dashed)", _current), *rows]
    sheet = Sheet(COLUMN_MM, HEAD + len(rows) * PITCH + BOTTOM - 4.0)
    unit, _ = time_unit(history)
    for at, (title, draw) in enumerate(rows):
        axes = sheet.panel(11.0, HEAD + at * PITCH, COLUMN_MM - 24.0, PITCH - HEAD)
        draw(axes, model)
        sheet.title(axes, title)
        axes.set_xlabel(f"time ({unit})")
        _frame_time(axes, model)
        inner(axes, left=True, bottom=at == len(rows) - 1)
    return sheet


def charge(model: RunModel, balance: ChargeBalance, soc: Quantity, ranges: Ranges) -> Sheet:
    """The maps of the state of charge; below, their mean against the coulomb count."""
    shown = spread(maps_of([s for s in model.scans() if is_slice(s)], soc))
    grid = grid_for(len(shown), aspect_of(shown[0][1]))
    top = 2 * HEAD + grid.side * grid.height + BOTTOM
    sheet = Sheet(grid.width, top + 38.0 + BOTTOM)
    draw_row(sheet, grid, shown, range_of(model, ranges, soc), outlined=False)
    axes = sheet.panel(LEFT + 2, top, 68.0, 38.0)
    sheet.title(axes, "Mean of the map and coulomb count")
    unit, factor = prefixed(balance.charge_ah, "A h")
    line = np.array([np.nanmin(balance.charge_ah), np.nanmax(balance.charge_ah)])
    axes.plot(
        line * factor, balance.by_charge(line), color=LIGHT.good, ls="--", label="coulomb count"
    )
    _means(axes, balance, balance.charge_ah * factor, balance.mean)
    what = f"{balance.quantity or 'SOC'}" + (f" ({balance.unit})" if balance.unit else "")
    axes.set_ylabel(f"mean {what}")
    axes.legend(loc="best")
    panels = [axes]
    if grid.width == PAGE_MM:
        rest = sheet.panel(LEFT + 68 + 20, top, PAGE_MM - LEFT - 68 - 20 - 6, 38.0)
        sheet.title(rest, "Map less coulomb count")
        rest.axhline(0, color=LIGHT.good, ls="--")
        _means(rest, balance, balance.charge_ah * factor, balance.mean - balance.coulomb)
        rest.set_ylabel(f"difference in {what}")
        panels.append(rest)
    for one in panels:
        one.set_xlabel(f"charge Q ({unit})")
        if line[0] < line[1] <= 0:  # a discharge: time goes to the right
            one.invert_xaxis()
        spare(one)
    return sheet


def _means(axes: Axes, balance: ChargeBalance, x: Floats, y: Floats) -> None:
    reach = np.array([balance.mean - balance.low, balance.high - balance.mean])
    axes.errorbar(
        x, y, np.clip(np.nan_to_num(reach), 0, None), color=LIGHT.active, alpha=0.35, lw=3,
        fmt="none", label="two-phase voxels at either end",
    )  # fmt: skip
    axes.errorbar(
        x, y, np.nan_to_num(balance.sigma), color=LIGHT.active, fmt="o", label="mean of the map"
    )


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
    _frame_time(axes, model)
    volts = known(history.voltage_v)
    if volts.size:
        low, high = float(volts.min()), float(volts.max())
        pad = (high - low) or 0.1
        axes.set_ylim(low - 0.06 * pad, high + 0.22 * pad)  # the scans' numbers stand on top
    spare(axes)


def _frame_time(axes: Axes, model: RunModel) -> None:
    """The whole history, and nothing before or after it."""
    history, (_, seconds) = model.history, time_unit(model.history)
    if len(history) > 1:
        axes.set_xlim(history.time_s[0] / seconds, history.time_s[-1] / seconds)


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


def spread(scans: Sequence[T], most: int = MOST_SHOWN) -> list[T]:
    """At most so many of them, the first and the last among these."""
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

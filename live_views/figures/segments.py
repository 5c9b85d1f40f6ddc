"""Voxels sorted by lattice parameter, and what each of these segments is made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from ..colour_bar import tick_text
from ..model import RunModel, ScanRecord
from ..particle_panel import PHASE_COLOURS
from ..quantities import QUANTITIES, map_of, quantities_of
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT, colour_table
from ..words import number
from .maps import BOTTOM, HEAD, LEFT, RIGHT, bar, draw_map, formula, phase_name, range_of
from .sheet import PAGE_MM, Sheet, spare

SIDE = PAGE_MM / 3 - LEFT - RIGHT + 2.0  # of a map [mm]
FRACTION = "mass_fraction_"
SEGMENT = "segment "


def segment_rows(scan: ScanRecord) -> dict[int, Mapping[str, float]]:
    """Segment -> column -> value, of the scan's table of regions; empty where it has none."""
    result = scan.result("region_table")
    if result is None or result.values.ndim != 2:
        return {}
    columns = str(result.attrs.get("columns", "")).split(",")
    regions = str(result.attrs.get("regions", "")).split(",")
    if result.values.shape != (len(regions), len(columns)):
        return {}
    return {
        int(name.removeprefix(SEGMENT)): dict(zip(columns, map(float, row), strict=True))
        for name, row in zip(regions, result.values, strict=True)
        if name.startswith(SEGMENT) and name.removeprefix(SEGMENT).isdigit()
    }


def segments(model: RunModel, scan: ScanRecord, ranges: Ranges) -> Sheet:
    """The lattice parameter, the segments, and the phases in each of them."""
    sheet = Sheet(PAGE_MM, HEAD + SIDE + BOTTOM)
    lattice = map_of(scan, QUANTITIES[0])
    sorted_ = next((q for q in quantities_of([scan]) if q.result == "segments"), None)
    one = sheet.panel(LEFT, HEAD, SIDE, SIDE)
    low, high = range_of(model, ranges, QUANTITIES[0])
    draw_map(one, lattice, low, high)
    sheet.title(one, with_voltage(scan))
    if lattice is not None:
        bar(sheet, one, low, high, lattice)
    two = sheet.panel(LEFT + SIDE + RIGHT + LEFT - 2, HEAD, SIDE, SIDE)
    rows = segment_rows(scan)
    count = max(rows) + 1
    shown = map_of(scan, sorted_) if sorted_ is not None else None
    draw_map(two, shown, 0.0, max(count - 1.0, 1.0))
    sheet.title(two, "Segments by lattice parameter")
    _key(two, rows)
    three = sheet.panel(PAGE_MM - SIDE - 14.0, HEAD, SIDE + 12.0, SIDE)
    _fractions(three, scan, rows)
    sheet.title(three, "Mass fractions of the segments")
    return sheet


def _key(axes: Axes, rows: Mapping[int, Mapping[str, float]]) -> None:
    """Each segment's colour with its number and mean lattice parameter, beside the map."""
    table = colour_table("segments")
    most = max(max(rows), 1)
    for at, name in enumerate(sorted(rows, reverse=True)):
        y = 0.97 - 0.2 * at
        axes.add_patch(
            _square(axes, 1.05, y - 0.06, tuple(table[round(255 * name / most)] / 255.0))
        )
        a = number(rows[name].get("a_angstrom"))
        axes.text(1.14, y - 0.03, str(name + 1), transform=axes.transAxes, va="center")
        axes.text(1.05, y - 0.11, f"{tick_text(a, 0.001)} Å", transform=axes.transAxes,
                  va="center", color=LIGHT.muted)  # fmt: skip

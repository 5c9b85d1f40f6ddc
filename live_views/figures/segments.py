"""Voxels sorted by lattice parameter, and what each of these segments is made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from ..model import RunModel, ScanRecord
from ..particle_panel import PHASE_COLOURS
from ..quantities import QUANTITIES, map_of, quantities_of
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT, colour_table
from ..words import number
from .maps import BOTTOM, HEAD, LEFT, RIGHT, bar, draw_map, phase_name, range_of
from .sheet import PAGE_MM, Sheet, spare

SIDE = 37.0  # of a panel [mm]
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
    lattice, rows = map_of(scan, QUANTITIES[0]), segment_rows(scan)
    low, high = range_of(model, ranges, QUANTITIES[0])
    one = sheet.panel(LEFT, HEAD, SIDE, SIDE)
    draw_map(one, lattice, low, high)
    sheet.title(one, with_voltage(scan))
    if lattice is not None:
        bar(sheet, one, low, high, lattice)
    most = max(max(rows), 1)
    sorted_ = next((q for q in quantities_of([scan]) if q.result == "segments"), None)
    two = sheet.panel(LEFT + SIDE + RIGHT + LEFT, HEAD, SIDE, SIDE)
    draw_map(two, map_of(scan, sorted_) if sorted_ is not None else None, 0.0, float(most))
    sheet.title(two, "Segments by lattice parameter")
    sheet.steps(
        two,
        [tuple(colour_table("segments")[round(255 * n / most)] / 255.0) for n in sorted(rows)],
        [f"{n + 1}: {number(rows[n].get('a_angstrom')):.3f}" for n in sorted(rows)],
        "segment: a (Å)",
    )
    three = sheet.panel(PAGE_MM - SIDE - 3.0, HEAD, SIDE, SIDE)
    _fractions(three, scan, rows)
    sheet.title(three, "Phases beside the spinel")
    return sheet


def _fractions(axes: Axes, scan: ScanRecord, rows: Mapping[int, Mapping[str, float]]) -> None:
    """Bars of all phases but the one that is most of it, a group a segment."""
    columns = [c for c in rows[min(rows)] if c.startswith(FRACTION) and not c.endswith("_sigma")]
    mean = {c: np.nanmean([row[c] for row in rows.values()]) for c in columns}
    shown = sorted(columns, key=lambda c: -mean[c])[1:]
    place, width = np.arange(len(rows)), 0.8 / max(len(shown), 1)
    for at, column in enumerate(shown):
        values = [100 * rows[n][column] for n in sorted(rows)]
        sigmas = [100 * np.nan_to_num(rows[n].get(f"{column}_sigma", 0.0)) for n in sorted(rows)]
        axes.bar(
            place + (at - (len(shown) - 1) / 2) * width, values, width, yerr=sigmas,
            color=PHASE_COLOURS[at], label=phase_name(scan, column.removeprefix(FRACTION)),
            error_kw={"elinewidth": 0.6, "ecolor": LIGHT.text},
        )  # fmt: skip
    axes.set_xticks(place, [str(n + 1) for n in sorted(rows)])
    axes.set_xlabel("segment")
    axes.set_ylabel("mass fraction (%)")
    axes.set_ylim(bottom=0.0)
    axes.legend(loc="best")
    spare(axes)

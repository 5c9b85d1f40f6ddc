"""Powder patterns with their fits, and sinograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ...stream.messages import Result
from ..colour_bar import ticks
from ..model import ScanRecord
from ..painting import paint
from ..quantities import Floats, unit_text
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..sinogram_panel import in_order
from ..theme import LIGHT, colour_table
from .maps import BOTTOM, HEAD, grid_for, inner
from .sheet import COLUMN_MM, PAGE_MM, SMALL_PT, Sheet, spare

UPPER, LOWER = 26.0, 8.0  # heights of pattern and difference [mm]
WORDS = 15.0  # room for the words of an axis


def patterns(scans: Sequence[ScanRecord]) -> Sheet:
    """Mean pattern and fit of every scan, difference below, reflections marked."""
    across = 1 if len(scans) == 1 else 2
    width = COLUMN_MM if across == 1 else PAGE_MM
    wide = width / across - WORDS - 2.0
    pitch = HEAD + UPPER + LOWER + BOTTOM
    sheet = Sheet(width, -(-len(scans) // across) * pitch)
    for at, scan in enumerate(scans):
        row, column = divmod(at, across)
        left, top = WORDS + column * width / across, row * pitch + HEAD
        upper, lower = (
            sheet.panel(left, top, wide, UPPER),
            sheet.panel(left, top + UPPER, wide, LOWER),
        )
        pattern, fit = scan.result("pattern"), scan.result("pattern_fit")
        if pattern is None:
            continue
        q, data = np.asarray(pattern.coords["q"], float), np.asarray(pattern.values, float)
        upper.plot(q, data, ".", color=LIGHT.active, markersize=1.2, label="data")
        if fit is not None and fit.values.shape == data.shape:
            upper.plot(q, fit.values, color=LIGHT.fit, lw=0.6, label="fit")
            lower.plot(q, data - fit.values, color=LIGHT.muted, lw=0.6)
        reflections = scan.result("reflections")
        if reflections is not None:
            low, high = upper.get_ylim()
            places = np.asarray(reflections.values, float).ravel()
            upper.vlines(places, low - 0.09 * (high - low), low - 0.02 * (high - low),
                         color=LIGHT.good, lw=0.8, label="reflections")  # fmt: skip
            _indices(upper, reflections, places)
        if at == 0:
            upper.legend(loc="lower right", bbox_to_anchor=(1.01, 1.0), ncols=3, columnspacing=1.0)
        upper.set_ylabel(f"intensity\n({unit_text(pattern.unit) or 'arb. units'})")
        lower.axhline(0, color=LIGHT.faint, lw=0.4, zorder=0)
        lower.set_ylabel("diff.")
        lower.set_xlabel("q (Å⁻¹)")
        lower.locator_params(axis="y", nbins=3, prune="upper")
        upper.locator_params(axis="y", nbins=4, prune="lower")
        for axes in (upper, lower):
            axes.set_xlim(q[0], q[-1])
            spare(axes)
        upper.tick_params(labelbottom=False)
        sheet.title(upper, with_voltage(scan))
        sheet.figure.align_ylabels([upper, lower])
    return sheet


def _indices(axes: Axes, reflections: Result, places: Floats) -> None:
    """Miller indices above their lines, where there is room for them."""
    hkl = [reflections.coords.get(k) for k in "hkl"]
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))
    if any(c is None or len(c) != places.size for c in hkl):
        return
    used, room = -np.inf, 0.07 * np.ptp(axes.get_xlim())
    for at in np.argsort(places):
        if places[at] - used >= room:
            axes.text(
                places[at], 0.99, "".join(str(int(c[at])) for c in hkl), color=LIGHT.good,
                size=SMALL_PT, ha="center", va="top", transform=axes.get_xaxis_transform(),
            )  # fmt: skip
            used = places[at]


def sinograms(scans: Sequence[ScanRecord], ranges: Ranges) -> Sheet:
    """The sinogram of every scan in one range of colours; hatched: not measured."""
    found = [(s, r) for s in scans if (r := s.result("sinogram")) is not None]
    grid = grid_for(len(found))
    rows = -(-len(found) // grid.across)
    sheet = Sheet(grid.width, rows * (grid.side + HEAD) + BOTTOM)
    low, high = ranges.of("sinogram").follow([r.values for _, r in found])
    panels = []
    for at, (scan, result) in enumerate(found):
        axes = sheet.panel(*grid.place(*divmod(at, grid.across)))
        draw_sinogram(axes, result, low, high)
        sheet.title(axes, with_voltage(scan))
        inner(axes, left=at % grid.across == 0, bottom=at + grid.across >= len(found))
        panels.append(axes)
    sinogram_bar(sheet, panels[min(grid.across, len(panels)) - 1], found[0][1], low, high)
    return sheet


def draw_sinogram(axes: Axes, result: Result, low: float, high: float) -> None:
    """Rotation against translation."""
    values, (y, height), (x, width) = in_order(result.values, result.coords, result.dims)
    picture = paint(
        values, low, high, colour_table("sinogram"), answered=np.zeros(values.shape, bool),
        hatch=(LIGHT.hatch, LIGHT.hatch_line), masked=LIGHT.masked,
    )  # fmt: skip
    axes.imshow(
        picture, extent=(x, x + width, y, y + height), origin="lower", aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    for set_label, dim in ((axes.set_xlabel, result.dims[1]), (axes.set_ylabel, result.dims[0])):
        unit = unit_text(result.units.get(dim, ""))
        set_label(f"{dim} ({unit})" if unit else dim)
    axes.set_xticks(ticks(*sorted((x, x + width)), 4))
    axes.set_yticks(ticks(*sorted((y, y + height)), 4))


def sinogram_bar(sheet: Sheet, beside: Axes, result: Result, low: float, high: float) -> None:
    """The colour bar of a sinogram."""
    unit = unit_text(result.unit) or "arb. units"
    sheet.colour_bar(beside, low, high, colour_table("sinogram"), f"peak intensity ({unit})")

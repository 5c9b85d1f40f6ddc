"""Maps as panels of a sheet: the window's colours and outlines, axes in um, scale bar, range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from ..colour_bar import ticks
from ..map_canvas import nice_length
from ..model import RunModel, ScanRecord
from ..painting import paint
from ..particle_facts import Outlines, outlines_of
from ..quantities import MapOf, Quantity, map_of, unit_text
from ..ranges import Ranges
from ..scan_words import provisional, with_voltage
from ..theme import LIGHT, colour_table
from .sheet import COLUMN_MM, PAGE_MM, SMALL_PT, Sheet

LEFT, RIGHT, BOTTOM = 10.0, 16.0, 8.5  # room for the axes' words, and for the colour bar [mm]
GAP, HEAD = 4.0, 5.0  # between panels; above one [mm]
MOST_ACROSS = 5
SMALL = 0.01  # a colour bar that ends below this one is in thousandths
FORMULA = re.compile(r"\b(?:[A-Z][a-z]?\d*){2,}\b")  # two elements or more
LARGEST = 60.0  # side of a map [mm]
BADGE = {"boxstyle": "square,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
# a light word or line with a dark rim shows on every colour
HALO = [patheffects.withStroke(linewidth=1.4, foreground="black")]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the panels of a sheet full of maps stand [mm]."""

    across: int
    side: float
    height: float
    width: float

    def place(self, row: int, column: int, top: float = 0.0) -> tuple[float, float, float, float]:
        """Left, top, width and height of a panel."""
        left = LEFT + column * (self.side + GAP)
        return left, top + HEAD + row * (self.side * self.height + HEAD), self.side, (
            self.side * self.height
        )  # fmt: skip


def grid_for(count: int, aspect: float = 1.0, width: float = 0.0) -> Grid:
    """For so many maps side by side; aspect: height over width of one.

    One or two stand in a column of the journal, more across the page.
    """
    across = max(1, min(count, MOST_ACROSS))
    if across == MOST_ACROSS < count and count % MOST_ACROSS:
        across = next(n for n in (5, 4) if n == 4 or count % n == 0)
    width = width or (COLUMN_MM if count <= 2 else PAGE_MM)
    side = (width - LEFT - RIGHT - GAP * (across - 1)) / across
    return Grid(across, min(side, LARGEST), aspect, width)


def range_of(model: RunModel, ranges: Ranges, quantity: Quantity) -> tuple[float, float]:
    """The range of a quantity over the run's scans."""
    maps = (map_of(scan, quantity) for scan in model.scans())
    return ranges.of(quantity.key).follow(m.values for m in maps if m is not None)


def quantity_maps(
    model: RunModel, scans: Sequence[ScanRecord], ranges: Ranges, quantity: Quantity
) -> Sheet:
    """The map of every scan in one range of colours."""
    shown = [map_of(scan, quantity) for scan in scans]
    some = next(one for one in shown if one is not None)
    grid = grid_for(len(scans), aspect_of(some))
    rows = -(-len(scans) // grid.across)
    tall = rows * (grid.side * grid.height + HEAD) + BOTTOM
    sheet = Sheet(grid.width, tall)
    low, high = range_of(model, ranges, quantity)
    panels = []
    for at, (scan, one) in enumerate(zip(scans, shown, strict=True)):
        row, column = divmod(at, grid.across)
        axes = sheet.panel(*grid.place(row, column))
        draw_map(axes, one, low, high, outlines=outlines_of(scan), badge=_badge(scan, one))
        sheet.title(axes, with_voltage(scan))
        inner(axes, left=column == 0, bottom=at + grid.across >= len(scans))
        panels.append(axes)
    bar(sheet, panels[min(grid.across, len(panels)) - 1], low, high, some)
    return sheet


def quantity_rows(
    model: RunModel, scans: Sequence[ScanRecord], ranges: Ranges, quantities: Sequence[Quantity]
) -> Sheet:
    """A row a quantity, a column a scan; each row has a range of its own."""
    grid = grid_for(max(3, len(scans)))
    some = next(m for q in quantities for s in scans if (m := map_of(s, q)) is not None)
    grid = Grid(grid.across, min(grid.side, 42.0), aspect_of(some), grid.width)
    scans = scans[: grid.across]
    wide = LEFT + len(scans) * (grid.side + GAP) - GAP + RIGHT
    tall = len(quantities) * (grid.side * grid.height + HEAD) + BOTTOM
    sheet = Sheet(COLUMN_MM if wide <= COLUMN_MM else PAGE_MM, tall)
    for row, quantity in enumerate(quantities):
        shown = [map_of(scan, quantity) for scan in scans]
        known = [one for one in shown if one is not None]
        low, high = ranges.of(f"{quantity.result} alone").follow([m.values for m in known])
        for column, (scan, one) in enumerate(zip(scans, shown, strict=True)):
            axes = sheet.panel(*grid.place(row, column))
            draw_map(axes, one, low, high, badge=_badge(scan, one))
            sheet.title(axes, with_voltage(scan) if row == 0 else "")
            inner(axes, left=column == 0, bottom=row == len(quantities) - 1)
        bar(sheet, axes, low, high, known[0])
    return sheet


def draw_map(
    axes: Axes,
    shown: MapOf | None,
    low: float,
    high: float,
    *,
    outlines: Outlines | None = None,
    names: bool = False,
    picked: int = 0,
    badge: str = "",
    window: tuple[float, float, float, float] | None = None,
) -> None:
    """A map in the colours of low .. high; names: write the particles' identities.

    window: (x, y, width, height) of the part that is shown; all of it by default
    """
    if shown is None:
        axes.text(0.5, 0.5, "no map", transform=axes.transAxes, ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    picture = paint(
        shown.values, low, high, colour_table(shown.quantity.key), answered=shown.answered,
        hatch=(LIGHT.hatch, LIGHT.hatch_line), masked=LIGHT.masked,
    )  # fmt: skip
    x, y, width, height = shown.extent
    axes.imshow(
        picture, extent=(x, x + width, y, y + height), origin="lower", interpolation="nearest",
        aspect="equal" if shown.spatial else "auto",
    )  # fmt: skip
    axes.set_xlabel(shown.axes[0])
    axes.set_ylabel(shown.axes[1])
    x, y, width, height = window or shown.extent
    for axis, begin, extent in ((axes.xaxis, x, width), (axes.yaxis, y, height)):
        ends = sorted((begin, begin + extent))
        axis.set_ticks(ticks(*ends, 4))
        axis.set_view_interval(*ends, ignore=True)
    if shown.spatial:
        scale_bar(axes, (x, y, width, height), shown.axes[0].partition("(")[2].rstrip(")"))
        if outlines is not None:
            draw_outlines(axes, outlines, names, picked)
    if badge:
        axes.text(
            0.5, 0.97, badge.replace(": ", ":\n"), transform=axes.transAxes, ha="center", va="top",
            size=SMALL_PT, bbox=BADGE,
        )  # fmt: skip


def draw_outlines(axes: Axes, outlines: Outlines, names: bool = False, picked: int = 0) -> None:
    """Thin around a particle like the others, heavy and dashed around one that deviates."""
    every = set(outlines.places)
    strange = (every & outlines.accused) - {picked}
    for of, width, style in (
        (every - strange - {picked}, 0.4, "-"), (strange, 0.9, (0, (2.5, 1.5))),
        (every & {picked}, 1.1, "-"),
    ):  # fmt: skip
        x, y = outlines.edges(of)
        if x.size:
            halo = [patheffects.withStroke(linewidth=width + 0.6, foreground="#000000a0")]
            axes.plot(x, y, color="white", lw=width, ls=style, path_effects=halo)
    for name in every if names else ():
        x, y = outlines.places[name]
        axes.text(
            x, y, f"{name}{'!' if name in outlines.accused else ''}", size=SMALL_PT, color="white",
            ha="center", va="center", path_effects=HALO, clip_on=True,
        )  # fmt: skip


def scale_bar(axes: Axes, shown: tuple[float, float, float, float], unit: str) -> None:
    """A round length in the lower left corner; shown: (x, y, width, height) of what is seen."""
    x, y, width, height = shown
    length = nice_length(abs(width) / 4)
    left, level = min(x, x + width) + 0.05 * abs(width), min(y, y + height) + 0.05 * abs(height)
    axes.plot(
        [left, left + length], [level, level], color="white", lw=1.6, solid_capstyle="butt",
        path_effects=[patheffects.withStroke(linewidth=2.6, foreground="black")],
    )  # fmt: skip
    axes.text(
        left + length / 2, level + 0.025 * abs(height), f"{length:g} {unit}", color="white",
        size=SMALL_PT, ha="center", va="bottom", path_effects=HALO,
    )  # fmt: skip


def inner(axes: Axes, left: bool, bottom: bool) -> None:
    """Words and numbers at the outer axes of a sheet alone."""
    if not left:
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)
    if not bottom:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def bar(sheet: Sheet, beside: Axes, low: float, high: float, shown: MapOf) -> None:
    """The colour bar of a map's quantity; small numbers are counted in thousandths."""
    unit = unit_text(shown.unit) if shown.unit != "1" else ""
    small = max(abs(low), abs(high)) < SMALL
    if small:
        low, high, unit = 1e3 * low, 1e3 * high, f"10⁻³ {unit}".strip()
    tail = f" ({unit})" if unit else ""
    words = (f"{formula(w)}{tail}" for w in (shown.quantity.title, shown.quantity.short))
    tall = beside.get_position().height * sheet.height_mm
    title, short = words
    fits = 1.25 * len(shown.quantity.title + tail) <= tall  # a letter of 7 pt is 1.25 mm wide
    table = colour_table(shown.quantity.key)
    sheet.colour_bar(beside, low, high, table, title if fits else short)


def formula(text: str) -> str:
    """Text with the numbers of chemical formulas as indices, LiMn2O4."""
    return FORMULA.sub(lambda found: re.sub(r"(\d+)", r"$_{\1}$", found[0]), text)


def aspect_of(shown: MapOf) -> float:
    """Height over width of a map's panel."""
    _, _, width, height = shown.extent
    return float(np.clip(abs(height / width), 0.3, 2.0)) if shown.spatial else 1.0


def _badge(scan: ScanRecord, shown: MapOf | None) -> str:
    return "" if shown is None else provisional(scan, shown.result)

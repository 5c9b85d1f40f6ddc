"""Maps as panels of a sheet: the window's colours and outlines, axes in um, scale bar, range."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from ..colour_bar import tick_text, ticks
from ..map_canvas import nice_length
from ..model import RunModel, ScanRecord
from ..painting import paint
from ..particle_facts import Outlines, outlines_of
from ..quantities import MapOf, Quantity, map_of, unit_text
from ..ranges import Ranges
from ..scan_words import ended_early, provisional, taken_of, with_voltage
from ..theme import LIGHT, colour_table
from .sheet import COLUMN_MM, LETTER_MM, PAGE_MM, SMALL_PT, Sheet

LEFT, RIGHT, BOTTOM = 10.0, 16.0, 8.5  # room for the axes' words, and for the colour bar [mm]
GAP, HEAD = 4.0, 5.0  # between panels; above one [mm]
MOST_ACROSS = 5
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


def grid_for(count: int, aspect: float = 1.0) -> Grid:
    """For so many maps side by side; aspect: height over width of one.

    One or two stand in a column of the journal, more across the page.
    """
    across = count if count <= MOST_ACROSS else 4 if count % MOST_ACROSS else MOST_ACROSS
    width = COLUMN_MM if count <= 2 else PAGE_MM
    side = (width - LEFT - RIGHT - GAP * (across - 1)) / across
    return Grid(across, min(side, LARGEST), aspect, width)


def range_of(model: RunModel, ranges: Ranges, quantity: Quantity) -> tuple[float, float]:
    """The range of a quantity over the run's scans."""
    maps = (map_of(scan, quantity) for scan in model.scans())
    return ranges.of(quantity.key).follow(m.values for m in maps if m is not None)


def maps_of(scans: Sequence[ScanRecord], quantity: Quantity) -> list[tuple[ScanRecord, MapOf]]:
    """The scans that have a map of the quantity, each with it."""
    return [(scan, one) for scan in scans if (one := map_of(scan, quantity)) is not None]


def quantity_maps(
    model: RunModel, scans: Sequence[ScanRecord], ranges: Ranges, quantity: Quantity
) -> Sheet:
    """The map of every scan that has one, in one range of colours."""
    shown = maps_of(scans, quantity)
    grid = grid_for(len(shown), aspect_of(shown[0][1]))
    rows = -(-len(shown) // grid.across)
    sheet = Sheet(grid.width, rows * (grid.side * grid.height + HEAD) + BOTTOM)
    span = range_of(model, ranges, quantity)
    for row in range(rows):
        here = shown[row * grid.across : (row + 1) * grid.across]
        below = len(shown) - (row + 1) * grid.across  # maps in the next row
        draw_row(sheet, grid, here, span, row=row, below=below, with_bar=row == 0)
    return sheet


def draw_row(
    sheet: Sheet,
    grid: Grid,
    shown: Sequence[tuple[ScanRecord, MapOf | None]],
    span: tuple[float, float],
    *,
    row: int = 0,
    top: float = 0.0,
    below: int = 0,
    outlined: bool = True,
    titled: bool = True,
    with_bar: bool = True,
) -> None:
    """Maps side by side in one range of colours, with its bar; a scan without one has a gap.

    row: of the grid, which begins at top [mm]; below: how many maps stand in the next row
    outlined: with particles; titled: with the names of the scans
    """
    for column, (scan, one) in enumerate(shown):
        axes = sheet.panel(*grid.place(row, column, top))
        outlines = outlines_of(scan) if outlined else None
        draw_map(axes, one, *span, outlines=outlines, badge=badge_of(scan, one))
        sheet.title(axes, with_voltage(scan) if titled else "")
        inner(axes, left=column == 0, bottom=column >= below)
    some = next((one for _, one in shown if one is not None), None)
    if with_bar and some is not None:
        bar(sheet, axes, *span, some)


def quantity_rows(
    scans: Sequence[ScanRecord], ranges: Ranges, quantities: Sequence[Quantity]
) -> Sheet:
    """Several quantities, each in a range of its own: a row a quantity, a column a scan.

    Of one scan the quantities stand side by side.
    """
    if len(scans) == 1:
        return _side_by_side(scans[0], ranges, quantities)
    some = next((m for q in quantities for _, m in maps_of(scans, q)), None)
    grid = grid_for(len(scans), aspect_of(some) if some is not None else 1.0)
    sheet = Sheet(grid.width, len(quantities) * (grid.side * grid.height + HEAD) + BOTTOM)
    for row, quantity in enumerate(quantities):
        shown = [(scan, map_of(scan, quantity)) for scan in scans]
        span = _own_range(ranges, quantity, [one for _, one in shown if one is not None])
        below = len(scans) if row < len(quantities) - 1 else 0
        draw_row(
            sheet, grid, shown, span, row=row, below=below, outlined=False, titled=row == 0
        )  # fmt: skip
    return sheet


def _side_by_side(scan: ScanRecord, ranges: Ranges, quantities: Sequence[Quantity]) -> Sheet:
    shown = [m for q in quantities if (m := map_of(scan, q)) is not None]
    across = len(shown) if len(shown) <= 3 else 2 if len(shown) == 4 else 3
    cell = PAGE_MM / max(across, 2)
    side = min(cell - LEFT - RIGHT, LARGEST)
    tall = side * aspect_of(shown[0])
    rows = -(-len(shown) // across)
    width = COLUMN_MM if len(shown) == 1 else PAGE_MM
    sheet = Sheet(width, rows * (tall + HEAD + BOTTOM))
    for at, one in enumerate(shown):
        row, column = divmod(at, across)
        axes = sheet.panel(column * cell + LEFT, row * (tall + HEAD + BOTTOM) + HEAD, side, tall)
        low, high = _own_range(ranges, one.quantity, [one])
        draw_map(axes, one, low, high, badge=badge_of(scan, one))
        sheet.title(axes, formula(one.quantity.title))
        bar(sheet, axes, low, high, one)
    return sheet


def _own_range(ranges: Ranges, quantity: Quantity, shown: Sequence[MapOf]) -> tuple[float, float]:
    key = f"{quantity.result} {quantity.of_uncertainty} alone"
    return ranges.of(key).follow([one.values for one in shown])


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
    if shown.spatial:
        scale_bar(axes, (x, y, width, height), shown.axes[0].partition("(")[2].rstrip(")"))
        if outlines is not None:
            draw_outlines(axes, outlines, names, picked)
    for axis, begin, extent in ((axes.xaxis, x, width), (axes.yaxis, y, height)):
        ends = sorted((begin, begin + extent))
        axis.set_ticks(ticks(*ends, 4))
        axis.set_view_interval(*ends, ignore=True)
    if badge:
        axes.text(0.5, 0.975, badge, transform=axes.transAxes, ha="center", va="top", size=SMALL_PT,
                  bbox=BADGE)  # fmt: skip


def badge_of(scan: ScanRecord, shown: MapOf | None) -> str:
    """What a map says of itself in a line where it is not final or not whole; why: the caption."""
    if shown is None:
        return ""
    said = provisional(scan, shown.result)
    return f"ended early, {taken_of(scan)}" if said and said == ended_early(scan) else said


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
        left, level + 0.025 * abs(height), f"{length:g} {unit}", color="white",
        size=SMALL_PT, ha="left", va="bottom", path_effects=HALO,
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
    """The colour bar of a map's quantity; very small and very large numbers by a power of ten."""
    unit = unit_text(shown.unit) if shown.unit != "1" else ""
    power = power_of(low, high)
    if power:
        low, high, unit = low / 10.0**power, high / 10.0**power, f"$10^{{{power}}}$ {unit}".strip()
    tail = f" ({unit})" if unit else ""
    tall = beside.get_position().height * sheet.height_mm
    letters = len(f"{shown.quantity.title} ({shown.unit})") + (3 if power else 0)
    fits = LETTER_MM * letters <= tall
    words = formula(shown.quantity.title if fits else shown.quantity.short) + tail
    sheet.colour_bar(beside, low, high, colour_table(shown.quantity.key), words)


def power_of(low: float, high: float) -> int:
    """The power of ten, a multiple of three, that a range's numbers are told in; mostly 0."""
    top = max(abs(low), abs(high))
    marks = ticks(low, high, 4)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    long = any(len(tick_text(value, step)) > 5 for value in marks)
    if not top > 0 or (0.1 <= top < 1e4) or (top < 0.1 and not long):
        return 0
    return 3 * math.floor((math.log10(top) + 1) / 3)


def formula(text: str) -> str:
    """Text with the numbers of chemical formulas as indices, LiMn2O4."""
    return FORMULA.sub(lambda found: re.sub(r"(\d+)", r"$_{\1}$", found[0]), text)


def phase_name(scan: ScanRecord, key: str) -> str:
    """How a phase is called in a figure: its formula where one is known."""
    result = scan.result(f"mass_fraction_{key}")
    said = str(result.attrs.get("formula", "")) if result is not None else ""
    return formula(said) if said else key.replace("_", " ")


def aspect_of(shown: MapOf) -> float:
    """Height over width of a map's panel."""
    _, _, width, height = shown.extent
    return float(np.clip(abs(height / width), 0.3, 2.0)) if shown.spatial else 1.0

"""Scans that serve a slice or follow one: wide ones before it, finer ones of a region after it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..model import RunModel, ScanRecord
from ..particle_facts import outlines_of
from ..quantities import MapOf, Quantity, map_of, quantities_of
from ..ranges import Ranges, StickyRange
from ..scan_words import WIDE, called, is_slice, role_of, with_voltage
from .maps import BOTTOM, HEAD, LEFT, RIGHT, badge_of, bar, draw_map, range_of
from .sheet import PAGE_MM, Sheet
from .spectra import draw_sinogram, sinogram_bar

SIDE = 36.0  # of a map [mm]
MOST = 4  # rows that have room on a page
BETWEEN = 10.0  # room for the words of the next one's axis


def finer(model: RunModel) -> list[tuple[ScanRecord, ScanRecord]]:
    """Each scan of a region after the scan whose map asked for it."""
    by_name = {scan.scan: scan for scan in model.scans()}
    return [
        (by_name[parent], scan)
        for scan in model.scans()
        if role_of(scan) == "roi" and scan.start is not None
        and (parent := str(scan.start.notes.get("parent", ""))) in by_name
    ]  # fmt: skip


def rescans(model: RunModel, ranges: Ranges) -> Sheet:
    """A row for each of the last finer scans: the map that asked for it, its own, and the dose."""
    pairs = finer(model)[-MOST:]
    lattice = quantities_of(model.scans())[0]
    dose = next((q for q in quantities_of(model.scans()) if q.result == "dose"), None)
    pitch = HEAD + SIDE + BOTTOM
    sheet = Sheet(PAGE_MM, len(pairs) * pitch)
    low, high = range_of(model, ranges, lattice)
    for at, (parent, scan) in enumerate(pairs):
        top = at * pitch + HEAD
        before, after = map_of(parent, lattice), map_of(scan, lattice)
        one = sheet.panel(LEFT, top, SIDE, SIDE)
        draw_map(one, before, low, high, outlines=outlines_of(parent), names=True,
                 badge=badge_of(parent, before))  # fmt: skip
        sheet.title(one, with_voltage(parent))
        two = sheet.panel(LEFT + SIDE + BETWEEN, top, SIDE, SIDE)
        draw_map(two, after, low, high, outlines=outlines_of(scan), names=True,
                 badge=badge_of(scan, after))  # fmt: skip
        sheet.title(two, called(scan))
        if after is not None:
            frame(one, after)
            bar(sheet, two, low, high, after)
        third = map_of(scan, dose) if dose is not None else None
        if dose is not None and third is not None:
            three = sheet.panel(LEFT + 2 * (SIDE + BETWEEN) + RIGHT, top, SIDE, SIDE)
            _dose(sheet, three, third, ranges, dose)
            sheet.title(three, "Dose after it")
    return sheet


def wide(model: RunModel, ranges: Ranges) -> Sheet:
    """The wide scans and the slice at their own scales, framed where the next one looks; below,
    what each of them measured."""
    lattice = quantities_of(model.scans())[0]
    found = [s for s in model.scans() if map_of(s, lattice) is not None]
    scans = [*[s for s in found if role_of(s) in WIDE][-2:], *[s for s in found if is_slice(s)][:1]]
    maps = [map_of(s, lattice) for s in scans]
    side = PAGE_MM / 3 - LEFT - RIGHT
    pitch = HEAD + side + BOTTOM
    sheet = Sheet(PAGE_MM, 2 * pitch)
    low, high = range_of(model, ranges, lattice)
    for column, (scan, one) in enumerate(zip(scans, maps, strict=True)):
        axes = sheet.panel(column * PAGE_MM / 3 + LEFT, HEAD, side, side)
        draw_map(axes, one, low, high)
        sheet.title(axes, with_voltage(scan))
        inside = maps[column + 1] if column + 1 < len(maps) else None
        if inside is not None:
            frame(axes, inside)
        if one is not None:
            bar(sheet, axes, low, high, one)
    for column, scan in enumerate(scans):
        axes = sheet.panel(column * PAGE_MM / 3 + LEFT, pitch + HEAD, side, side)
        sinogram = scan.result("sinogram")
        sheet.title(axes, "Sinogram")
        if sinogram is not None and sinogram.values.ndim == 2:
            low, high = StickyRange().follow([sinogram.values])
            draw_sinogram(axes, sinogram, low, high)
            sinogram_bar(sheet, axes, sinogram, low, high)
    return sheet


def frame(axes: Axes, inside: MapOf) -> None:
    """Where another map lies."""
    x, y, width, height = inside.extent
    for colour, thick in (("black", 1.6), ("white", 0.8)):
        axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, lw=thick, zorder=5))


def _dose(sheet: Sheet, axes: Axes, shown: MapOf, ranges: Ranges, dose: Quantity) -> None:
    low, high = ranges.of(dose.key).follow([shown.values])
    draw_map(axes, shown, low, high)
    axes.set_ylabel("")
    bar(sheet, axes, low, high, shown)

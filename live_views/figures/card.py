"""A card for one particle: map, history, histogram, depth, shells, numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from ..model import RunModel, ScanRecord
from ..particle_facts import (
    Profile,
    identities,
    middle_of_others,
    outlines_of,
    particle_rows,
    profile_of,
    shell_phases,
    verdict_of,
    voxels_of,
)
from ..particle_panel import PHASE_COLOURS, histogram_edges, numbers_of
from ..quantities import QUANTITIES, extent_of, known, map_of
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT
from ..words import number
from .histograms import forbidden
from .maps import BOTTOM, HEAD, LEFT, RIGHT, bar, draw_map, phase_name, range_of
from .particles import draw_histories, draw_verdicts, with_particles
from .sheet import PAGE_MM, SMALL_PT, Sheet, spare

SIDE, WIDE = 40.0, 42.0  # of a panel [mm]
LINES = 11  # numbers that have room


def card(model: RunModel, ranges: Ranges, name: int) -> Sheet:
    """The particle in the last scan that accuses it, else in the last that knows it."""
    scan = _best_scan(model, name)
    sheet = Sheet(PAGE_MM, 2 * (HEAD + SIDE + BOTTOM))
    middle, right, second = (
        LEFT + SIDE + RIGHT + 12.0,
        PAGE_MM - WIDE - 6.0,
        2 * HEAD + SIDE + BOTTOM,
    )
    around, shown = sheet.panel(LEFT, HEAD, SIDE, SIDE), map_of(scan, QUANTITIES[0])
    span = range_of(model, ranges, QUANTITIES[0])
    draw_map(
        around, shown, *span, outlines=outlines_of(scan), picked=name,
        window=_surroundings(scan, name),
    )  # fmt: skip
    sheet.title(around, f"Particle {name}, {with_voltage(scan)}")
    if shown is not None:
        bar(sheet, around, *span, shown)
    history = sheet.panel(middle, HEAD, WIDE, SIDE)
    if len(with_particles(model)) < 2:
        draw_verdicts(history, scan, only=name)
        sheet.title(history, "Among the other particles")
    else:
        draw_histories(history, model, scan, only=name)
        sheet.title(history, "History; grey: the other particles")
    counts = sheet.panel(right, HEAD, WIDE, SIDE)
    _against_bulk(counts, scan, name)
    sheet.title(counts, "Voxels against those of the bulk")
    depth = sheet.panel(LEFT + 2, second, SIDE + 10, SIDE)
    _depth(depth, scan, name)
    sheet.title(depth, "Depth profile; band: the others")
    _shells(sheet, scan, name, (middle, second, WIDE, SIDE))
    facts = sheet.panel(right - 6.0, second, WIDE + 6.0, SIDE)
    _numbers(sheet, facts, particle_rows(scan)[name])
    return sheet


def _numbers(sheet: Sheet, axes: Axes, row: Mapping[str, float]) -> None:
    axes.axis("off")
    verdict = verdict_of(row)
    sheet.title(axes, verdict[:1].upper() + verdict[1:])
    for at, (what, text) in enumerate(numbers_of(row)[:LINES]):
        y = 1.0 - (at + 0.5) / LINES
        axes.text(0.0, y, what, size=SMALL_PT, color=LIGHT.muted, va="center")
        axes.text(0.46, y, text, size=SMALL_PT, va="center")


def _best_scan(model: RunModel, name: int) -> ScanRecord:
    """The last scan that accuses the particle, else the last that knows it."""
    rows = [(s, particle_rows(s).get(name)) for s in model.scans()]
    known = [(s, row) for s, row in rows if row is not None]
    judged = [s for s, row in known if number(row.get("classification")) > 0]
    return (judged or [s for s, _ in known])[-1]


def _surroundings(scan: ScanRecord, name: int) -> tuple[float, float, float, float] | None:
    """(x, y, width, height) of a square around a particle, twice as wide as it is."""
    labels, result = identities(scan), scan.result("particles")
    if labels is None or result is None or not (labels == name).any():
        return None
    x, y, width, height = extent_of(result)
    rows, cols = labels.shape
    row, column = np.nonzero(labels == name)
    middle_x = x + (column.min() + column.max() + 1) / 2 * width / cols
    middle_y = y + (row.min() + row.max() + 1) / 2 * height / rows
    half = max(np.ptp(column) + 1, np.ptp(row) + 1) * abs(width) / cols
    return middle_x - half, middle_y - half, 2 * half, 2 * half


def _against_bulk(axes: Axes, scan: ScanRecord, name: int) -> None:
    mine, others = voxels_of(scan, name)
    both = np.concatenate([mine, others])
    window = forbidden(scan)
    if window is not None:
        axes.axvspan(*window, color=LIGHT.forbidden, alpha=0.13, lw=0)
    if both.size:
        edges = histogram_edges(both)
        for values, colour, label in (
            (others, LIGHT.muted, "all other particles"), (mine, LIGHT.active, f"particle {name}"),
        ):  # fmt: skip
            if values.size:
                share = np.histogram(values, edges)[0] / values.size
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.45, label=label)
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the words
        axes.legend(loc="upper right")
    axes.set_xlabel("a (Å)")
    axes.set_ylabel("share of voxels")
    axes.locator_params(nbins=4)
    spare(axes)


def _depth(axes: Axes, scan: ScanRecord, name: int) -> None:
    others = middle_of_others(scan, "particle_profile", name)
    if others is not None:
        axes.fill_between(
            others.x, others.values - others.sigma, others.values + others.sigma,
            color=LIGHT.faint, alpha=0.35, lw=0,
        )  # fmt: skip
        axes.plot(others.x, others.values, color=LIGHT.muted)
    mine = profile_of(scan, "particle_profile", name)
    if mine is not None:
        _points(axes, mine, LIGHT.active)
    axes.set_xlabel("depth below the surface (µm)")
    axes.set_ylabel("a (Å)")
    axes.margins(y=0.12)
    spare(axes)


def _shells(sheet: Sheet, scan: ScanRecord, name: int, place: tuple[float, ...]) -> None:
    """Mass fractions by shell: what makes up most of it above, with an axis of its own."""
    phases = shell_phases(scan, name)
    left, top, width, height = place
    most = {phase for phase, p in phases.items() if (v := known(p.values)).size and v.mean() > 0.5}
    split = 0.36 * height if most and len(most) < len(phases) else 0.0
    lower = sheet.panel(left, top + split, width, height - split)
    panels = [sheet.panel(left, top, width, split - 2.5), lower] if split else [lower]
    sheet.title(panels[0], "Mass fractions by depth shell")
    if not phases:
        lower.text(0.5, 0.5, "no phases were refined", transform=lower.transAxes, ha="center",
                   color=LIGHT.muted)  # fmt: skip
        lower.axis("off")
        return
    for at, (phase, mine) in enumerate(phases.items()):
        axes = panels[0] if split and phase in most else lower
        _points(axes, mine, PHASE_COLOURS[at % len(PHASE_COLOURS)], phase_name(scan, phase))
    for axes in panels:
        axes.set_xticks(np.arange(max(p.x.size for p in phases.values())))
        axes.locator_params(axis="y", nbins=4)
        low, high = axes.get_ylim()
        if axes is lower:  # room for the words
            axes.set_ylim(low, high + 0.6 * (high - low))
        else:
            axes.set_ylim(low - 0.7 * (high - low), high + 0.15 * (high - low))
        where = "upper left" if axes is lower else "lower left"
        axes.legend(loc=where, ncols=2, columnspacing=1.0)
        axes.tick_params(labelbottom=axes is lower)
        spare(axes)
    lower.set_xlabel("shell, 0 at the surface")
    lower.set_ylabel("mass fraction")


def _points(axes: Axes, profile: Profile, colour: str, label: str = "") -> None:
    some = np.isfinite(profile.values)
    axes.errorbar(
        profile.x[some], profile.values[some], np.nan_to_num(profile.sigma[some]), color=colour,
        fmt="o-", label=label or None,
    )  # fmt: skip

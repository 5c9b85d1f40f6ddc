"""Particles: where they are, and their lives under the voltage curve."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from ..cell_series import particle_series, time_unit
from ..model import RunModel, ScanRecord
from ..particle_facts import accused, identities, outlines_of, particle_rows
from ..particle_panel import PHASE_COLOURS
from ..quantities import QUANTITIES, MapOf
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT
from ..words import number
from .cell import draw_voltage, shade_scans
from .histograms import forbidden
from .maps import BOTTOM, HEAD, LEFT, RIGHT, bar, draw_map, maps_of, range_of
from .sheet import LETTERS_PT, PAGE_MM, Sheet, spare

MOST_CARDS = 6
MAP = 62.0  # side of the map of all particles [mm]


def cards_of(model: RunModel) -> list[int]:
    """Identities worth a card: those that deviate, the most often accused first; else the largest
    particle."""
    times: dict[int, int] = {}
    largest: dict[int, float] = {}
    for scan in model.scans():
        rows = particle_rows(scan)
        for name in accused(rows):
            times[name] = times.get(name, 0) + 1
        largest |= {name: number(row.get("area_um2")) for name, row in rows.items()}
    if times:
        return sorted(times, key=lambda name: (-times[name], -largest[name]))[:MOST_CARDS]
    return sorted(largest, key=lambda name: -np.nan_to_num(largest[name]))[:1]


def with_particles(model: RunModel) -> list[tuple[ScanRecord, MapOf]]:
    """The scans in which particles were found, each with its map of the lattice parameter."""
    known = [scan for scan in model.scans() if identities(scan) is not None]
    return maps_of(known, QUANTITIES[0])


def all_particles(model: RunModel, ranges: Ranges) -> Sheet:
    """The particles by name where most of them deviate; every particle's history below E(t)."""
    scan, shown = max(
        with_particles(model), key=lambda s: (len(accused(particle_rows(s[0]))), s[0].number)
    )
    sheet = Sheet(PAGE_MM, HEAD + MAP + BOTTOM)
    low, high = range_of(model, ranges, QUANTITIES[0])
    axes = sheet.panel(LEFT, HEAD, MAP, MAP)
    draw_map(axes, shown, low, high, outlines=outlines_of(scan), names=True)
    sheet.title(axes, f"{with_voltage(scan)}; !: deviates")
    bar(sheet, axes, low, high, shown)
    left = LEFT + MAP + RIGHT + 14
    wide = PAGE_MM - left - 8
    if len(with_particles(model)) < 2:
        lonely = sheet.panel(left, HEAD, wide, MAP)
        draw_verdicts(lonely, scan)
        sheet.title(lonely, "Every particle; blue: deviates")
        return sheet
    upper = sheet.panel(left, HEAD, wide, 16.0)
    draw_voltage(upper, model)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    sheet.title(upper, "Cell voltage; shaded: scans")
    lower = sheet.panel(left, HEAD + 16 + HEAD, wide, MAP - 16 - HEAD)
    draw_histories(lower, model, scan)
    lower.set_xlim(upper.get_xlim())
    sheet.title(lower, "Mean lattice parameter of every particle")
    return sheet


def draw_histories(axes: Axes, model: RunModel, scan: ScanRecord, only: int = 0) -> None:
    unit, seconds = time_unit(model.history)
    strange = {name for s in model.scans() for name in accused(particle_rows(s))}
    names = sorted({name for s in model.scans() for name in particle_rows(s)})
    window = forbidden(scan)
    if window is not None:
        axes.axhspan(*window, color=LIGHT.forbidden, alpha=0.13, lw=0)
    marked = [only] if only else [name for name in cards_of(model) if name in strange]
    ends = []
    for name in [n for n in names if n not in marked] + marked:
        series = particle_series(model, name)
        if series is None:
            continue
        mine = name in marked
        colour = PHASE_COLOURS[marked.index(name) % len(PHASE_COLOURS)] if mine else LIGHT.faint
        if only and mine:
            colour = LIGHT.active
        some = np.isfinite(series.a) & np.isfinite(series.time_s)
        t, a = series.time_s[some] / seconds, series.a[some]
        axes.errorbar(
            t, a, np.nan_to_num(series.sigma[some]), color=colour, fmt="o-",
            lw=0.9 if mine else 0.4, markersize=2.6 if mine else 1.4, zorder=3 if mine else 2,
        )  # fmt: skip
        if mine and a.size:
            ends.append((float(t[-1]), float(a[-1]), name, colour))
    shade_scans(axes, model)
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel("a (Å)")
    axes.margins(y=0.08)
    spare(axes)
    if not only:
        _name_ends(axes, ends)


def draw_verdicts(axes: Axes, scan: ScanRecord, only: int = 0) -> None:
    """Mean lattice parameter of each particle against its share of two-phase voxels."""
    rows = particle_rows(scan)
    window = forbidden(scan)
    if window is not None:
        axes.axvspan(*window, color=LIGHT.forbidden, alpha=0.13, lw=0)
    strange = accused(rows)
    for name, row in rows.items():
        a, mixed = number(row.get("a")), 100 * number(row.get("mixed_share"))
        mixed = mixed if math.isfinite(mixed) else 0.0
        mine = name == only if only else name in strange
        axes.errorbar(
            a, mixed, xerr=np.nan_to_num(number(row.get("a_spread"))), fmt="o", lw=0.5,
            color=LIGHT.active if mine else LIGHT.faint, zorder=3 if mine else 2,
        )  # fmt: skip
        if mine:
            axes.annotate(
                str(name), (a, mixed), (3, 3), textcoords="offset points", weight="bold",
                size=LETTERS_PT, color=LIGHT.active,
            )  # fmt: skip
    axes.set_xlabel("mean a, bar: its spread (Å)")
    axes.set_ylabel("voxels with two phases (%)")
    axes.set_ylim(bottom=min(-2.0, axes.get_ylim()[0]))
    axes.locator_params(axis="x", nbins=4)
    spare(axes)


def _name_ends(axes: Axes, ends: list[tuple[float, float, int, str]]) -> None:
    """Each line's particle at its end; words that would meet stand apart."""
    low, high = axes.get_ylim()
    least, used = 0.065 * (high - low), -math.inf
    for t, a, name, colour in sorted(ends, key=lambda one: one[1]):
        used = max(a, used + least)
        axes.annotate(
            str(name), (t, a), (4, (used - a) / (high - low) * axes.get_window_extent().height * 72
                                / axes.figure.dpi), textcoords="offset points",
            size=LETTERS_PT, color=colour, va="center", weight="bold",
        )  # fmt: skip

"""Particles: where they are, their lives under the voltage curve, and a card for each."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from ..cell_series import particle_series, time_unit
from ..model import RunModel, ScanRecord
from ..particle_facts import (
    Profile,
    accused,
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
from ..quantities import QUANTITIES, MapOf, extent_of, known, map_of
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT
from ..words import number
from .cell import draw_voltage, shade_scans
from .histograms import forbidden
from .maps import BOTTOM, HEAD, LEFT, RIGHT, bar, draw_map, maps_of, phase_name, range_of
from .sheet import LETTERS_PT, PAGE_MM, SMALL_PT, Sheet, spare

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
        _verdicts(lonely, scan)
        sheet.title(lonely, "Every particle; blue: deviates")
        return sheet
    upper = sheet.panel(left, HEAD, wide, 16.0)
    draw_voltage(upper, model)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    sheet.title(upper, "Cell voltage; shaded: scans")
    lower = sheet.panel(left, HEAD + 16 + HEAD, wide, MAP - 16 - HEAD)
    _histories(lower, model, scan)
    lower.set_xlim(upper.get_xlim())
    sheet.title(lower, "Mean lattice parameter of every particle")
    return sheet


def card(model: RunModel, ranges: Ranges, name: int) -> Sheet:
    """One particle: map, history, histogram; depth, shells, numbers."""
    scan = _best_scan(model, name)
    row = particle_rows(scan)[name]
    sheet = Sheet(PAGE_MM, 2 * HEAD + 2 * 40.0 + 2 * BOTTOM)
    low, high = range_of(model, ranges, QUANTITIES[0])
    shown = map_of(scan, QUANTITIES[0])
    around = sheet.panel(LEFT, HEAD, 40.0, 40.0)
    draw_map(around, shown, low, high, outlines=outlines_of(scan), picked=name,
             window=_surroundings(scan, name))  # fmt: skip
    sheet.title(around, f"Particle {name}, {with_voltage(scan)}")
    if shown is not None:
        bar(sheet, around, low, high, shown)
    wide, begin = 42.0, LEFT + 40.0 + RIGHT + 12.0
    second = HEAD + 40.0 + BOTTOM + HEAD
    history = sheet.panel(begin, HEAD, wide, 40.0)
    if len(with_particles(model)) < 2:
        _verdicts(history, scan, only=name)
        sheet.title(history, "Among the other particles")
    else:
        _histories(history, model, scan, only=name)
        sheet.title(history, "History; grey: the other particles")
    counts = sheet.panel(begin + wide + 14, HEAD, wide, 40.0)
    _against_bulk(counts, scan, name)
    sheet.title(counts, "Voxels against those of the bulk")
    depth = sheet.panel(LEFT + 2, second, 50.0, 40.0)
    _depth(depth, scan, name)
    sheet.title(depth, "Depth profile; band: the others")
    _shells(sheet, scan, name, (begin, second, wide, 40.0))
    facts = sheet.panel(begin + wide + 8, second, wide + 6, 40.0)
    facts.axis("off")
    verdict = verdict_of(row)
    sheet.title(facts, verdict[:1].upper() + verdict[1:])
    for at, (what, text) in enumerate(numbers_of(row)[:11]):
        y = 1.0 - (at + 0.5) / 11
        facts.text(0.0, y, what, size=SMALL_PT, color=LIGHT.muted, va="center")
        facts.text(0.46, y, text, size=SMALL_PT, va="center")
    return sheet


def _best_scan(model: RunModel, name: int) -> ScanRecord:
    """The last scan that accuses the particle, else the last that knows it."""
    rows = [(s, particle_rows(s).get(name)) for s in model.scans()]
    known = [(s, row) for s, row in rows if row is not None]
    judged = [s for s, row in known if number(row.get("classification")) > 0]
    return (judged or [s for s, _ in known])[-1]


def _histories(axes: Axes, model: RunModel, scan: ScanRecord, only: int = 0) -> None:
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


def _verdicts(axes: Axes, scan: ScanRecord, only: int = 0) -> None:
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

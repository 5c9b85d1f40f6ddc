"""Histograms of the lattice parameter, in the colours of the maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ..model import RunModel, ScanRecord
from ..quantities import QUANTITIES
from ..ranges import Ranges
from ..scan_words import with_voltage
from ..theme import LIGHT, colour_table
from ..words import number
from .maps import BOTTOM, HEAD, inner, range_of
from .sheet import COLUMN_MM, SMALL_PT, Sheet, spare


def histograms(model: RunModel, scans: Sequence[ScanRecord], ranges: Ranges) -> Sheet:
    """One below the other on one axis, the window of pure spinel shaded through all."""
    tall = 13.0
    sheet = Sheet(COLUMN_MM, HEAD + len(scans) * (tall + HEAD) - HEAD + BOTTOM + 1)
    low, high = range_of(model, ranges, QUANTITIES[0])
    panels = []
    for at, scan in enumerate(scans):
        axes = sheet.panel(12.0, HEAD + at * (tall + HEAD), COLUMN_MM - 15.0, tall)
        draw_histogram(axes, scan, low, high)
        sheet.title(axes, with_voltage(scan))
        inner(axes, left=True, bottom=at == len(scans) - 1)
        panels.append(axes)
    frame_histograms(panels, scans)
    return sheet


def draw_histogram(axes: Axes, scan: ScanRecord, low: float, high: float) -> None:
    """Voxels by lattice parameter; low .. high: the range of the colours."""
    found = counts_of(scan)
    window = forbidden(scan)
    if window is not None:
        axes.axvspan(*window, color=LIGHT.forbidden, alpha=0.13, lw=0)
    if found is not None:
        a, counts = found
        step = float(np.median(np.diff(a))) if a.size > 1 else 0.001
        place = np.clip((a - low) / (high - low) * 255, 0, 255).astype(int)
        shown = colour_table("lattice_parameter")[place] / 255.0
        axes.bar(a, counts, step, color=shown, lw=0)
    axes.set_xlabel("a (Å)")
    axes.set_ylabel("voxels")
    axes.locator_params(axis="y", nbins=3)
    axes.locator_params(axis="x", nbins=4)
    spare(axes)


def frame_histograms(panels: Sequence[Axes], scans: Sequence[ScanRecord]) -> None:
    """One range of a for all, and in the last one what the shading means."""
    occupied = [
        a[counts > 0] for s in scans if (f := counts_of(s)) is not None for a, counts in [f]
    ]
    windows = [w for s in scans if (w := forbidden(s)) is not None]
    values = np.concatenate([*occupied, *(np.array(w) for w in windows)] or [np.zeros(1)])
    if not values.size:
        return
    left, right = float(values.min()), float(values.max())
    pad = 0.05 * (right - left) or 0.01
    tops = [
        counts.max(initial=1.0)
        for s in scans
        if (f := counts_of(s)) is not None
        for _, counts in [f]
    ]
    for axes in panels:
        axes.set_xlim(left - pad, right + pad)
        axes.set_ylim(0, 1.12 * max(tops, default=1.0))
    if windows:
        panels[-1].text(
            sum(windows[-1]) / 2, 0.97, "not for\npure spinel", color=LIGHT.forbidden,
            size=SMALL_PT, ha="center", va="top", transform=panels[-1].get_xaxis_transform(),
        )  # fmt: skip


def counts_of(scan: ScanRecord) -> tuple[np.ndarray, np.ndarray] | None:
    """The middles of the bins [Å] and the voxels in them; None where there is no histogram."""
    result = scan.result("lattice_histogram")
    if result is None or "a" not in result.coords or not result.values.size:
        return None
    return np.asarray(result.coords["a"], float), np.nan_to_num(np.asarray(result.values, float))


def forbidden(scan: ScanRecord) -> tuple[float, float] | None:
    """The window where pure spinel cannot be [Å]."""
    result = scan.result("lattice_histogram")
    if result is None or "forbidden_low" not in result.attrs:
        return None
    low, high = (number(result.attrs.get(f"forbidden_{k}")) for k in ("low", "high"))
    return (low, high) if low < high else None

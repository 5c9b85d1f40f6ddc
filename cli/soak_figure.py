"""Memory of every part over a soak, as a figure: the undisturbed run beside the disturbed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..live_views.figures.sheet import PAGE_MM, SMALL_PT, Sheet, journal_style, spare
from ..live_views.theme import LIGHT
from .soak_measure import MB, Measure

LEFT, GAP, TALL, BETWEEN, HEAD, FOOT = 25.0, 4.0, 11.0, 2.5, 6.0, 9.0  # mm
QUIET_SHARE = 0.3  # of the width


def draw_memory(quiet: Measure, disturbed: Sequence[Measure], folder: Path) -> list[Path]:
    """memory.pdf and memory.png in folder, a row for each part; the paths, none without parts.

    Raises OSError.
    """
    parts = sorted(quiet.lives)
    if not parts:
        return []
    counted = "a disturbed run" if len(disturbed) == 1 else f"{len(disturbed)} disturbed runs"
    with journal_style():
        sheet = Sheet(PAGE_MM, HEAD + len(parts) * (TALL + BETWEEN) + FOOT)
        wide = PAGE_MM - LEFT - GAP - 3.0
        widths = (wide * QUIET_SHARE, wide * (1 - QUIET_SHARE))
        for row, part in enumerate(parts):
            top = HEAD + row * (TALL + BETWEEN)
            last = row == len(parts) - 1
            alone = sheet.panel(LEFT, top, widths[0], TALL)
            beside = sheet.panel(LEFT + widths[0] + GAP, top, widths[1], TALL)
            highest = max(m.peaks_mb().get(part, 0.0) for m in (quiet, *disturbed))
            _draw(alone, part, [quiet], highest, last)
            _draw(beside, part, disturbed, highest, last)
            beside.set_yticklabels([])
            alone.set_ylabel(part, rotation=0, ha="right", va="center")
            alone.yaxis.set_label_coords(-9.0 / widths[0], 0.5)
            if row == 0:
                sheet.title(alone, "memory (MB), undisturbed")
                sheet.title(beside, f"memory (MB), {counted}")
        return sheet.save(folder, "memory")


def _draw(
    axes: Axes, part: str, measures: Sequence[Measure], highest_mb: float, last: bool
) -> None:
    """One line for each life of a part, the runs one after another; a dot where one begins."""
    offset_s = 0.0
    for measure in measures:
        began, ended = measure.span()
        for life in measure.lives.get(part, {}).values():
            minutes = (offset_s + life.began - began + np.array(life.times)) / 60
            sizes = np.array(life.sizes) / MB
            axes.plot(minutes, sizes, color=LIGHT.active)
            axes.plot(minutes[:1], sizes[:1], "o", color=LIGHT.active, ms=1.5)
        offset_s += ended - began
        if measure is not measures[-1]:
            axes.axvline(offset_s / 60, color=LIGHT.faint, lw=0.4)
    axes.set_xlim(0, offset_s / 60 or 1)
    axes.set_ylim(0, 1.15 * highest_mb or 1)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(labelsize=SMALL_PT)
    if last:
        axes.set_xlabel("time (min)")
    else:
        axes.set_xticklabels([])
    spare(axes)

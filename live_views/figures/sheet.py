"""A sheet of a journal: its width in mm, letters in points, panels placed in mm and lettered.

Policy. Figures are drawn at the size they are printed: one column is 85 mm, the page 180 mm wide,
letters have 7 pt (6 pt inside a panel), lines 0.5 to 1 pt. Nothing is scaled afterwards. Panels
are placed by hand, so that all maps of a sheet have one size and axes stand in line. Colours are
those of the light theme and the quantities' own tables, as in the window.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ..colour_bar import tick_text, ticks
from ..theme import LIGHT, Table
from .fonts import family

COLUMN_MM, PAGE_MM = 85.0, 180.0
LETTERS_PT, SMALL_PT, PANEL_PT = 7.0, 6.0, 8.0
THIN_PT, LINE_PT = 0.5, 0.8
DPI = 300
MM = 1 / 25.4  # inch
LETTER_MM = 1.25  # width of a letter of 7 pt
TITLE_MM = 1.3  # between a panel and the words above it


@contextmanager
def journal_style() -> Iterator[None]:
    """matplotlib draws as a journal wants it, for as long as this lasts."""
    settings: dict[str, Any] = {
        "font.family": [family()], "mathtext.fontset": "custom",
        **{f"mathtext.{kind}": family() for kind in ("rm", "it", "bf", "sf", "tt", "cal")},
        "font.size": LETTERS_PT, "axes.labelsize": LETTERS_PT, "axes.titlesize": LETTERS_PT,
        "xtick.labelsize": LETTERS_PT, "ytick.labelsize": LETTERS_PT, "legend.fontsize": SMALL_PT,
        "text.color": LIGHT.text, "axes.labelcolor": LIGHT.text, "axes.edgecolor": LIGHT.text,
        "xtick.color": LIGHT.text, "ytick.color": LIGHT.text,
        "axes.linewidth": THIN_PT, "lines.linewidth": LINE_PT, "lines.markersize": 3.0,
        "patch.linewidth": THIN_PT, "hatch.linewidth": THIN_PT, "grid.linewidth": THIN_PT,
        "xtick.major.width": THIN_PT, "ytick.major.width": THIN_PT,
        "xtick.major.size": 2.0, "ytick.major.size": 2.0,
        "xtick.major.pad": 1.5, "ytick.major.pad": 1.5, "axes.labelpad": 1.5,
        "legend.frameon": False, "legend.handlelength": 1.4, "legend.borderaxespad": 0.3,
        "axes.unicode_minus": True, "pdf.fonttype": 42, "svg.fonttype": "none",
        "figure.facecolor": "white", "axes.facecolor": "white", "errorbar.capsize": 0.0,
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield


class Sheet:
    """A figure whose panels are placed in mm from its upper left corner."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.width_mm, self.height_mm = width_mm, height_mm
        self.figure = Figure(figsize=(width_mm * MM, height_mm * MM), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self._letters = 0

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes of that size at that place [mm]."""
        w, h = self.width_mm, self.height_mm
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))

    def title(self, axes: Axes, text: str = "") -> None:
        """The panel's letter and a few words above it."""
        box = axes.get_position()
        x, y = box.x0, box.y1 + TITLE_MM / self.height_mm
        letter = chr(ord("a") + self._letters % 26)
        self._letters += 1
        self.figure.text(x, y, letter, size=PANEL_PT, weight="bold", va="baseline")
        self.figure.text(x + 3.2 / self.width_mm, y, text, size=LETTERS_PT, va="baseline")

    def colour_bar(
        self, beside: Axes, low: float, high: float, table: Table, label: str,
        last: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """A bar at the right of a panel, from its top to the bottom of last, label with unit."""
        top = beside.get_position()
        bottom = (last or beside).get_position()
        w = self.width_mm
        place = (top.x1 + 2.0 / w, bottom.y0, 2.2 / w, top.y1 - bottom.y0)
        axes = self.figure.add_axes(place)
        axes.imshow(
            np.linspace(0, 1, 256)[:, None], cmap=colours(table), origin="lower", aspect="auto",
            extent=(0.0, 1.0, low, high), interpolation="nearest",
        )  # fmt: skip
        marks = ticks(low, high, 4)
        step = marks[1] - marks[0] if len(marks) > 1 else high - low
        axes.set_xticks([])
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.set_yticks(marks, [tick_text(value, step) for value in marks])
        long = LETTER_MM * len(label) > self.height_mm * (top.y1 - bottom.y0)
        axes.set_ylabel(label, size=SMALL_PT if long else LETTERS_PT)
        return axes

    def steps(
        self, beside: Axes, shown: Sequence[tuple[float, ...]], names: Sequence[str], label: str
    ) -> None:
        """A bar of steps at the right of a panel, the first one lowest, each with its name."""
        box, w = beside.get_position(), self.width_mm
        axes = self.figure.add_axes((box.x1 + 2.0 / w, box.y0, 2.2 / w, box.y1 - box.y0))
        axes.imshow(
            np.arange(len(shown))[:, None], cmap=ListedColormap(list(shown)), origin="lower",
            aspect="auto", interpolation="nearest", extent=(0.0, 1.0, -0.5, len(shown) - 0.5),
        )  # fmt: skip
        axes.set_xticks([])
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.set_yticks(range(len(shown)), list(names))
        axes.set_ylabel(label)

    def save(self, folder: Path, name: str, dpi: int = DPI) -> list[Path]:
        """Write name.pdf and name.png, each replaced as a whole. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for suffix, more in (("pdf", {"metadata": {"CreationDate": None}}), ("png", {})):
            path = folder / f"{name}.{suffix}"
            part = folder / f".{path.name}.{os.getpid()}.part"
            self.figure.savefig(part, format=suffix, dpi=dpi, **more)
            os.replace(part, path)
            written.append(path)
        return written


def colours(table: Table) -> ListedColormap:
    """A colour table as matplotlib takes it."""
    return ListedColormap(np.asarray(table, float) / 255.0)


def spare(axes: Axes) -> None:
    """No frame where no axis is."""
    axes.spines[["top", "right"]].set_visible(False)

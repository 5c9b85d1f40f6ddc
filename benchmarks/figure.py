"""The ratios as a picture: a bar a peer, a mark where the goal is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .rows import Row


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Write the picture. Needs matplotlib; raises ImportError without it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if not math.isnan(row.ratio)]
    figure, axes = pyplot.subplots(figsize=(11, 1.2 + 0.32 * max(len(shown), 1)))
    axes.set_xscale("log")
    for place, row in enumerate(reversed(shown)):
        missed = row.ratio < row.goal
        colour = "#8a8f98" if math.isnan(row.goal) else "#c2572e" if missed else "#2f7d5b"
        axes.barh(place, row.ratio - 0.01, left=0.01, color=colour, height=0.66)
        axes.text(row.ratio * 1.06, place, f"{row.ratio:.3g}", va="center", fontsize=8)
        if not math.isnan(row.goal):
            axes.plot([row.goal] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
    axes.axvline(1.0, color="black", linewidth=0.6)
    axes.set_yticks(
        range(len(shown)), [f"{r.work}  ·  {r.peer}" for r in reversed(shown)], fontsize=7.5
    )
    top = max([r.ratio for r in shown] + [r.goal for r in shown if r.goal > 0], default=10.0)
    axes.set_xlim(0.1, 2.5 * top)
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.set_xlabel("times faster than the peer; black marks: goals", fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)

"""Draws rings.png: how a ring is trimmed, and what trimming does to few counts.

python docs/images/rings.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from operando.consumers.kernels.cells import ring_pixels
from operando.consumers.kernels.clipped import clipped_patterns
from operando.consumers.kernels.trimmed import scratch_for, trimmed_patterns

TRIM, SPREAD = 0.1, 0.034
DARK, CUT, LIGHT = "#1f3b57", "#c8553d", "#9db4c0"


def seen(pixels: int, random: np.random.Generator) -> np.ndarray:
    """Polarisation around a ring."""
    return 1.0 - SPREAD * np.cos(random.uniform(0, 2 * np.pi, pixels)) ** 2


def draw_ring(axes: plt.Axes) -> None:
    """Corrected intensity of a ring's pixels in order, one class of counts after another."""
    random = np.random.default_rng(1)
    n = seen(400, random)
    v = random.poisson(6 * n)
    order = np.argsort(v / n)
    v, n = v[order], n[order]
    place = np.cumsum(n) / n.sum()
    low = v[np.searchsorted(place, TRIM / 2)]
    high = v[np.searchsorted(place, 1 - TRIM / 2)]
    ordered = (v == low) | (v == high)
    axes.scatter(place[~ordered], (v / n)[~ordered], 6, LIGHT, label="counted")
    axes.scatter(place[ordered], (v / n)[ordered], 6, CUT, label="counted, collected and ordered")
    for cut in (TRIM / 2, 1 - TRIM / 2):
        axes.axvline(cut, color=DARK, linewidth=1)
    axes.set(xlabel="share of the ring's width", ylabel="corrected intensity",
             title="Trimming: only two cells need an order")  # fmt: skip
    axes.legend(frameon=False)


def draw_bias(axes: plt.Axes) -> None:
    """Ratio of the estimators to the true mean."""
    random = np.random.default_rng(2)
    rings, per_ring = 20, 4000
    n = seen(rings * per_ring, random)
    pixels = ring_pixels(np.repeat(np.arange(rings), per_ring), n, rings)
    scratch = scratch_for(pixels)
    out = np.empty((5, rings), np.float32)
    levels = np.geomspace(0.1, 100, 40)
    trimmed, clipped = [], []
    for level in levels:
        ratios = []
        for _ in range(4):
            frame = random.poisson(level * n).astype(np.uint32)
            trimmed_patterns(frame, 10**6, pixels, TRIM, True, scratch, out)
            first = out[1].mean()
            clipped_patterns(frame, 10**6, pixels, scratch.tally, out)
            ratios.append([first / out[0].mean(), out[1].mean() / out[0].mean()])
        trimmed.append(np.mean(ratios, axis=0)[0])
        clipped.append(np.mean(ratios, axis=0)[1])
    axes.axhline(1.0, color=LIGHT, linewidth=1)
    axes.semilogx(levels, trimmed, color=CUT, label="trimmed, 5 % off either end")
    axes.semilogx(levels, clipped, color=DARK, label="clipped")
    axes.set(xlabel="counts a pixel", ylabel="estimate / mean of pure scatter",
             title="Few counts: trimming is biased, clipping is not")  # fmt: skip
    axes.legend(frameon=False)


def main() -> None:
    """Draw both beside each other."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    draw_ring(left)
    draw_bias(right)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()

"""Draws region.png: a region of interest with and without what surrounds it.

python docs/images/region.py
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from operando.consumers.findings import Findings
from operando.consumers.rebuild import rebuild
from operando.consumers.scan_field import field_of_scan
from operando.consumers.sinogram_grid import sinogram_grid
from operando.consumers.surroundings import Outside
from operando.consumers.tomogram import Tomogram
from operando.stream.messages import Axis, Detector, ScanStart, Trajectory

DARK, CUT, LIGHT, GREEN = "#1f3b57", "#c8553d", "#9db4c0", "#4f7f5b"
AIR = 20.0  # photons a pixel in every ray
PLACE = (30.0, -18.0)  # of the region's middle [um]
RADIUS = 30.0


def grains() -> np.ndarray:
    """x, y, radius of discs on a shaken triangular lattice within 95 um, (n, 3) [um]."""
    random = np.random.default_rng(5)
    i, j = (index.ravel() for index in np.mgrid[-9:10, -9:10])
    x, y = 15.0 * (i + 0.5 * j), 15.0 * math.sqrt(0.75) * j
    discs = np.stack([x, y, np.zeros_like(x)], axis=1) + random.uniform(
        (-1.5, -1.5, 3.0), (1.5, 1.5, 5.5), (x.size, 3)
    )
    return discs[np.hypot(x, y) < 95.0]


def measured(
    sample: np.ndarray, rotations: int, points: int, step: float,
    place: tuple[float, float] = (0.0, 0.0), edge: bool = True,
) -> tuple[ScanStart, Tomogram]:  # fmt: skip
    """A tomogram of one channel, the beam as wide as the step."""
    line = (np.arange(points) - 0.5 * (points - 1)) * step
    degrees = np.repeat(180.0 * np.arange(rotations) / rotations, points)
    places = np.tile(line, rotations)
    axes = Axis("rotation", "deg", degrees), Axis("translation", "um", places)
    trajectory = Trajectory((rotations, points), axes)
    cosines, sines = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    paths = np.full(places.size, AIR)
    for part in (np.arange(9) - 4) / 9:  # of the beam's width
        rays = places + part * step + place[0] * cosines + place[1] * sines
        for x, y, radius in sample:
            away = rays - x * cosines - y * sines
            paths += 2 / 9 * np.sqrt(np.maximum(radius**2 - away**2, 0))
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 1, 0.0, edge)
    for index, path in enumerate(paths):
        tomogram.absorb(index, np.array([path], np.float32))
    detector = Detector("none", (1, 1), "uint16", (1e-4, 1e-4), 1000)
    start = ScanStart("run", "coarse", 1, "xrdct", places.size, detector, trajectory, "",
                      math.nan, 0.01, None, 0.0, {"role": "coarse"})  # fmt: skip
    return start, tomogram


def coarse_findings(sample: np.ndarray) -> Findings:
    """What a scan of the whole sample with voxels of 4 um hands down."""
    start, tomogram = measured(sample, 61, 61, 4.0)
    record, place = rebuild(tomogram), np.arange(61)
    inside = (place >= record.columns[:, :1]) & (place < record.columns[:, 1:])
    field = field_of_scan(
        start, tomogram, record, inside, np.array([0]), np.zeros(1), (0.0, 0.0), ()
    )
    return Findings("coarse", 1, "coarse", "", field)


def main() -> None:
    sample = grains()
    points = 61
    wide = rebuild(measured(sample, 120, 281, 1.0, PLACE)[1]).volume[110:171, 110:171, 0]
    zeros = rebuild(measured(sample, 120, points, 1.0, PLACE, edge=False)[1]).volume[:, :, 0]
    tomogram = measured(sample, 120, points, 1.0, PLACE)[1]
    edge = rebuild(tomogram).volume[:, :, 0]
    tomogram.surround(Outside([coarse_findings(sample)], (*PLACE, RADIUS + 0.5), 0.01, 1))
    corrected = rebuild(tomogram).volume[:, :, 0]

    line = np.arange(points) - RADIUS
    outside = np.hypot(line[None, :], line[:, None]) > RADIUS - 0.5
    figure, axes = plt.subplots(1, 5, figsize=(15, 3.3), layout="constrained")
    x0, y0 = PLACE
    box = (x0 - RADIUS, x0 + RADIUS, y0 + RADIUS, y0 - RADIUS)
    cuts = []
    for each, image, title, colour in (
        (axes[0], wide, "whole sample in the field", DARK),
        (axes[1], zeros, "region, zeros beyond", LIGHT),
        (axes[2], edge, "region, edge padding", CUT),
        (axes[3], corrected, "region, coarse scan taken off", GREEN),
    ):
        shown = each.imshow(np.where(outside, np.nan, image), vmin=-0.3, vmax=1.3, extent=box,
                            cmap="magma")  # fmt: skip
        each.set(title=title, xlabel="x [µm]", ylabel="y [µm]")
        cuts.append((image[points // 2 + 4], title, colour))
    figure.colorbar(shown, ax=axes[3], label="density")
    for values, title, colour in cuts:
        axes[4].plot(x0 + line, values, color=colour, label=title)
    axes[4].set(title="row at y = -14 µm", xlabel="x [µm]", ylim=(-0.6, 2.2))
    axes[4].legend(frameon=False, fontsize=7, loc="upper right")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()

"""Draws uncertainty.png: what counting does to the voxels of a map, stated and found.

python docs/images/uncertainty.py
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from operando.consumers.geometry import Binning, ring_table
from operando.consumers.kernels.azimuthal import WIDTH_UNIT
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.stream.messages import Axis, Detector, ScanStart, Trajectory

DARK, CUT, LIGHT = "#1f3b57", "#c8553d", "#9db4c0"
PONI = "Distance: 0.1\nPoni1: 0.0128\nPoni2: 0.002\nWavelength: 2.5e-11\n"
HKL = ((1, 1, 1), (3, 1, 1), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0), (5, 3, 1))
STRENGTHS = (100.0, 40.0, 38.0, 10.0, 14.0, 19.0, 9.0)
GRAINS = ((-8.0, -7.0, 8.0, 8.06), (9.5, -2.0, 7.0, 8.11), (-1.0, 11.0, 6.0, 8.20))
POINTS, REPEATS = 41, 12
CONFIG = XrdctConfig(
    q_min=1.1, q_max=4.75, bins=480, mixing=0.0, estimator="mean", volume=False, aluminium=False
)


def start() -> ScanStart:
    """A tomogram of 40 angles on a small flat detector."""
    line = np.arange(POINTS) - 0.5 * (POINTS - 1)
    trajectory = Trajectory(
        (40, POINTS),
        (Axis("rotation", "deg", np.repeat(4.5 * np.arange(40), POINTS)),
         Axis("translation", "um", np.tile(line, 40))),
    )  # fmt: skip
    detector = Detector("flat", (128, 160), "uint16", (2e-4, 2e-4), 60_000)
    return ScanStart("run", "scan", 1, "xrdct", 40 * POINTS, detector, trajectory, PONI, math.nan,
                     0.01, None, 0.0)  # fmt: skip


def mean_rays(scan: ScanStart, q: np.ndarray) -> np.ndarray:
    """Mean photons a pixel of every ray: an even background, and lines along its chords."""
    angles, places = (axis.values for axis in scan.trajectory.axes)
    total = np.tile(2.0 - 0.1 * q, (angles.size, 1))
    for x, y, radius, a in GRAINS:
        t = np.radians(angles)
        away = places - x * np.cos(t) - y * np.sin(t)
        chord = 2 * np.sqrt(np.maximum(radius**2 - away**2, 0))
        lines = sum(
            s * np.exp(-4 * math.log(2) * ((q - 2 * math.pi * math.hypot(*hkl) / a) / 0.015) ** 2)
            for hkl, s in zip(HKL, STRENGTHS, strict=True)
        )
        total += 0.1 * chord[:, None] * lines
    return total


def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice parameters without noise, then with it again and again; and stated uncertainties."""
    scan, random = start(), np.random.default_rng(1)
    table = ring_table(scan, Binning("q", 1.1, 4.75, 480), CONFIG.polarisation)
    width = np.maximum(table.ring_width * WIDTH_UNIT, 1.0)
    clean = mean_rays(scan, table.centres)
    found, stated = [], []
    for n in range(REPEATS + 1):
        counted = random.poisson(clean * width) if n else clean * width
        consumer = Xrdct(CONFIG, scan)
        rows = counted / width, np.sqrt(np.maximum(counted, 1)) / width
        for i in range(scan.frames):
            row = np.stack([rows[0][i]] * 2 + [rows[1][i]] * 2 + [width])
            consumer.absorb(i, row.astype(np.float32))
        results = {result.name: result for result in consumer.results(final=True)}
        found.append(results["lattice_parameter"].values.astype(np.float64))
        stated.append(results["lattice_parameter"].uncertainty)
    return found[0], np.array(found[1:]), np.array(stated[1:])


def main() -> None:
    clean, found, stated = maps()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    there = np.isfinite(found).all(axis=0) & np.isfinite(clean)
    scatter = np.where(there, np.sqrt(np.mean((found - clean) ** 2, axis=0)), np.nan)
    sigma = np.where(there, stated[0], np.nan)
    top = float(np.nanpercentile(sigma, 98)) * 1e4
    for axes, values, title in (
        (left, sigma, "stated by one measurement"),
        (middle, scatter, f"scatter of {REPEATS} measurements"),
    ):
        half = 0.5 * POINTS
        shown = axes.imshow(
            values * 1e4, vmin=0, vmax=top, cmap="viridis", extent=(-half, half, half, -half)
        )
        axes.set(title=title, xlabel="x [µm]", ylabel="y [µm]")
    figure.colorbar(shown, ax=[left, middle], label="standard uncertainty of a [10⁻⁴ Å]")
    pulls = (found - clean) / stated
    pulls = pulls[np.isfinite(pulls)]
    edges = np.linspace(-4, 4, 41)
    right.hist(pulls, edges, density=True, color=LIGHT)
    x = np.linspace(-4, 4, 200)
    right.plot(x, np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi), color=CUT)
    right.set(
        title=f"pulls: mean {pulls.mean():.2f}, width {pulls.std():.2f}",
        xlabel="(found - noise-free) / stated", yticks=[],
    )  # fmt: skip
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()

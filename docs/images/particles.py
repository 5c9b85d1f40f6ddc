"""Draws particles.png: particles, verdicts, depth and states of charge of one simulated discharge.

python docs/images/particles.py
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from operando.consumers.classification import RULE
from operando.consumers.findings import Findings
from operando.consumers.soc import CalibrationConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.pattern_tomogram import pattern_tomogram
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.twin import Twin, TwinConfig
from operando.stream.messages import Axis, CellState, Result, ScanStart, Trajectory

POINTS, ROTATIONS, COUNTS = 61, 60, 2e4
START, END, CAPACITY_MAH = 0.192, 0.998, 0.0143
STATES = (0.25, 0.36, 0.47, 0.58, 0.7, 0.82, 0.93)
SHOWN = 2  # the scan of the maps: the third
DARK, CUT, LIGHT = "#1f3b57", "#c8553d", "#9db4c0"


def scan(number: int, y: float, specimen: Specimen, twin: Twin, earlier: list[Findings]):
    """Final results of one scan, and what it hands down."""
    angles, places = np.arange(ROTATIONS) * 180 / ROTATIONS, np.arange(POINTS) - 0.5 * (POINTS - 1)
    axes = (
        Axis("rotation", "deg", np.repeat(angles, POINTS)),
        Axis("translation", "um", np.tile(places, ROTATIONS)),
    )
    charge = -(y - START) / (END - START) * CAPACITY_MAH * 1e-3
    cell = CellState(0.0, 3.9, 0.0, charge, math.nan, "HOLD_OCV")
    start = ScanStart(
        "docs", f"scan-{number}", number, "xrdct", ROTATIONS * POINTS, twin.detector,
        Trajectory((ROTATIONS, POINTS), axes), twin.poni, twin.energy_ev, 0.01, cell, 0.0,
    )  # fmt: skip
    config = XrdctConfig(
        q_max=4.3, bins=600, volume=False, estimator="mean", aluminium=False,
        reflections=((1, 1, 1), (3, 1, 1), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0)),
        calibration=CalibrationConfig("limn2o4", START, END, CAPACITY_MAH),
    )  # fmt: skip
    consumer = Xrdct(config, start)
    consumer.follow(earlier)
    middles = 0.5 * (consumer.q[1:] + consumer.q[:-1])
    edges = np.r_[2 * middles[0] - middles[1], middles, 2 * middles[-1] - middles[-2]]
    tomogram = pattern_tomogram(
        specimen.truth(specimen.at(y)), edges, angles, places, COUNTS, seed=number
    )
    for row in range(ROTATIONS):
        for column, reduction in enumerate(tomogram.reductions(row)):
            consumer.absorb(row * POINTS + column, reduction)
    found = {result.name: result for result in consumer.results(final=True)}
    return found, consumer.findings()


def column(table: Result, name: str) -> np.ndarray:
    return table.values[:, str(table.attrs["columns"]).split(",").index(name)]


def draw_map(axes: plt.Axes, found: dict[str, Result]) -> None:
    """Lattice parameter with the outlines and names of the particles."""
    a, label, table = found["lattice_parameter"], found["particles"], found["particle_table"]
    half = 0.5 * POINTS
    shown = axes.imshow(
        a.values, extent=(-half, half, -half, half), origin="lower", cmap="viridis",
        vmin=8.06, vmax=8.18,
    )  # fmt: skip
    x, y = label.coords["x"], label.coords["y"]
    code = column(table, "classification")
    for n, name in enumerate(table.coords["particle"].tolist()):
        broken = code[n] >= RULE
        axes.contour(x, y, label.values == name, [0.5], colors=CUT if broken else DARK,
                     linewidths=2.4 if broken else 0.7)  # fmt: skip
        axes.text(column(table, "x_um")[n], column(table, "y_um")[n], name, size=6, color="white",
                  ha="center", va="center")  # fmt: skip
    plt.colorbar(shown, ax=axes, label="a (Å)")
    axes.set(xlabel="x (µm)", ylabel="y (µm)", title="Particles; thick: break the rule")


def draw_means(axes: plt.Axes, found: dict[str, Result]) -> None:
    """Every particle's mean against its share of voxels that hold two phases."""
    table = found["particle_table"]
    a, mixed, code = (column(table, n) for n in ("a", "mixed_share", "classification"))
    axes.axvspan(8.076, 8.145, color=LIGHT, alpha=0.4, label="forbidden to pure spinel")
    for value, colour, mark, word in (
        (0, DARK, "o", "normal"), (-1, "0.6", "s", "cannot tell"), (1, CUT, "D", "breaks the rule"),
        (2, "#d9a441", "^", "outlier"), (3, CUT, "*", "both"),
    ):  # fmt: skip
        mine = code == value
        if mine.any():
            axes.scatter(a[mine], 100 * mixed[mine], 26, colour, marker=mark, label=word)
    axes.set(xlabel="mean a (Å)", ylabel="voxels of two phases (%)", title="Verdicts")
    axes.legend(frameon=False, fontsize=8)


def draw_depth(axes: plt.Axes, found: dict[str, Result]) -> None:
    """Lattice parameter against depth."""
    table, profile = found["particle_table"], found["particle_profile"]
    code, mixed = column(table, "classification"), column(table, "mixed_share")
    depth = profile.coords["depth"]
    for n, values in enumerate(profile.values):
        if code[n] >= RULE:
            axes.errorbar(depth, values, profile.uncertainty[n], color=CUT, marker=".", zorder=3)
        elif mixed[n] < 0.1 and column(table, "area_um2")[n] > 40:
            axes.plot(depth, values, color=LIGHT, linewidth=1)
    axes.set(xlabel="depth below the surface (µm)", ylabel="a (Å)",
             title="Depth profiles")  # fmt: skip


def draw_balance(axes: plt.Axes, balances: list[Result]) -> None:
    """Mean lithium of the map against what the coulomb count says."""
    rows = []
    for balance in balances:
        names = str(balance.attrs["columns"]).split(",")
        values = dict(zip(names, balance.values, strict=True))
        rows.append((values["coulomb"], values["mean"], balance.uncertainty[names.index("mean")],
                     values["low"], values["high"]))  # fmt: skip
    coulomb, mean, sigma, low, high = np.array(rows).T
    axes.plot([0.15, 1], [0.15, 1], color="0.5", linewidth=1, label="coulomb count")
    axes.fill_between(coulomb, low, high, color=LIGHT, alpha=0.4, label="range, two-phase voxels")
    axes.errorbar(coulomb, mean, sigma, color=DARK, marker="o", linestyle="", label="mean of map")
    axes.set(xlabel="y by coulomb count", ylabel="mean y of the map", title="Balance")
    axes.legend(frameon=False, fontsize=8)


def main() -> None:
    specimen = Specimen(SpecimenConfig(field_um=float(POINTS)), 3)
    twin = Twin(TwinConfig(dead_modules=(), spots=0))
    scans, findings = [], []
    for number, y in enumerate(STATES, start=1):
        found, left = scan(number, y, specimen, twin, findings)
        scans.append(found)
        findings.append(left)
        print(y, {k: int(v) for k, v in zip(*np.unique(
            column(found["particle_table"], "classification"), return_counts=True), strict=True)},
            found["particles"].attrs)  # fmt: skip
    figure, ((one, two), (three, four)) = plt.subplots(2, 2, figsize=(10, 8.4))
    draw_map(one, scans[SHOWN])
    draw_means(two, scans[SHOWN])
    draw_depth(three, scans[SHOWN])
    draw_balance(four, [found["soc_balance"] for found in scans])
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()

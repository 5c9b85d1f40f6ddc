"""Draws refinement.png: a voxel's whole pattern and its parts, and where two spinels are seen.

python docs/images/refinement.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from operando.consumers.coexistence import Coexistence
from operando.consumers.phases import PhaseConfig, read_phases
from operando.consumers.refinement import Refinement
from operando.consumers.templates import Profile, Templates, draw

DARK, CUT, LIGHT, GREEN = "#1f3b57", "#c8553d", "#9db4c0", "#5b8e7d"
Q = np.linspace(1.1, 4.7, 720)
PROFILE = Profile(0.012, 0.002, 0.3)
PEAK = 400.0
NAMES = {"limno2_rock_salt": "rock salt", "li2mno3": "Li2MnO3", "limn2o4": "spinel"}


def phases():
    configs = {name: PhaseConfig(working=name == "limn2o4") for name in NAMES}
    return read_phases(configs, Q[-1], (7.95, 8.30))


def spinel(a: float) -> np.ndarray:
    """Height 1."""
    drawn = draw(Q, phases()[-1].crystal.lines(a), PROFILE)
    return drawn / drawn.max()


def draw_voxel(axes: plt.Axes) -> None:
    """Measured points, the fit, its parts and what is left over."""
    random = np.random.default_rng(1)
    unit = draw(Q, phases()[-1].crystal.lines(8.12), PROFILE).max()
    parts = [draw(Q, phase.crystal.lines(), PROFILE) / unit for phase in phases()[:2]]
    clean = PEAK * (0.75 * spinel(8.12) + 0.15 * parts[0] + 0.1 * parts[1])
    clean += 30 * (1 + np.exp(-Q / 1.2))
    measured = clean + 6.0 * random.standard_normal(Q.size)
    refinement = Refinement(Templates(Q, np.full(Q.size, 36.0), phases(), PROFILE))
    found = refinement.refine(
        measured[None].astype(np.float32), np.full((1, Q.size), 36.0, np.float32)
    )
    curve, made = refinement.curve(found, measured)
    axes.plot(Q, measured, ".", color=LIGHT, markersize=3, label="a voxel, simulated")
    axes.plot(Q, curve, color=DARK, linewidth=1, label="refined")
    for n, (name, colour) in enumerate(zip(NAMES.values(), (CUT, GREEN, DARK), strict=True)):
        share, sigma = found.fraction[0, n], found.fraction_sigma[0, n]
        axes.fill_between(Q, -60 * (n + 1), made[n] - 60 * (n + 1), color=colour, alpha=0.6,
                          linewidth=0)  # fmt: skip
        axes.text(1.45, -60 * (n + 1) + 8, f"{name}  {share:.3f} ± {sigma:.3f}", fontsize=8)
    axes.plot(Q, measured - curve - 240, color=LIGHT, linewidth=0.7)
    axes.text(1.45, -215, "difference", fontsize=8)
    axes.set(xlabel="q (1/Å)", ylabel="photons/(pixel µm)", yticks=[0, 100, 200, 300],
             title=f"a = {found.a[0]:.4f} ± {found.a_sigma[0]:.4f} Å (8.1200), "
             f"Rwp = {found.rwp[0]:.1f} %")  # fmt: skip
    axes.legend(frameon=False, loc="upper right")


def draw_step(axes: plt.Axes) -> None:
    """Voxels half-way through the two-phase step, refined with one spinel and with two."""
    random = np.random.default_rng(2)
    share = np.linspace(0, 1, 300)
    low, high = PEAK * spinel(8.076), PEAK * spinel(8.145)
    clean = np.outer(1 - share, low) + np.outer(share, high) + 50.0
    variance = clean.mean(axis=0)
    patterns = clean + np.sqrt(variance) * random.standard_normal(clean.shape)
    patterns = patterns.astype(np.float32)
    refinement = Refinement(Templates(Q, variance, phases(), PROFILE))
    one = refinement.refine(patterns)
    two = Coexistence(refinement).find(patterns, one)
    axes.axhspan(8.076, 8.145, color=LIGHT, alpha=0.25, linewidth=0)
    axes.plot(share, one.a, ".", color=CUT, markersize=4, label="one spinel")
    axes.plot(share, two.low, ".", color=DARK, markersize=4, label="two, where chi² says so")
    axes.plot(share, two.high, ".", color=DARK, markersize=4)
    axes.set(xlabel="share of the lithiated spinel", ylabel="lattice parameter a (Å)",
             ylim=(8.06, 8.16), title="A two-phase step: no spinel in the grey window")  # fmt: skip
    axes.legend(frameon=False, loc="center")


def main() -> None:
    """Draw both beside each other."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    draw_voxel(left)
    draw_step(right)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()

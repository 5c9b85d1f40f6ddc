"""Draws twin.png: the twin's phases, an electrode after 150 cycles, and what scans see of it.

python docs/images/twin.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap
from operando.sim.beam import Beam
from operando.sim.electrode import Electrode
from operando.sim.forward import ray_weights
from operando.sim.shells import shell_truth
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.surroundings import Foil, Surroundings
from operando.sim.truth import Truth

DARK, WARM, LIGHT = "#1f3b57", "#c8553d", "#9db4c0"
KINDS = ("sound", "slowed", "worn")
COLOURS = (LIGHT, DARK, WARM)
AROUND = Surroundings(1.0, 1.0, (150.0, 210.0), Foil(0.0, 105.0, 120.0, 12.0, 12.0))


def draw_map(
    axes: plt.Axes, truth: Truth, values: np.ndarray, title: str, unit: str, **look: object
) -> Colorbar:
    """One map, pores in grey; returns its colour bar."""
    half = 0.5 * (truth.x_um[-1] - truth.x_um[0] + truth.x_um[1] - truth.x_um[0])
    shown = np.where(truth.particle > 0, values, np.nan)
    axes.set_facecolor("#e8e8e8")
    image = axes.imshow(shown, extent=(-half, half, half, -half), **look)
    axes.set_title(title, fontsize=10)
    return axes.figure.colorbar(image, ax=axes, label=unit, shrink=0.85)


def draw_fresh(row: list[plt.Axes]) -> None:
    """The phases of a fresh electrode half way through its discharge."""
    specimen = Specimen(SpecimenConfig(field_um=61.0, voxel_um=0.5), 20)
    truth = specimen.truth(specimen.at(0.55))
    draw_map(row[0], truth, truth.lattice_parameter_a, "fresh, y = 0.55: spinel a", "Å",
             cmap="viridis", vmin=8.06, vmax=8.20)  # fmt: skip
    for axes, name, title in (
        (row[1], "limno2_rock_salt", "rock salt LiMnO2"),
        (row[2], "li05mn2o4", "ordered Li0.5Mn2O4"),
        (row[3], "li2mno3", "Li2MnO3, in lithium-rich particles"),
    ):
        fraction = 100 * truth.mass_fraction[truth.structures.index(name)]
        draw_map(axes, truth, fraction, title, "% by mass", cmap="magma_r", vmin=0, vmax=5)


def draw_aged(row: list[plt.Axes]) -> None:
    """150 cycles later, nearly discharged: where, how low, how deep, how many."""
    config = SpecimenConfig(field_um=351.0, particle_radius_um=(4, 12), lithium_rich=8, cycles=150)
    specimen = Specimen(config, 3)
    truth = specimen.truth(specimen.at(0.9))
    bar = draw_map(row[0], truth, truth.region, "after 150 cycles, y = 0.9: regions", "",
                   cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=2.5)  # fmt: skip
    bar.set_ticks(range(3), labels=KINDS)
    draw_map(row[1], truth, truth.lattice_parameter_a, "spinel a", "Å", cmap="viridis",
             vmin=8.06, vmax=8.24)  # fmt: skip
    kind_of = np.zeros(truth.particle.max() + 1, int)
    kind_of[truth.particle] = truth.region
    rich = np.zeros(len(kind_of), bool)
    rich[truth.particle] = truth.lithium_rich
    plain = (truth.particle > 0) & ~truth.lithium_rich
    shells = shell_truth(truth, 4)
    for kind, (word, colour) in enumerate(zip(KINDS, COLOURS, strict=True)):
        mine = (kind_of[1:] == kind) & ~rich[1:]
        for name, line in (("limno2_rock_salt", "-"), ("li2mno3", "--")):
            fraction = shells.mass_fraction[truth.structures.index(name)][mine]
            row[2].plot(range(4), 100 * np.nanmean(fraction, axis=0), line, color=colour,
                        marker="o", label=f"{word}: {name}")  # fmt: skip
        a = truth.lattice_parameter_a[plain & (truth.region == kind)]
        row[3].hist(a, np.arange(8.05, 8.25, 0.004), color=colour, label=word, alpha=0.8)
    row[2].set(xlabel="shell, from the surface inwards", ylabel="% by mass", xticks=range(4))
    row[2].set_title("depth shells", fontsize=10)
    row[2].legend(fontsize=7, frameon=False)
    row[3].set(xlabel="lattice parameter [Å]", ylabel="voxels")
    row[3].set_title("three segments by lattice parameter", fontsize=10)
    row[3].legend(fontsize=8, frameon=False)


def draw_scans(row: list[plt.Axes]) -> None:
    """Broad, coarse and region-of-interest scans of an electrode in its holder; what they leave.

    Particles are red, from the least to the most of a scan, PEEK is green, aluminium blue.
    """
    electrode = Specimen(SpecimenConfig(field_um=161.0, voxel_um=1.0), 2).electrode
    beam = Beam(electrode.filling.shape, 1.0, 1e10, 1.0, 0.0)
    for axes, title, points, step, angles in (
        (row[0], "broad: 61 x 8 µm", 61, 8.0, 45),
        (row[1], "coarse: 45 x 4 µm", 45, 4.0, 45),
        (row[2], "region of interest: 61 x 1 µm", 61, 1.0, 90),
    ):
        places = (np.arange(points) - (points - 1) / 2) * step
        seen = np.array(
            [[paths_um(electrode, beam, 180 * n / angles, s, step) for s in places]
             for n in range(angles)]
        )  # fmt: skip
        particles = (seen[..., 0] - seen[..., 0].min()) / np.ptp(seen[..., 0])
        colours = np.stack(
            [particles, np.clip(seen[..., 1] / 3, 0, 1), np.clip(seen[..., 2] / 6, 0, 1)],
            axis=-1,
        )
        axes.imshow(colours, aspect="auto", extent=(places[0], places[-1], 180, 0))
        axes.set(xlabel="translation [µm]", ylabel="rotation [deg]")
        axes.set_title(title, fontsize=10)
    image = row[3].imshow(1e-10 * beam.fluence(), extent=(-80.5, 80.5, 80.5, -80.5), cmap="magma")
    row[3].set_title("photons a voxel has seen in all three", fontsize=10)
    row[3].figure.colorbar(image, ax=row[3], label="10$^{10}$ photons/µm²", shrink=0.85)


def paths_um(
    electrode: Electrode, beam: Beam, rotation: float, shift: float, width: float
) -> tuple[float, float, float]:
    """Path through particles [µm], and shares of PEEK and aluminium; the beam leaves its trace."""
    voxels, paths = ray_weights(electrode.x_um, electrode.y_um, 1.0, rotation, shift, width)
    beam.shine(voxels, paths, 0.01)
    return float(paths @ electrode.filling.ravel()[voxels]), *AROUND.shares(rotation, shift, width)


def main() -> None:
    """Draw all three rows."""
    figure, rows = plt.subplots(3, 4, figsize=(17, 11.5), layout="constrained")
    draw_fresh(list(rows[0]))
    draw_aged(list(rows[1]))
    draw_scans(list(rows[2]))
    for axes in rows[1, 2:]:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=80)


if __name__ == "__main__":
    main()

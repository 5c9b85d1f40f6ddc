"""Uncertainties of the map: (found - true) / stated has mean 0 and width 1.

Ring counts are Poisson; the same sample is measured again and again and every map compared with
that of the counts' means, so that what a voxel catches of its neighbours, which is no counting,
does not enter. In a uniform sample the truth itself is the reference.
"""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.geometry import Binning, ring_table
from operando.consumers.kernels.azimuthal import WIDTH_UNIT
from operando.consumers.phases import PhaseConfig, ProfileConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.materials.structures import structure
from operando.sim.powder import Crystal, LineShape, pattern
from operando.sim.twin import Twin, TwinConfig
from operando.stream.messages import Axis, ScanStart, Trajectory

ROTATIONS, TRANSLATIONS, REPEATS = 32, 33, 8
CONFIG = XrdctConfig(
    q_min=1.1, q_max=4.75, bins=480, mixing=0.0, peak_width=0.015, estimator="mean", volume=False
)
REFINED = XrdctConfig(
    q_min=1.1, q_max=4.75, bins=480, estimator="mean", volume=False,
    phases={"limn2o4": PhaseConfig(working=True), "limno2_rock_salt": PhaseConfig()},
    profile=ProfileConfig(width=0.0125, strain=0.002, mixing=0.3, fitted=False),
)  # fmt: skip
SAMPLES = {
    "uniform": ((0.0, 0.0, 13.5, 8.15),),
    "three": ((-6.0, -5.0, 6.0, 8.06), (7.0, -1.0, 5.5, 8.11), (-1.0, 8.5, 5.0, 8.20)),
    "contrast": ((-6.0, -5.0, 7.0, 8.06), (7.0, -1.0, 1.5, 8.11), (-1.0, 9.0, 2.0, 8.20)),
}


def measured(consumer: Xrdct, counted: np.ndarray, width: np.ndarray, final: bool):
    """Results by name, from the counts of every frame's rings."""
    values, sigmas = counted / width, np.sqrt(np.maximum(counted, 1)) / width
    for i in range(len(counted)):
        row = np.stack([values[i]] * 2 + [sigmas[i]] * 2 + [width]).astype(np.float32)
        consumer.absorb(i, row)
    found = {result.name: result for result in consumer.results(final)}
    while found["lattice_parameter"].attrs["unfinished"]:
        found = {result.name: result for result in consumer.results(final)}
    return found


class Repeated:
    """One sample, measured once without noise and several times with it."""

    def __init__(self, start: ScanStart, sample, counts: float, final: bool) -> None:
        table = ring_table(start, Binning("q", 1.1, 4.75, 480), CONFIG.polarisation)
        width = np.maximum(table.ring_width * WIDTH_UNIT, 1.0)
        angles, places = (axis.values for axis in start.trajectory.axes)
        clean = counts * np.array(
            [sample.ray(table.centres, a, s) for a, s in zip(angles, places, strict=True)]
        )
        random = np.random.default_rng(7)
        maps = []
        for n in range(REPEATS + 1):
            counted = random.poisson(clean * width) if n else clean * width
            maps.append(self._map(start, counted, width, final))
        self.clean, self.a = maps[0][0], np.array([a for a, _, _ in maps[1:]])
        self.sigma = np.array([sigma for _, sigma, _ in maps[1:]])
        self.chi2 = np.array([chi2 for _, _, chi2 in maps[1:]])

    def _map(self, start: ScanStart, counted: np.ndarray, width: np.ndarray, final: bool):
        found = measured(Xrdct(CONFIG, start), counted, width, final)
        a = found["lattice_parameter"]
        return a.values.astype(np.float64), a.uncertainty, found["fit_chi2"].values

    def pulls(self, where: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
        reference = self.clean if truth is None else truth
        pulls = ((self.a - reference) / self.sigma)[:, where]
        assert np.isfinite(pulls).mean() > 0.97
        return pulls[np.isfinite(pulls)]


def places(sample) -> dict[str, np.ndarray]:
    """Voxels well inside a grain, and those at its edge."""
    inner = np.isfinite(sample.truth(TRANSLATIONS, 1.5))
    return {"inner": inner, "edge": np.isfinite(sample.truth(TRANSLATIONS, 0.0)) & ~inner}


@pytest.mark.parametrize("final", [True, False], ids=["final", "live"])
@pytest.mark.parametrize("counts", [1.0, 0.1])
@pytest.mark.parametrize("name", list(SAMPLES))
def test_pulls_have_mean_0_and_width_1(
    make_start, make_trajectory, discs, name: str, counts: float, final: bool
) -> None:
    sample = type(discs)(*SAMPLES[name])
    start = make_start(make_trajectory(ROTATIONS, TRANSLATIONS), "xrdct")
    repeated = Repeated(start, sample, counts, final)
    for where, voxels in places(sample).items():
        pulls = repeated.pulls(voxels)
        print(
            f"{name}, {where}, {counts:g}: mean {pulls.mean():+.3f}, width {pulls.std():.3f}, "
            f"sigma {np.nanmedian(repeated.sigma[:, voxels]):.1e} A, "
            f"chi2 {np.nanmedian(repeated.chi2[:, voxels]):.2f}"
        )
        # the live window lets noise reach ten voxels: fewer independent ones
        assert abs(pulls.mean()) < (0.1 if final else 0.15)
        assert 0.9 < pulls.std() < 1.1
    if name == "uniform" and final:
        truth = repeated.pulls(places(sample)["inner"], sample.truth(TRANSLATIONS, 1.5))
        assert abs(truth.mean()) < 0.1
        assert 0.9 < truth.std() < 1.1
        assert np.nanmedian(repeated.chi2) == pytest.approx(1.0, abs=0.1)


def test_misfit_shows_in_chi2_and_not_in_the_uncertainty(
    make_start, make_trajectory, discs
) -> None:
    """Two phases in every voxel: sigma says what counting does, chi2 that one phase is no model."""
    start = make_start(make_trajectory(ROTATIONS, TRANSLATIONS), "xrdct")
    one = Repeated(start, type(discs)((0.0, 0.0, 13.5, 8.076)), 1.0, True)
    both = ((0.0, 0.0, 13.5, 8.076), (0.0, 0.0, 13.5, 8.145))
    two = Repeated(start, type(discs)(*both), 0.5, True)
    inner = np.isfinite(type(discs)(*both[:1]).truth(TRANSLATIONS, 1.5))
    assert np.nanmedian(two.chi2[:, inner]) > 5 * np.nanmedian(one.chi2[:, inner])
    ratio = np.nanmedian(two.sigma[:, inner]) / np.nanmedian(one.sigma[:, inner])
    assert 0.7 < ratio < 3


def repeated_pulls(values: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """From the mean of repeats, (repeats, ...), where all of them have a number."""
    count = len(values)
    pulls = (values - values.mean(axis=0)) / sigma * np.sqrt(count / (count - 1))
    pulls = pulls[:, np.isfinite(pulls).all(axis=0)]
    assert pulls.size > 0
    return pulls.ravel()


@pytest.mark.slow
def test_frames_taken_twice_differ_by_their_uncertainties() -> None:
    """From pixels: trimmed rings, back-projection, fit. The same electrode, other photons."""
    config = TwinConfig(
        field_um=17.0, lithium_rich=0, shape=(256, 514), pixel_m=(15e-5, 15e-5),
        beam_pixel=(128.0, 20.0), dead_modules=(),
    )  # fmt: skip
    twin = Twin(config)
    for _ in range(60):
        twin.cell.step(0.5 * 1.43e-5 * 3600 / 8e-6 / 60, -8e-6)
    twin.begin_scan(1)
    rotations, line = 180 * np.arange(18) / 18, np.arange(19) - 9.0
    trajectory = Trajectory(
        (18, 19),
        (Axis("rotation", "deg", np.repeat(rotations, 19)),
         Axis("translation", "um", np.tile(line, 18))),
    )  # fmt: skip
    start = ScanStart(
        "run", "scan", 1, "xrdct", 342, twin.detector, trajectory, twin.poni, twin.energy_ev, 0.01,
        None, 0.0,
    )  # fmt: skip
    maps = []
    for again in range(6):
        consumer = Xrdct(XrdctConfig(volume=False), start)
        for i, (angle, place) in enumerate(zip(*(a.values for a in trajectory.axes), strict=True)):
            frame = twin.expose(float(angle), float(place), 0.01, 1000 * again + i)
            consumer.absorb(i, consumer.reduce(i, frame))
        maps.append({result.name: result for result in consumer.results(final=True)})
    a = np.array([found["lattice_parameter"].values for found in maps], np.float64)
    sigma = np.array([found["lattice_parameter"].uncertainty for found in maps], np.float64)
    pulls = repeated_pulls(a, sigma)
    middle = 1.4826 * np.median(np.abs(pulls))
    print(f"\n{pulls.size} pulls: width {pulls.std():.3f}, of the middle {middle:.3f}")
    assert pulls.size > 600
    assert 0.9 < pulls.std() < 1.1
    assert 0.9 < middle < 1.1


@pytest.mark.parametrize("final", [True, False], ids=["final", "live"])
@pytest.mark.parametrize("counts", [1500.0, 150.0])
def test_pulls_of_whole_patterns_have_width_1(
    make_start, make_trajectory, discs, counts: float, final: bool
) -> None:
    """Refined maps: lattice parameter and scale; so many counts in the strongest ring of a ray."""
    start = make_start(make_trajectory(ROTATIONS, TRANSLATIONS), "xrdct")
    sample = type(discs)(*SAMPLES["three"])
    first, random = Xrdct(REFINED, start), np.random.default_rng(8)
    crystal = Crystal(structure("limn2o4"))
    lines = [pattern(crystal.lines(4.9, a), LineShape(), first.q, 5e4) for *_, a in sample.discs]
    angles, places = (axis.values for axis in start.trajectory.axes)
    rays = np.array([sample.chords(a, s) for a, s in zip(angles, places, strict=True)]) @ lines
    width = ring_table(start, Binning("q", 1.1, 4.75, 480), REFINED.polarisation).ring_width
    width = np.maximum(width * WIDTH_UNIT, 1.0)
    clean = counts * (rays / rays.max() + 0.02 * (1 + np.exp(-first.q / 1.2)))
    maps = [measured(Xrdct(REFINED, start), random.poisson(clean), width, final) for _ in range(6)]
    inside = np.isfinite(sample.truth(TRANSLATIONS, 0.0))
    for name in ("lattice_parameter", "phase_scale"):
        values = np.array([found[name].values[inside] for found in maps], np.float64)
        pulls = repeated_pulls(
            values, np.array([found[name].uncertainty[inside] for found in maps])
        )
        print(f"{name}, {counts:g}: width {pulls.std():.3f}, {pulls.size} pulls")
        assert 0.9 < pulls.std() < 1.1

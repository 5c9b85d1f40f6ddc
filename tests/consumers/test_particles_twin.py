"""The twin's slice as patterns through the whole analysis: particles, verdicts, shells, names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from operando.consumers.classification import BOTH, NORMAL, OUTLIER, RULE
from operando.consumers.findings import Findings
from operando.consumers.particle_config import ParticlesConfig
from operando.consumers.phases import PhaseConfig
from operando.consumers.soc import CalibrationConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.shells import shell_truth
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.truth import Truth
from operando.stream.messages import Result, ScanStart
from pattern_scans import reductions_of

POINTS, ROTATIONS, COUNTS = 41, 63, 1e5
# to what a pattern with 1e4 counts at the top of the spinel's strongest line tells its scale
AS_PRECISE = 0.0042
PHASES = ("limn2o4", "li05mn2o4", "limno2_rock_salt", "li2mno3")
CONFIG = XrdctConfig(
    q_min=1.1, q_max=4.7, bins=600, aluminium=False, volume=False,
    phases={key: PhaseConfig(working=key == "limn2o4") for key in PHASES},
    calibration=CalibrationConfig("limn2o4", 0.19, 0.99, 0.0143),
    particles=ParticlesConfig(segments=3),
)  # fmt: skip

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Analysed:
    """A scan's truth and final results; true: identity -> number of the true particle."""

    truth: Truth
    found: Mapping[str, Result]
    findings: Findings

    def column(self, name: str) -> np.ndarray:
        table = self.found["particle_table"]
        return table.values[:, str(table.attrs["columns"]).split(",").index(name)]

    @property
    def names(self) -> np.ndarray:
        return self.found["particle_table"].coords["particle"]

    @property
    def true(self) -> dict[int, int]:
        map_ = self.found["particles"].values
        pairs = {}
        for name in self.names.tolist():
            inside = self.truth.particle[map_ == name]
            pairs[name] = int(np.bincount(inside).argmax())
        return pairs


def analysed(
    specimen: Specimen, y: float, start: ScanStart, earlier: tuple[Findings, ...] = ()
) -> Analysed:
    """A scan of the specimen at lithiation y."""
    consumer = Xrdct(CONFIG, start)
    consumer.follow(earlier)
    truth = specimen.truth(specimen.at(y))
    for index, array in enumerate(reductions_of(start, truth, consumer.q, COUNTS, start.number)):
        consumer.absorb(index, array)
    found = {result.name: result for result in consumer.results(final=True)}
    return Analysed(truth, found, consumer.findings())


@pytest.fixture(scope="module")
def specimen() -> Specimen:
    return Specimen(SpecimenConfig(field_um=float(POINTS)), 3)


@pytest.fixture
def start(make_start, make_trajectory) -> ScanStart:
    return make_start(make_trajectory(ROTATIONS, POINTS), technique="xrdct")


def test_the_planted_particles_break_the_rule_and_nobody_else_is_accused(specimen, start) -> None:
    """In the middle of the first step, where most of the bulk stands on either side of it."""
    scan = analysed(specimen, 0.47, start)
    rich = set(np.unique(scan.truth.particle[scan.truth.lithium_rich]).tolist()) - {0}
    assert len(rich) == 3
    codes = dict(zip(scan.names.tolist(), scan.column("classification").tolist(), strict=True))
    accused = {scan.true[name] for name, code in codes.items() if code > NORMAL}
    assert accused == rich
    assert all(codes[n] in (RULE, BOTH) for n, true in scan.true.items() if true in rich)
    assert scan.truth.two_phase.sum() > 80  # voxels that lie inside the window by averaging
    # one for one but for the pair that shares half its outline
    assert len(set(scan.true.values())) >= scan.truth.particle.max() - 1
    for name, area in zip(scan.names.tolist(), scan.column("area_um2"), strict=True):
        true_area = scan.truth.filling[scan.truth.particle == scan.true[name]].sum()
        merged = area > 1.4 * true_area
        assert merged or area == pytest.approx(true_area, rel=0.15)


def test_depth_shells_hold_what_the_twin_put_there_and_names_last(specimen, start) -> None:
    """Away from where the ordered phase's lines lie under the spinel's."""
    before = analysed(specimen, 0.9, start)
    later = dataclasses.replace(start, scan="scan-2", number=2)
    scan = analysed(specimen, 0.93, later, (before.findings,))
    same = {name: true for name, true in scan.true.items() if name in before.true}
    assert len(same) >= len(before.true) - 1
    assert all(before.true[name] == true for name, true in same.items())
    history = scan.found["particle_history"]
    assert history.values.shape == (len(history.coords["particle"]), 2)
    risen = np.diff(history.values, axis=1)
    assert np.nanmin(risen) > -3e-4
    assert np.nanmedian(risen) > 0.002

    truth = shell_truth(scan.truth)
    table = scan.found["region_table"]
    columns = str(table.attrs["columns"]).split(",")
    regions = str(table.attrs["regions"]).split(",")
    assert regions[0] == "bulk"
    precise = {
        name: row[columns.index("scale_limn2o4_sigma")]
        < AS_PRECISE * row[columns.index("scale_limn2o4")]
        for name, row in zip(regions, table.values, strict=True)
    }
    errors, pulls = [], []
    for key in PHASES:
        shells = scan.found[f"particle_shell_fraction_{key}"]
        expected = truth.mass_fraction[scan.truth.structures.index(key)]
        for name, values, sigmas in zip(
            shells.coords["particle"].tolist(), shells.values, shells.uncertainty, strict=True
        ):
            for shell in range(4):
                if precise.get(f"particle {name} shell {shell}"):
                    error = values[shell] - expected[scan.true[name] - 1, shell]
                    errors.append(error)
                    pulls.append(error / sigmas[shell])
    assert len(errors) > 60
    assert np.sqrt(np.mean(np.square(errors))) < 0.006
    assert np.sqrt(np.mean(np.square(pulls))) < 1.7
    assert not np.isin(scan.column("classification"), (RULE, OUTLIER, BOTH)).any()

    segments = scan.found["segments"].values
    assert sum(name.startswith("segment ") for name in regions) == int(np.nanmax(segments)) + 1 > 1
    for n in range(int(np.nanmax(segments)) + 1):
        row = dict(zip(columns, table.values[regions.index(f"segment {n}")], strict=True))
        assert row["voxels"] == (segments == n).sum()
        weight = scan.truth.filling * (segments == n)
        for key in PHASES:
            true = np.nan_to_num(scan.truth.mass_fraction[scan.truth.structures.index(key)])
            expected = (true * weight).sum() / weight.sum()
            assert row[f"mass_fraction_{key}"] == pytest.approx(expected, abs=0.02)

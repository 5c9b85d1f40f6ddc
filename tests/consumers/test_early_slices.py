"""Slices that end early by the criterion: as good as was asked, and good enough for their parts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from operando.cli.against_truth import lattice_on
from operando.consumers.findings import Findings
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.plans.angles import scan_angles
from operando.plans.map_quality import Criterion, Snapshot, good_enough
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.truth import Truth
from operando.stream.messages import Result
from pattern_scans import lines, reductions_of

CONFIG = XrdctConfig(q_min=1.1, q_max=4.7, bins=400, aluminium=False, volume=False)
ANGLES, POINTS = 120, 11
COUNTS = 1e5
WANTED = Criterion(target_sigma=5e-4, settled=1e-3)  # Å
REGIONS = {31: (3.0, -2.0), 33: (0.0, 4.0)}  # seed of the electrode -> middle [um]


@dataclass(frozen=True)
class Ended:
    """A slice that ended early: after how many lines, and why.

    median, whole: of |a - a_true| then, and after all lines [Å]; findings: what it hands down then
    """

    truth: Truth
    angles: int
    why: str
    median: float
    whole: float
    findings: Findings


def lattice(consumer: Xrdct, final: bool) -> dict[str, Result]:
    while True:
        found = {result.name: result for result in consumer.results(final)}
        if not found["lattice_parameter"].attrs["unfinished"]:
            return found


def errors(found: Result, truth: Truth) -> np.ndarray:
    """Of the lattice parameter where there is a single one [Å]."""
    true, single = lattice_on(truth, found.coords["x"], found.coords["y"])
    return (found.values - true)[single & np.isfinite(found.values)]


def ended_early(make_start, seed: int) -> Ended:
    """A slice whose live maps are judged every other line."""
    specimen = Specimen(SpecimenConfig(field_um=21.0, voxel_um=0.5), seed)
    truth = specimen.truth(specimen.at(0.55))
    order = np.array(scan_angles(ANGLES, "bit_reversed")) * ANGLES / 180.0
    start = make_start(lines(ANGLES, POINTS, 2.0, order), "xrdct")
    consumer = Xrdct(CONFIG, dataclasses.replace(start, scan="whole", notes={"role": "slice"}))
    history: list[Snapshot] = []
    why, median, findings, angles = "", np.nan, None, 0
    for index, array in enumerate(reductions_of(start, truth, consumer.q, COUNTS, seed)):
        consumer.absorb(index, array)
        line, last = divmod(index + 1, POINTS)
        if why or last or line % 2 or line < 4:
            continue
        live = lattice(consumer, final=False)
        a = live["lattice_parameter"]
        history.append(
            Snapshot(
                int(a.attrs["projections"]), a.values.astype(float), a.uncertainty.astype(float),
                live["fit_chi2"].values.astype(float), float(a.attrs["sharpness"]),
            )
        )  # fmt: skip
        why = good_enough(history, WANTED)
        if why:
            angles = line
            final = lattice(consumer, final=True)["lattice_parameter"]
            median = float(np.median(np.abs(errors(final, truth))))
            findings = consumer.findings()
    whole = errors(lattice(consumer, final=True)["lattice_parameter"], truth)
    assert findings is not None, history[-1]
    return Ended(truth, angles, why, median, float(np.median(np.abs(whole))), findings)


def region(make_start, ended: Ended, middle: tuple[float, float], corrected: bool) -> float:
    """Root mean square error of a region's lattice parameters [Å]."""
    notes = {"role": "roi", "parent": "whole"}
    notes |= {f"region_{axis}_um": place for axis, place in zip("xy", middle, strict=True)}
    start = make_start(lines(64, 21, 0.5), "xrdct")
    start = dataclasses.replace(start, scan="part", number=2, notes=notes)
    consumer = Xrdct(CONFIG, start)
    consumer.follow([ended.findings] if corrected else [])
    for index, array in enumerate(reductions_of(start, ended.truth, consumer.q, COUNTS, 7)):
        consumer.absorb(index, array)
    found = lattice(consumer, final=True)["lattice_parameter"]
    assert found.attrs["roi_correction"] == ("slice" if corrected else "edge")
    return float(np.sqrt(np.mean(errors(found, ended.truth) ** 2)))


@pytest.mark.slow
def test_a_slice_that_ended_early_is_as_good_as_asked_and_corrects_its_parts(make_start) -> None:
    rms = {True: [], False: []}
    for seed, middle in REGIONS.items():
        ended = ended_early(make_start, seed)
        print(f"{ended.why}; |a - a_true| {ended.median:.4f} Å, {ended.whole:.4f} with all lines")
        assert ended.angles <= 0.4 * ANGLES
        assert ended.median <= WANTED.settled
        assert ended.median <= ended.whole + 0.5 * WANTED.settled
        for corrected, found in rms.items():
            found.append(region(make_start, ended, middle, corrected))
    print({("slice" if n else "edge"): [f"{v:.4f}" for v in found] for n, found in rms.items()})
    assert np.mean(rms[True]) < 0.8 * np.mean(rms[False])
    assert all(s < 1.1 * e for s, e in zip(rms[True], rms[False], strict=True))

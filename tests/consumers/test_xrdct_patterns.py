"""Tomograms that the simulation makes as patterns are absorbed as if they were reduced frames."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.phases import PhaseConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.pattern_tomogram import pattern_tomogram
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.truth import Truth
from operando.sim.twin import Twin, TwinConfig
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import Result, ScanStart

ANGLES = np.arange(48) * 180 / 48
PLACES = np.arange(41) - 20.0


def analysed(truth: Truth, config: XrdctConfig) -> dict[str, Result]:
    """The final results of a tomogram of the slice, 30,000 counts in its strongest line."""
    detector = Twin(TwinConfig(field_um=8.0, lithium_rich=0, spots=0))
    description = ScanDescription(
        "run", "scan", 1, "xrdct", (ANGLES.size, PLACES.size),
        (
            GridAxis("rotation", "deg", 0, tuple(ANGLES.tolist())),
            GridAxis("translation", "um", 1, tuple(PLACES.tolist())),
        ),
    )  # fmt: skip
    start = ScanStart(
        "run", "scan", 1, "xrdct", description.frames(), detector.detector,
        description.trajectory(), detector.poni, detector.energy_ev, 0.01, None, 0.0,
    )  # fmt: skip
    consumer = Xrdct(config, start)
    edges = np.linspace(config.q_min, config.q_max, config.bins + 1)
    scan = pattern_tomogram(truth, edges, ANGLES, PLACES, counts=30_000)
    for n in range(ANGLES.size):
        for m, reduction in enumerate(scan.reductions(n)):
            consumer.absorb(n * PLACES.size + m, reduction)
    return {result.name: result for result in consumer.results(final=True)}


def test_the_map_of_a_tomogram_made_as_patterns_is_the_truth() -> None:
    specimen = Specimen(SpecimenConfig(), 1)
    truth = specimen.truth(specimen.at(0.9))
    found = analysed(truth, XrdctConfig(q_max=4.3, volume=False))
    error = (found["lattice_parameter"].values - truth.lattice_parameter_a)[truth.solid_solution]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmedian(np.abs(error)) < 0.0015


def test_an_aged_electrode_has_its_minor_phases_where_a_is_lowest() -> None:
    """Three segments by lattice parameter: 11 % Li2MnO3 and 20 % LiMnO2 in the lowest."""
    config = SpecimenConfig(cycles=150, lithium_rich=0, li05mn2o4=0.0)
    specimen = Specimen(config, 2)
    truth = specimen.truth(specimen.at(0.9))
    phases = {
        "limn2o4": PhaseConfig(working=True),
        "limno2_rock_salt": PhaseConfig(),
        "li2mno3": PhaseConfig(),
    }
    found = analysed(truth, XrdctConfig(q_max=4.3, volume=False, aluminium=False, phases=phases))
    a = np.where(truth.particle > 0, found["lattice_parameter"].values, np.nan)
    segments = (a < 8.10, (a >= 8.16) & (a < 8.21), a >= 8.22)
    rock, layered = (
        [float(np.nanmean(found[f"mass_fraction_{name}"].values[part])) for part in segments]
        for name in ("limno2_rock_salt", "li2mno3")
    )
    assert min(np.count_nonzero(part) for part in segments) > 50
    assert rock[0] == pytest.approx(0.20, abs=0.03)
    assert layered[0] == pytest.approx(0.11, abs=0.02)
    assert rock[0] > rock[1] > rock[2]
    assert layered[0] > layered[1] > layered[2]

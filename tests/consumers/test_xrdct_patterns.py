"""Tomograms that the simulation makes as patterns are absorbed as if they were reduced frames."""

from __future__ import annotations

import numpy as np
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.pattern_tomogram import pattern_tomogram
from operando.sim.specimen import Specimen, SpecimenConfig
from operando.sim.twin import Twin, TwinConfig
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import ScanStart

ANGLES = np.arange(48) * 180 / 48
PLACES = np.arange(41) - 20.0


def test_the_map_of_a_tomogram_made_as_patterns_is_the_truth() -> None:
    specimen = Specimen(SpecimenConfig(), 1)
    truth = specimen.truth(specimen.at(0.9))
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
    config = XrdctConfig(q_max=4.3, volume=False)
    consumer = Xrdct(config, start)
    edges = np.linspace(config.q_min, config.q_max, config.bins + 1)
    scan = pattern_tomogram(truth, edges, ANGLES, PLACES, counts=30_000)
    for n in range(ANGLES.size):
        for m, reduction in enumerate(scan.reductions(n)):
            consumer.absorb(n * PLACES.size + m, reduction)
    found = {result.name: result for result in consumer.results(final=True)}
    error = (found["lattice_parameter"].values - truth.lattice_parameter_a)[truth.solid_solution]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmedian(np.abs(error)) < 0.0015

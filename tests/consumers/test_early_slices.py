"""A slice that ended early is good enough to correct the finer scans of its own parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from operando.cli.against_truth import lattice_on
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.plans.angles import scan_angles
from operando.sim.specimen import Specimen, SpecimenConfig
from pattern_scans import lines, reductions_of

CONFIG = XrdctConfig(q_min=1.1, q_max=4.7, bins=400, aluminium=False, volume=False)
ANGLES, TAKEN = 120, 32
COUNTS = 1e5
REGIONS = {31: (3.0, -2.0), 32: (-3.0, 2.5), 33: (0.0, 4.0)}  # seed of the electrode -> middle [um]


@pytest.fixture
def errors(make_start):
    """Errors of a region's lattice parameters [Å] where they are corrected so."""

    def of(seed: int, correction: str) -> np.ndarray:
        specimen = Specimen(SpecimenConfig(field_um=21.0, voxel_um=0.5), seed)
        truth = specimen.truth(specimen.at(0.55))
        order = np.array(scan_angles(ANGLES, "bit_reversed")) * ANGLES / 180.0
        whole = dataclasses.replace(
            make_start(lines(ANGLES, 11, 2.0, order), "xrdct"),
            scan="whole",
            notes={"role": "slice"},
        )
        x_um, y_um = REGIONS[seed]
        part = dataclasses.replace(
            make_start(lines(64, 21, 0.5), "xrdct"), scan="part", number=2,
            notes={"role": "roi", "parent": "whole", "region_x_um": x_um, "region_y_um": y_um},
        )  # fmt: skip
        earlier = []
        if correction == "slice":
            slice_ = Xrdct(CONFIG, whole)
            arrays = reductions_of(whole, truth, slice_.q, COUNTS, seed)
            for index, array in zip(range(11 * TAKEN), arrays, strict=False):
                slice_.absorb(index, array)
            list(slice_.results(final=True))
            earlier.append(slice_.findings())
        region = Xrdct(CONFIG, part)
        region.follow(earlier)
        for index, array in enumerate(reductions_of(part, truth, region.q, COUNTS, seed + 1)):
            region.absorb(index, array)
        found = {result.name: result for result in region.results(final=True)}["lattice_parameter"]
        assert found.attrs["roi_correction"] == correction
        true, single = lattice_on(truth, found.coords["x"], found.coords["y"])
        return (found.values - true)[single & np.isfinite(found.values)]

    return of


def test_a_slice_of_a_quarter_of_its_lines_corrects_better_than_edges_do(errors) -> None:
    rms = {
        correction: [float(np.sqrt(np.mean(errors(seed, correction) ** 2))) for seed in REGIONS]
        for correction in ("edge", "slice")
    }
    print({name: [f"{value:.4f}" for value in values] for name, values in rms.items()})
    assert np.mean(rms["slice"]) < 0.8 * np.mean(rms["edge"])
    assert all(s < 1.1 * e for s, e in zip(rms["slice"], rms["edge"], strict=True))

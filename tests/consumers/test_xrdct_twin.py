"""The twin's frames through all three verbs: its formulas forward, ours backward."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.twin import Twin, TwinConfig
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import ScanStart

ROTATIONS, TRANSLATIONS = 24, 23


def scan_of(twin: Twin) -> ScanStart:
    order = [r for r in (int(f"{i:05b}"[::-1], 2) for i in range(32)) if r < ROTATIONS]
    description = ScanDescription(
        "run", "scan", 1, "xrdct", (ROTATIONS, TRANSLATIONS),
        (
            GridAxis("rotation", "deg", 0, tuple(180 * r / ROTATIONS for r in order)),
            GridAxis("translation", "um", 1, tuple(n - 11.0 for n in range(TRANSLATIONS))),
        ),
    )  # fmt: skip
    return ScanStart(
        "run", "scan", 1, "xrdct", description.frames(), twin.detector, description.trajectory(),
        twin.poni, twin.energy_ev, 0.01, None, 0.0,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_the_map_agrees_with_the_twins_truth(dtype: str) -> None:
    twin = Twin(TwinConfig(field_um=23.0, lithium_rich=1, dtype=dtype))
    for _ in range(100):  # most of a discharge at 8 uA
        twin.cell.step(0.8 * 1.43e-5 * 3600 / 8e-6 / 100, -8e-6)
    twin.begin_scan(1)
    start = scan_of(twin)
    consumer = Xrdct(XrdctConfig(), start)
    angles, places = (axis.values for axis in start.trajectory.axes)
    for i in range(start.frames):
        frame = twin.expose(float(angles[i]), float(places[i]), 0.01, i)
        consumer.absorb(i, consumer.reduce(i, frame))
    found = {result.name: result for result in consumer.results(final=True)}
    truth = twin.truth()
    error = found["lattice_parameter"].values - truth.lattice_parameter_a
    error = error[truth.solid_solution]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmedian(np.abs(error)) < 0.0015
    rich = found["lattice_parameter"].values[truth.solid_solution & truth.lithium_rich]
    bulk = found["lattice_parameter"].values[truth.solid_solution & ~truth.lithium_rich]
    assert np.nanmedian(rich) < np.nanmedian(bulk) - 0.01

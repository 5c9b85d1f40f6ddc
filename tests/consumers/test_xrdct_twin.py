"""The twin's frames through all three verbs: its formulas forward, ours backward."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.phases import PhaseConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.twin import Twin, TwinConfig
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import Focus, ScanStart

ROTATIONS, TRANSLATIONS = 24, 23
PHASES = {
    "limn2o4": PhaseConfig(working=True),
    "limno2_rock_salt": PhaseConfig(),
    "li2mno3": PhaseConfig(),
    "aluminium": PhaseConfig(),
}


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


def taken(twin: Twin, start: ScanStart, consumer: Xrdct) -> list[np.ndarray]:
    """The twin's frames of the scan, reduced and absorbed."""
    angles, places = (axis.values for axis in start.trajectory.axes)
    reductions = []
    for i in range(start.frames):
        frame = twin.expose(float(angles[i]), float(places[i]), 0.01, i)
        reductions.append(consumer.reduce(i, frame))
        consumer.absorb(i, reductions[-1])
    return reductions


def discharged(config: TwinConfig) -> Twin:
    """A twin after most of a discharge at 8 uA."""
    twin = Twin(config)
    for _ in range(100):
        twin.cell.step(0.8 * 1.43e-5 * 3600 / 8e-6 / 100, -8e-6)
    twin.begin_scan(1)
    return twin


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_the_map_agrees_with_the_twins_truth(dtype: str) -> None:
    twin = discharged(TwinConfig(field_um=23.0, lithium_rich=1, dtype=dtype))
    start = scan_of(twin)
    consumer = Xrdct(XrdctConfig(), start)
    taken(twin, start, consumer)
    found = {result.name: result for result in consumer.results(final=True)}
    truth = twin.truth()
    error = found["lattice_parameter"].values - truth.lattice_parameter_a
    error = error[truth.solid_solution]
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmedian(np.abs(error)) < 0.0015
    rich = found["lattice_parameter"].values[truth.solid_solution & truth.lithium_rich]
    bulk = found["lattice_parameter"].values[truth.solid_solution & ~truth.lithium_rich]
    assert np.nanmedian(rich) < np.nanmedian(bulk) - 0.01


@pytest.mark.slow
def test_the_refinement_agrees_with_the_twins_truth() -> None:
    """Whole patterns: nearly every voxel's a, the phases, and the same answer in another order."""
    twin = discharged(TwinConfig(field_um=23.0, lithium_rich=1))
    start = scan_of(twin)
    consumer = Xrdct(XrdctConfig(phases=PHASES), start)
    reductions = taken(twin, start, consumer)
    live = {result.name: result for result in consumer.results()}
    for _ in range(200):
        if not live["lattice_parameter"].attrs["unfinished"]:
            break
        live = {result.name: result for result in consumer.results()}
    found = {result.name: result for result in consumer.results(final=True)}
    truth = twin.truth()
    for maps, least in ((live, 0.8), (found, 0.97)):
        error = (maps["lattice_parameter"].values - truth.lattice_parameter_a)[truth.solid_solution]
        assert np.isfinite(error).mean() > 0.95
        assert (np.abs(error) < 0.0015).mean() > least

    assert found["mass_fraction_limn2o4"].attrs["phase"] == "limn2o4"
    assert np.nanmean(found["mass_fraction_limn2o4"].values) > 0.95
    assert np.nanmax(found["ambiguous"].values) == 0.0
    assert found["phase_scale"].unit == "photons/(pixel um)"
    outside = np.isnan(found["ambiguous"].values)
    assert outside[0, 0]
    assert not outside[11, 11]
    table = found["region_table"]
    row = dict(zip(table.attrs["columns"].split(","), table.values[0], strict=True))
    assert table.attrs["regions"].split(",")[0] == "bulk"
    assert row["a_angstrom"] == pytest.approx(
        np.nanmean(found["lattice_parameter"].values), abs=5e-3
    )
    share = dict(zip(truth.phases, np.nanmean(truth.phase_share, axis=(1, 2)), strict=True))
    for name, key in (("rock_salt", "limno2_rock_salt"), ("li2mno3", "li2mno3")):
        assert row[f"mass_fraction_{key}"] == pytest.approx(share[name], abs=0.012)
    assert row["rwp_percent"] < 3

    focus = Focus("scan", 11, 11)
    curve = {result.name: result for result in consumer.details(focus)}["voxel_fit"]
    assert curve.attrs["a"] == pytest.approx(found["lattice_parameter"].values[11, 11], abs=2e-3)
    assert np.isfinite(curve.values).mean() > 0.95

    again = Xrdct(XrdctConfig(phases=PHASES), start)
    for i in reversed(range(start.frames)):
        again.absorb(i, reductions[i])
    for result in again.results(final=True):
        np.testing.assert_array_equal(result.values, found[result.name].values)

"""Roles of scans: what a region's maps rest on, and what a scan hands down."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from operando.consumers.findings import Findings
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.sim.twin import Twin
from operando.sim.twin_config import TwinConfig
from operando.stream.messages import Axis, Result, ScanStart, Trajectory

CONFIG = XrdctConfig(q_min=1.1, q_max=4.75, bins=480, mixing=0.0, peak_width=0.015)
SAMPLE = (
    (-5.0, -4.0, 4.5, 8.06), (5.5, -1.0, 4.0, 8.11), (-1.0, 6.5, 3.5, 8.20),
    (19.0, 6.0, 6.0, 8.15), (-15.0, 14.0, 7.0, 8.08), (3.0, -20.0, 6.5, 8.18),
    (-22.0, -6.0, 6.0, 8.1),
)  # fmt: skip


def reduction(pattern: np.ndarray) -> np.ndarray:
    """As a frame's reduction that says no sigma: then it is that of its counts."""
    return np.stack([pattern, pattern, *[np.zeros_like(pattern)] * 3]).astype(np.float32)


@pytest.fixture
def taken(make_start, discs):
    """A consumer that has a scan of the sample: taken(role, rotations, points, step, earlier)."""
    sample = type(discs)(*SAMPLE)

    def take(
        role: str, rotations: int, points: int, step: float, earlier=(), config=CONFIG,
        late: bool = False, region=(0.0, 0.0), **notes: object,
    ) -> Xrdct:  # fmt: skip
        line = (np.arange(points) - 0.5 * (points - 1)) * step
        trajectory = Trajectory(
            (rotations, points),
            (Axis("rotation", "deg", np.repeat(180.0 * np.arange(rotations) / rotations, points)),
             Axis("translation", "um", np.tile(line, rotations))),
        )  # fmt: skip
        start = make_start(trajectory, "xrdct")
        start = dataclasses.replace(
            start, scan=role,
            notes={"role": role, "region_x_um": region[0], "region_y_um": region[1], **notes},
        )  # fmt: skip
        consumer = Xrdct(config, start)
        if not late:
            consumer.follow(earlier)
        fill(consumer, start, step, region)
        if late:
            list(consumer.results())
            consumer.follow(earlier)
        return consumer

    def fill(consumer: Xrdct, start: ScanStart, step: float, region) -> None:
        x, y, radius, a = np.array(sample.discs).T
        lines = np.array([sample.line_pattern(consumer.q, each) for each in a])
        angles, places = (axis.values for axis in start.trajectory.axes)
        cosines, sines = np.cos(np.radians(angles)), np.sin(np.radians(angles))
        middle = places + region[0] * cosines + region[1] * sines
        beam = middle[:, None, None] + step * (np.arange(5)[:, None] - 2) / 5
        away = beam - (np.outer(cosines, x) + np.outer(sines, y))[:, None, :]
        paths = 2 * np.sqrt(np.maximum(radius**2 - away**2, 0)).mean(axis=1)
        for i, path in enumerate(paths):
            pattern = (path @ lines + 20.0 - consumer.q).astype(np.float32)
            consumer.absorb(i, reduction(pattern))

    return take


def final(consumer: Xrdct) -> dict[str, Result]:
    return {result.name: result for result in consumer.results(final=True)}


def coarse_findings(taken) -> Findings:
    coarse = taken("coarse", 41, 41, 1.5)
    assert final(coarse)["lattice_parameter"].attrs["roi_correction"] == "edge"
    return coarse.findings()


def test_a_regions_intensities_are_right_with_the_coarse_scan_and_wrong_without(taken) -> None:
    found = coarse_findings(taken)
    alone = final(taken("roi", 40, 25, 1.0))
    corrected = final(taken("roi", 40, 25, 1.0, [found]))
    wide = final(taken("slice", 60, 61, 1.0))
    middle = slice(18, 43)
    truth = wide["volume"].values[middle, middle]
    inside = np.isfinite(corrected["volume"].values) & np.isfinite(truth)

    def error(found: dict[str, Result]) -> float:
        apart = (found["volume"].values - truth)[inside]
        return float(np.sqrt(np.mean(apart**2)) / truth[inside].std())

    assert corrected["lattice_parameter"].attrs["roi_correction"] == "coarse"
    assert alone["lattice_parameter"].attrs["roi_correction"] == "edge"
    assert error(corrected) < 0.6 * error(alone)
    bias = [np.mean((f["volume"].values - truth)[inside]) for f in (corrected, alone)]
    assert abs(bias[0]) < 0.2 * abs(bias[1])


def test_it_does_not_matter_when_the_coarse_scan_is_known(taken) -> None:
    found = coarse_findings(taken)
    early, late = (taken("roi", 12, 25, 1.0, [found], late=late) for late in (False, True))
    one, other = final(early), final(late)
    np.testing.assert_array_equal(one["volume"].values, other["volume"].values)
    live = {r.name: r for r in late.results()}
    assert live["lattice_parameter"].attrs["roi_correction"] == "coarse"


def test_a_region_off_the_axis_is_corrected_around_its_own_middle(taken) -> None:
    found = coarse_findings(taken)
    region = (4.0, -3.0)
    off = final(taken("roi", 40, 21, 1.0, [found], region=region))
    wide = final(taken("slice", 60, 61, 1.0))
    np.testing.assert_allclose(off["volume"].coords["x"], np.arange(21) - 10.0 + 4.0)
    truth = wide["volume"].values[17:38, 24:45]  # rows are y, columns x
    np.testing.assert_allclose(wide["volume"].coords["x"][24:45], off["volume"].coords["x"])
    np.testing.assert_allclose(wide["volume"].coords["y"][17:38], off["volume"].coords["y"])
    inside = np.isfinite(off["volume"].values)
    apart = (off["volume"].values - truth)[inside]
    assert abs(apart.mean()) < 0.05 * truth[inside].std()


def test_without_padding_and_findings_the_maps_say_none(taken) -> None:
    bare = taken("roi", 8, 15, 1.0, config=dataclasses.replace(CONFIG, edge_padding=False))
    assert final(bare)["lattice_parameter"].attrs["roi_correction"] == "none"


def test_only_the_channels_of_the_volume_are_handed_down(taken) -> None:
    small = taken("coarse", 8, 15, 4.0, config=dataclasses.replace(CONFIG, volume=False))
    assert small.findings().field is None  # before its final results
    final(small)
    field = small.findings().field
    assert 50 < field.channels.size < 480
    assert field.volume.shape == (15, 15, field.channels.size)
    assert field.volume.dtype == np.float32
    assert np.isfinite(field.volume).all()
    assert field.circle == pytest.approx((0.0, 0.0, 30.0))


@pytest.mark.slow
def test_a_region_of_the_twins_electrode_has_its_lattice_parameters_back() -> None:
    """Holder and electrode around a slice: the twin's formulas forward, ours backward."""
    twin = Twin(TwinConfig(seed=20, field_um=61.0, holder_um=(50.0, 70.0), spots=0))
    for _ in range(60):
        twin.cell.step(0.8 * 1.43e-5 * 3600 / 8e-6 / 60, -8e-6)
    config = XrdctConfig(volume=False)

    def take(role: str, rotations: int, points: int, step: float, earlier=()) -> Xrdct:
        angles, line = 180 * np.arange(rotations) / rotations, np.arange(points) - (points - 1) / 2
        trajectory = Trajectory(
            (rotations, points),
            (Axis("rotation", "deg", np.repeat(angles, points)),
             Axis("translation", "um", np.tile(line * step, rotations))),
        )  # fmt: skip
        start = ScanStart(
            "run", role, 1, "xrdct", rotations * points, twin.detector, trajectory, twin.poni,
            twin.energy_ev, 0.01, None, 0.0, {"role": role},
        )  # fmt: skip
        twin.set_beam(step)
        twin.begin_scan(1)
        consumer = Xrdct(config, start)
        consumer.follow(earlier)
        for i, where in enumerate(zip(*(a.values for a in trajectory.axes), strict=True)):
            pattern = np.interp(consumer.q, twin.q_grid, twin.pattern(*map(float, where), 0.01))
            consumer.absorb(i, reduction(pattern))
        return consumer

    broad = take("broad", 24, 21, 7.5)
    final(broad)
    coarse = take("coarse", 32, 33, 2.2, [broad.findings()])
    assert final(coarse)["lattice_parameter"].attrs["roi_correction"] == "broad"
    around = [broad.findings(), coarse.findings()]

    def deviation(earlier) -> float:
        found = final(take("slice", 36, 27, 1.0, earlier))["lattice_parameter"]
        truth = twin.truth()
        at = np.searchsorted(truth.x_um, np.asarray(found.coords["x"]) - 0.01)
        known = truth.solid_solution[np.ix_(at, at)] & np.isfinite(found.values)
        apart = (found.values - truth.lattice_parameter_a[np.ix_(at, at)])[known]
        print(found.attrs["roi_correction"], known.sum(), np.median(np.abs(apart)))
        return float(np.median(np.abs(apart)))

    assert deviation(around) < 0.3 * deviation([])

"""Regions of interest: bias and error against the truth, with and without what surrounds them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from grains import Grains
from operando.consumers.findings import Findings
from operando.consumers.rebuild import rebuild
from operando.consumers.scan_field import POINTS, field_of_scan
from operando.consumers.sinogram_grid import sinogram_grid
from operando.consumers.surroundings import Outside, fields_around
from operando.consumers.tomogram import Tomogram
from operando.stream.messages import Axis, Trajectory

AIR = 20.0  # what every ray holds besides the sample
X_UM, Y_UM = 30.0, -18.0  # middle of the region


class Electrode:
    """Discs of density 1 within 100 um, and a ring of density 0.3 around them if asked."""

    def __init__(self, ring: bool = False) -> None:
        self.grains = Grains(120, (3.0, 7.0), 95.0, 0.0)
        self.ring = (160.0, 200.0) if ring else (0.0, 0.0)

    def line(self, rotation_deg: float, places: np.ndarray, beam_um: float) -> np.ndarray:
        """Mean paths of a beam of some width at these translations."""
        rays = places[:, None] + ((np.arange(9) + 0.5) / 9 - 0.5) * beam_um
        total = self.grains.chords(rotation_deg, rays.ravel()).sum(axis=1).reshape(rays.shape)
        # off the middle: the holder is no circle around the axis
        off = rays - 25.0 * math.cos(math.radians(rotation_deg))
        for radius, sign in zip(self.ring, (-0.3, 0.3), strict=True):
            total += sign * 2 * np.sqrt(np.maximum(radius**2 - off**2, 0))
        return total.mean(axis=1)

    def truth(self, x_um: np.ndarray, y_um: np.ndarray) -> np.ndarray:
        total = np.zeros((y_um.size, x_um.size))
        grains = self.grains
        for u in (np.arange(5) - 2) / 5:
            for v in (np.arange(5) - 2) / 5:
                for x, y, radius in zip(grains.x, grains.y, grains.radius, strict=True):
                    total += np.hypot(x_um[None] + u - x, y_um[:, None] + v - y) < radius
        return total / 25


def measured(
    sample: Electrode,
    rotations: int,
    points: int,
    step: float,
    region=(0.0, 0.0),
    edge: bool = True,
) -> Tomogram:
    angles = 180.0 * np.arange(rotations) / rotations
    line = (np.arange(points) - 0.5 * (points - 1)) * step
    trajectory = Trajectory(
        (rotations, points),
        (Axis("rotation", "deg", np.repeat(angles, points)),
         Axis("translation", "um", np.tile(line, rotations))),
    )  # fmt: skip
    tomogram = Tomogram(sinogram_grid(trajectory, "rotation", "translation"), 1, 0.0, edge)
    for n, angle in enumerate(angles):
        t = math.radians(angle)
        places = line + region[0] * math.cos(t) + region[1] * math.sin(t)
        for j, value in enumerate(sample.line(angle, places, step) + AIR):
            tomogram.absorb(n * points + j, np.array([value], np.float32))
    return tomogram


def circle_of(columns: np.ndarray) -> np.ndarray:
    place = np.arange(len(columns))
    return (place >= columns[:, :1]) & (place < columns[:, 1:])


@pytest.fixture
def found(make_start):
    """Findings of a measured tomogram: found(tomogram, role, ...)."""

    def make(tomogram: Tomogram, role: str, rests_on=(), exposure_s: float = 0.01) -> Findings:
        start = dataclasses.replace(
            make_start(), scan=role, notes={"role": role}, exposure_s=exposure_s
        )
        record = rebuild(tomogram)
        field = field_of_scan(
            start, tomogram, record, circle_of(record.columns), np.array([0]), np.zeros(1),
            (0.0, 0.0), rests_on,
        )  # fmt: skip
        return dataclasses.replace(Findings.of(start), field=field)

    return make


def error(tomogram: Tomogram, sample: Electrode, region=(X_UM, Y_UM)) -> tuple[float, float]:
    """Root mean square error over the truth's standard deviation, and bias, inside the circle."""
    record = rebuild(tomogram)
    line = tomogram.grid.translations_um
    truth = sample.truth(line + region[0], line + region[1])
    inside = np.hypot(line[None, :], line[:, None]) <= 25.0
    apart = (record.volume[:, :, 0] - truth)[inside]
    return float(np.sqrt(np.mean(apart**2)) / truth[inside].std()), float(apart.mean())


def test_a_region_corrected_by_a_coarse_scan_is_as_good_as_an_untruncated_one(found) -> None:
    sample = Electrode()
    wide = measured(sample, 120, 281, 1.0, (X_UM, Y_UM))
    record = rebuild(wide)
    middle = slice(140 - 25, 140 + 26)
    line = wide.grid.translations_um[middle]
    truth = sample.truth(line + X_UM, line + Y_UM)
    inside = np.hypot(line[None, :], line[:, None]) <= 25.0
    whole = (record.volume[middle, middle, 0] - truth)[inside]
    untruncated = float(np.sqrt(np.mean(whole**2)) / truth[inside].std())

    region = (X_UM, Y_UM)
    zeros, zeros_bias = error(measured(sample, 120, 61, 1.0, region, edge=False), sample)
    roi = measured(sample, 120, 61, 1.0, region)
    edge, edge_bias = error(roi, sample)
    coarse = found(measured(sample, 61, 61, 4.0), "coarse")
    assert coarse.field.beside[0] == pytest.approx(AIR, abs=0.3)
    roi.surround(Outside([coarse], (*region, 30.5), 0.01, 1))
    corrected, bias = error(roi, sample)
    print(
        f"\nnRMSE: untruncated {untruncated:.3f}, zero padding {zeros:.2f}, edge padding "
        f"{edge:.3f}, coarse scan {corrected:.3f}\nbias: {whole.mean():.3f}, {zeros_bias:.2f}, "
        f"{edge_bias:.3f}, {bias:.3f}"
    )
    assert corrected < 1.1 * untruncated
    assert abs(bias) < 0.02
    assert zeros > 10 * untruncated
    assert edge > 2 * untruncated
    assert abs(edge_bias) > 0.1


def test_the_holder_is_taken_off_by_the_broad_scan(found) -> None:
    """The coarse field ends inside the ring: its own projections hold the ring, too."""
    sample, region = Electrode(ring=True), (X_UM, Y_UM)
    broad = found(measured(sample, 80, 61, 8.0), "broad")
    coarse_scan = measured(sample, 81, 61, 4.0)
    roi = measured(sample, 120, 61, 1.0, region)
    coarse_alone = found(coarse_scan, "coarse")
    roi.surround(Outside([coarse_alone], (*region, 30.5), 0.01, 1))
    _, bias_alone = error(roi, sample)
    coarse_scan.surround(Outside([broad], (0.0, 0.0, 122.0), 0.01, 1))
    coarse = found(coarse_scan, "coarse", rests_on=("broad",))
    roi.surround(Outside([coarse, broad], (*region, 30.5), 0.01, 1))
    both, bias = error(roi, sample)
    print(f"\nnRMSE {both:.3f}, bias {bias:.3f}, with the coarse scan alone {bias_alone:.3f}")
    assert both < 0.25
    assert abs(bias) < 0.015 < abs(bias_alone)


def test_exposures_of_the_wide_scan_are_brought_to_those_of_the_fine_one(found) -> None:
    sample, rays = Electrode(), np.linspace(-20, 20, 9)
    coarse = measured(sample, 61, 61, 4.0)
    circle = (X_UM, Y_UM, 30.5)
    same = Outside([found(coarse, "coarse")], circle, 0.01, 1).projection(33.0, rays)
    twice = Outside([found(coarse, "coarse", exposure_s=0.005)], circle, 0.01, 1)
    np.testing.assert_allclose(twice.projection(33.0, rays), 2 * same, rtol=1e-5)


def test_what_is_outside_has_no_part_inside(found) -> None:
    """A ray's correction is the wide field's projection less that of the circle."""
    sample = Electrode()
    coarse = found(measured(sample, 61, 61, 4.0), "coarse")
    rays = np.array([0.0])
    whole = Outside([coarse], (0.0, 0.0, 0.0), 0.01, 1).projection(0.0, rays)[0, 0]
    most = Outside([coarse], (0.0, 0.0, 125.0), 0.01, 1).projection(0.0, rays)[0, 0]
    assert most == pytest.approx(coarse.field.beside[0], abs=1e-3)
    assert whole == pytest.approx(sample.line(0.0, rays, 4.0)[0] + AIR, rel=0.1)


def test_live_projections_are_corrected_as_soon_as_the_wide_scan_is_known(found) -> None:
    sample, region = Electrode(), (X_UM, Y_UM)
    roi, late = (measured(sample, 40, 61, 1.0, region) for _ in range(2))
    late.advance()
    before = late.live_volume()
    outside = Outside([found(measured(sample, 41, 61, 4.0), "coarse")], (*region, 30.5), 0.01, 1)
    for tomogram in (roi, late):
        tomogram.surround(outside)
        tomogram.advance()
    np.testing.assert_array_equal(roi.live_volume(), late.live_volume())
    assert np.abs(late.live_volume() - before).max() > 0.05


def test_a_field_is_small_whatever_the_scan(found) -> None:
    sample = Electrode()
    field = found(measured(sample, 12, 212, 1.0), "slice").field
    assert field.volume.shape == (70, 70, 1)
    assert len(field.volume) <= POINTS
    assert field.voxel_um == pytest.approx(3.0)
    np.testing.assert_allclose(field.x_um, (np.arange(70) - 34.5) * 3.0, atol=1e-9)


def test_a_scan_is_surrounded_by_its_parent_the_newest_coarse_or_the_newest_broad(
    found, make_start
) -> None:
    sample, q = Electrode(), np.zeros(1)
    any_scan = found(measured(sample, 6, 15, 8.0), "coarse")

    def of(scan: str, role: str, rests_on=(), **changes) -> Findings:
        field = dataclasses.replace(any_scan.field, rests_on=rests_on)
        return dataclasses.replace(any_scan, scan=scan, role=role, field=field, **changes)

    broad, old = of("broad", "broad"), of("old", "coarse")
    new, slice_ = of("new", "coarse", ("broad",)), of("slice", "slice")
    earlier = [broad, old, new, slice_, of("other sample", "coarse", sample="another")]

    def around(role: str, among=earlier, axis=q, **notes: object) -> list[str]:
        start = dataclasses.replace(make_start(), notes={"role": role, **notes})
        return [each.scan for each in fields_around(start, among, axis)]

    assert around("broad") == around("slice", [slice_]) == []
    assert around("coarse") == ["broad"]
    assert around("slice") == around("roi") == ["new", "broad"]
    assert around("roi", parent="slice") == ["slice"]
    assert around("roi", parent="unknown") == ["new", "broad"]
    assert around("roi", [old, slice_]) == ["old"]
    assert around("roi", [slice_]) == []
    assert around("roi", axis=np.ones(1)) == []
    assert around("roi", sample="another") == ["other sample"]

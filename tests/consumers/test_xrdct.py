"""From patterns and frames to maps: truth, order, duplicates, gaps, hostile frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest
from operando.consumers.contract import FrameError, ScanNotForThis
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.stream.messages import Focus, Positions, Result, ScanStart
from operando.stream.packing import pack, unpack

ROTATIONS, TRANSLATIONS = 24, 25
CONFIG = XrdctConfig(q_min=1.1, q_max=4.75, bins=480, mixing=0.0, peak_width=0.015)


@pytest.fixture
def start(make_start, make_trajectory) -> ScanStart:
    trajectory = make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed")
    return make_start(trajectory, technique="xrdct")


@pytest.fixture
def reductions(start, discs) -> np.ndarray:
    """What reduce would give for the discs, with counting noise; (frames, 5, bins)."""
    q = Xrdct(CONFIG, start).q
    random = np.random.default_rng(1)
    angles, places = (axis.values for axis in start.trajectory.axes)
    out = np.empty((start.frames, 5, q.size), np.float32)
    for i in range(start.frames):
        clean = discs.ray(q, angles[i], places[i])
        noisy = clean + random.normal(0, np.sqrt(clean / 200))
        sigma = np.sqrt(clean / 200)
        out[i] = noisy, noisy, sigma, sigma, np.full(q.size, 200)
    return out


def consume(
    start: ScanStart, reductions: np.ndarray, order: Iterable[int], config: XrdctConfig = CONFIG
) -> Xrdct:
    consumer = Xrdct(config, start)
    for i in order:
        consumer.absorb(int(i), reductions[i])
    return consumer


def named(results: Iterable[Result]) -> dict[str, Result]:
    return {result.name: result for result in results}


def same(first: dict[str, Result], second: dict[str, Result]) -> bool:
    """Bit for bit, but for the revision."""
    if first.keys() != second.keys():
        return False
    for name, a in first.items():
        b = second[name]
        if dataclasses.replace(a, values=None, uncertainty=None, coords={}, revision=0, attrs={}) \
                != dataclasses.replace(
                    b, values=None, uncertainty=None, coords={}, revision=0, attrs={}):  # fmt: skip
            return False
        arrays = [(a.values, b.values), *((a.coords[k], b.coords[k]) for k in a.coords)]
        if a.uncertainty is not None:
            arrays.append((a.uncertainty, b.uncertainty))
        if any(x.tobytes() != y.tobytes() for x, y in arrays):
            return False
        if repr(a.attrs) != repr(b.attrs):
            return False
    return True


def test_the_map_is_the_sample_that_was_simulated(start, reductions, discs) -> None:
    results = named(consume(start, reductions, range(start.frames)).results(final=True))
    found = results["lattice_parameter"]
    truth = discs.truth(TRANSLATIONS, margin=1.0)
    inside = np.isfinite(truth)
    error = np.abs(found.values - truth)[inside]
    assert np.isfinite(error).all()
    assert np.median(error) < 5e-4
    assert np.percentile(error, 90) < 1.5e-3
    assert np.isnan(found.values[0, 0])
    pores = np.isnan(discs.truth(TRANSLATIONS, margin=-1.5))
    assert np.isnan(found.values[pores]).mean() > 0.95
    assert found.unit == "Å"
    assert found.dims == ("y", "x")
    np.testing.assert_allclose(found.coords["x"], np.arange(25) - 12.0)
    assert (found.attrs["forbidden_low"], found.attrs["forbidden_high"]) == (8.076, 8.145)
    assert found.completeness == 1.0
    assert found.final
    width = results["peak_width"].values[inside]
    assert np.nanmedian(width) == pytest.approx(0.015, rel=0.1)
    histogram = results["lattice_histogram"]
    assert np.nansum(histogram.values) == np.isfinite(found.values).sum()


def test_final_results_do_not_know_order_duplicates_or_what_was_asked_before(
    start, reductions
) -> None:
    plain = named(consume(start, reductions, range(start.frames)).results(final=True))

    random = np.random.default_rng(2)
    order = random.permutation(start.frames)
    twisted = Xrdct(CONFIG, start)
    for n, i in enumerate(order):
        if n % 50 == 0:
            list(twisted.results())
            list(twisted.details(Focus("", 12, 12)))
        if n % 7 == 0:  # a wrong one first, which the right one replaces
            twisted.absorb(int(i), reductions[i] * 1.5)
        twisted.absorb(int(i), reductions[i])
        if n % 5 == 0:
            twisted.absorb(int(i), reductions[i].copy())
    assert same(plain, named(twisted.results(final=True)))
    assert same(plain, named(twisted.results(final=True)))


def test_positions_that_are_no_numbers_change_nothing_and_are_named_once_by_axis(
    start, reductions, caplog
) -> None:
    planned = named(consume(start, reductions, range(start.frames)).results(final=True))
    assert "not numbers" not in caplog.text
    consumer = Xrdct(CONFIG, start)
    for index in range(start.frames):
        if index % 25 == 0:  # a line of the stage
            indices = np.arange(index, index + 25)
            for axis in start.trajectory.axes:
                values = axis.values[indices].copy()
                values[3:5] = np.nan, np.inf
                consumer.place(Positions(start.scan, axis.name, axis.unit, indices, values))
        consumer.absorb(index, reductions[index])
    nowhere = np.array([-1, start.frames, 2**40])
    consumer.place(Positions(start.scan, "rotation", "deg", nowhere, np.full(3, np.nan)))
    again = start.trajectory.axes[0].values[3:4]
    consumer.place(Positions(start.scan, "rotation", "deg", np.array([3]), again))
    for _ in range(2):
        assert same(planned, named(consumer.results(final=True)))
    lines = [r.getMessage() for r in caplog.records if "not numbers" in r.getMessage()]
    assert lines == [
        f"scan {start.scan}: {count} of 600 positions of axis {axis} are not numbers: "
        "the planned ones stand"
        for count, axis in ((47, "rotation"), (48, "translation"))
    ]


def test_results_grow_from_nothing_to_everything(start, reductions) -> None:
    consumer = Xrdct(CONFIG, start)
    assert list(consumer.results()) == []
    consumer.absorb(0, reductions[0])
    first = named(consumer.results())
    assert np.isnan(first["lattice_parameter"].values).all()
    assert np.isnan(first["lattice_histogram"].values).all()
    assert np.isfinite(first["sinogram"].values).sum() == 1
    assert first["lattice_parameter"].completeness == pytest.approx(1 / start.frames)
    known, revision = 0, first["pattern"].revision
    for i in range(1, start.frames // 2):
        consumer.absorb(i, reductions[i])
    half = named(consumer.results())
    known = np.isfinite(half["lattice_parameter"].values).sum()
    assert known > 50
    assert half["pattern"].revision > revision
    assert not half["lattice_parameter"].final
    assert "volume" not in half


def test_half_a_scan_already_shows_the_lattice_parameters(start, reductions, discs) -> None:
    """Bit-reversed angles, smoothed while few: the discs' middles are within 0.005 Å."""
    consumer = consume(start, reductions, range(start.frames // 2))
    found = named(consumer.results())["lattice_parameter"].values
    truth = discs.truth(TRANSLATIONS, margin=2.5)
    assert np.nanmedian(np.abs(found - truth)) < 5e-3


def test_every_result_survives_the_wire(start, reductions) -> None:
    consumer = consume(start, reductions, range(start.frames))
    results = [*consumer.results(final=True), *consumer.details(Focus(start.scan, 12, 10))]
    for result in results:
        back = unpack(pack(result))
        assert isinstance(back, Result)
        np.testing.assert_array_equal(back.values, result.values)
        assert [result.coords[d].size for d in result.dims if d in result.coords] == [
            n for d, n in zip(result.dims, result.values.shape, strict=True) if d in result.coords
        ]
        assert set(result.units) == set(result.coords)


def test_a_voxel_in_focus_shows_its_pattern_and_fit(start, reductions) -> None:
    consumer = consume(start, reductions, range(start.frames))
    results = named(consumer.details(Focus("", 8, 7)))  # in the disc at (-5, -4)
    pattern, curve = results["voxel_pattern"], results["voxel_fit"]
    assert (pattern.attrs["row"], pattern.attrs["column"]) == (8, 7)
    assert curve.attrs["a"] == pytest.approx(8.06, abs=3e-3)
    drawn = np.isfinite(curve.values)
    strong = np.nanmax(pattern.values)
    assert np.abs(pattern.values[drawn] - curve.values[drawn]).max() < 0.25 * strong
    for row, column in ((0, 0), (-1, 3), (99, 3)):
        assert list(consumer.details(Focus("", row, column))) == []


def test_a_look_at_a_finished_scan_rests_on_its_final_volume(start, reductions) -> None:
    consumer = consume(start, reductions, range(start.frames))
    final = named(consumer.results(final=True))
    seen = named(consumer.details(Focus("", 8, 7)))["voxel_pattern"]
    drawn = np.isfinite(seen.values)
    np.testing.assert_array_equal(seen.values[drawn], final["volume"].values[8, 7][drawn])
    assert not seen.final


def test_lost_frames_are_bridged_and_reported(start, reductions, discs) -> None:
    random = np.random.default_rng(3)
    lost = set(random.choice(start.frames, 20, replace=False).tolist())
    consumer = consume(start, reductions, [i for i in range(start.frames) if i not in lost])
    results = named(consumer.results(final=True))
    found = results["lattice_parameter"]
    assert found.completeness == pytest.approx(1 - 20 / start.frames)
    assert np.isnan(results["sinogram"].values).sum() == 20
    truth = discs.truth(TRANSLATIONS, margin=1.0)
    assert np.nanmedian(np.abs(found.values - truth)) < 1e-3


def test_frames_of_zeros_make_no_lattice_parameter(start) -> None:
    consumer = Xrdct(CONFIG, start)
    pattern = consumer.reduce(0, np.zeros((128, 160), np.uint16))
    for i in range(start.frames):
        consumer.absorb(i, pattern)
    results = named(consumer.results(final=True))
    assert np.isnan(results["lattice_parameter"].values).all()
    assert np.nansum(results["lattice_histogram"].values) == 0
    assert np.isfinite(results["pattern"].values).any()


def test_a_fully_saturated_frame_does_not_spoil_the_map(start, reductions, discs) -> None:
    consumer = consume(start, reductions, range(start.frames))
    burnt = consumer.reduce(3, np.full((128, 160), 65535, np.uint16))
    assert np.isnan(burnt[1]).all()
    consumer.absorb(3, burnt)
    found = named(consumer.results(final=True))["lattice_parameter"].values
    truth = discs.truth(TRANSLATIONS, margin=1.0)
    assert np.nanmedian(np.abs(found - truth)) < 2e-3


def test_hostile_frames_are_refused_by_name(start) -> None:
    consumer = Xrdct(CONFIG, start)
    for pixels in (
        np.zeros((3, 3), np.uint16),
        np.zeros((128, 160), np.float32),
        np.zeros((128, 160), np.int32),
        np.zeros((1, 128, 160), np.uint16),
    ):
        with pytest.raises(
            FrameError, match=r"frame 7 of scan scan-1 is \(.*\(128, 160\)"
        ) as caught:
            consumer.reduce(7, pixels)
        assert "\n" not in str(caught.value)


def test_reductions_that_are_none_are_refused(start) -> None:
    consumer = Xrdct(CONFIG, start)
    with pytest.raises(ValueError, match="reduction 0"):
        consumer.absorb(0, np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="reduction 100000"):
        consumer.absorb(100_000, np.zeros((5, 480), np.float32))


def test_reduce_neither_keeps_nor_changes_anything(start) -> None:
    consumer = Xrdct(CONFIG, start)
    random = np.random.default_rng(4)
    frames = [random.poisson(m, (128, 160)).astype(np.uint16) for m in (0.1, 5, 50)]
    kept = [f.copy() for f in frames]
    first = [consumer.reduce(i, f) for i, f in enumerate(frames)]
    second = [Xrdct(CONFIG, start).reduce(0, f) for f in reversed(frames)][::-1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(frames, kept, strict=True):
        np.testing.assert_array_equal(a, b)
    frozen = frames[2].copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(consumer.reduce(2, frozen), first[2])
    np.testing.assert_array_equal(consumer.reduce(2, frames[2].astype(np.uint32)), first[2])


def test_measured_positions_are_used(start, discs) -> None:
    """Every line of the scan started late by up to a voxel; the encoder knows."""
    consumer = Xrdct(CONFIG, start)
    angles, places = (axis.values for axis in start.trajectory.axes)
    late = np.repeat(np.random.default_rng(5).uniform(-1.2, 1.2, ROTATIONS), TRANSLATIONS)
    for i in range(start.frames):
        pattern = discs.ray(consumer.q, angles[i], places[i] + late[i]).astype(np.float32)
        consumer.absorb(i, np.stack([pattern] * 5))
    truth = discs.truth(TRANSLATIONS, margin=0.5)

    def error() -> float:
        found = named(consumer.results(final=True))["lattice_parameter"].values
        return float(np.nanmean(np.abs(found - truth)))

    before = error()
    consumer.place(
        Positions(start.scan, "translation", "um", np.arange(start.frames), places + late)
    )
    assert error() < 0.6 * before


def test_scans_of_another_kind_are_refused(make_start, make_trajectory) -> None:
    trajectory = make_trajectory(8, 9)
    for changes, word in (
        ({"technique": "frames"}, "technique"),
        ({"technique": "xrdct", "poni": ""}, "poni"),
        ({"technique": "xrdct", "trajectory": None, "frames": 72}, "rotation"),
        ({"technique": "xrdct", "frames": 71}, "71 frames"),
    ):
        settings = {"trajectory": trajectory, **changes}
        with pytest.raises(ScanNotForThis, match=word):
            Xrdct(CONFIG, make_start(**settings))


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimator": "median"},
        {"trim": 1.0},
        {"a_min": 9.0},
        {"reflections": ()},
        {"peak_width": 1.0},
        {"threshold": -1.0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="xrdct: "):
        XrdctConfig(**wrong)

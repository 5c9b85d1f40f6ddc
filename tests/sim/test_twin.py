"""The twin as a whole: cell to frame, and the truth beside it."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import bitshuffle
import numpy as np
import pytest
from operando.sim.truth import load_truth
from operando.sim.twin import Twin, TwinConfig

CAPACITY_S = 1.43e-5 / 8e-6 * 3600  # a full discharge at 8 uA


def twin_at(share, **changes):
    twin = Twin(dataclasses.replace(TwinConfig(), **changes))
    if share > 0:
        twin.cell.step(share * CAPACITY_S, -8e-6)
    twin.begin_scan(1)
    return twin


@pytest.fixture(scope="module")
def twin():
    return twin_at(0.45)


@pytest.fixture(scope="module")
def clean():
    return twin_at(0.0, spots=0, zingers=0.0)


def integrated(twin, frame, tmp_path):
    """The frame's pattern by pyFAI, from the twin's own .poni: (q, counts)."""
    pyFAI = pytest.importorskip("pyFAI")
    path = tmp_path / "twin.poni"
    path.write_text(twin.poni)
    result = pyFAI.load(str(path)).integrate1d(
        frame,
        1200,
        unit="q_A^-1",
        mask=twin.detector.mask,
        polarization_factor=twin.config.polarisation,
        method=("no", "histogram", "cython"),
    )
    return result.radial, result.intensity


def test_frame_looks_as_the_detector_says(twin):
    frame = twin.expose(10.0, 2.0, 0.01, 3)
    detector = twin.detector
    assert frame.shape == detector.shape == (512, 1028)
    assert frame.dtype == detector.dtype == "uint16"
    assert np.all(frame[detector.mask] == 65535)
    assert frame[~detector.mask].max() <= detector.saturation
    assert 0.005 < detector.mask.mean() < 0.05
    assert twin.expose(10.0, 2.0, 0.01, 3).flags.c_contiguous
    wide = twin_at(0.1, dtype="uint32").expose(0.0, 0.0, 0.01, 0)
    assert wide.dtype == np.uint32
    assert wide[detector.mask].min() == 4294967295


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_rings_stand_at_bragg_angles_of_the_true_lattice(share, tmp_path):
    twin = twin_at(share, spots=0, zingers=0.0, lithium_rich=0)
    q, counts = integrated(twin, twin.expose(0.0, 0.0, 0.2, 1), tmp_path)
    truth = twin.truth()
    a = np.average(np.nan_to_num(truth.lattice_parameter_a[:, 20]), weights=truth.filling[:, 20])
    for hkl in ((1, 1, 1), (3, 1, 1), (3, 3, 1)):
        expected = 2 * math.pi / a * math.sqrt(sum(n * n for n in hkl))
        near = np.abs(q - expected) < 0.02
        beside = (np.abs(q - expected) > 0.04) & (np.abs(q - expected) < 0.06)
        above = counts[near] - np.interp(q[near], q[beside], counts[beside])
        found = (above * q[near]).sum() / above.sum()
        assert found == pytest.approx(expected, rel=2.5e-4)


def test_integration_by_pyfai_gives_the_pattern_back(clean, tmp_path):
    frames = [clean.expose(30.0, 3.0, 0.1, key) for key in range(4)]
    q, counts = integrated(clean, np.mean(frames, axis=0), tmp_path)
    expected = np.interp(q, clean.q_grid, clean.pattern(30.0, 3.0, 0.1))
    inside = (q > 0.5) & (q < 4.3)
    smooth = inside & (np.abs(np.gradient(expected, q)) < 300)
    ratio = counts[smooth] / expected[smooth]
    assert np.median(ratio) == pytest.approx(1.0, abs=2e-3)
    assert np.corrcoef(counts[inside], expected[inside])[0, 1] > 0.999


def test_counts_are_those_that_a_trimmed_mean_and_a_link_can_bear(twin):
    frame = twin.expose(0.0, 0.0, 0.01, 0)
    good = frame[~twin.detector.mask]
    assert 5 <= np.median(good) <= 8
    assert 20 < twin.pattern(0.0, 0.0, 0.01).max() < 100
    assert len(bitshuffle.compress_lz4(frame)) < 1_000_000


def test_the_same_key_gives_the_same_frame_in_any_order_and_thread():
    places = [(4.5 * (n % 5), n - 10.0, 0.01, n) for n in range(20)]
    first = twin_at(0.45)
    alone = [first.expose(*place) for place in places]
    second = twin_at(0.45)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda place: second.expose(*place), places[::-1]))[::-1]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_key_scan_or_seed_gives_other_noise():
    twin = twin_at(0.45)
    frame = twin.expose(0.0, 0.0, 0.01, 0)
    assert np.mean(frame != twin.expose(0.0, 0.0, 0.01, 1)) > 0.5
    twin.begin_scan(2)
    assert np.mean(frame != twin.expose(0.0, 0.0, 0.01, 0)) > 0.5


def test_the_sample_stands_still_during_a_scan():
    twin = twin_at(0.3)
    before, truth = twin.expose(20.0, 1.0, 0.01, 5), twin.truth()
    twin.cell.step(600, -8e-6)
    np.testing.assert_array_equal(before, twin.expose(20.0, 1.0, 0.01, 5))
    np.testing.assert_array_equal(truth.lithiation, twin.truth().lithiation)
    twin.begin_scan(2)
    assert np.nanmean(twin.truth().lithiation) > np.nanmean(truth.lithiation) + 0.02


def test_beside_the_electrode_a_ray_sees_the_background_only(twin):
    empty = twin.pattern(0.0, 30.0, 0.01)
    np.testing.assert_array_equal(empty, twin.pattern(77.0, -25.0, 0.01))
    inside = twin.pattern(0.0, 0.0, 0.01)
    assert inside.max() > 4 * empty[twin.q_grid > 0.5].max()
    np.testing.assert_allclose(twin.pattern(0.0, 0.0, 0.02), 2 * inside, rtol=1e-6)


def test_a_ray_collects_what_is_filled_on_its_way(clean):
    """At rotation 0 the ray at s = x is the column at x; at 90 degrees s = y is the row."""
    empty = clean.pattern(0.0, 30.0, 0.01)
    truth = clean.truth()
    spinel = truth.filling * np.nan_to_num(truth.phase_share[:2].sum(axis=0))
    line = np.abs(clean.q_grid - 2 * np.pi / 8.07 * math.sqrt(3)) < 0.05
    for rotation, sums in ((0.0, spinel.sum(axis=0)), (90.0, spinel.sum(axis=1))):
        seen = [(clean.pattern(rotation, s, 0.01) - empty)[line].sum() for s in truth.x_um]
        assert np.corrcoef(seen, sums)[0, 1] > 0.9999


def test_an_offset_rotation_axis_shifts_the_translation():
    centred, offset = twin_at(0.2), twin_at(0.2, centre_um=0.37)
    for rotation in (0.0, 50.0):
        np.testing.assert_allclose(
            offset.pattern(rotation, 5.37, 0.01), centred.pattern(rotation, 5.0, 0.01), rtol=1e-5
        )


def test_spots_turn_up_in_some_frames_and_a_plain_mean_does_not_survive_them(twin, clean):
    plain = Twin(dataclasses.replace(twin.config, spots=0, zingers=0.0))
    plain.cell.step(0.45 * CAPACITY_S, -8e-6)
    plain.begin_scan(1)
    with_spots, worst = 0, 0.0
    for key, rotation in enumerate(np.arange(0, 180, 9.0)):
        frames = [t.expose(rotation, 0.0, 0.01, key).astype(float) for t in (twin, plain)]
        excess = frames[0] - frames[1]
        excess[twin.detector.mask] = 0
        near = excess > 200
        clustered = near[1:-1, 1:-1] & (near[:-2, 1:-1] | near[2:, 1:-1])
        if clustered.any():
            with_spots += 1
            worst = max(worst, excess[1:-1, 1:-1][clustered].sum())
    assert 3 <= with_spots <= 20
    assert worst > 20 * 600  # a ring's mean over its 600 pixels a channel rises by more than 20


def test_truth_agrees_with_the_cell_and_with_itself(twin, tmp_path):
    truth = twin.truth()
    inside = truth.filling > 0
    spinel = (truth.filling * truth.phase_share[:2].sum(axis=0))[inside]
    mean = np.average(truth.lithiation[inside], weights=spinel)
    assert mean == pytest.approx(twin.cell.lithiation, abs=1e-9)
    assert truth.mean_lithiation == pytest.approx(mean, abs=1e-9)
    assert truth.charge_ah == twin.cell.charge_ah
    np.testing.assert_allclose(truth.phase_share[:, inside].sum(axis=0), 1.0)
    spinel = truth.phase_share[:2] / truth.phase_share[:2].sum(axis=0)
    weighted = np.nansum(np.where(spinel > 0, spinel * truth.phase_a[:2], 0.0), axis=0)
    np.testing.assert_allclose(truth.lattice_parameter_a[inside], weighted[inside])
    assert np.all(np.isnan(truth.lattice_parameter_a[~inside]))
    bulk = truth.solid_solution & ~truth.lithium_rich
    a = truth.lattice_parameter_a[bulk]
    assert not np.any((a > 8.0775) & (a < 8.1435))
    rich = truth.lattice_parameter_a[truth.lithium_rich]
    assert np.mean((rich > 8.076) & (rich < 8.145)) > 0.9

    path = tmp_path / "truth.npz"
    truth.save(path)
    again = load_truth(path)
    for field in dataclasses.fields(truth):
        before, after = getattr(truth, field.name), getattr(again, field.name)
        np.testing.assert_array_equal(before, after)
        assert type(before) is type(after)


def test_a_file_without_truth_is_named(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, number=1)
    with pytest.raises(KeyError, match="holds no truth"):
        load_truth(path)


def test_a_frame_before_the_first_scan_and_an_exposure_of_nothing_are_refused(twin):
    with pytest.raises(RuntimeError, match="begin_scan"):
        Twin(TwinConfig(spots=0)).expose(0.0, 0.0, 0.01, 0)
    with pytest.raises(ValueError, match="exposure of 0 s"):
        twin.expose(0.0, 0.0, 0, 0)


def test_the_twin_is_as_large_as_it_is_asked_to_be():
    large = twin_at(0.4, field_um=81.0, voxel_um=0.9, shape=(300, 260), beam_pixel=(150, 130))
    truth = large.truth()
    assert truth.filling.shape == (90, 90)
    assert large.expose(0.0, 0.0, 0.01, 0).shape == (300, 260)


def test_a_wider_beam_sees_the_mean_of_narrow_ones_from_the_next_scan_on():
    twin = twin_at(0.3, field_um=23.0, spots=0)
    narrow = np.mean([twin.pattern(20.0, s, 0.01) for s in np.arange(-2.0, 2.1)], axis=0)
    twin.set_beam(5.0)
    assert twin.truth().beam_um == 1.0
    twin.begin_scan(2)
    np.testing.assert_allclose(twin.pattern(20.0, 0.0, 0.01), narrow, rtol=1e-4)
    with pytest.raises(ValueError, match="beam of 0 um"):
        twin.set_beam(0)


def test_a_broad_scan_sees_the_holder_and_a_narrow_one_through_it_too():
    """PEEK as long as the chord through the ring; beyond it nothing but air."""
    around = {"holder_um": (60.0, 80.0), "foil_um": (0.0, 45.0, 30.0, 4.0, 0.0), "spots": 0}
    twin = twin_at(0.2, field_um=41.0, air=0.0, aluminium=0.0, **around)
    twin.set_beam(4.0)
    twin.begin_scan(1)
    peek = np.abs(twin.q_grid - 1.1) < 0.03
    seen = {s: twin.pattern(10.0, s, 0.01)[peek].mean() for s in (40.0, 70.0, 82.5)}
    chord = {s: 2 * (math.sqrt(80**2 - s**2) - math.sqrt(max(60**2 - s**2, 0))) for s in (40, 70)}
    assert seen[82.5] == 0
    assert seen[70.0] / seen[40.0] == pytest.approx(chord[70] / chord[40], rel=5e-3)
    foil = twin_at(0.2, field_um=41.0, air=0.0, peek=0.0, **around)
    line = np.abs(foil.q_grid - 2 * math.pi * math.sqrt(3) / 4.0496) < 0.01
    assert foil.pattern(90.0, 45.0, 0.01)[line].max() == pytest.approx(3.0 * 30 / 4, rel=0.01)
    assert foil.pattern(90.0, 52.0, 0.01)[line].max() == 0


def test_settings_that_make_no_sample_are_refused():
    for changes, said in (
        ({"cycles": 400}, "cycles is 0 to 300"),
        ({"rock_salt": 0.5, "li2mno3": 0.5}, "together below 0.9"),
        ({"holder_um": (5.0, 3.0)}, "radii 5.0 to 3.0 um"),
        ({"foil_um": (1.0, 2.0)}, "foil_um is empty or"),
        ({"beam_um": 0.0}, "beam_um"),
        ({"flux_per_s": -1.0}, "flux_per_s"),
    ):
        with pytest.raises(ValueError, match=said):
            TwinConfig(**changes)

import dataclasses

import numpy as np
import pytest
from operando.live_views.model import RunModel
from operando.live_views.quantities import QUANTITIES, map_of, quantities_of, unit_text


def scan_of(synthetic, share=0.5, **changes):
    model = RunModel()
    for result in synthetic.results(1, share, 1):
        model.take(dataclasses.replace(result, **changes))
    return model.scan()


def test_a_map_reaches_half_a_step_beyond_its_outer_voxels(small):
    shown = map_of(scan_of(small), QUANTITIES[0])
    assert shown.extent == pytest.approx((-7.5, -7.5, 15.0, 15.0))
    assert shown.axes == ("x (µm)", "y (µm)")
    assert shown.label == "Lattice parameter a (Å)"


def test_where_no_fit_was_tried_the_map_has_no_answer_yet(small):
    scan = scan_of(small)
    shown = map_of(scan, QUANTITIES[0])
    tried = np.isfinite(scan.result("fit_status").values)
    assert 0 < tried.sum() < tried.size
    np.testing.assert_array_equal(shown.answered, tried)


def test_one_whole_projection_has_passed_every_voxel(small):
    shown = map_of(scan_of(small, attrs={"projections": 1}), QUANTITIES[0])
    assert shown.answered.all()
    assert not map_of(scan_of(small, attrs={"projections": 0}), QUANTITIES[0]).answered.all()


def test_only_a_map_of_lengths_has_an_aspect_and_a_scale_bar(small):
    model = RunModel()
    take = next(r for r in small.results(1, 1.0, 1) if r.name == "sinogram")
    model.take(dataclasses.replace(take, consumer="intensity", name="total_counts"))
    other = quantities_of(model.scans())[-1]
    assert not map_of(model.scan(), other).spatial
    assert map_of(scan_of(small), QUANTITIES[0]).spatial


def test_the_uncertainty_is_a_map_of_its_own(small):
    scan = scan_of(small)
    shown = map_of(scan, QUANTITIES[1])
    expected = scan.result("lattice_parameter").uncertainty
    np.testing.assert_allclose(shown.values, expected)
    assert shown.unit == "Å"


def test_coordinates_that_do_not_fit_are_replaced_by_counts(small):
    scan = scan_of(small, coords={"x": np.arange(3.0)}, units={})
    shown = map_of(scan, QUANTITIES[0])
    assert shown.extent == (-0.5, -0.5, 15.0, 15.0)
    assert shown.axes == ("x", "y")


def test_any_other_map_can_be_chosen_but_a_sinogram_is_no_map(small):
    model = RunModel()
    base = next(r for r in small.results(1, 1.0, 1) if r.name == "peak_width")
    for name in ("total_counts", "sinogram", "peak_width"):
        model.take(dataclasses.replace(base, name=name))
    offered = [q.result for q in quantities_of(model.scans())]
    assert offered.count("total_counts") == 1
    assert "sinogram" not in offered
    assert offered[: len(QUANTITIES)] == [q.result for q in QUANTITIES]


def test_units_are_written_as_people_write_them():
    assert [unit_text(u) for u in ("um", "deg", "1/Å", "Å")] == ["µm", "°", "Å⁻¹", "Å"]

import dataclasses
import json

import numpy as np
import pytest
from operando.live_views.frame_panel import ring_points
from operando.live_views.model import RunModel
from operando.live_views.rings import geometry_of, ring, rings
from scipy.ndimage import map_coordinates

SHAPE, PIXEL = (256, 514), (75e-6, 172e-6)


def poni(rot1=0.0, rot2=0.0, rot3=0.0, distance=0.2, orientation=3, wavelength=2.4797e-11):
    config = {"pixel1": PIXEL[0], "pixel2": PIXEL[1], "orientation": orientation,
              "max_shape": list(SHAPE)}  # fmt: skip
    lines = {
        "poni_version": 2.1, "Detector": "Detector", "Detector_config": json.dumps(config),
        "Distance": distance, "Poni1": 0.011, "Poni2": 0.02, "Rot1": rot1, "Rot2": rot2,
        "Rot3": rot3, "Wavelength": wavelength,
    }  # fmt: skip
    return "".join(f"{k}: {v}\n" for k, v in lines.items())


def start_with(small, text, **changes):
    start = small.start(1)
    detector = dataclasses.replace(start.detector, shape=SHAPE, pixel_m=PIXEL, mask=None)
    return dataclasses.replace(start, poni=text, detector=detector, **changes)


@pytest.mark.parametrize(
    "turned",
    [
        {},
        {"rot1": 0.004},
        {"rot1": 0.3, "rot2": -0.2, "rot3": 0.5},
        {"rot1": -0.9, "rot2": 0.4, "rot3": -2.0, "distance": 0.05},
        *({"rot1": 0.1, "rot2": 0.05, "orientation": n} for n in (1, 2, 4)),
    ],
)
def test_a_ring_lies_where_pyfai_sees_its_q_however_the_detector_is_tilted(small, tmp_path, turned):
    pytest.importorskip("pyFAI")
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    path = tmp_path / "detector.poni"
    path.write_text(poni(**turned))
    integrator = AzimuthalIntegrator()
    integrator.load(str(path))
    seen = integrator.array_from_unit(SHAPE, "center", "q_A^-1", scale=True)
    geometry = geometry_of(start_with(small, path.read_text()))
    drawn = 0
    for q in np.quantile(seen, (0.1, 0.5, 0.9)):
        points = ring(geometry, float(q))
        rows, cols = points[np.isfinite(points[:, 0])].T - 0.5
        within = (rows > 0) & (rows < SHAPE[0] - 1) & (cols > 0) & (cols < SHAPE[1] - 1)
        at_ring = map_coordinates(seen, [rows[within], cols[within]], order=1)
        np.testing.assert_allclose(at_ring, q, rtol=1e-3)
        drawn += int(within.sum())
    assert drawn > 60


def test_a_ring_that_misses_the_detector_is_not_drawn(small):
    geometry = geometry_of(start_with(small, poni()))
    assert np.isnan(ring(geometry, 30.0)).all()
    assert np.isnan(ring(geometry, 1e4)).all()
    points = ring(geometry, 2.0)
    rows = points[np.isfinite(points[:, 0])][:, 0]
    assert rows.min() > -0.11 * SHAPE[0]
    assert rows.max() < 1.11 * SHAPE[0]


def test_rings_follow_one_another_with_gaps_and_skip_what_is_no_number(small):
    geometry = geometry_of(start_with(small, poni()))
    both = rings(geometry, np.array([1.5, np.nan, 2.0]))
    assert len(both) == 2 * (len(ring(geometry, 1.5)) + 1)
    assert rings(geometry, np.array([])).shape == (0, 2)


@pytest.mark.parametrize(
    "text", ["", "no geometry", "Distance: 0.4\n", "Distance: nan\nPoni1: 0\nPoni2: 0\n"]
)
def test_a_scan_without_a_complete_geometry_has_no_rings(small, text):
    assert geometry_of(start_with(small, text)) is None


def test_without_a_wavelength_the_energy_of_the_scan_counts(small):
    text = "".join(x + "\n" for x in poni().splitlines() if not x.startswith("Wave"))
    assert geometry_of(start_with(small, text)).wavelength == pytest.approx(0.24797, rel=1e-4)
    assert geometry_of(start_with(small, text, energy_ev=float("nan"))) is None


def test_a_scan_without_a_fit_has_the_rings_of_the_pause_before(synthetic):
    model = RunModel()
    model.take(synthetic.start(1))
    assert ring_points(model, model.scan(1)) is None
    for message in synthetic.results(1, 1.0, 1, final=True):
        model.take(message)
    model.take(synthetic.start(2))
    np.testing.assert_array_equal(
        ring_points(model, model.scan(2)), ring_points(model, model.scan(1))
    )
    for message in synthetic.results(2, 0.2, 1):
        model.take(message)
    one, two = (ring_points(model, model.scan(n)) for n in (1, 2))
    assert not np.array_equal(one, two, equal_nan=True)

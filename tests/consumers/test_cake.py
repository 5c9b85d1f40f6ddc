"""Cakes: means over azimuth and radius."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.cake import CakeIntegrator, cake_table
from operando.consumers.contract import FrameError, ScanNotForThis
from operando.consumers.geometry import Binning, ring_table
from operando.consumers.integration import MEAN, PIXELS, Integrator
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

PONI = "Distance: 0.1\nPoni1: 0.01285\nPoni2: 0.01593\nWavelength: 2.5e-11\n"
BINNING = Binning("q", 0.4, 3.0, 50)


def image() -> np.ndarray:
    """Counts that change with azimuth, and some saturated pixels."""
    rows, cols = np.mgrid[0:128, 0:160]
    chi = np.arctan2((rows + 0.5) * 2e-4 - 0.01285, (cols + 0.5) * 2e-4 - 0.01593)
    counts = np.random.default_rng(1).poisson(40 + 30 * np.cos(2 * chi))
    counts[::17, ::13] = 65535
    return counts.astype(np.uint16)


@pytest.mark.parametrize("sectors", [1, 8, 36])
def test_cells_hold_the_mean_of_their_pixels(make_start, sectors: int) -> None:
    mask = np.zeros((128, 160), bool)
    mask[50:60] = True
    start = make_start(poni=PONI, mask=mask)
    table = cake_table(start, BINNING, sectors, 0.9)
    cake = CakeIntegrator(start, table)(0, image())
    rings = ring_table(start, BINNING, 0.9)
    rows, cols = np.mgrid[0:128, 0:160]
    chi = np.arctan2((rows + 0.5) * 2e-4 - 0.01285, (cols + 0.5) * 2e-4 - 0.01593).ravel()
    sector = np.floor((chi + np.pi) / (2 * np.pi / sectors)).astype(int)
    counts = image().ravel().astype(float)
    use = (rings.ring < 50) & (counts < 60_000)
    cell = (sector * 50 + rings.ring.astype(int))[use]
    total = np.bincount(cell, counts[use], sectors * 50)
    seen = np.bincount(cell, (rings.width * 2.0**-22)[use], sectors * 50)
    with np.errstate(invalid="ignore"):
        expected = (total / seen).reshape(sectors, 50)
    # a pixel whose centre lies on the border of two sectors may belong to either
    same = cake.pixels == np.bincount(cell, minlength=sectors * 50).reshape(sectors, 50)
    assert same.mean() > 0.97
    np.testing.assert_allclose(cake.mean[same], expected[same], rtol=1e-6)


def test_the_whole_circle_is_the_pattern(make_start) -> None:
    start = make_start(poni=PONI)
    cake = CakeIntegrator(start, cake_table(start, BINNING, 12, 0.9))(0, image())
    pattern = Integrator(start, ring_table(start, BINNING, 0.9), 0.0)(0, image())
    np.testing.assert_array_equal(cake.pixels.sum(axis=0), pattern[PIXELS])
    one = CakeIntegrator(start, cake_table(start, BINNING, 1, 0.9))(0, image())
    np.testing.assert_array_equal(one.mean[0], pattern[MEAN])


def test_cakes_are_pyfais(make_start) -> None:
    start = make_start(poni=PONI)
    pixels = np.random.default_rng(2).poisson(50, (128, 160)).astype(np.uint16)
    table = cake_table(start, BINNING, 9, 0.9)
    ours = CakeIntegrator(start, table)(0, pixels)
    integrator = AzimuthalIntegrator(
        0.1, 0.01285, 0.01593, detector=Detector(2e-4, 2e-4, max_shape=pixels.shape),
        wavelength=2.5e-11,
    )  # fmt: skip
    theirs = integrator.integrate2d_ng(
        pixels, 50, 9, radial_range=(0.4, 3.0), azimuth_range=(-180, 180), unit="q_A^-1",
        method=("no", "histogram", "cython"), polarization_factor=0.9, correctSolidAngle=True,
    )  # fmt: skip
    np.testing.assert_allclose(table.azimuths, theirs.azimuthal, atol=0.1)
    same = ours.pixels == theirs.count
    assert same.mean() > 0.97
    some = same & (ours.pixels > 0)
    np.testing.assert_allclose(ours.mean[some], theirs.intensity[some], rtol=1e-5)


def test_what_makes_no_cake_is_refused(make_start) -> None:
    with pytest.raises(ScanNotForThis, match="sectors"):
        cake_table(make_start(poni=PONI), BINNING, 2000, 0.9)
    with pytest.raises(ScanNotForThis, match="poni"):
        cake_table(make_start(poni=""), BINNING, 4, 0.9)
    start = make_start(poni=PONI)
    with pytest.raises(FrameError, match="frame 3"):
        CakeIntegrator(start, cake_table(start, BINNING, 4, 0.9))(3, np.zeros((4, 4), np.uint16))

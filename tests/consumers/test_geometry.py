"""From a .poni to ring tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.contract import ScanNotForThis
from operando.consumers.geometry import (
    Binning,
    read_poni,
    ring_table,
    saturation_of,
    split_table,
)
from operando.consumers.kernels.azimuthal import WIDTH_UNIT
from operando.stream.messages import Detector

SIMPLE = "Distance: 0.1\nPoni1: 0.0128\nPoni2: 0.002\nRot1: 0\nRot2: 0\nRot3: 0\n"


def test_the_last_of_several_calibrations_applies() -> None:
    poni = read_poni("# first\nDistance: 1.0\nPoni1: 0.1\nPoni2: 0.2\n" + SIMPLE)
    assert (poni.distance, poni.poni1, poni.poni2) == (0.1, 0.0128, 0.002)
    assert math.isnan(poni.wavelength_m)


def test_a_poni_without_distance_is_refused() -> None:
    with pytest.raises(ScanNotForThis, match="distance"):
        read_poni("Poni1: 0.1\nPoni2: 0.2\n")
    with pytest.raises(ScanNotForThis):
        read_poni("Distance: far\nPoni1: 0.1\nPoni2: 0.2\n")


def test_rings_stand_where_the_formula_of_a_flat_detector_puts_them(make_start) -> None:
    start = make_start(poni=SIMPLE + "Wavelength: 2.5e-11\n")
    table = ring_table(start, Binning("q", 0.5, 5.0, 90), 0.9)
    rows, cols = np.mgrid[0:128, 0:160]
    y, x = (rows + 0.5) * 2e-4 - 0.0128, (cols + 0.5) * 2e-4 - 0.002
    two_theta = np.arctan2(np.hypot(y, x), 0.1)
    q = 4 * np.pi / 0.25 * np.sin(two_theta / 2)
    expected = np.floor((q - 0.5) / 0.05).astype(int)
    expected[(expected < 0) | (expected >= 90)] = 90
    assert np.mean(table.ring == expected.ravel()) > 0.9999
    # solid angle of a flat pixel, and the polarisation of a mostly horizontal beam
    chi = np.arctan2(y, x)
    polarised = 0.5 * (1 + np.cos(two_theta) ** 2 - 0.9 * np.cos(2 * chi) * np.sin(two_theta) ** 2)
    np.testing.assert_allclose(
        table.width * WIDTH_UNIT, (np.cos(two_theta) ** 3 * polarised).ravel(), rtol=1e-5
    )
    np.testing.assert_allclose(table.centres, 0.5 + 0.05 * (np.arange(90) + 0.5), atol=0.025)


def test_masked_pixels_belong_to_no_ring(make_start) -> None:
    mask = np.zeros((128, 160), bool)
    mask[40:60] = True
    table = ring_table(make_start(mask=mask), Binning("q", 0.5, 5.0, 90), 0.9)
    assert (table.ring.reshape(128, 160)[40:60] == 90).all()
    assert (table.ring.reshape(128, 160)[70] < 90).any()


def test_shared_pixels_reach_as_far_as_their_corners(make_start) -> None:
    start = make_start(poni=SIMPLE + "Wavelength: 2.5e-11\n")
    for axis, low, high in (("q", 0.5, 5.0), ("two_theta", 1.0, 12.0)):
        shares = split_table(start, Binning(axis, low, high, 100), 0.0).shares
        half = 0.5 * (shares.upper - shares.lower).reshape(128, 160) * (high - low) / 100
        # far out and in the plane of the beam a pixel reaches half its size along the radius
        radius = 150.5 * 2e-4 - 0.002
        two_theta = math.atan2(radius, 0.1)
        reach = math.cos(two_theta) ** 2 * 1e-4 / 0.1
        scale = 4 * math.pi / 0.25 * math.cos(two_theta / 2) / 2 if axis == "q" else 180 / math.pi
        assert half[64, 150] == pytest.approx(reach * scale, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "binning", "word"),
    [
        ({"poni": ""}, Binning("q", 1, 4, 100), "no .poni"),
        ({"poni": SIMPLE}, Binning("q", 1, 4, 100), "wavelength"),
        ({}, Binning("angle", 1, 4, 100), "angle"),
        ({}, Binning("q", 4, 1, 100), "no pattern"),
        ({}, Binning("q", 40, 50, 100), "no open pixel"),
        ({"mask": np.ones((128, 160), bool)}, Binning("q", 1, 4, 100), "no open pixel"),
        ({"poni": SIMPLE + "PixelSize1: 1e-4\nPixelSize2: 1e-4\nWavelength: 2.5e-11"},
         Binning("q", 1, 4, 100), "pixels"),
    ],
)  # fmt: skip
def test_a_scan_that_cannot_be_integrated_is_refused_in_one_line(
    make_start, changes, binning, word
) -> None:
    with pytest.raises(ScanNotForThis, match=word) as caught:
        ring_table(make_start(**changes), binning, 0.99)
    assert "\n" not in str(caught.value)


def test_saturation_never_exceeds_the_pixel_type() -> None:
    def detector(saturation: int) -> Detector:
        return Detector("d", (2, 2), "uint16", (1e-4, 1e-4), saturation)

    assert saturation_of(detector(60_000)) == 60_000
    assert saturation_of(detector(2**32)) == 65_535
    assert saturation_of(detector(0)) == 65_535

"""Measured Fe3O4 frames: our patterns are those of the reference integration."""

from __future__ import annotations

import logging
import math
import re

import numpy as np
import pytest
from measured import DATA
from operando.consumers.powder import Powder, PowderConfig
from operando.stream.messages import Detector, ScanStart, Trajectory

FOLDER = DATA / "frames" / "Fe3O4C_map"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"{FOLDER} is not there")


def poni_of(header: str) -> str:
    """The reference's own header as .poni text."""
    number = r"(-?[\d.]+(?:e-?\d+)?)"

    def values(pattern: str) -> tuple[str, ...]:
        found = re.search(pattern, header)
        assert found is not None, pattern
        return found.groups()

    (distance,) = values(rf"Distance Sample to Detector: {number} m")
    poni1, poni2 = values(rf"PONI: {number}, {number} m")
    rot1, rot2, rot3 = values(rf"Rotations: {number} {number} {number} rad")
    (wavelength,) = values(rf"Wavelength: {number}")
    return (
        f"Distance: {distance}\nPoni1: {poni1}\nPoni2: {poni2}\nRot1: {rot1}\nRot2: {rot2}\n"
        f"Rot3: {rot3}\nWavelength: {wavelength}\n"
    )


@pytest.mark.parametrize("number", [1, 2, 6, 7])
def test_patterns_match_the_reference(number: int) -> None:
    import fabio

    logging.getLogger("fabio").setLevel(logging.ERROR)  # a vendor tag it finds too short
    stem = FOLDER / f"Fe3O4C_M1_map_{number}_P1_E1_001"
    header = stem.with_suffix(".xy").read_text()
    reference = np.loadtxt(stem.with_suffix(".xy"))
    step = reference[-1, 0] / (len(reference) - 0.5)
    # stored upside down for this geometry; the reference took gaps (-1, -2) as they stand
    image = np.maximum(fabio.open(str(stem) + ".tif.gz").data[::-1], 0).astype(np.uint32)
    detector = Detector("Pilatus 1M", image.shape, "uint32", (172e-6, 172e-6), 2**32 - 1)
    start = ScanStart(
        "run", "scan", 1, "frames", 1, detector, Trajectory((), ()), poni_of(header), math.nan,
        math.nan, None, 0.0,
    )  # fmt: skip
    # its bins are half as wide as a pixel: pixels have to be shared
    config = PowderConfig(
        "two_theta", 0.0, step * len(reference), len(reference), polarisation=0.99, split=True
    )
    consumer = Powder(config, start)
    consumer.absorb(0, consumer.reduce(0, image))
    pattern = next(iter(consumer.results()))
    np.testing.assert_allclose(pattern.coords["two_theta"], reference[:, 0], atol=1e-4)
    both = np.isfinite(pattern.values) & (reference[:, 1] > 0)
    assert both.sum() > 1500
    ours, theirs = pattern.values[both], reference[both, 1]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9999
    assert np.median(np.abs(ours / theirs - 1)) < 1e-3

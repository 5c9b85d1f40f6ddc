"""Pixels shared out over rings: against the definition in float64, and pyFAI's bounding box."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.geometry import Binning, split_table
from operando.consumers.integration import SplittingIntegrator
from operando.consumers.kernels.splitting import share_out, split_patterns
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

PIXELS = 5003


def reference(
    counts: np.ndarray, lower: np.ndarray, upper: np.ndarray, width: np.ndarray,
    hidden: np.ndarray, rings: int,
) -> np.ndarray:  # fmt: skip
    """Overlap of every pixel with every ring, written out."""
    edges = np.arange(rings + 1.0)
    lower, upper = lower.astype(np.float32), upper.astype(np.float32)
    share = np.minimum(upper[:, None].astype(float), edges[None, 1:])
    share = share - np.maximum(lower[:, None].astype(float), edges[None, :-1])
    share = np.clip(share, 0.0, None) / (upper.astype(float) - lower)[:, None]
    share[hidden] = 0.0
    total = share.T @ width.astype(np.float32).astype(float)
    out = np.full((5, rings), np.nan)
    out[4] = share.sum(axis=0)
    some = out[4] > 0
    out[0, some] = (share.T @ counts)[some] / total[some]
    out[2, some] = np.sqrt(np.maximum((share**2).T @ counts, 1.0))[some] / total[some]
    return out


@pytest.mark.parametrize("rings", [5, 40, 200, 900])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("mean", [0.1, 9.0, 90.0])
def test_rings_hold_what_overlaps_them(rings: int, dtype: str, mean: float) -> None:
    random = np.random.default_rng(rings)
    middle = random.uniform(-0.1, 1.1, PIXELS) * rings
    half = random.uniform(0.001, 0.01, PIXELS) * rings
    width = random.uniform(0.9, 1.0, PIXELS)
    hidden = random.random(PIXELS) < 0.1
    counts = random.poisson(mean, PIXELS).astype(dtype)
    counts[hidden] = np.iinfo(dtype).max
    saturated = random.random(PIXELS) < 0.02
    counts[saturated] = np.iinfo(dtype).max
    table = share_out(middle - half, middle + half, width, hidden, rings)
    assert table.few == (rings <= 40)
    out = np.empty((5, rings), np.float32)
    split_patterns(counts, np.uint64(np.iinfo(dtype).max), table, out)
    off = hidden | saturated
    known = np.where(off, 0, counts).astype(float)
    expected = reference(known, middle - half, middle + half, width, off, rings)
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("bins", [60, 400, 3000])
def test_patterns_are_pyfais(make_start, bins: int) -> None:
    start = make_start(poni="Distance: 0.1\nPoni1: 0.0128\nPoni2: 0.002\nWavelength: 2.5e-11\n")
    binning = Binning("q", 0.8, 4.0, bins)
    image = np.random.default_rng(1).poisson(30, (128, 160)).astype(np.uint16)
    ours = SplittingIntegrator(start, split_table(start, binning, 0.9))(0, image)
    integrator = AzimuthalIntegrator(
        0.1, 0.0128, 0.002, detector=Detector(2e-4, 2e-4, max_shape=image.shape),
        wavelength=2.5e-11,
    )  # fmt: skip
    theirs = integrator.integrate1d_ng(
        image, bins, radial_range=(0.8, 4.0), unit="q_A^-1", polarization_factor=0.9,
        method=("bbox", "csr", "cython"), correctSolidAngle=True, error_model="poisson",
    )  # fmt: skip
    # not the first and the last: pixels that reach beyond the range are taken differently there
    filled = (ours[4] > 0.01) & (np.arange(bins) > 0) & (np.arange(bins) < bins - 1)
    away = np.abs(ours[0] / theirs.intensity - 1)[filled]
    assert np.median(away) < 1e-5
    # pyFAI holds a pixel's ends in float32 of q: some fall on the other side of a bin's edge
    assert np.quantile(away, 0.99) < 2e-3


def test_a_pixel_of_no_extent_counts_once() -> None:
    place = np.array([2.5, 2.5, 7.0])
    table = share_out(place, place, np.ones(3), np.zeros(3, bool), 10)
    out = np.empty((5, 10), np.float32)
    split_patterns(np.array([4, 6, 8], np.uint16), np.uint64(100), table, out)
    assert out[0, 2] == pytest.approx(5.0)
    assert out[4, 2] == pytest.approx(2.0)
    assert out[0, 7] == pytest.approx(8.0)
    assert np.isnan(out[0, 4])

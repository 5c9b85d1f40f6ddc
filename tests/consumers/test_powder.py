"""Powder patterns of plain frames."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.contract import ScanNotForThis
from operando.consumers.integration import ESTIMATORS
from operando.consumers.powder import Powder, PowderConfig

RINGS_Q = (1.5, 2.2, 3.1)
PONI = "Distance: 0.1\nPoni1: 0.0128\nPoni2: 0.002\nWavelength: 2.5e-11\n"


def ring_image(seed: int) -> np.ndarray:
    """Gaussian rings on a flat detector, by the formula of a flat detector."""
    rows, cols = np.mgrid[0:128, 0:160]
    y, x = (rows + 0.5) * 2e-4 - 0.0128, (cols + 0.5) * 2e-4 - 0.002
    two_theta = np.arctan2(np.hypot(y, x), 0.1)
    q = 4 * np.pi / 0.25 * np.sin(two_theta / 2)
    mean = 20 + sum(300 * np.exp(-4 * np.log(2) * ((q - r) / 0.08) ** 2) for r in RINGS_Q)
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


def consume(make_start, **settings):
    config = PowderConfig(
        low=0.8, high=4.0, bins=200, peak_window=0.2, polarisation=0.0, **settings
    )
    start = make_start(poni=PONI, frames=3)
    consumer = Powder(config, start)
    for i in (2, 0, 1, 1):
        consumer.absorb(i, consumer.reduce(i, ring_image(i)))
    return {result.name: result for result in consumer.results(final=True)}


@pytest.mark.parametrize("settings", [{}, *({"estimator": e} for e in ESTIMATORS), {"split": True}])
def test_rings_are_found_where_the_simulation_put_them(make_start, settings) -> None:
    results = consume(make_start, **settings)
    peaks = results["peaks"]
    strong = peaks.coords["height"] > 100
    np.testing.assert_allclose(peaks.values[strong], RINGS_Q, atol=3e-3)
    assert results["patterns"].values.shape == (3, 200)
    np.testing.assert_allclose(
        results["pattern"].values, results["patterns"].values.mean(axis=0), rtol=1e-5
    )
    assert results["pattern"].units == {"q": "1/Å"}


def test_shared_and_whole_pixels_agree_in_the_sum(make_start) -> None:
    whole, shared = consume(make_start)["pattern"], consume(make_start, split=True)["pattern"]
    difference = np.abs(whole.values - shared.values)
    assert np.nanmedian(difference / shared.values) < 0.05
    assert np.nansum(whole.values) == pytest.approx(np.nansum(shared.values), rel=0.01)


def test_two_theta_is_an_axis_as_well(make_start) -> None:
    config = PowderConfig(axis="two_theta", low=2.0, high=10.0, bins=100)
    consumer = Powder(config, make_start(poni=PONI))
    consumer.absorb(0, consumer.reduce(0, ring_image(0)))
    pattern = next(iter(consumer.results()))
    assert pattern.dims == ("two_theta",)
    assert pattern.units == {"two_theta": "deg"}


def test_what_cannot_be_integrated_is_refused(make_start) -> None:
    with pytest.raises(ScanNotForThis, match="poni"):
        Powder(PowderConfig(), make_start(poni=""))
    with pytest.raises(ValueError, match="split"):
        PowderConfig(split=True, estimator="trimmed")
    with pytest.raises(ValueError, match="estimator"):
        PowderConfig(estimator="median")


@pytest.mark.parametrize(
    ("estimator", "counts", "warned"),
    [("trimmed", 1.0, True), ("trimmed_fast", 1.0, True), ("trimmed", 20.0, False),
     ("clipped", 1.0, False), ("mean", 1.0, False)],
)  # fmt: skip
def test_who_trims_few_counts_is_warned_once(
    make_start, caplog, estimator: str, counts: float, warned: bool
) -> None:
    start = make_start(poni=PONI, frames=2)
    consumer = Powder(PowderConfig(bins=50, estimator=estimator), start)
    random = np.random.default_rng(1)
    for i in range(2):
        pixels = random.poisson(counts, (128, 160)).astype(np.uint16)
        consumer.absorb(i, consumer.reduce(i, pixels))
        attrs = next(iter(consumer.results())).attrs
        assert attrs["estimator"] == estimator
        assert attrs["counts_per_pixel"] == pytest.approx(counts, rel=0.3)
        assert ("warning" in attrs) == warned
    messages = [record.getMessage() for record in caplog.records]
    assert len([m for m in messages if "biased" in m and start.scan in m]) == int(warned)

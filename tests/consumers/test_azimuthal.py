"""Rings of a frame: mean, trimmed mean, sigma, against float64 references and pyFAI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.consumers.kernels.azimuthal import WIDTH_UNIT, mean_patterns
from operando.consumers.kernels.cells import ring_pixels
from operando.consumers.kernels.trimmed import scratch_for, trimmed_patterns

RINGS = 12


def setting(seed: int, pixels: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Ring and width of each pixel; the last ring number stands for masked ones."""
    random = np.random.default_rng(seed)
    ring = random.integers(0, RINGS + 1, pixels).astype(np.uint16)
    width = np.round(random.uniform(0.9, 1.0, pixels) / WIDTH_UNIT).astype(np.uint32)
    return ring, width


def integrate(
    counts: np.ndarray,
    ring: np.ndarray,
    width: np.ndarray,
    trim: float = 0.1,
    limit: int = 60_000,
    exact: bool = True,
    least: float = 0.0,
) -> np.ndarray:
    pixels = ring_pixels(ring, width * WIDTH_UNIT, RINGS)
    out = np.empty((5, RINGS), np.float32)
    scratch = scratch_for(pixels)
    trimmed_patterns(counts, np.uint64(limit), pixels, trim, exact, scratch, out, least)
    return out


def integrate_plainly(
    counts: np.ndarray, ring: np.ndarray, width: np.ndarray, limit: int = 60_000
) -> np.ndarray:
    out = np.empty((5, RINGS), np.float32)
    mean_patterns(
        counts, np.uint64(limit), ring, ring_pixels(ring, width * WIDTH_UNIT, RINGS).open, width,
        np.bincount(ring, width, RINGS + 1)[:RINGS].astype(np.int64),
        np.bincount(ring, minlength=RINGS + 1)[:RINGS], np.empty((3, RINGS + 1), np.int64), out,
    )  # fmt: skip
    return out


def reference(
    counts: np.ndarray,
    ring: np.ndarray,
    width: np.ndarray,
    trim: float = 0.1,
    limit: int = 60_000,
    least: float = 0.0,
) -> np.ndarray:
    """The definition, in float64: sort by corrected intensity, cut the widths off both ends."""
    out = np.full((2, RINGS), np.nan)
    for b in range(RINGS):
        chosen = (ring == b) & (counts < limit)
        if not chosen.any():
            continue
        v, n = counts[chosen].astype(np.float64), width[chosen] * WIDTH_UNIT
        out[0, b] = v.sum() / n.sum()
        order = np.argsort(v / n)
        v, n = v[order], n[order]
        edges = np.concatenate([[0.0], np.cumsum(n)])
        widest = width[ring == b].max() * WIDTH_UNIT
        low = max(0.5 * trim * edges[-1], min(least * widest, edges[-1] / 3)) if trim > 0 else 0.0
        high = edges[-1] - low
        kept = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
        out[1, b] = np.sum(kept * v / n) / kept.sum()
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0, 9.0, 120.0])
@pytest.mark.parametrize("trim", [0.0, 0.1, 0.5])
def test_rings_agree_with_the_definition_to_a_millionth(
    dtype: str, mean: float, trim: float
) -> None:
    ring, width = setting(1)
    counts = np.random.default_rng(2).poisson(mean, ring.size).astype(dtype)
    limit = int(np.iinfo(dtype).max)
    out = integrate(counts, ring, width, trim, limit)
    np.testing.assert_allclose(out[:2], reference(counts, ring, width, trim, limit), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("limit", [12, 255, 1_000_000])
def test_plain_mean_is_the_trimmed_one_with_nothing_cut_off(dtype: str, limit: int) -> None:
    ring, width = setting(15, 9001)
    counts = np.random.default_rng(16).poisson(9, ring.size).astype(dtype)
    counts[::50] = np.iinfo(dtype).max
    limit = min(limit, int(np.iinfo(dtype).max))
    expected = integrate(counts, ring, width, 0.0, limit)
    np.testing.assert_allclose(integrate_plainly(counts, ring, width, limit), expected, rtol=3e-7)
    np.testing.assert_allclose(
        expected[0], reference(counts, ring, width, 0.0, limit)[0], rtol=1e-6
    )


def deviations(seed: int, mean: float, spread: float) -> np.ndarray:
    """Fast minus exact in standard errors, 2000 pixels a ring."""
    random = np.random.default_rng(seed)
    ring = np.repeat(np.arange(RINGS), 2000).astype(np.uint16)
    # polarisation goes with the square of a cosine around a ring
    seen = 1.0 - spread * np.cos(random.uniform(0, 2 * np.pi, ring.size)) ** 2
    width = np.round(seen / WIDTH_UNIT).astype(np.uint32)
    counts = random.poisson(mean * seen).astype(np.uint32)
    fast = integrate(counts, ring, width, limit=1_000_000, exact=False)
    exact = integrate(counts, ring, width, limit=1_000_000)
    np.testing.assert_array_equal(fast[[0, 2, 4]], exact[[0, 2, 4]])
    return (fast[1] - exact[1]) / exact[3]


@pytest.mark.parametrize("mean", [0.05, 0.1, 0.5, 1.0, 3.0, 9.0, 25.0, 40.0, 120.0, 400.0, 3000.0])
def test_the_fast_variant_is_within_a_twentieth_of_a_standard_error(mean: float) -> None:
    away = np.concatenate([deviations(seed, mean, 0.034) for seed in range(20)])
    assert np.abs(away).max() < 0.05


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 70_000), min_size=1, max_size=300),
    st.floats(0.0, 0.95),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.integers(0, 2**32 - 1),
)
def test_any_counts_agree_with_the_definition(
    values: list[int], trim: float, least: float, seed: int
) -> None:
    ring, width = setting(seed, len(values))
    counts = np.array(values, np.uint32)
    out = integrate(counts, ring, width, trim, least=least)
    expected = reference(counts, ring, width, trim, least=least)
    np.testing.assert_allclose(out[0], expected[0], rtol=2e-6)
    np.testing.assert_allclose(out[1], expected[1], rtol=2e-6, atol=1e-6)


def test_the_order_of_pixels_changes_nothing() -> None:
    ring, width = setting(3)
    counts = np.random.default_rng(4).poisson(5, ring.size).astype(np.uint16)
    order = np.random.default_rng(5).permutation(ring.size)
    first = integrate(counts, ring, width)
    second = integrate(counts[order], ring[order], width[order])
    np.testing.assert_allclose(first, second, rtol=1e-6)
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("mean", [0.05, 9.0, 30.0, 400.0])
@pytest.mark.parametrize("garbage", [0, 5, 500, 2**32 - 1])
def test_what_masked_pixels_hold_changes_nothing(mean: float, garbage: int) -> None:
    ring, width = setting(18, 6421)  # whole lanes of sixty-four, and a rest
    ring[640:960] = np.where(np.arange(320) % 64 < 60, ring[640:960], RINGS)
    counts = np.random.default_rng(19).poisson(mean, ring.size).astype(np.uint32)
    filled = np.where(ring == RINGS, np.uint32(garbage), counts).astype(np.uint32)
    for exact in (True, False):
        found = integrate(filled, ring, width, exact=exact)
        np.testing.assert_array_equal(found, integrate(counts, ring, width, exact=exact))


def test_buffers_leave_no_trace_in_the_next_frame() -> None:
    ring, width = setting(6)
    random = np.random.default_rng(7)
    frames = [random.poisson(mean, ring.size).astype(np.uint16) for mean in (400, 0.1, 9)]
    pixels = ring_pixels(ring, width * WIDTH_UNIT, RINGS)
    scratch = scratch_for(pixels)
    for frame in frames:
        out = np.empty((5, RINGS), np.float32)
        trimmed_patterns(frame, np.uint64(60_000), pixels, 0.1, True, scratch, out)
        np.testing.assert_array_equal(out, integrate(frame, ring, width))


def test_saturated_pixels_are_left_out_and_counted() -> None:
    ring, width = setting(8)
    counts = np.full(ring.size, 7, np.uint16)
    hot = np.flatnonzero(ring == 3)[:5]
    counts[hot] = 65535
    out = integrate(counts, ring, width)
    assert out[4, 3] == np.sum(ring == 3) - 5
    assert out[0, 3] == pytest.approx(np.sum(ring == 3) * 7 / (width[ring == 3].sum() * WIDTH_UNIT)
                                      , rel=0.02)  # fmt: skip


def test_a_ring_without_pixels_is_nan_and_one_of_zeros_is_zero() -> None:
    ring, width = setting(9)
    counts = np.zeros(ring.size, np.uint16)
    counts[ring == 5] = 65535
    out = integrate(counts, ring, width)
    assert np.isnan(out[:4, 5]).all()
    assert out[4, 5] == 0
    others = np.arange(RINGS) != 5
    assert (out[:2, others] == 0).all()
    assert (out[2:4, others] > 0).all()


def test_spots_of_large_grains_do_not_move_the_trimmed_mean() -> None:
    ring, width = setting(10, 40_000)
    random = np.random.default_rng(11)
    counts = random.poisson(50, ring.size).astype(np.uint16)
    clean = integrate(counts, ring, width)
    counts[random.choice(ring.size, 400, replace=False)] = 30_000
    spotty = integrate(counts, ring, width)
    assert np.all(spotty[0] > 3 * clean[0])
    np.testing.assert_allclose(spotty[1], clean[1], rtol=0.01)


@pytest.mark.parametrize("pixels", [7, 19, 20, 200])
def test_one_cosmic_ray_does_not_move_a_ring_of_few_pixels(pixels: int) -> None:
    random = np.random.default_rng(19)
    ring = np.repeat(np.arange(RINGS), pixels).astype(np.uint16)
    width = np.round(random.uniform(0.7, 1.0, ring.size) / WIDTH_UNIT).astype(np.uint32)
    stated, scatter, hit = [], [], []
    for _ in range(300):
        counts = random.poisson(30 * width * WIDTH_UNIT).astype(np.uint16)
        clean = integrate(counts, ring, width, least=1.0)
        counts[random.integers(0, pixels, RINGS) + pixels * np.arange(RINGS)] = 50_000
        struck = integrate(counts, ring, width, least=1.0)
        scatter.append(clean[1])
        stated.append(clean[3])
        hit.append((struck[1] - clean[1]) / clean[3])
    assert np.mean(stated) / np.std(scatter, axis=0).mean() == pytest.approx(1, abs=0.12)
    assert np.abs(hit).max() < 4
    assert np.mean(hit) < 1.1


@pytest.mark.parametrize(("mean", "trim"), [(20, 0.1), (20, 0.3), (200, 0.1), (5, 0.1)])
def test_sigma_is_what_the_counts_scatter_by(mean: int, trim: float) -> None:
    ring, width = setting(12)
    random = np.random.default_rng(13)
    outs = np.array(
        [integrate(random.poisson(mean, ring.size).astype(np.uint16), ring, width, trim)
         for _ in range(300)]
    )  # fmt: skip
    scatter = outs[:, :2].std(axis=0, ddof=1).mean(axis=1)
    stated = outs[:, 2:4].mean(axis=(0, 2))
    np.testing.assert_allclose(stated / scatter, 1.0, atol=0.035)


def test_plain_mean_agrees_with_pyfai() -> None:
    from pyFAI.detectors import Detector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    shape = (200, 240)
    integrator = AzimuthalIntegrator(
        0.1, 0.01, 0.004, 0.02, -0.01, 0.0,
        detector=Detector(1e-4, 1e-4, max_shape=shape), wavelength=2.5e-11,
    )  # fmt: skip
    image = np.random.default_rng(14).poisson(30, shape).astype(np.uint32)
    theirs = integrator.integrate1d(
        image, RINGS, radial_range=(1.0, 4.0), unit="q_A^-1", polarization_factor=0.9,
        method=("no", "histogram", "cython"), correctSolidAngle=True,
    )  # fmt: skip
    q = integrator.center_array(shape, unit="q_A^-1").ravel()
    ring = np.floor((q - 1.0) * (RINGS / 3.0))
    ring = np.where((ring < 0) | (ring >= RINGS), RINGS, ring).astype(np.uint16)
    seen = integrator.solidAngleArray(shape) * integrator.polarization(shape, factor=0.9)
    width = np.round(seen.ravel() / WIDTH_UNIT).astype(np.uint32)
    ours = integrate(image.reshape(-1), ring, width)
    assert np.median(np.abs(ours[0] / theirs.intensity - 1)) < 1e-5
    # this engine's first bin holds more pixels than lie between its edges
    np.testing.assert_array_equal(ours[4, 1:], theirs.count[1:])
    assert ours[4, 0] == np.sum((q >= 1.0) & (q < 1.25))

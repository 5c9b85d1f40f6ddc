"""A measured CeO2 frame: rings stand at the certified d-spacings."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from measured import DATA
from operando.consumers.peaks import fit_peaks_at
from operando.consumers.powder import Powder, PowderConfig
from operando.stream.messages import Detector, ScanStart, Trajectory

FRAME = DATA / "frames" / "ndtomo_CeO2_pilatus2M_CdTe.cbf"
CEO2_A = 5.41165  # Å at 22.5 C, NIST SRM 674b certificate (2012)

pytestmark = pytest.mark.skipif(not FRAME.exists(), reason=f"{FRAME} is not there")


def certified_q(low: float, high: float) -> np.ndarray:
    """Reflections of a face-centred cell between low and high [1/Å]."""
    squares = {
        h * h + k * k + m * m
        for h, k, m in product(range(13), repeat=3)
        if h % 2 == k % 2 == m % 2 and h + k + m > 0
    }
    q = 2 * math.pi * np.sqrt(sorted(squares)) / CEO2_A
    return q[(q > low) & (q < high)]


@pytest.mark.parametrize("estimator", ["mean", "trimmed"])
def test_rings_stand_at_the_certified_d_spacings(estimator: str) -> None:
    import fabio

    image = fabio.open(str(FRAME)).data
    hidden = fabio.open(str(FRAME.parent / "ndtomo_mask_pilatus2M.edf.gz")).data != 0
    pixels = np.where(image < 0, 2**32 - 1, image).astype(np.uint32)
    detector = Detector(
        "Pilatus 2M", image.shape, "uint32", (172e-6, 172e-6), 2**32 - 1, hidden | (image < 0)
    )
    poni = FRAME.with_suffix(".poni").read_text()
    start = ScanStart(
        "run", "scan", 1, "frames", 1, detector, Trajectory((), ()), poni, math.nan, math.nan,
        None, 0.0,
    )  # fmt: skip
    consumer = Powder(PowderConfig(low=1.5, high=12.5, bins=2200, estimator=estimator), start)
    consumer.absorb(0, consumer.reduce(0, pixels))
    pattern = next(r for r in consumer.results(final=True) if r.name == "pattern")

    certified = certified_q(1.6, 12.4)
    peaks = fit_peaks_at(
        pattern.coords["q"], pattern.values.astype(float), pattern.uncertainty.astype(float),
        certified, 0.05,
    )  # fmt: skip
    assert certified.size == 38
    assert np.isfinite(peaks.centre).sum() >= 36
    # d_observed / d_certified - 1 = q_certified / q_observed - 1
    deviation = np.abs(certified / peaks.centre - 1) * 1e6
    print(f"{estimator}: median {np.nanmedian(deviation):.0f} ppm of {certified.size} rings")
    assert np.nanmedian(deviation) < 250

"""A scan of the paper's size, made as patterns: nothing waits for the volume, and the map is right.

351 translations at 350 angles in bit-reversed order, 720 bins; sixty grains, each with a lattice
parameter of its own. Times are printed, not judged: pytest -s shows them.
"""

from __future__ import annotations

import time

import numpy as np
import psutil
import pytest
from grains import ROTATIONS, TRANSLATIONS, Grains
from operando.consumers.kernels.fbp import GROUP
from operando.consumers.lattice_map import HAND
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.stream.messages import Focus

AXIS_UM = 3.3  # off the middle; the consumer has to find it
CONFIG = XrdctConfig(mixing=0.0, rotation_centre_um="track", volume=False)


@pytest.mark.slow
def test_at_the_papers_size_no_call_does_more_than_its_share(
    make_start, make_trajectory, discs
) -> None:
    grains, random = Grains(60), np.random.default_rng(12)
    start = make_start(make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed"), "xrdct")
    consumer = Xrdct(CONFIG, start)
    lines = np.array([discs.line_pattern(consumer.q, a) for a in grains.a])
    angles, places = (axis.values for axis in start.trajectory.axes)
    absorb_s, results_s, behind = [], [], []
    reduction = np.zeros((5, consumer.q.size), np.float32)
    early, found = np.nan, {}
    for n in range(ROTATIONS):
        line = slice(n * TRANSLATIONS, (n + 1) * TRANSLATIONS)
        clean = grains.chords(angles[line][0], places[line] - AXIS_UM) @ lines + 200.0
        noisy = clean + np.sqrt(clean / 20) * random.standard_normal(clean.shape)
        for i, pattern in zip(range(line.start, line.stop), noisy, strict=True):
            reduction[1] = pattern
            began = time.perf_counter()
            consumer.absorb(i, reduction)
            absorb_s.append(time.perf_counter() - began)
        if n % 9 == 8:
            began = time.perf_counter()
            had = found["lattice_parameter"].attrs["projections"] if found else 0
            found = {result.name: result for result in consumer.results()}
            results_s.append(time.perf_counter() - began)
            # never more than one group of projections at a time
            assert found["lattice_parameter"].attrs["projections"] - had <= GROUP
            behind.append(found["lattice_parameter"].attrs["unfinished"])
        if n == 9:
            early = found["lattice_parameter"].attrs["rotation_centre_um"]
    began = time.perf_counter()
    list(consumer.details(Focus("", 175, 175)))
    details_s = time.perf_counter() - began

    # what a live answer left over is worked off by asking again
    asked = 0
    while found["lattice_parameter"].attrs["unfinished"]:
        found = {result.name: result for result in consumer.results()}
        asked += 1
        assert asked < 60
    assert found["lattice_parameter"].attrs["projections"] == ROTATIONS
    truth = grains.truth(margin=3.0)
    inside = np.isfinite(truth)
    live = np.abs(found["lattice_parameter"].values - truth)[inside]

    before = time.process_time()
    began = time.perf_counter()
    final = {result.name: result for result in consumer.results(final=True)}["lattice_parameter"]
    final_s = time.perf_counter() - began
    error = np.abs(final.values - truth)[inside]
    print(
        f"\nabsorb: median {1e6 * np.median(absorb_s):.0f} us, most {1e3 * max(absorb_s):.1f} ms"
        f"\nlive results: median {1e3 * np.median(results_s):.0f} ms, most "
        f"{1e3 * max(results_s):.0f} ms; {asked} more to the end"
        f"\na voxel's details: {1e3 * details_s:.0f} ms"
        f"\nfinal results: {final_s:.1f} s, {time.process_time() - before:.1f} s of them at work"
        f"\nmemory: {psutil.Process().memory_info().rss / 2**20:.0f} MiB"
        f"\nerror: live median {np.nanmedian(live):.1e}, final {np.nanmedian(error):.1e} Å"
    )
    assert max(behind) <= 2 * ROTATIONS + TRANSLATIONS**2 / HAND
    assert early == pytest.approx(AXIS_UM, abs=0.25)
    assert final.attrs["rotation_centre_um"] == pytest.approx(AXIS_UM, abs=0.1)
    assert np.isfinite(error).mean() > 0.97
    assert np.nanmedian(live) < 1e-3
    assert np.nanmedian(error) < 5e-4

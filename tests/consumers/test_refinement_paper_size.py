"""Whole-pattern maps of a scan of the paper's size, from patterns with the counting noise of rays.

351 translations at 350 angles; sixty spinel grains, each with a lattice parameter of its own. The
strongest line of the strongest ray has so many counts a pixel. Figures: pytest -s shows them.
"""

from __future__ import annotations

import numpy as np
import pytest
from grains import ROTATIONS, TRANSLATIONS, Grains
from operando.consumers.geometry import Binning, ring_table
from operando.consumers.integration import ROBUST, SIGMA_ROBUST
from operando.consumers.phases import PhaseConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.materials.structures import structure
from operando.sim.powder import Crystal, LineShape, pattern

CONFIG = XrdctConfig(
    volume=False,
    phases={
        "limn2o4": PhaseConfig(working=True),
        "limno2_rock_salt": PhaseConfig(),
        "li2mno3": PhaseConfig(),
    },
)


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "least"), [(3000.0, 0.98), (300.0, 0.60)])
def test_lattice_parameters_are_right_in_nearly_every_voxel(
    counts: float, least: float, make_start, make_trajectory
) -> None:
    grains, random = Grains(60), np.random.default_rng(13)
    start = make_start(make_trajectory(ROTATIONS, TRANSLATIONS, "bit-reversed"), "xrdct")
    consumer = Xrdct(CONFIG, start)
    crystal, shape = Crystal(structure("limn2o4")), LineShape()
    lines = np.array([pattern(crystal.lines(4.9, a), shape, consumer.q, 5e4) for a in grains.a])
    angles, places = (
        axis.values.reshape(ROTATIONS, TRANSLATIONS) for axis in start.trajectory.axes
    )
    chords = [grains.chords(angles[n, 0], places[n]) for n in range(ROTATIONS)]
    lines *= counts / max(float((chord @ lines).max()) for chord in chords)
    background = 0.02 * counts * (1 + np.exp(-consumer.q / 1.2))
    # rings scatter as they are wide; a middling one counts what is said above
    table = ring_table(start, Binning("q", CONFIG.q_min, CONFIG.q_max, CONFIG.bins), 0.99)
    width = table.ring_width / np.median(table.ring_width)
    width[table.ring_width == 0] = 1.0
    reduction = np.zeros((5, consumer.q.size), np.float32)
    for n, chord in enumerate(chords):
        clean = (chord @ lines + background) * width
        for i, (noisy, mean) in enumerate(zip(random.poisson(clean), clean, strict=True)):
            reduction[ROBUST], reduction[SIGMA_ROBUST] = noisy / width, np.sqrt(mean) / width
            consumer.absorb(n * TRANSLATIONS + i, reduction)
    found = {result.name: result for result in consumer.results(final=True)}
    truth = grains.truth(margin=0.0)
    inside = np.isfinite(truth)
    lattice = found["lattice_parameter"]
    error = (lattice.values - truth)[inside]
    share = float((np.abs(error) < 0.0015).mean())
    pull = float(np.nanmedian(np.abs(error) / lattice.uncertainty[inside])) / 0.6745
    table = found["region_table"]
    row = dict(zip(table.attrs["columns"].split(","), table.values[0].tolist(), strict=True))
    print(f"\n{counts:g} counts: {share:.1%} within 0.0015 Å, pull {pull:.2f}, bulk {row}")
    assert share > least
    assert 0.9 < pull < 1.1
    assert row["mass_fraction_limn2o4"] > 0.995

"""Particles and states of charge among a scan's results, and from one scan to the next."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from operando.consumers.classification import NORMAL, RULE
from operando.consumers.particle_config import ParticlesConfig
from operando.consumers.sample_results import rule_of
from operando.consumers.soc import CalibrationConfig
from operando.consumers.xrdct import Xrdct
from operando.consumers.xrdct_config import XrdctConfig
from operando.stream.messages import CellState, Result, ScanStart
from operando.stream.packing import pack, unpack

ROTATIONS, TRANSLATIONS = 24, 25
CONFIG = XrdctConfig(
    q_min=1.1, q_max=4.75, bins=480, mixing=0.0, peak_width=0.015, particles=ParticlesConfig(),
    calibration=CalibrationConfig("limn2o4", 0.19, 0.99, 0.0143),
)  # fmt: skip


@pytest.fixture
def start(make_start, make_trajectory) -> ScanStart:
    made = make_start(make_trajectory(ROTATIONS, TRANSLATIONS), technique="xrdct")
    cell = CellState(100.0, 3.9, 0.0, -5e-6, 25.0, "HOLD_OCV")
    return dataclasses.replace(made, cell=cell)


@pytest.fixture
def reductions(start, discs) -> np.ndarray:
    """What reduce would give for the discs, with counting noise; (frames, 5, bins)."""
    q = Xrdct(CONFIG, start).q
    random = np.random.default_rng(1)
    angles, places = (axis.values for axis in start.trajectory.axes)
    out = np.empty((start.frames, 5, q.size), np.float32)
    for i in range(start.frames):
        clean = discs.ray(q, angles[i], places[i])
        sigma = np.sqrt(clean / 200)
        noisy = clean + random.normal(0, sigma)
        out[i] = noisy, noisy, sigma, sigma, np.full(q.size, 200)
    return out


def results(consumer: Xrdct, reductions: np.ndarray, share: float = 1.0, final: bool = True):
    for i in range(round(share * len(reductions))):
        consumer.absorb(i, reductions[i])
    found = list(consumer.results(final))
    while not final and any(result.attrs.get("unfinished", 0) for result in found):
        found = list(consumer.results(final))
    return {result.name: result for result in found}


def column(table: Result, name: str) -> np.ndarray:
    return table.values[:, str(table.attrs["columns"]).split(",").index(name)]


def test_the_discs_are_particles_with_their_lattice_parameters(start, reductions, discs) -> None:
    found = results(Xrdct(CONFIG, start), reductions)
    table = found["particle_table"]
    assert len(table.values) == 3
    for x, y, radius, a in discs.discs:
        away = np.hypot(column(table, "x_um") - x, column(table, "y_um") - y)
        mine = int(np.argmin(away))
        assert away[mine] < 0.3
        assert column(table, "area_um2")[mine] == pytest.approx(np.pi * radius**2, rel=0.1)
        assert column(table, "a")[mine] == pytest.approx(a, abs=5e-4)
        code = RULE if a == 8.11 else NORMAL
        assert column(table, "classification")[mine] == code
        name = table.coords["particle"][mine]
        row, col = round(y + 12), round(x + 12)
        assert found["particles"].values[row, col] == name
        shells = found["particle_shells"]
        assert shells.values.shape == (3, 4)
        np.testing.assert_allclose(shells.values[mine, 1:], a, atol=1e-3)
    assert np.isnan(found["particles"].values[0, 0])
    assert found["particle_profile"].units["depth"] == "um"
    for result in found.values():
        assert unpack(pack(result)).name == result.name


def test_states_of_charge_stand_where_the_table_has_them(start, reductions, discs) -> None:
    found = results(Xrdct(CONFIG, start), reductions)
    truth = discs.truth(TRANSLATIONS, margin=1.2)
    soc, code = found["soc"].values, found["soc_ambiguous"].values
    expected = {8.06: 0.21 * 30 / 46, 8.20: None, 8.11: None}
    for a, y in expected.items():
        mine = truth == a
        if y is None:
            assert np.isnan(soc[mine]).mean() > 0.9
            assert (code[mine] == 1).mean() > 0.9
        else:
            assert np.nanmedian(soc[mine]) == pytest.approx(y, abs=0.01)
    mine = truth == 8.20
    assert np.nanmedian(found["soc_low"].values[mine]) == pytest.approx(0.63)
    assert np.nanmedian(found["soc_high"].values[mine]) == pytest.approx(0.75)
    balance = found["soc_balance"]
    values = dict(zip(str(balance.attrs["columns"]).split(","), balance.values, strict=True))
    assert values["coulomb"] == pytest.approx(0.19 + 0.8 * 5 / 14.3)
    assert values["difference"] == pytest.approx(values["mean"] - values["coulomb"])
    assert values["low"] < values["mean"] < values["high"]


def test_the_next_scan_knows_the_particles_by_name(start, reductions) -> None:
    first = Xrdct(CONFIG, start)
    before = results(first, reductions)
    second = Xrdct(CONFIG, dataclasses.replace(start, scan="scan-2", number=2))
    second.follow([first.findings()])
    after = results(second, reductions)
    np.testing.assert_array_equal(after["particles"].values, before["particles"].values)
    history = after["particle_history"]
    assert history.coords["scan"].tolist() == [1, 2]
    np.testing.assert_array_equal(history.values[:, 0], history.values[:, 1])
    np.testing.assert_array_equal(history.values[:, 1], column(after["particle_table"], "a"))
    # asked again, the same: what it found itself is not an earlier scan
    again = {result.name: result for result in second.results(final=True)}
    np.testing.assert_array_equal(again["particle_history"].values, history.values)


def test_a_coarse_scan_has_no_particles_and_forgets_none(start, reductions) -> None:
    first = Xrdct(CONFIG, start)
    results(first, reductions)
    coarse = dataclasses.replace(start, scan="scan-2", number=2, notes={"role": "coarse"})
    between = Xrdct(CONFIG, coarse)
    between.follow([first.findings()])
    assert "particles" not in results(between, reductions)
    third = Xrdct(CONFIG, dataclasses.replace(start, scan="scan-3", number=3))
    third.follow([first.findings(), between.findings()])
    assert results(third, reductions)["particle_history"].coords["scan"].tolist() == [1, 3]


def test_live_particles_come_with_half_of_the_scan(start, reductions) -> None:
    few = results(Xrdct(CONFIG, start), reductions, 0.4, final=False)
    assert "particles" not in few
    assert "soc" in few
    more = results(Xrdct(CONFIG, start), reductions, 0.8, final=False)
    assert not more["particles"].final
    assert len(more["particle_table"].values) == 3


def test_what_is_not_asked_for_is_not_made(start, reductions) -> None:
    config = dataclasses.replace(
        CONFIG, particles=ParticlesConfig(find=False), calibration=CalibrationConfig()
    )
    found = results(Xrdct(config, start), reductions)
    assert not [name for name in found if name.startswith(("particle", "soc", "segment"))]
    segments = dataclasses.replace(CONFIG, particles=ParticlesConfig(segments=4))
    found = results(Xrdct(segments, start), reductions)
    np.testing.assert_allclose(found["segment_table"].values[:, 0], [8.06, 8.11, 8.20], atol=2e-3)


def test_the_steps_of_the_rule_are_those_of_the_table() -> None:
    assert rule_of(CONFIG).steps == ((8.076, 8.145), (8.183, 8.205))
    bare = dataclasses.replace(CONFIG, calibration=CalibrationConfig())
    assert rule_of(bare).steps == ((8.076, 8.145),)
    none = dataclasses.replace(bare, forbidden_low=0.0, forbidden_high=0.0)
    assert rule_of(none).steps == ()

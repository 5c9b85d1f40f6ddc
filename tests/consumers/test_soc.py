"""State of charge from lattice parameters: curves with steps and with tops, and the balance."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from operando.consumers.soc import (
    KNOWN,
    OUTSIDE,
    SEVERAL,
    TWO_PHASE,
    CalibrationConfig,
    balance_of,
    soc_of,
)
from operando.materials.calibration import Calibration, calibration, read_calibration
from operando.sim.electrode import ElectrodeConfig, grow_electrode
from operando.sim.lithiation import Lithiation, LithiationConfig

DATA = Path(os.environ.get("OPERANDO_DATA", "../shared/data"))
NMC = DATA / "operando_xrd" / "nmc811_cell_parameters" / "input.tsv"
LMO = calibration("limn2o4")


def one(curve: Calibration, value: float, sigma: float = 1e-4):
    found = soc_of(curve, np.array([value]), np.array([sigma]))
    return found.value[0], found.low[0], found.high[0], found.code[0]


def nmc811(column: int, name: str) -> Calibration:
    if not NMC.is_file():
        pytest.skip(f"no {NMC}")
    rows = np.loadtxt(NMC)
    lines = [f"1,{row[column]},{row[0]}" for row in rows]
    return read_calibration(f"segment,{name},charge [mAh/g]\n" + "\n".join(lines), "nmc811")


def test_a_solid_solution_is_read_off_the_line():
    value, low, high, code = one(LMO, 8.164)
    assert value == pytest.approx(0.54)
    assert (low, high, code) == (value, value, KNOWN)
    found = soc_of(LMO, np.array([8.164]), np.array([2e-4]))
    assert found.sigma[0] == pytest.approx(2e-4 * 0.18 / 0.038)
    assert found.table_sigma[0] == pytest.approx(0.05)


def test_inside_a_step_there_is_a_range_and_no_number():
    value, low, high, code = one(LMO, 8.11)
    assert math.isnan(value)
    assert (low, high, code) == (0.21, 0.45, TWO_PHASE)
    assert one(LMO, 8.194)[1:] == (0.63, 0.75, TWO_PHASE)


def test_a_value_beside_a_step_is_its_edge_as_far_as_its_error_reaches():
    assert one(LMO, 8.0775, 1e-3)[0] == pytest.approx(0.21)
    assert one(LMO, 8.0795, 1e-3)[3] == TWO_PHASE
    assert one(LMO, 8.144, 1e-3)[0] == pytest.approx(0.45)


def test_a_voxel_known_to_hold_two_phases_gets_the_nearer_steps_range():
    a = np.array([8.07, 8.15, 8.19, np.nan])
    found = soc_of(LMO, a, np.full(4, 1e-4), np.ones(4, bool))
    assert np.isnan(found.value).all()
    np.testing.assert_array_equal(found.low, [0.21, 0.21, 0.63, np.nan])
    np.testing.assert_array_equal(found.code, [TWO_PHASE] * 3 + [np.nan])


def test_beyond_the_ends_of_the_table_nothing_is_said():
    for a in (8.02, 8.26):
        value, low, high, code = one(LMO, a)
        assert np.isnan([value, low, high]).all()
        assert code == OUTSIDE
    assert one(LMO, 8.2501)[0] == pytest.approx(1.0)


def test_the_twins_electrode_is_read_back_within_the_noise():
    electrode = grow_electrode(ElectrodeConfig(lithium_rich=0), seed=3)
    random = np.random.default_rng(1)
    for mean in (0.3, 0.55, 0.7, 0.9):
        state = Lithiation(electrode, LithiationConfig(), seed=3).at(mean)
        single = ~((state.upper_share > 0) & (state.upper_share < 1)) & np.isfinite(state.lower_a)
        a = np.where(state.upper_share >= 1, state.upper_a, state.lower_a)
        sigma = np.full(a.shape, 3e-4)
        found = soc_of(LMO, a + random.normal(0, 3e-4, a.shape), sigma, ~single)
        error = (found.value - state.lithiation)[single & (found.code == KNOWN)]
        assert np.abs(error).max() < 4 * 3e-4 * 0.25 / 0.045
        assert (found.code[single] == KNOWN).mean() > 0.95
        two = np.isfinite(a) & ~single
        inside = (state.lithiation >= found.low - 1e-9) & (state.lithiation <= found.high + 1e-9)
        assert inside[two].all()
        # the balance: truth lies in the range, and within three of the stated uncertainties
        noise = 4 * 3e-4 * 5.5 / np.sqrt(single.sum())
        weight = np.where(np.isfinite(a), electrode.filling, 0.0)
        balance = balance_of(found, weight, mean)
        assert balance.low - noise <= mean <= balance.high + noise
        assert abs(balance.difference) < 3 * balance.mean_sigma


def test_the_balance_weighs_by_the_material_and_carries_the_ranges():
    found = soc_of(LMO, np.array([8.03, 8.25, 8.11, 9.0]), np.full(4, 1e-5))
    balance = balance_of(found, np.array([1.0, 1.0, 2.0, 5.0]), 0.5)
    assert balance.mean == pytest.approx((0.0 + 1.0 + 2 * 0.33) / 4)
    assert balance.low == pytest.approx((1.0 + 2 * 0.21) / 4)
    assert balance.high == pytest.approx((1.0 + 2 * 0.45) / 4)
    assert balance.ambiguous_share == pytest.approx(0.5)
    hidden = 0.5 * 0.24 / math.sqrt(12)
    assert balance.mean_sigma == pytest.approx(math.hypot(hidden, 0.25 * 0.02 * 2), rel=1e-3)
    nothing = balance_of(found, np.zeros(4), 0.5)
    assert math.isnan(nothing.mean)


def test_coulombs_count_from_the_start_and_discharge_is_negative():
    config = CalibrationConfig("limn2o4", initial=0.19, final=0.99, capacity_mAh=0.0143)
    assert config.by_coulombs(0.0) == pytest.approx(0.19)
    assert config.by_coulombs(-1.43e-5) == pytest.approx(0.99)
    assert math.isnan(CalibrationConfig("limn2o4").by_coulombs(-1e-6))
    with pytest.raises(ValueError, match="neither shipped"):
        CalibrationConfig("nothing.csv")


def test_nmc811_a_gives_its_charge_back_where_it_is_steep():
    curve, rows = nmc811(2, "a"), np.loadtxt(NMC)
    steep = (rows[:, 0] > 30) & (rows[:, 0] < 160)
    found = soc_of(curve, rows[steep, 2], np.full(steep.sum(), 1e-4))
    assert (found.code == KNOWN).all()
    np.testing.assert_allclose(found.value, rows[steep, 0], atol=0.5)
    # 0.0001 Å is the last digit of the table: a third of a mAh/g there
    assert np.median(found.sigma) == pytest.approx(1e-4 / (0.0441 / 129), rel=0.3)


def test_nmc811_c_rises_and_falls_and_says_so():
    curve, rows = nmc811(4, "c"), np.loadtxt(NMC)
    sigma = np.full(len(rows), 5e-4)
    found = soc_of(curve, rows[:, 4], sigma)
    charge, top = rows[:, 0], 14.4834
    ambiguous = found.code == SEVERAL
    # on both flanks between 14.1918 Å, where it starts, and the top there are two answers
    flanks = (rows[:, 4] > 14.20) & (rows[:, 4] < top - 0.01)
    assert ambiguous[flanks].all()
    assert np.all((found.low <= charge + 3) & (charge - 3 <= found.high), where=flanks)
    # below the start only the steep end of the charge is left: one answer
    end = rows[:, 4] < 14.18
    assert end.sum() >= 4
    assert (found.code[end] == KNOWN).all()
    np.testing.assert_allclose(found.value[end], charge[end], atol=0.1)
    value, low, _, code = one(curve, top + 5e-4, 5e-4)
    assert (code, low) == (KNOWN, value)
    assert value == pytest.approx(177, abs=5)

"""The cell of the twin: voltage, capacity, relaxation."""

import itertools
import math

import pytest
from operando.sim.cell import CellConfig, LmoCell


def doyle_1996(y):
    """Written out again, from the publication, to test the one in materials."""
    return (
        4.19829
        + 0.0565661 * math.tanh(8.60942 - 14.5546 * y)
        - 0.0275479 * (math.pow(0.998432 - y, -0.492465) - 1.90111)
        - 0.157123 * math.exp(-0.04738 * math.pow(y, 8))
        + 0.810239 * math.exp(5.355 - 40 * y)
    )


def discharged(share):
    cell = LmoCell()
    cell.step(share * 1.43e-5 / 8e-6 * 3600, -8e-6)
    return cell


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.8, 0.95])
def test_voltage_is_doyles_after_a_long_rest(share):
    cell = discharged(share)
    cell.step(3600 * 3, None)
    assert cell.voltage_v == pytest.approx(doyle_1996(cell.lithiation), abs=1e-6)
    assert cell.voltage_v == pytest.approx(cell.open_circuit_v, abs=1e-6)


def test_a_charged_cell_rests_at_4_2_v_and_is_empty_at_3_v_after_its_capacity():
    cell = LmoCell()
    assert cell.voltage_v == pytest.approx(4.2, abs=1e-9)
    seconds = 0
    while cell.voltage_v > 3.0:
        cell.step(1.0, -8e-6)
        seconds += 1
        assert seconds < 10_000
    assert cell.charge_ah == pytest.approx(-1.43e-5, rel=1e-3)
    assert cell.charge_ah == pytest.approx(-8e-6 * seconds / 3600, rel=1e-9)


def test_lithiation_counts_coulombs_and_nothing_else():
    cell = discharged(0.5)
    halfway = 0.5 * (cell.lithiation_charged + cell.lithiation_discharged)
    assert cell.lithiation == pytest.approx(halfway, abs=1e-12)
    cell.step(600, None)
    assert cell.lithiation == pytest.approx(halfway, abs=1e-12)
    cell.step(900, 4e-6)
    charged_back = cell.charge_ah + 0.5 * 1.43e-5
    assert charged_back == pytest.approx(1e-6, rel=1e-9)
    assert cell.lithiation < halfway


def test_voltage_relaxes_over_minutes_at_open_circuit():
    cell = discharged(0.5)
    loaded = cell.voltage_v
    trace = []
    for _ in range(60):
        cell.step(10.0, None)
        trace.append(cell.voltage_v)
    assert all(later > earlier for earlier, later in itertools.pairwise(trace))
    step, creep = trace[0] - loaded, trace[-1] - trace[0]
    assert 0.01 < step < 0.06
    assert 0.01 < creep < 0.06
    assert cell.open_circuit_v - cell.voltage_v < 0.005


def test_the_result_does_not_depend_on_how_long_the_steps_are():
    coarse, fine = LmoCell(), LmoCell()
    coarse.step(900, -8e-6)
    coarse.step(300, None)
    for _ in range(900):
        fine.step(1, -8e-6)
    for _ in range(300):
        fine.step(1, None)
    assert coarse.voltage_v == pytest.approx(fine.voltage_v, abs=1e-9)
    assert coarse.time_s == pytest.approx(fine.time_s)


def test_voltage_is_held_and_current_dies_away():
    cell = discharged(0.3)
    cell.hold_potential(10, 4.0)
    first = cell.current_a
    assert cell.voltage_v == pytest.approx(4.0, abs=1e-9)
    cell.hold_potential(3600, 4.0)
    assert cell.voltage_v == pytest.approx(4.0, abs=1e-9)
    assert first < cell.current_a < 0


def test_held_voltage_respects_the_current_limit():
    cell = discharged(0.5)
    cell.hold_potential(2.0, 4.25, limit_a=1e-5)
    assert cell.current_a == 1e-5
    assert cell.voltage_v < 4.25


def test_a_larger_current_costs_more_voltage():
    small, large = discharged(0.4), discharged(0.4)
    small.step(1, -4e-6)
    large.step(1, -1.6e-5)
    assert large.voltage_v < small.voltage_v < small.open_circuit_v


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match=r"cell step of -1"):
        LmoCell().step(-1, None)
    with pytest.raises(ValueError, match="finite current"):
        LmoCell().step(1, math.nan)
    with pytest.raises(ValueError, match="mode times"):
        CellConfig(mode_times_s=(1.0,))
    with pytest.raises(ValueError, match=r"4\.3 to 2\.9 V"):
        CellConfig(upper_v=5.0)

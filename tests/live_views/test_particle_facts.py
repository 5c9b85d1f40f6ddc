import dataclasses

import numpy as np
import pytest
from operando.live_views import particle_facts as facts
from operando.live_views.cell_series import charge_balance, particle_series
from operando.live_views.model import RunModel


@pytest.fixture
def model(small):
    made = RunModel()
    for number in (1, 2):
        for message in (*small.finished_scan(number), *small.particles(number)):
            made.take(message)
    return made


def test_a_voxel_says_whose_it_is(model):
    scan = model.scan(1)
    assert [facts.particle_at(scan, v) for v in ((3, 2), (7, 11), (0, 0), (99, 0), None)] == [
        4, 9, 0, 0, 0,
    ]  # fmt: skip


def test_the_one_that_deviates_is_accused_and_the_table_has_its_columns(model):
    rows = facts.particle_rows(model.scan(1))
    assert facts.accused(rows) == {9}
    assert rows[4]["a"] == pytest.approx(8.19)
    assert rows[9]["outlier_z"] == pytest.approx(-6.8)


def test_outlines_are_as_long_as_the_particle_is_around(model):
    outlines = facts.outlines_of(model.scan(1))
    for name, around, box in ((4, 20.0, (-5.5, -1.5, -4.5, 1.5)), (9, 16.0, (0.5, 4.5, -3.5, 0.5))):
        x, y = outlines.edges([name])
        assert np.hypot(np.diff(x), np.diff(y)).sum() == pytest.approx(around)
        assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx(box)
    assert outlines.accused == {9}
    assert list(outlines.places) == [4, 9]


def test_a_name_stands_inside_its_particle_even_in_a_crescent(model, small):
    bent = next(r for r in small.particles(3) if r.name == "particles")
    labels = np.zeros((15, 15), np.float32)
    labels[2:12, 2:12] = 5
    labels[4:10, 4:12] = 0
    model.take(dataclasses.replace(bent, values=labels))
    outlines = facts.outlines_of(model.scan(3))
    column, row = (int(v + 7.5) for v in outlines.places[5])
    assert labels[row, column] == 5


def test_a_scan_without_particles_borrows_those_before_it(model, small):
    model.take(small.start(3))
    assert facts.found_for(model, model.scan(3)).number == 2
    assert facts.found_for(model, model.scan(1)).number == 1
    assert facts.found_for(RunModel(), None) is None


def test_profiles_shells_and_the_others(model):
    scan = model.scan(2)
    mine = facts.profile_of(scan, "particle_profile", 9)
    np.testing.assert_allclose(mine.values, [8.09, 8.1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(mine.sigma, 0.0007, rtol=1e-6)
    others = facts.middle_of_others(scan, "particle_profile", 9)
    np.testing.assert_allclose(others.values, [8.18, 8.19, 8.2], rtol=1e-6)
    assert list(facts.shell_phases(scan, 9)) == ["spinel"]
    assert facts.profile_of(scan, "particle_profile", 77) is None


def test_a_table_that_does_not_fit_its_columns_is_no_table(model, small):
    odd = next(r for r in small.particles(2) if r.name == "particle_table")
    model.take(dataclasses.replace(odd, revision=9, attrs={"columns": "x_um,y_um"}))
    assert facts.particle_rows(model.scan(2)) == {}


def test_a_particle_has_its_history_at_the_times_of_the_scans(model, small):
    series = particle_series(model, 4)
    np.testing.assert_allclose(series.time_s, [small.mark_s(1), small.mark_s(2)])
    np.testing.assert_allclose(series.a, [8.11, 8.12], rtol=1e-6)
    assert particle_series(model, 77) is None


def test_the_charge_counts_along_the_line_through_the_scans(model, small):
    assert charge_balance(model) is None
    model.take(small.balance(1, 0.31, 0.30))
    assert np.isnan(charge_balance(model).slope)
    model.take(small.balance(2, 0.52, 0.50))
    found = charge_balance(model)
    charge = np.array([small.start(n).cell.charge_ah for n in (1, 2)])
    np.testing.assert_allclose(found.by_charge(charge), [0.30, 0.50], rtol=1e-5)
    middle = found.by_charge(np.array([charge.mean()]))
    np.testing.assert_allclose(middle, 0.40, rtol=1e-5)
    np.testing.assert_allclose(found.sigma, 0.004, rtol=1e-5)


def test_every_particle_of_every_pause_has_a_line(model):
    lines = facts.particle_csv(model).splitlines()
    assert lines[0].startswith("pause,particle,x_um,y_um,area_um2,a,")
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["1", "4"], ["1", "9"], ["2", "4"], ["2", "9"],
    ]  # fmt: skip
    assert facts.particle_csv(RunModel()) == ""

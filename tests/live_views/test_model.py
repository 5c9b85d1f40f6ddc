import dataclasses
import random

import numpy as np
import pytest
from operando.live_views import model as model_module
from operando.live_views.model import RunModel


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def model(clock):
    return RunModel(clock, lambda: 1_795_000_000.0)


def take(model, messages):
    for message in messages:
        model.take(message)


def newest(synthetic, number, share, revision, final=False):
    results = synthetic.results(number, share, revision, final)
    return next(r for r in results if r.name == "lattice_parameter")


def test_the_newest_revision_of_a_result_is_kept(model, small):
    for revision in (1, 2, 3):
        model.take(newest(small, 1, 0.1 * revision, revision))
    model.take(newest(small, 1, 0.1, 1))
    assert model.scan().result("lattice_parameter").revision == 3


def test_a_final_result_is_never_replaced_by_a_provisional_one(model, small):
    model.take(newest(small, 1, 1.0, 4, final=True))
    model.take(newest(small, 1, 0.9, 9))
    assert model.scan().result("lattice_parameter").final


def test_a_restarted_processor_takes_over_when_it_rests_on_more_frames(model, small):
    model.take(newest(small, 1, 0.6, 40))
    model.take(newest(small, 1, 0.2, 1))
    assert model.scan().result("lattice_parameter").revision == 40
    model.take(newest(small, 1, 0.7, 5))
    assert model.scan().result("lattice_parameter").revision == 5


def test_another_voxels_pattern_replaces_the_last_ones_at_any_revision(model, small):
    take(model, small.voxel(1, 3, 4, revision=7))
    take(model, small.voxel(1, 5, 6, revision=2))
    assert model.scan().result("voxel_pattern").attrs["row"] == 5


def test_taking_everything_twice_or_in_any_order_changes_nothing(small):
    messages = [m for k in (1, 2) for m in small.finished_scan(k)] + [small.samples(3000.0)]
    straight, shuffled = RunModel(), RunModel()
    take(straight, messages)
    again = messages * 2
    random.Random(3).shuffle(again)
    take(shuffled, again)
    for number in (1, 2):
        one, two = straight.scan(number), shuffled.scan(number)
        assert one.results.keys() == two.results.keys()
        for key, result in one.results.items():
            assert two.results[key].revision == result.revision
            np.testing.assert_array_equal(two.results[key].values, result.values)
        assert one.account == two.account
    assert len(straight.history) == len(shuffled.history)


def test_who_joins_late_sees_a_scan_whose_start_is_gone(model, small):
    model.take(newest(small, 3, 0.5, 12))
    scan = model.scan()
    assert (scan.number, scan.start) == (3, None)
    model.take(small.start(3))
    assert model.scan().start.frames == small.frames


def test_another_run_starts_the_picture_anew_and_the_old_one_does_not_come_back(model, small):
    take(model, small.finished_scan(1))
    model.take(small.samples(400.0))
    second = dataclasses.replace(small, run="run-2")
    model.take(second.start(1))
    assert model.run == "run-2"
    assert len(model.history) == 0
    assert model.scan().results == {}
    take(model, small.finished_scan(2))
    assert [s.run for s in model.scans()] == ["run-2"]


def test_samples_of_no_run_before_and_after_a_run_belong_to_it(model, small):
    whole = small.samples(400.0)
    model.take(dataclasses.replace(small.samples(100.0), run=""))
    take(model, small.finished_scan(1))
    model.take(small.samples(300.0, 100.0))
    model.take(dataclasses.replace(small.samples(400.0, 300.0), run=""))
    assert model.run == small.run
    assert len(model.scans()) == 1
    np.testing.assert_array_equal(model.history.time_s, whole.time_s)


def test_losses_and_failures_are_counted_over_all_scans(model, small):
    take(model, [small.start(1), small.account(1, 1.0, lost=3), small.start(2)])
    model.take(small.account(2, 0.5, lost=2))
    assert model.lost() == 5
    assert any(line.level == "fault" for line in model.log)


def test_a_closed_account_is_not_opened_again_by_an_older_one(model, small):
    model.take(small.account(1, 1.0, closed=True))
    model.take(small.account(1, 0.7))
    assert model.scan().account.closed


def test_age_of_a_component_counts_from_its_last_report(model, clock, small):
    take(model, small.statuses(1_795_000_000.0))
    clock.now += 5.0
    take(model, [s for s in small.statuses(1_795_000_005.0) if s.component == "hub"])
    assert model.age_s("absorber") == pytest.approx(5.0)
    assert model.age_s("hub") == pytest.approx(0.0)
    assert np.isnan(model.age_s("nobody"))


def test_a_report_given_again_by_the_hub_does_not_make_the_dead_alive(model, clock, small):
    take(model, small.statuses(1_795_000_000.0))
    clock.now += 60.0
    take(model, small.statuses(1_795_000_000.0))
    assert model.age_s("absorber") == pytest.approx(60.0)


def test_a_last_value_from_long_ago_is_as_old_as_it_says(model, small):
    take(model, small.statuses(1_795_000_000.0 - 500.0))
    assert model.age_s("absorber") == pytest.approx(500.0)


def test_memory_is_bounded_in_scans_results_log_and_components(model, small, monkeypatch):
    monkeypatch.setattr(model_module, "MAX_SCANS", 5)
    monkeypatch.setattr(model_module, "MAX_COMPONENTS", 8)
    tiny = newest(small, 1, 0.5, 1)
    for number in range(1, 40):
        scan = f"scan-{number}"
        model.take(dataclasses.replace(tiny, scan=scan, number=number))
        for extra in range(100):
            model.take(dataclasses.replace(tiny, scan=scan, number=number, name=f"r{extra}"))
        status = small.statuses(1_795_000_000.0 + number)[0]
        model.take(dataclasses.replace(status, component=f"reducer-{number}"))
    assert [s.number for s in model.scans()] == [35, 36, 37, 38, 39]
    assert all(len(s.results) <= 64 for s in model.scans())
    assert len(model.components) == 8
    assert len(model.log) <= 200


def test_a_result_too_large_for_a_view_is_left_to_the_file(model, small, monkeypatch):
    monkeypatch.setattr(model_module, "MAX_RESULT_BYTES", 100)
    model.take(newest(small, 1, 0.5, 1))
    assert model.scan().results == {}


def test_changes_name_what_came_since_they_were_last_asked_for(model, small):
    model.take(newest(small, 1, 0.5, 1))
    assert {"result", "lattice_parameter", "scan"} <= model.changes()
    assert model.changes() == set()
    model.take(newest(small, 1, 0.5, 1))
    assert model.changes() == set()
    model.take(small.samples(40.0))
    assert model.changes() == {"samples", "log"}
    model.take(small.samples(80.0))
    assert model.changes() == {"samples"}


def test_a_cell_that_reaches_its_limit_stands_in_the_log_as_a_fault(model, small):
    samples = small.samples(40.0)
    states = ("RUNNING",) * (samples.time_s.size - 1) + ("LIMIT",)
    model.take(dataclasses.replace(samples, states=states))
    assert model.log[-1].level == "fault"
    assert "cell: LIMIT" in model.log[-1].text

"""The recommender, fed with maps whose meaning is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from operando.plans.map_quality import Criterion
from operando.plans.optimizer import RescanOptimizer
from operando.plans.recommender import SETTLE_S, Finer, Policy, Recommender
from operando.stream.messages import (
    Axis,
    Decision,
    Detector,
    Proposal,
    Result,
    ScanStart,
    Trajectory,
)

PLACE = np.arange(-10.0, 11.0)
ALL = frozenset({"stop", "roi", "exposure"})
FINER = Finer(points=15, step_um=0.5, angles=24, exposure_s=0.01)


def policy(*kinds, target=1e-3):
    return Policy(frozenset(kinds) or ALL, Criterion(target, 1e-3), FINER)


def start(scan="s1", number=1, role="slice", angles=64, run="run"):
    points = PLACE.size
    axes = (
        Axis("rotation", "deg", np.repeat(np.arange(float(angles)), points)),
        Axis("translation", "um", np.tile(PLACE, angles)),
    )
    return ScanStart(
        run, scan, number, "xrdct", angles * points,
        Detector("d", (4, 4), "uint16", (1e-4, 1e-4), 100), Trajectory((angles, points), axes),
        "", 5e4, 0.01, None, 0.0, {"role": role},
    )  # fmt: skip


def lattice(projections, scan="s1", number=1, sigma=1e-4, final=False, planted=((14, 12, 4),)):
    """A map at 8.20 Å; planted: (row, column, size) at 8.11 Å."""
    values = np.full((21, 21), 8.20, np.float32)
    for row, column, size in planted:
        values[row : row + size, column : column + size] = 8.11
    return Result(
        "run", scan, number, "xrdct", "lattice_parameter", ("y", "x"), {"y": PLACE, "x": PLACE},
        {"y": "um", "x": "um"}, "Å", values, np.full((21, 21), sigma, np.float32), 0.5,
        projections, final, True,
        {"projections": projections, "forbidden_low": 8.076, "forbidden_high": 8.145},
    )  # fmt: skip


def fed(recommender, *messages, at=0.0):
    for message in messages:
        recommender.take(message, at)
    return recommender


def all_of(recommender, at=100.0, verdict="done", reason=""):
    """Every proposal, each decided before the next is asked for."""
    found = []
    while asked := recommender.ask(at, 1e9 + at):
        found += asked
        recommender.take(Decision("run", asked[0].id, verdict, "plan", reason, 0.0), at)
        at += 2.0
    return found


def test_a_stop_is_proposed_once_where_the_live_map_is_good_enough():
    live = [lattice(n) for n in (4, 8, 16, 20)]
    recommender = fed(Recommender(policy("stop")), start(), *live[:2])
    assert recommender.ask(1.0, 0.0) == []
    fed(recommender, *live[2:])
    (asked,) = recommender.ask(2.0, 77.0)
    assert (asked.kind, asked.scan, asked.time, asked.deadline) == ("stop", "s1", 77.0, 137.0)
    assert asked.cost_s == pytest.approx(-(64 - 20) * 21 * 0.01)
    assert "20 projections" in asked.reason
    recommender.take(Decision("run", asked.id, "refused", "plan", "", 0.0), 3.0)
    fed(recommender, lattice(30))
    assert recommender.ask(9.0, 9.0) == []


def chi2(of, value, scan="s1"):
    """What the fits of a map say of themselves."""
    values = np.full((21, 21), value, np.float32)
    return dataclasses.replace(of, name="fit_chi2", unit="", values=values, uncertainty=None)


def test_a_map_waits_for_the_chi2_of_its_fits_and_a_bad_one_gives_no_stop():
    for misfit, stops in ((1.0, True), (400.0, False)):  # sigma 1e-4, wanted 1e-3
        recommender = fed(Recommender(policy("stop")), start())
        for n in (4, 8, 16, 20):
            live = lattice(n)
            fed(recommender, live, at=float(n))
            assert recommender.ask(n + 0.1, 0.0) == []  # nothing is judged by halves
            fed(recommender, chi2(lattice(3), 1e-9), chi2(live, misfit), at=n + 0.2)
            assert bool(recommender.ask(n + 0.3, 0.0)) == (stops and n == 16), n


def test_a_broad_misfit_accuses_nobody():
    final = lattice(64, final=True)
    accusing = fed(Recommender(policy("roi")), start(), final, chi2(final, 1.0))
    assert [p.kind for p in all_of(accusing)] == ["roi"]
    silent = fed(Recommender(policy("roi")), start(), final, chi2(final, 1e4))
    assert all_of(silent) == []


def test_a_noisy_map_gives_no_stop():
    recommender = fed(Recommender(policy("stop")), start())
    fed(recommender, *(lattice(n, sigma=5e-3) for n in (4, 8, 16, 32)))
    assert recommender.ask(5.0, 5.0) == []


def test_regions_come_one_after_the_other_the_largest_first():
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    recommender = fed(Recommender(policy("roi")), start(), final)
    assert recommender.ask(0.5 * SETTLE_S, 0.0) == []  # tables may still follow
    (first,) = recommender.ask(10.0, 1e9)
    assert (recommender.judged, recommender.left) == (1, 2)
    assert recommender.ask(20.0, 1e9) == []  # nobody has answered yet
    recommender.take(Decision("run", first.id, "approved", "window", "", 0.0), 20.0)
    assert recommender.ask(21.0, 1e9) == []  # it is being taken
    recommender.take(Decision("run", first.id, "done", "plan", "", 0.0), 30.0)
    (second,) = recommender.ask(31.0, 1e9)
    assert first.region == (3.5, 5.5, 7.5)
    assert second.region[:2] == (-5.5, -6.5)
    assert first.id != second.id
    recommender.take(Decision("run", second.id, "done", "plan", "", 0.0), 40.0)
    assert recommender.left == 0


def test_a_proposal_that_nobody_answers_is_given_up_after_its_time():
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    recommender = fed(Recommender(policy("roi")), start(), final)
    assert recommender.ask(10.0, 0.0)
    assert recommender.ask(69.0, 0.0) == []
    assert recommender.ask(70.0, 0.0)


def test_an_empty_budget_ends_the_wishes_of_a_pause_and_the_next_pause_has_its_own():
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    recommender = fed(Recommender(policy("roi")), start(), final)
    assert len(all_of(recommender, verdict="refused", reason="budget: none left")) == 1
    again = lattice(64, "s2", 2, final=True)
    fed(recommender, start("s2", 2), again, at=200.0)
    assert [p.scan for p in all_of(recommender, at=300.0)] == ["s2"]


def test_a_rescan_gives_no_reason_for_another_and_leaves_the_wishes_alone():
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    recommender = fed(Recommender(policy("roi")), start(), final)
    (first,) = recommender.ask(10.0, 0.0)
    fed(recommender, start("s2", 2, "roi"), lattice(24, "s2", 2, final=True), at=11.0)
    recommender.take(Decision("run", first.id, "done", "plan", "", 0.0), 20.0)
    assert [p.scan for p in all_of(recommender, at=30.0)] == ["s1"]


def test_more_exposure_is_wished_for_by_the_square_and_within_its_limit():
    recommender = fed(Recommender(policy("exposure")), start(), lattice(64, sigma=2e-3, final=True))
    (asked,) = all_of(recommender)
    assert asked.kind == "exposure"
    assert asked.exposure_s == pytest.approx(0.04, rel=1e-3)
    far = fed(Recommender(policy("exposure")), start(), lattice(64, sigma=1e-2, final=True))
    assert all_of(far)[0].exposure_s == pytest.approx(0.08)
    fine = fed(Recommender(policy("exposure")), start(), lattice(64, sigma=1.05e-3, final=True))
    assert all_of(fine) == []


def test_the_table_of_particles_is_believed_before_the_map():
    table = dataclasses.replace(
        lattice(64, final=True), name="particle_table", dims=("particle", "column"),
        coords={"particle": np.array([4, 9])}, units={}, uncertainty=None,
        values=np.array([[1.0, 2.0, 12.0, 0, 0.2], [-3.0, 4.0, 20.0, 2, 7.0]], np.float32),
        attrs={"columns": "x_um,y_um,area_um2,classification,outlier"},
    )  # fmt: skip
    recommender = fed(Recommender(policy("roi")), start(), lattice(64, final=True), table)
    (asked,) = all_of(recommender)
    assert asked.region == (-3.0, 4.0, 7.5)
    assert "particle 9" in asked.reason


@pytest.mark.parametrize(("code", "regions"), [(-1, 1), (0, 0)])
def test_voxels_are_looked_at_where_the_table_cannot_tell(code, regions):
    """Two squares lie in the window; only one is in a particle that the table leaves open."""
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    names = np.full((21, 21), np.nan, np.float32)
    names[12:20, 10:18], names[2:6, 3:8] = 9, 4
    particles = dataclasses.replace(
        final, name="particles", unit="", values=names, uncertainty=None
    )
    table = dataclasses.replace(
        final, name="particle_table", dims=("particle", "column"),
        coords={"particle": np.array([4, 9])}, units={}, uncertainty=None,
        values=np.array([[-4.0, -6.0, 12.0, 0, 0.2], [3.0, 5.0, 20.0, code, 7.0]], np.float32),
        attrs={"columns": "x_um,y_um,area_um2,classification,outlier"},
    )  # fmt: skip
    recommender = fed(Recommender(policy("roi")), start(), final, particles, table)
    asked = all_of(recommender)
    assert [a.region[:2] for a in asked] == [(3.5, 5.5)] * regions


def test_a_restarted_recommender_asks_for_nothing_twice():
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    history = [start(), final]
    before = fed(Recommender(policy("roi")), *history)
    (first,) = before.ask(10.0, 0.0)
    after = fed(Recommender(policy("roi")), *history, first, at=20.0)
    (second,) = all_of(after)
    assert second.region != first.region
    assert second.id != first.id
    old = fed(Recommender(policy("roi")), *history, start("s2", 2), at=20.0)
    assert old.ask(90.0, 0.0) == []  # the pause of the first scan is over


def test_another_run_begins_anew():
    recommender = fed(Recommender(policy("roi")), start(), lattice(64, final=True))
    assert all_of(recommender)
    fed(recommender, start("x", 1, run="other"), at=500.0)
    assert (recommender.judged, recommender.left) == (0, 0)


def test_what_is_not_asked_for_is_not_proposed():
    good = [start(), *(lattice(n) for n in (4, 8, 16)), lattice(64, final=True, sigma=5e-3)]
    recommender = fed(Recommender(policy("stop")), *good)
    assert all_of(recommender) == []


def test_maps_of_other_consumers_and_unknown_scans_are_left_alone():
    recommender = Recommender(policy())
    other = dataclasses.replace(lattice(64, final=True), consumer="mine")
    fed(recommender, lattice(64, "never", final=True), start(), other)
    assert all_of(recommender) == []


class Optimizes:
    """What a loop over suggestions needs, as the two packages declare it."""

    def loop(self, optimizer, measure, iterations):
        taken = []
        for _ in range(iterations):
            points = optimizer.suggest(1)
            if not points:
                break
            assert all("_id" in point for point in points)
            taken += points
            optimizer.ingest([{**point, **measure(point)} for point in points])
        return taken


def test_as_an_optimizer_it_suggests_regions_and_takes_maps():
    optimizer = RescanOptimizer(policy("roi"))
    assert optimizer.suggest() == []
    final = lattice(64, final=True, planted=((14, 12, 4), (3, 4, 2)))
    optimizer.ingest([{"start": start(), "results": [final]}])
    taken = Optimizes().loop(optimizer, lambda point: {"exposure_s": 0.01}, 10)
    assert [(p["x_um"], p["y_um"]) for p in taken] == [(3.5, 5.5), (-5.5, -6.5)]
    assert len({p["_id"] for p in taken}) == 2
    optimizer = RescanOptimizer(policy("roi"))
    optimizer.ingest([{"start": start(), "results": [final]}])
    assert len(optimizer.suggest(5)) == 2
    with pytest.raises(TypeError, match="ScanStart is needed"):
        optimizer.ingest([{"start": "s1"}])


def test_a_proposal_is_sound_to_send():
    from operando.stream.consistency import inconsistency

    recommender = fed(Recommender(policy()), start(), lattice(64, sigma=3e-3, final=True))
    for asked in all_of(recommender):
        assert isinstance(asked, Proposal)
        assert inconsistency(asked) == ""
        assert math.isnan(asked.dose)

"""Between the experiment file and the recommender, and a person's word on the command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from operando.cli.experiment_file import load, parse
from operando.cli.recommend import adaptive_of, dose_of, policy_of, rules_of, say_decision
from operando.plans.outbox import Outbox
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Decision, Proposal

NAN = math.nan
ADAPTIVE_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "adaptive.yaml"


@pytest.fixture
def experiment():
    return load(ADAPTIVE_EXAMPLE)


def test_the_file_means_what_it_says(experiment):
    section = experiment.adaptive
    rules, policy, dose = rules_of(section), policy_of(section), dose_of(experiment)
    assert rules.kinds == policy.kinds == {"stop", "roi"}
    assert (rules.budget.rescans, rules.budget.pause_s, rules.budget.dose) == (1, 120.0, 5e9)
    assert (rules.points, rules.step_um, rules.angles, rules.beam_um) == (21, 0.5, 48, 0.0)
    assert (policy.criterion.target_sigma, policy.criterion.settled) == (5e-4, 1e-3)
    assert policy.finer.width_um == 10.5
    assert policy.valid_s >= 2 * rules.approval_s
    assert (dose.beam.unit, dose.values.shape) == ("photons/um2", (11, 11))
    assert dose.x_um[1] - dose.x_um[0] == 2.0


def test_without_the_section_nobody_asks_and_a_beam_alone_counts_the_dose(experiment):
    outbox = Outbox(lambda message: None)
    plain = experiment.model_copy(update={"adaptive": None, "beam": None})
    assert adaptive_of(plain, outbox) is None
    counted = adaptive_of(experiment.model_copy(update={"adaptive": None}), outbox)
    assert counted.adaptive.rules.kinds == frozenset()
    assert counted.adaptive.rules.budget.rescans == 0
    outbox.close()


def test_a_person_may_say_a_word_on_a_proposal_that_there_is(tmp_path):
    items, live = f"ipc://{tmp_path}/items", f"ipc://{tmp_path}/live"
    network = {"items": items, "live": live}
    text = {"title": "t", "marks": [{"time_s": 1}], "simulation": {}, "network": network}
    experiment = parse(yaml.safe_dump(text), "t")
    asked = Proposal("run", "run-1", "stop", "s", "good", (NAN,) * 3, NAN, NAN, NAN, 60.0, 0.0)
    with Hub(HubConfig(items, live)):
        with Producer(items, "recommender") as producer:
            producer.put(asked)
        with LiveSubscriber(live, topics=("decision/",)) as listening:
            assert "run-1" in say_decision(experiment, "run-9", "approve", "")
            assert say_decision(experiment, "run-1", "veto", "beam stop") == ""
            heard = [m for m in listening.poll(10.0) if isinstance(m, Decision)]
        with Producer(items, "absorber") as producer:
            producer.put(asked)
            producer.flush()
            assert producer.refused == 1  # it is not its business
    assert [(m.run, m.id, m.verdict, m.by, m.reason) for m in heard] == [
        ("run", "run-1", "vetoed", "person", "beam stop"),
    ]  # fmt: skip

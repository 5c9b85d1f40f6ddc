"""Every fault at least once in whole dry runs, by the command that people use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from operando.cli.soak_schedule import KILL_SIM, faults
from operando.cli.soak_verdict import OPEN_STATES
from whole_run import left_running, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(560)]
EXPERIMENT = Path(__file__).with_name("soaked.yaml")
SEED = 2  # the remainder of a third is 2: the last run is ended by killing the simulated hardware


@dataclass(frozen=True)
class Soaked:
    """A soak that has ended: what it said, and what is in soak.json."""

    folder: Path
    code: int
    said: str
    found: dict[str, Any]

    def disturbed(self) -> list[dict[str, Any]]:
        return self.found["runs"][1:]


@pytest.fixture(scope="module")
def soaked(tmp_path_factory) -> Soaked:
    folder = tmp_path_factory.mktemp("soak") / "soak"
    done = run(
        folder, "soak", EXPERIMENT, "--minutes", "0.8", "--every", "1.5", "--seed", SEED,
        timeout_s=540.0,
    )  # fmt: skip
    assert (folder / "soak.json").is_file(), f"exit {done.code}: {done.said[-4000:]}"
    return Soaked(folder, done.code, done.said, json.loads((folder / "soak.json").read_text()))


def test_every_promise_was_kept(soaked):
    assert [problem for r in soaked.found["runs"] for problem in r["problems"]] == []
    assert soaked.code == 0, soaked.said
    assert soaked.found["every_promise_kept"]
    assert soaked.said.count("every promise was kept") == 1


def test_every_fault_was_done(soaked):
    done = {fault["fault"] for r in soaked.disturbed() for fault in r["faults"]}
    assert {str(fault) for fault in (*faults(2), KILL_SIM)} - done == set()


def test_every_frame_is_somewhere_and_named_where_it_is_not(soaked):
    for one in soaked.found["runs"]:
        assert one["announced"] == one["recorded"] + one["not_recorded"] + sum(one["lost"].values())
        assert one["recorded"] + one["not_recorded"] == one["in_results"] + one["failed"]
        assert all(one["lost"])
    assert soaked.found["runs"][0]["lost"] == {}
    assert any(one["lost"] for one in soaked.disturbed())  # an aborted series, a killed detector


def test_results_are_those_of_an_undisturbed_analysis_bit_for_bit(soaked):
    for one in soaked.found["runs"]:
        assert one["results_same"] == one["results"] > 0


def test_the_cell_is_at_open_circuit_in_every_case(soaked):
    for one in soaked.found["runs"]:
        assert one["cell"].split(",")[0] in OPEN_STATES


def test_the_run_whose_hardware_was_killed_says_so(soaked):
    last = soaked.disturbed()[-1]
    assert "kill sim" in {fault["fault"] for fault in last["faults"]}
    assert any("sim went down" in line for line in last["trouble"])


def test_it_states_memory_lag_and_rate(soaked):
    figures, memory = soaked.found["figures"], soaked.found["memory"]
    assert figures["rate_ratio"] > 0.2
    assert figures["lag_max_s"] is not None
    assert {"hub", "receiver", "recorder", "absorber", "reducer-0", "reducer-1", "window"} <= set(
        memory
    )
    assert all(part["peak_MB"] > 10 for part in memory.values())
    assert (soaked.folder / "memory.png").stat().st_size > 10_000


def test_nothing_is_left_running(soaked):
    assert left_running(soaked.folder) == []

"""What `operando check` warns of: a long lease, a potentiostat that a network can command."""

from __future__ import annotations

import pytest
import yaml
from operando.cli.cautions import cautions_of
from operando.cli.check import check_experiment
from operando.cli.experiment_file import parse

LOOPBACK = {"EPICS_CA_ADDR_LIST": "127.0.0.1 localhost:5064", "EPICS_CA_AUTO_ADDR_LIST": "NO"}


def experiment(hardware=True, **changes):
    raw = {"title": "t", "marks": [{"time_s": 60}], **changes}
    if hardware:
        raw |= {
            "detector": {"rest": "http://10.0.0.7:80", "stream": "tcp://10.0.0.7:31001"},
            "geometry": "there.poni",
        }
    else:
        raw["simulation"] = {}
    return parse(yaml.safe_dump(raw), "file.yaml")


def test_a_lease_of_five_seconds_is_usual_and_a_longer_one_is_warned_of():
    usual = experiment(hardware=False, potentiostat={"lease_s": 5})
    assert cautions_of(usual, {}) == []
    (caution,) = cautions_of(experiment(hardware=False, potentiostat={"lease_s": 20}), {})
    assert caution.startswith("potentiostat.lease_s: ")
    assert "current flows on for 20 s before the potentiostat goes to its safe state" in caution


@pytest.mark.parametrize(
    ("network", "environment", "where"),
    [
        ({}, LOOPBACK, ""),
        ({"epics_addresses": "127.0.0.1 127.0.0.1:5064"}, {}, ""),
        ({"epics_addresses": "10.0.0.9"}, LOOPBACK, "10.0.0.9"),
        ({"epics_addresses": "127.0.0.1 10.0.0.9:5064"}, LOOPBACK, "10.0.0.9:5064"),
        ({"epics_addresses": "gateway.beamline"}, LOOPBACK, "gateway.beamline"),
        ({}, {**LOOPBACK, "EPICS_CA_NAME_SERVERS": "gateway:5064"}, "gateway:5064"),
        ({}, {"EPICS_CA_ADDR_LIST": "127.0.0.1"}, "every network of this machine"),
        ({}, {}, "every network of this machine"),
    ],
)
def test_a_potentiostat_that_a_network_can_command_is_warned_of(network, environment, where):
    cautions = cautions_of(experiment(network=network), environment)
    assert len(cautions) == bool(where)
    for caution in cautions:
        assert f"reached by EPICS Channel Access at {where}" in caution
        assert "anybody on that network can command the cell" in caution
        for remedy in ("network of its own", "gateway", "access security"):
            assert remedy in caution


def test_a_dry_run_is_on_this_machine_whatever_the_file_names():
    dry = experiment(hardware=False, network={"epics_addresses": "10.0.0.9"})
    assert cautions_of(dry, {}) == []


def test_check_says_each_warning_in_its_line_and_is_ready_all_the_same():
    said: list[str] = []
    risky = experiment(
        network={"epics_addresses": "10.0.0.9"},
        potentiostat={"lease_s": 30},
        scan={"exposure_s": 0.5},
    )
    assert check_experiment(risky, said.append, reach=False, measure=False)
    assert sum(line.startswith("WARN  potentiostat") for line in said) == 2
    assert said[-1] == "ready to run"

"""The keys command, and an experiment file that names its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from operando.cli.experiment import Network
from operando.cli.experiment_file import ExperimentError, dump, load, parse
from operando.cli.serve import client_keys
from operando.stream.curve_keys import load_client_keys, load_server_keys
from whole_run import command

HEAD = "title: t\nmarks: [{capacity_mAh: 0.002}]\nsimulation: {}\n"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("keys", *arguments), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_makes_keys_for_a_hub_and_for_another_host(tmp_path):
    assert run(tmp_path / "k").returncode == 0
    assert run(tmp_path / "k", "--client", "desk").returncode == 0
    server, desk = load_server_keys(tmp_path / "k"), load_client_keys(tmp_path / "k" / "desk")
    assert desk.public in server.allowed
    assert len(server.allowed) == 2
    again = run(tmp_path / "k")
    assert (again.returncode, "holds keys already" in again.stderr) == (2, True)


@pytest.mark.parametrize("address", ["tcp://*:7001", "tcp://10.0.0.5:7001", "tcp://0.0.0.0:7001"])
def test_items_off_this_machine_need_keys(address):
    with pytest.raises(ExperimentError, match="operando keys FOLDER"):
        parse(f"{HEAD}network: {{items: '{address}'}}", "f")
    parse(f"{HEAD}network: {{items: '{address}', keys: k}}", "f")


def test_a_live_side_with_keys_needs_their_folder():
    with pytest.raises(ExperimentError, match="live_keys: there are no keys"):
        parse(f"{HEAD}network: {{live_keys: true}}", "f")


def test_the_folder_of_keys_is_found_beside_the_file_and_survives_a_round_trip(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(f"{HEAD}network: {{keys: k}}")
    with pytest.raises(ExperimentError, match=r"network\.keys: no folder"):
        load(path)
    run(tmp_path / "k")
    network = load(path).network
    assert Path(network.keys) == tmp_path / "k"
    elsewhere = tmp_path / "run" / "experiment.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump(load(path)))
    assert load(elsewhere).network == network
    assert client_keys(network) == load_client_keys(tmp_path / "k")


def test_a_part_with_keys_that_are_not_secret_ends_with_one_line(tmp_path):
    run(tmp_path / "k")
    (tmp_path / "k" / "client.key_secret").chmod(0o644)
    with pytest.raises(SystemExit, match=r"network.keys: .*chmod 600"):
        client_keys(Network(keys=str(tmp_path / "k")))

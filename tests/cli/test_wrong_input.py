"""What a tired person types: one clear line and the right exit code, never a traceback."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from operando.cli.check import faults_of
from operando.cli.experiment_file import ExperimentError, load, parse
from operando.cli.folder import epics_environment, with_addresses
from operando.cli.frames import pattern_names
from whole_run import command, environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "dry_run.yaml"
BEAMLINE = ROOT / "examples" / "beamline.yaml"
DRY = {"title": "t", "marks": [{"capacity_mAh": 0.002}], "simulation": {}}


def experiment(**changes):
    return parse(yaml.safe_dump({**DRY, **changes}), "f")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.yaml"], "cannot be read"),
        (["check", "nowhere.yaml"], "cannot be read"),
        (["check"], "--explain"),
        (["demo", "--out", "FILE"], "--out"),
        (["demo", "--out", "/proc/nope"], "--out"),
        (["soak", "--out", "FILE"], "--out"),
        (["soak", "--out", "/proc/nope"], "--out"),
        (["soak", BEAMLINE], "only dry runs"),
        (["report", "nowhere.nxs"], "nowhere.nxs"),
        (["report", "FILE"], "FILE"),
        (["account", "FILE"], "FILE"),
        (["replay", "FILE", "--out", "out"], "FILE"),
        (["watch"], "--address"),
        (["watch", "--address", "nonsense", "--offscreen"], "nonsense"),
        (["watch", "--address", "ipc:///x", "--theme", "pink"], "theme"),
        (["hub", EXAMPLE], "network.items"),
        (["reduce", EXAMPLE], "network.items"),
        (["process", EXAMPLE], "network.items"),
        (["plan", EXAMPLE], "network.items"),
        (["recommend", EXAMPLE], "network.items"),
        (["decide", EXAMPLE, "1", "approve"], "network.items"),
        (["decide", EXAMPLE, "1", "perhaps"], "perhaps"),
        (["sim", EXAMPLE], "network.items"),
        (["sim", EXAMPLE, "--only", "stage"], "stage"),
        (["process", "--frames", "EMPTY", "--poni", "FILE"], "EMPTY"),
    ],
)
def test_it_is_said_in_a_line_with_exit_code_2(tmp_path, arguments, words):
    (tmp_path / "FILE").write_text("not what it should be")
    (tmp_path / "EMPTY").mkdir()
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, env=environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": {"current_A": float("nan")}},
        {"scan": {"relaxation_s": float("inf")}},
        {"simulation": {"clock": float("inf")}},
        {"cell": {"limits": {"current_A": float("inf")}}},
        {"cell": {"limits": {"temperature_C": float("nan")}}},
        {"simulation": {"twin": {"shape": [0, -1]}}},
        {"simulation": {"twin": {"energy_ev": -5.0}}},
        {"simulation": {"twin": {"dtype": "float99"}}},
    ],
)
def test_numbers_that_are_none_are_refused(changes):
    with pytest.raises(ExperimentError):
        experiment(**changes)


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(ExperimentError, match="line 3: the key 'title' stands twice"):
        parse("title: a\nmarks: [{capacity_mAh: 1}]\ntitle: b\nsimulation: {}\n", "f")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"marks": [{"voltage_V": 3.9}, {"voltage_V": 4.0}]}, "does not come after"),
        ({"marks": [{"voltage_V": 2.95}]}, "beyond the cut-off"),
        ({"marks": [{"capacity_mAh": 0.5}]}, "limits.charge_Ah"),
        ({"marks": [{"voltage_V": 4.45}]}, "limits.voltage_V"),
    ],
)
def test_marks_that_cannot_be_met_are_named_before_anything_moves(changes, words):
    (fault,) = faults_of(experiment(**changes))
    assert words in fault
    assert fault.startswith("marks")


def test_examples_have_no_fault():
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        assert faults_of(load(path)) == []


def test_the_demo_is_the_example():
    assert (ROOT / "cli" / "demo.yaml").read_text() == EXAMPLE.read_text()


def test_a_dry_run_of_a_beamlines_own_file_cannot_reach_the_beamline(tmp_path):
    beamline = yaml.safe_load((ROOT / "examples" / "beamline.yaml").read_text())
    beamline.pop("geometry")
    dry = with_addresses(parse(yaml.safe_dump({**beamline, "simulation": {}}), "f"), tmp_path)
    assert dry.detector.rest.startswith("http://127.0.0.1:")
    assert dry.detector.stream.startswith("tcp://127.0.0.1:")
    variables = epics_environment(dry)
    assert variables["EPICS_CA_ADDR_LIST"] == "127.0.0.1"
    assert variables["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
    assert int(variables["EPICS_CA_SERVER_PORT"]) > 1024
    assert "10.0.0" not in str(dry.network) + str(dry.detector)


def test_every_frame_gets_a_file_name_of_its_own():
    images = [
        Path(p) for p in ("a/run1.5V_0001.cbf", "a/run1.5V_0002.cbf", "b/x.tif.gz", "c/x.edf")
    ]
    assert pattern_names(images, 4) == ["run1.5V_0001", "run1.5V_0002", "x", "x_2"]
    assert len(set(pattern_names([Path("stack.h5")], 3))) == 3

"""What keeps simulated hardware from being served is said in one line."""

from __future__ import annotations

import socket

import pytest
import yaml
from operando.cli.experiment_file import parse
from operando.cli.hardware import serve_bench, serve_detector

TWIN = {"shape": [64, 96], "chip_px": [32, 32], "voxel_um": 2.0}


@pytest.fixture
def taken():
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        yield f"127.0.0.1:{somebody.getsockname()[1]}"


def experiment(tmp_path, taken, **changes):
    given = {
        "rest": "http://127.0.0.1:0", "stream": "tcp://127.0.0.1:*",
        "bench": f"ipc://{tmp_path}/bench", "pulses": f"ipc://{tmp_path}/pulses",
        **{name: address.replace("TAKEN", taken) for name, address in changes.items()},
    }  # fmt: skip
    cables = {name: given[name] for name in ("bench", "pulses")}
    detector = {name: given[name] for name in ("rest", "stream")}
    text = {
        "title": "t", "marks": [{"capacity_mAh": 0.002}], "detector": detector,
        "simulation": {"twin": TWIN, **cables},
    }  # fmt: skip
    return parse(yaml.safe_dump(text), "f")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rest": "http://127.0.0.1"}, "has no port"),
        ({"rest": "http://TAKEN"}, "http://TAKEN: Address already in use"),
        ({"rest": "http://TAKEN", "stream": "tcp://TAKEN"}, "tcp://TAKEN"),
        ({"bench": "nonsense"}, "'nonsense' is no address of a cable"),
    ],
)
def test_a_detector_that_cannot_be_served_says_why(tmp_path, taken, changes, words):
    with pytest.raises(SystemExit, match=words.replace("TAKEN", taken)) as said:
        serve_detector(experiment(tmp_path, taken, **changes), None)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pulses": "nonsense"}, "'nonsense' is no address of a cable"),
        ({"bench": "tcp://TAKEN"}, "tcp://TAKEN: Address already in use"),
    ],
)
def test_a_bench_that_cannot_be_served_says_why(tmp_path, taken, monkeypatch, changes, words):
    monkeypatch.setattr("operando.cli.hardware.use_epics", lambda experiment: None)
    with pytest.raises(SystemExit, match=words.replace("TAKEN", taken)) as said:
        serve_bench(experiment(tmp_path, taken, **changes))
    assert "\n" not in str(said.value)

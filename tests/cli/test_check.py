"""`operando check`: what it reaches for, what it predicts, and how it says what is missing."""

from __future__ import annotations

import os
from collections import namedtuple

import pytest
import yaml
from operando.cli.check import check_experiment
from operando.cli.experiment_file import load, parse
from operando.cli.measure import disk_mb_s, socket_mb_s

DRY = """
title: dry
marks: [{capacity_mAh: 0.004}]
scan: {exposure_s: 0.02, translations: {start_um: -4, stop_um: 4, points: 9}, angles: {count: 10}}
simulation: {clock: 60, twin: {field_um: 9, shape: [64, 96], beam_pixel: [32, 8],
  chip_px: [64, 96], dead_modules: [], distance_m: 0.05, particle_radius_um: [1.5, 2.5]}}
"""


def checked(experiment, **how):
    said: list[str] = []
    return check_experiment(experiment, said.append, **how), "\n".join(said)


def test_a_dry_run_is_predicted_and_this_machine_is_measured():
    good, said = checked(parse(DRY, "dry"), reach=True, measure=True)
    assert "1 pauses of 10 x 9 = 90 frames, 2 s each" in said
    assert "0.50 h of discharge" in said  # 0.004 mAh at 8 uA
    assert "90 frames of 64 x 96" in said
    assert "reduction by" in said
    assert good
    assert said.endswith("ready to run")


def test_a_spool_that_takes_no_line_above_the_level_of_the_hold_is_a_fault():
    raw = yaml.safe_load(DRY)
    raw["scan"]["translations"]["points"] = 12_000
    good, said = checked(parse(yaml.safe_dump(raw), "dry"), reach=False, measure=False)
    assert good
    # (12000 points + 2 s at 50 Hz) x 64 x 96 x 2 B x 0.35 compressed, five times that
    assert "a spool of 4096 MB, 260 needed to hold in time" in said
    raw["network"] = {"spool_MB": 250}
    good, said = checked(parse(yaml.safe_dump(raw), "dry"), reach=False, measure=False)
    assert not good
    assert "FAULT network.spool_MB: 250 MB; 260 needed" in said


def test_a_spool_that_the_reductions_of_one_scan_fill_is_a_fault():
    raw = yaml.safe_load(DRY)
    raw["scan"]["angles"]["count"] = 5000
    raw["network"] = {"spool_MB": 64}
    good, said = checked(parse(yaml.safe_dump(raw), "dry"), reach=False, measure=True)
    assert not good
    assert "or the reductions of 45000 frames" in said


@pytest.mark.parametrize(("free_mb", "good"), [(530, False), (545, True)])
def test_a_disk_on_which_the_plan_would_hold_from_the_start_is_a_fault(monkeypatch, free_mb, good):
    usage = namedtuple("usage", "total used free")(1 << 40, 0, free_mb * 10**6)
    monkeypatch.setattr("operando.cli.check.shutil.disk_usage", lambda place: usage)
    found, said = checked(parse(DRY, "dry"), reach=False, measure=False)
    assert found == good  # twice the reserve of 256 MB, and 0.4 MB of frames
    assert ("0.5 needed: the plan holds when 0.5 are left" in said) != good


def test_a_rate_that_no_machine_takes_is_a_fault():
    raw = yaml.safe_load(DRY)
    raw["scan"]["exposure_s"] = 1e-7
    good, said = checked(parse(yaml.safe_dump(raw), "dry"), reach=False, measure=True)
    assert not good
    assert "FAULT reduction by" in said
    assert "lengthen scan.exposure_s" in said


ADAPTIVE = {"budgets": {"rescans": 3, "pause_s": 22}, "roi": {"points": 9, "angles": 10}}


def adaptive(order="bit-reversed", **changes):
    raw = yaml.safe_load(DRY)
    raw["scan"]["angles"]["order"] = order
    raw["adaptive"] = {**ADAPTIVE, **changes}
    return parse(yaml.safe_dump(raw), "dry")


def test_the_worst_that_rescans_may_cost_is_said():
    good, said = checked(adaptive(), reach=False, measure=False)
    assert good
    # 22 s less the 1.8 s of the tomogram; three of 90 frames each
    assert "at most 3 rescans a pause, at worst 20 s more a pause and 270 frames more" in said
    assert "approval automatic" in said
    _, said = checked(
        adaptive(kinds=["exposure"], budgets={"pause_s": 3.8}), reach=False, measure=False
    )
    assert "100 frames more" in said  # 2 s at 0.02 s a frame


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (adaptive("sequential"), "lacks a whole wedge"),
        (adaptive(kinds=["roi"], budgets={"pause_s": 1.0}), "no room for a rescan"),
    ],
)
def test_adaptive_settings_that_cannot_work_are_faults(experiment, words):
    good, said = checked(experiment, reach=False, measure=False)
    assert not good
    assert words in said


@pytest.fixture
def hardware(tmp_path):
    """An experiment file that names devices at given places."""

    def write(rest, stream, cell="NOBODY:", stage="NOBODY:", poni="", **analysis):
        (tmp_path / "there.poni").write_text(poni or "Distance: 0.1\n")
        path = tmp_path / "experiment.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "title": "hardware",
                    "marks": [{"voltage_V": 3.9}],
                    "scan": {"exposure_s": 0.5},
                    "detector": {"rest": rest, "stream": stream},
                    "potentiostat": {"prefix": cell},
                    "stage": {"prefix": stage},
                    "geometry": "there.poni",
                    "network": {
                        "epics_addresses": "127.0.0.1",
                        "epics_port": int(os.environ["EPICS_CA_SERVER_PORT"]),
                        "epics_repeater_port": int(os.environ["EPICS_CA_REPEATER_PORT"]),
                    },
                }
            )
        )
        return load(path)

    return write


def test_devices_that_answer_are_reported_as_reached(beamline, hardware):
    made = beamline(receive=False)
    simulation = made.simulation
    experiment = hardware(
        simulation.rest_url, simulation.stream_address, made.cell_prefix, made.stage_prefix,
        poni=simulation.twin.poni,
    )  # fmt: skip
    good, said = checked(experiment, reach=True, measure=False)
    assert good, said
    assert "answers: " in said
    assert "takes connections" in said
    assert f"potentiostat {made.cell_prefix}STATE = " in said
    assert "of 64 x 96" in said  # the detector was asked for its size


def test_everything_that_does_not_answer_is_named_with_its_key(hardware):
    experiment = hardware("http://127.0.0.1:9", "tcp://127.0.0.1:9")
    good, said = checked(experiment, reach=True, measure=False)
    assert not good
    for key in ("detector.rest", "detector.stream", "potentiostat.prefix", "stage.prefix"):
        assert f"FAULT {key}: " in said
    assert "not ready: 4 fault(s)" in said


def test_disk_and_sockets_carry_something(tmp_path):
    assert disk_mb_s(tmp_path / "not" / "there" / "yet") > 1
    assert socket_mb_s(100_000) > 1

"""The experiment file: what is accepted, and how a fault is said."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from operando.cli.experiment import duration_s
from operando.cli.experiment_file import ExperimentError, dump, load, parse, settings_checksum
from operando.cli.reference import experiment_reference

ROOT = Path(__file__).resolve().parents[2]
MINIMAL = """
title: short
marks: [{capacity_mAh: 0.002}]
simulation: {}
"""


def test_a_wrong_md5_may_be_asked_of_a_stream_that_has_one():
    text = MINIMAL.replace("{}", "{detector_faults: {bad_md5: 0.1}}")
    assert parse(text + "detector: {format: v1}", "f").detector.format == "v1"
    with pytest.raises(ExperimentError, match="bad_md5: the stream V2 has no md5"):
        parse(text, "f")


def faults(text: str) -> list[str]:
    with pytest.raises(ExperimentError) as caught:
        parse(text, "file.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_every_example_is_valid_and_survives_a_round_trip(path):
    experiment = load(path)
    assert parse(dump(experiment), "dumped") == experiment


def test_the_settings_checksum_tells_analyses_apart_and_nothing_else():
    one = "analysis: {consumers: {intensity: {}, powder: {trim: 0.1, bins: 50}}}\n"
    reordered = "analysis: {consumers: {powder: {bins: 50, trim: 0.1}, intensity: {}}}\n"
    number = settings_checksum(parse(MINIMAL + one, "file.yaml"))
    assert 0 < number < 1 << 64
    same = (reordered, "network: {window_MB: 99}\n" + reordered.replace("}}}", "}}, reducers: 7}"))
    for text in same:
        experiment = parse(MINIMAL + text, "file.yaml")
        assert settings_checksum(experiment) == number
        assert settings_checksum(parse(dump(experiment), "dumped")) == number
    for text in ("", one.replace("0.1", "0.11"), one.replace("intensity: {}, ", "")):
        assert settings_checksum(parse(MINIMAL + text, "file.yaml")) != number


def test_few_keys_are_enough_for_a_dry_run():
    experiment = parse(MINIMAL, "file.yaml")
    assert experiment.scan.frames() == 41 * 40
    assert experiment.cell.current_A == -8e-6


@pytest.mark.parametrize(
    ("change", "key", "remedy"),
    [
        ({"scan": {"translatons": {}}}, "scan.translatons", "did you mean 'translations'"),
        ({"mark": []}, "mark", "did you mean 'marks'"),
        ({"marks": []}, "marks", "at least 1 mark"),
        ({"marks": [{"capacity_mAh": 1, "voltage_V": 4}]}, "marks[0]", "exactly one"),
        ({"scan": {"angles": {"order": "random"}}}, "scan.angles.order", "bit-reversed"),
        ({"cell": {"current_A": 8e-6}}, "cell", "negative"),
        ({"potentiostat": {"safe_state": "off"}}, "potentiostat.safe_state", "hold_potential"),
        ({"potentiostat": {"safe_state": "hold_potential"}}, "potentiostat", "belong together"),
        ({"potentiostat": {"safe_voltage_V": 3.9}}, "potentiostat", "belong together"),
        (
            {"potentiostat": {"safe_state": "hold_potential", "safe_voltage_V": 4.45}},
            "file",
            "safe_voltage_V 4.45 lies outside limits.voltage_V [2.9, 4.4]",
        ),
        ({"scan": {"hold_limit_s": 0}}, "scan.hold_limit_s", "greater than 0"),
        ({"adaptive": {"kinds": ["resume"]}}, "adaptive.kinds[0]", "'stop', 'roi' or 'exposure'"),
        ({"adaptive": {"budget": {}}}, "adaptive.budget", "did you mean 'budgets'"),
        ({"adaptive": {"budgets": {"rescans": -1}}}, "adaptive.budgets.rescans", "greater than"),
        ({"adaptive": {"budgets": {"dose": 1}}}, "file", "needs a `beam:` section"),
        ({"beam": {"flux_per_s": 1, "absorption_cm2_g": 1}}, "beam", "needs energy_eV"),
        ({"cell": {"cutoff_V": 2.0}}, "cell", "cutoff_V 2.0 lies outside"),
        ({"cell": {"limits": {"voltage_V": [2.0, 4.4]}}}, "cell", "leaves the cell's window_V"),
        ({"cell": {"limits": {"voltage_V": [4.4, 3.0]}}}, "cell.limits", "lower limit comes first"),
        ({"cell": {"limits": {"current_A": 1e6}}}, "cell", "leaves the cell's window_A 0.01"),
        ({"cell": {"limits": {"charge_Ah": 1e6}}}, "cell", "leaves the cell's window_Ah 0.01"),
        ({"cell": {"limits": {"temperature_C": 5000}}}, "cell", "window_C [-20.0, 80.0]: narrow"),
        ({"cell": {"limits": {"temperature_C": -300}}}, "cell", "window_C [-20.0, 80.0]: narrow"),
        ({"cell": {"window_A": 5e-5}}, "cell", "limits.current_A 0.0001 leaves"),
        ({"cell": {"window_Ah": 5e-5}}, "cell", "limits.charge_Ah 0.0001 leaves"),
        ({"cell": {"window_C": [10, 40]}}, "cell", "limits.temperature_C 60 leaves"),
        ({"cell": {"window_V": [-1000, 1000]}}, "cell", "within -10 to 10 V"),
        ({"cell": {"window_V": [4.5, 2.8]}}, "cell", "a lower and a higher value"),
        ({"cell": {"window_C": [-300, 60]}}, "cell", "within -273.15 to 1000 deg C"),
        ({"cell": {"window_C": [0, 5000]}}, "cell", "within -273.15 to 1000 deg C"),
        ({"cell": {"window_A": 1e6}}, "cell", "at most 100 A"),
        ({"cell": {"window_A": 0}}, "cell", "more than 0"),
        ({"cell": {"window_Ah": 1e6}}, "cell", "at most 100 A h"),
        ({"cell": {"window_Ah": -1}}, "cell", "more than 0"),
        ({"cell": {"current_A": -2e-4}}, "cell", "is beyond limits.current_A 0.0001"),
        ({"potentiostat": {"lease_s": 0}}, "potentiostat.lease_s", "renewed every 1 s"),
        ({"potentiostat": {"lease_s": 1}}, "potentiostat.lease_s", "must be longer"),
        ({"potentiostat": {"lease_s": 3600}}, "potentiostat.lease_s", "at most 60 s"),
        ({"analysis": {"consumers": {"xrdcd": {}}}}, "analysis.consumers.xrdcd", "'xrdct'"),
        ({"analysis": {"consumers": {"xrdct": {"trimm": 1}}}}, "xrdct.trimm", "did you mean"),
        ({"simulation": {"twin": {"sed": 1}}}, "simulation.twin.sed", "did you mean 'seed'"),
        ({"simulation": {"detector_faults": {"drp": 1}}}, "detector_faults.drp", "'drop'"),
        ({"simulation": {"detector_faults": {"drop": 2}}}, "detector_faults", "from 0 to 1"),
        ({"simulation": {"detector_faults": {"bad_md5": 0.1}}}, "faults.bad_md5", "v1 has"),
        ({"scan": {"exposure_s": "1e999"}}, "scan.exposure_s", "finite number"),
        ({"cell": {"limits": {"temperature_C": math.nan}}}, "temperature_C", "finite number"),
        ({"simulation": {"twin": {"distance_m": math.inf}}}, "twin.distance_m", "no number"),
        ({"simulation": {"clock": "fast"}}, "simulation.clock", "number"),
        ({"simulation": None}, "detector.rest", "add a `simulation:` section"),
    ],
)
def test_a_fault_names_the_key_and_the_remedy(change, key, remedy):
    text = yaml.safe_dump({**yaml.safe_load(MINIMAL), **change})
    lines = faults(text)
    assert any(key in line and remedy in line for line in lines), lines
    assert all(line.startswith("file.yaml: ") for line in lines)


def test_a_cell_that_tolerates_more_says_so_and_gets_wider_limits():
    cell = {
        "window_A": 0.5, "window_Ah": 2.0, "window_C": [20, 150], "window_V": [-1, 1],
        "current_A": -0.2, "cutoff_V": -0.4,
        "limits": {
            "voltage_V": [-0.5, 0.5], "current_A": 0.3, "charge_Ah": 1.5, "temperature_C": 120
        },
    }  # fmt: skip
    text = yaml.safe_dump({**yaml.safe_load(MINIMAL), "cell": cell})
    assert parse(text, "file.yaml").cell.limits.temperature_C == 120


def test_every_fault_is_said_in_its_own_line():
    lines = faults(yaml.safe_dump({"titel": "x", "marks": [{}], "scan": {"exposure_s": -1}}))
    assert len(lines) == 4, lines


@pytest.mark.parametrize("text", ["", "- a\n- b", "a: [1", "\x00", "title: !!python/object:os x"])
def test_what_is_no_experiment_is_said_in_one_line(text):
    assert len(faults(text)) == 1


def test_missing_file_and_missing_geometry_are_said(tmp_path):
    with pytest.raises(ExperimentError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    path = tmp_path / "real.yaml"
    path.write_text(
        "title: t\nmarks: [{voltage_V: 3.9}]\ngeometry: none.poni\n"
        "detector: {rest: 'http://d:80', stream: 'tcp://d:31001'}\n"
    )
    with pytest.raises(ExperimentError, match="geometry: no file"):
        load(path)


def test_duration_adds_discharge_rest_and_scans():
    experiment = parse(
        "title: t\nmarks: [{capacity_mAh: 0.008}]\n"
        "scan: {exposure_s: 0.01, relaxation_s: 600}\nsimulation: {clock: 60}\n",
        "file.yaml",
    )
    times = duration_s(experiment)
    assert times["discharge_cell_s"] == pytest.approx(3600)  # 0.008 mAh at 8 uA
    assert times["wall_s"] == pytest.approx(3600 / 60 + 600 / 60 + 16.4)


def test_wide_scans_add_their_frames_and_their_time_once():
    text = (
        "title: t\nmarks: [{{time_s: 60}}, {{time_s: 120}}]\nsimulation: {{}}\n"
        "scan: {{beam_um: {beam}, before: [{{role: broad, exposure_s: 0.02, beam_um: 50, "
        "translations: {{start_um: -100, stop_um: 100, points: 11}}, angles: {{count: 10}}}}]}}\n"
    )
    experiment = parse(text.format(beam=1), "file.yaml")
    assert experiment.scan.frames_before() == 110
    times = duration_s(experiment)
    assert times["before_wall_s"] == pytest.approx(2.2)
    assert times["wall_s"] == pytest.approx((120 + 2 * 300) / 120 + 2 * 16.4 + 2.2)
    with pytest.raises(ExperimentError, match="beam_um is needed"):
        parse(text.format(beam=0), "file.yaml")


def test_a_finer_scans_own_beam_needs_one_for_the_slice_to_come_back_to():
    text = (
        "title: t\nmarks: [{{time_s: 60}}]\nsimulation: {{}}\n"
        "scan: {{beam_um: {beam}}}\nadaptive: {{roi: {{beam_um: 0.4}}}}\n"
    )
    assert parse(text.format(beam=2), "file.yaml").adaptive.roi.beam_um == 0.4
    with pytest.raises(ExperimentError, match=r"scan\.beam_um is needed"):
        parse(text.format(beam=0), "file.yaml")


@given(st.text(max_size=300))
def test_no_text_does_more_than_raise_an_experiment_error(text):
    with contextlib.suppress(ExperimentError):
        parse(text, "f")


def test_the_reference_page_is_the_one_that_the_program_writes():
    page = (ROOT / "docs/reference/experiment-file.md").read_text()
    assert page == experiment_reference() + "\n", "write it anew: operando check --explain"


@pytest.mark.parametrize("text", ["? [a]\n: 1", "{{a: 1}: 2}", "cell: {[1, 2]: 3}"])
def test_a_key_that_is_no_word_is_a_line(text):
    with pytest.raises(ExperimentError, match="line 1: a key has to be a word"):
        parse(text, "f")

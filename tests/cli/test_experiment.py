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
from operando.cli.experiment_file import ExperimentError, dump, load, parse
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

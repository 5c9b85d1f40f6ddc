"""Calibration tables named in an experiment file."""

from __future__ import annotations

from pathlib import Path

import pytest
from operando.cli.experiment_file import ExperimentError, check_consumers, dump, load, parse

HEAD = "title: t\nmarks: [{capacity_mAh: 0.002}]\nsimulation: {}\n"
TABLE = "segment,a,y\n1,8.10,0.2\n1,8.20,0.8\n"


def settings(calibration: str) -> str:
    return f"{HEAD}analysis: {{consumers: {{xrdct: {{calibration: {calibration}}}}}}}\n"


def test_a_table_beside_the_file_travels_with_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(TABLE)
    path = tmp_path / "e.yaml"
    path.write_text(settings("{table: mine.csv, initial: 0.2, final: 0.8, capacity_mAh: 0.01}"))
    elsewhere = tmp_path / "run" / "experiment.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump(load(path)))
    (tmp_path / "mine.csv").unlink()
    config = check_consumers(load(elsewhere), "e")["xrdct"].calibration
    assert config.curve().segments[0].parameter == (8.10, 8.20)
    assert config.by_coulombs(-5e-6) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("calibration", "why"),
    [
        ("{table: nowhere.csv}", r"xrdct\.calibration\.table: .*nowhere\.csv: No such file"),
        ("{table: nothing}", "'nothing' is neither shipped"),
        ("{table: limn2o4, capacity_mAh: -1}", "capacity_mAh is -1"),
        ("{tabel: limn2o4}", "tabel"),
    ],
)
def test_a_table_that_cannot_be_used_is_said_in_one_line(calibration: str, why: str) -> None:
    with pytest.raises(ExperimentError, match=why) as caught:
        parse(settings(calibration), "e.yaml")
    assert "\n" not in str(caught.value)


def test_particles_of_no_sense_are_refused() -> None:
    text = settings("{}").replace("calibration: {}", "particles: {shells: 0}")
    with pytest.raises(ExperimentError, match="1 <= shells <= 32"):
        parse(text, "e.yaml")

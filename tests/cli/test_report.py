"""Figures of a recorded run from the command line."""

from __future__ import annotations

import numpy as np
import pytest
from operando.cli.main import app
from operando.stream.messages import Axis, Detector, Result, ScanStart, Trajectory
from operando.stream.recorder import Recorder
from typer.testing import CliRunner


@pytest.fixture
def file(tmp_path):
    """A run of one scan with one map."""
    axes = (Axis("rotation", "deg", np.zeros(1)), Axis("translation", "um", np.zeros(1)))
    detector = Detector("eiger", (8, 10), "uint16", (75e-6, 75e-6), 60_000)
    start = ScanStart(
        "r", "s", 1, "xrdct", 1, detector, Trajectory((1, 1), axes), "", np.nan, 0.01, None, 0.0
    )
    place = np.arange(4.0)
    lattice = Result(
        "r", "s", 1, "xrdct", "lattice_parameter", ("y", "x"), {"y": place, "x": place},
        {"y": "um", "x": "um"}, "Å", np.linspace(8.1, 8.2, 16).reshape(4, 4).astype(np.float32),
        None, 1.0, 1, True, True, {},
    )  # fmt: skip
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (start, lattice):
            assert recorder.take(message) == ""
    return tmp_path / "run.nxs"


def test_one_figure_is_drawn_by_name_in_the_resolution_asked_for(file, tmp_path):
    arguments = ["report", str(file), "--only", "map-lattice_parameter", "--dpi", "100"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "figures")])
    assert done.exit_code == 0, done.output
    names = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert names == ["map-lattice_parameter.pdf", "map-lattice_parameter.png"]
    header = (tmp_path / "figures" / names[1]).read_bytes()[16:20]
    assert int.from_bytes(header, "big") == int(85 / 25.4 * 100)  # pixels across a column


def test_a_figure_that_the_run_does_not_have_is_answered_with_those_it_has(file):
    done = CliRunner().invoke(app, ["report", str(file), "--only", "phases"])
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "no figure 'phases'" in said
    assert "map-lattice_parameter" in said
    assert not (file.parent / "report").exists()

"""Tables of a run as CSV, from a whole run file."""

from __future__ import annotations

import csv

import numpy as np
from operando.cli.export import export_tables, is_table, table_rows
from operando.stream.messages import Axis, Detector, Result, ScanStart, Trajectory
from operando.stream.recorder import Recorder


def table(**changes) -> Result:
    values = np.array([[8.1234567, 0.5], [8.2, np.nan]], np.float32)
    given = {
        "run": "r", "scan": "s", "number": 2, "consumer": "xrdct", "name": "region_table",
        "dims": ("region", "column"),
        "coords": {"region": np.arange(2), "column": np.arange(2)},
        "units": {"region": "", "column": ""}, "unit": "", "values": values, "uncertainty": None,
        "completeness": 1.0, "revision": 1, "final": True, "live": True,
        "attrs": {"columns": "a_angstrom,share", "regions": "bulk,particle 3"},
    }  # fmt: skip
    return Result(**{**given, **changes})


def test_rows_have_their_names_and_values_read_back() -> None:
    heading, bulk, particle = table_rows(table())
    assert heading == ["region", "a_angstrom", "share"]
    assert bulk[0] == "bulk"
    assert np.float32(bulk[1]) == np.float32(8.1234567)
    assert particle == ["particle 3", "8.2", ""]


def test_rows_without_names_have_their_coordinate() -> None:
    rows = table_rows(
        table(attrs={"columns": "a,b"}, coords={"region": np.array([4, 7]), "column": np.arange(2)})
    )
    assert [row[0] for row in rows] == ["region", "4", "7"]


def test_what_names_no_columns_is_no_table() -> None:
    assert is_table(table())
    assert not is_table(table(attrs={}))
    assert not is_table(table(attrs={"columns": "a,b,c"}))


def test_a_run_files_tables_become_files(tmp_path) -> None:
    axes = (Axis("rotation", "deg", np.zeros(1)), Axis("translation", "um", np.zeros(1)))
    detector = Detector("eiger", (8, 10), "uint16", (75e-6, 75e-6), 60_000)
    start = ScanStart(
        "r", "s", 2, "xrdct", 1, detector, Trajectory((1, 1), axes), "", np.nan, 0.01, None, 0.0
    )
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (start, table(), table(name="rwp", attrs={})):
            assert recorder.take(message) == ""
    (written,) = export_tables(tmp_path / "run.nxs", tmp_path / "tables")
    assert written.name == "scan_002_xrdct_region_table.csv"
    with written.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    assert rows == table_rows(table())

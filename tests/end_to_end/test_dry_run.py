"""The whole system in separate processes: account, file, maps against the truth, safe cell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from operando.sim.truth import load_truth
from operando.stream.run_file import open_run
from silx.io import nxdata
from whole_run import environment, left_running, run

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(420)]
FRAMES = 21 * 24
ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorials" / "first-dry-run.md"


def test_it_ends_well_and_the_account_closes(quick_run):
    assert quick_run.code == 0, quick_run.said
    summary = quick_run.summary()
    assert summary["account"] == {
        "announced": 2 * FRAMES,
        "received": 2 * FRAMES,
        "recorded": 2 * FRAMES,
        "in_results": 2 * FRAMES,
        "lost": 0,
        "failed": 0,
    }
    assert summary["closed"]
    assert summary["trouble"] == []
    assert "account: announced 1008 = recorded 1008 + lost 0" in quick_run.said


def test_the_first_map_comes_while_the_scan_is_taken(quick_run):
    summary = quick_run.summary()
    assert 0 <= summary["first_map_s"] < FRAMES / summary["scans"][0]["frames_per_s"]


def test_the_cell_ends_at_open_circuit_below_its_last_mark(quick_run):
    summary = quick_run.summary()
    assert summary["cell_state"] == "HOLD_OCV"
    with open_run(quick_run.folder / "run.nxs") as recorded:
        samples = recorded.samples(recorded.scans()[0].run)
    assert samples.current_a[-1] == 0
    assert samples.voltage_v.min() < 3.05  # the cut-off was reached
    assert samples.voltage_v.min() > 2.9  # and the limit was not
    assert np.all(np.diff(samples.time_s) > 0)


def test_no_current_flows_while_a_scan_is_taken(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        starts = recorded.scans()
        samples = recorded.samples(starts[0].run)
    for start in starts:
        assert start.cell.current_a == 0
        scanning = np.abs(samples.wall_s - start.time - 2.0) < 1.0
        assert scanning.any()
        assert np.all(samples.current_a[scanning] == 0)


def test_the_marks_were_hit(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        charges = [start.cell.charge_ah for start in recorded.scans()]
    np.testing.assert_allclose(charges, [-6.7e-6, -12.5e-6], rtol=0.02)


def test_maps_agree_with_the_truth(quick_run):
    assert quick_run.summary()["lattice_error_median_A"] < 0.0015
    with open_run(quick_run.folder / "run.nxs") as recorded:
        maps = [r for r in recorded.results() if r.name == "lattice_parameter"]
    assert len(maps) == 2
    for result in maps:
        truth = load_truth(quick_run.folder / "truth" / f"truth_{result.number:03d}.npz")
        error = np.abs(result.values - truth.lattice_parameter_a)[truth.solid_solution]
        assert np.isfinite(error).mean() > 0.8  # most of the particles' voxels have a value
        assert np.nanmedian(error) < 0.0015
        assert result.final
        assert result.completeness == 1.0
        assert result.unit == "Å"
        assert np.isnan(result.values[truth.filling == 0]).mean() > 0.8  # pores have none


def test_maps_of_the_second_consumer_are_there(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        counts = [r for r in recorded.results() if r.name == "total_counts"]
        first = next(iter(recorded.frames(counts[0].scan)))
    assert [c.values.shape for c in counts] == [(24, 21)] * 2
    assert np.isfinite(counts[0].values).all()
    assert first.encoding == "bslz4"


def test_the_file_opens_at_the_map_and_holds_the_detectors_own_bytes(quick_run):
    with h5py.File(quick_run.folder / "run.nxs", locking=False) as file:
        shown = nxdata.get_default(file, validate=True)
        assert shown is not None
        assert shown.signal.shape[-2:] == (21, 21)
        stacks = []
        file.visititems(
            lambda name, item: (
                stacks.append(item)
                if isinstance(item, h5py.Dataset) and item.shape == (FRAMES, 256, 514)
                else None
            )
        )
        assert len(stacks) == 2
        assert stacks[0].chunks == (1, 256, 514)
        assert "32008" in str(dict(stacks[0]._filters))  # bitshuffle
        with open_run(quick_run.folder / "run.nxs") as recorded:
            for frame in recorded.frames(recorded.scans()[0].scan):
                _, data = stacks[0].id.read_direct_chunk((frame.index, 0, 0))
                assert bytes(frame.data) == data
                break


def test_documents_of_the_run_and_of_each_scan_are_in_the_file(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        names = [d.name for d in recorded.documents()]
    assert names.count("start") == 3  # the discharge and two tomograms
    assert names.count("stop") == 3


def test_the_stop_document_of_each_scan_carries_its_account(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        documents = [(d.name, json.loads(d.text)) for d in recorded.documents()]
        scans = [start.scan for start in recorded.scans()]
    stops = {d["run_start"]: d for name, d in documents if name == "stop"}
    for scan in scans:
        assert stops[scan]["exit_status"] == "success"
        assert stops[scan]["reason"] == (
            f"announced {FRAMES} = recorded {FRAMES} + lost 0; "
            f"recorded = in results {FRAMES} + failed 0 + pending 0"
        )
    streams = {d["uid"]: d["name"] for name, d in documents if name == "descriptor"}
    counted = [
        d["data"] for name, d in documents
        if name == "event" and streams[d["descriptor"]] == "account"
    ]  # fmt: skip
    assert [c["account_in_results"] for c in counted] == [FRAMES] * 2
    assert all(c["account_closed"] for c in counted)


def test_documents_point_to_where_the_frames_are(quick_run):
    with open_run(quick_run.folder / "run.nxs") as recorded:
        resources = [
            json.loads(d.text) for d in recorded.documents() if d.name == "stream_resource"
        ]
    assert len(resources) == 2
    for resource in resources:
        path = Path(resource["uri"].removeprefix("file://localhost"))
        with h5py.File(path, locking=False) as file:
            assert file[resource["parameters"]["dataset"]].shape == (FRAMES, 256, 514)


def test_every_planned_mark_was_taken(quick_run):
    summary = quick_run.summary()
    assert summary["marks_planned"] == summary["marks_taken"] == 2


def test_pictures_and_report_are_there(quick_run):
    pictures = [Path(p) for p in quick_run.summary()["pictures"]]
    assert all(p.is_file() for p in pictures)
    names = {p.name for p in pictures}
    assert {"final.png", "latest.png", "evolution.png", "evolution.pdf", "report.html"} <= names


def test_no_process_is_left(quick_run):
    assert left_running(quick_run.folder) == []


def test_every_command_of_the_tutorial_works(quick_run):
    """Line by line; its first one is the run that the other tests look at."""
    parent = quick_run.folder.parent
    (parent / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    first, *others = re.findall(r"```(sh|python)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    assert first == ("sh", "operando demo --quick --offscreen --out first\n")
    said = quick_run.said
    assert [kind for kind, _ in others].count("sh") >= 3
    for kind, code in others:
        arguments = ["sh", "-ec", code] if kind == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(
            arguments, cwd=parent, env={**environment(), "PATH": path}, text=True,
            capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert "account: announced 1008 = recorded 1008 + lost 0" in said
    assert "('y', 'x') (21, 21) Å complete: 100%" in said
    assert "ready to run" in said
    assert (parent / "figures" / "evolution.png").is_file()
    same = re.search(r"(\d+) of (\d+) final results are the same, bit for bit", said)
    assert same is not None, said
    assert same[1] == same[2]
    assert int(same[2]) >= 26


def test_a_replay_sees_a_difference_where_there_is_one(quick_run):
    from dataclasses import replace

    from operando.cli.replay import compare

    with open_run(quick_run.folder / "run.nxs") as recorded:
        before = [r for r in recorded.results() if r.final]
    values = before[3].values.copy()
    place = np.flatnonzero(np.isfinite(values))[0]
    values.flat[place] = np.nextafter(values.flat[place], np.float32(np.inf))
    after = [*before[:3], replace(before[3], values=values), *before[4:]]
    said: list[str] = []
    assert compare(before, before, said.append)
    assert not compare(before, after, said.append)
    assert not compare(before, before[1:], said.append)


def test_a_second_run_into_the_same_folder_is_refused(quick_run):
    done = run(quick_run.folder, "demo", "--quick", "--offscreen")
    assert done.code == 2
    assert "already holds a run" in done.said

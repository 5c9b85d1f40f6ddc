"""Adaptive rescans in whole runs: taken inside the pause and the budget, or not at all."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from operando.cli.against_truth import lattice_on
from operando.sim.truth import load_truth
from operando.stream.messages import Decision, Proposal
from operando.stream.run_file import open_run
from whole_run import Finished, command, environment, left_running

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(420)]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "adaptive.yaml"


@dataclass(frozen=True)
class Killed(Finished):
    """kills: of the recommender"""

    kills: int


@pytest.fixture(scope="module")
def adaptive_run(tmp_path_factory):
    """The example, as it is; from its second scan on the recommender is killed when it appears."""
    folder = tmp_path_factory.mktemp("adaptive") / "run"
    running = subprocess.Popen(
        command("run", EXAMPLE, "--offscreen", "--out", folder), cwd=folder.parent,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    over, killed = threading.Event(), set()

    def kill() -> None:
        while not over.wait(0.05) and running.poll() is None:
            if not (folder / "truth" / "truth_002.npz").exists():
                continue  # the second scan has not begun
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(running.pid).children():
                    if process.pid not in killed and "recommend" in process.cmdline():
                        process.send_signal(signal.SIGKILL)
                        killed.add(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        said, _ = running.communicate(timeout=400)
    finally:
        over.set()
        killer.join()
    assert running.returncode == 0, said
    return Killed(folder, running.returncode, said, len(killed))


def test_the_tomogram_ends_early_at_the_stated_quality(adaptive_run):
    first = adaptive_run.summary()["scans"][0]
    taken = first["frames"] - first["not_taken"]
    assert taken <= 0.4 * first["frames"]
    assert taken % 11 == 0  # between two lines
    stated = yaml.safe_load(EXAMPLE.read_text())["adaptive"]["settled_A"]
    print(f"{taken} frames, median |a - a_true| {first['lattice_error_median_A']:.5f} Å")
    assert first["lattice_error_median_A"] <= stated
    assert first["saved_s"] > 0
    assert f"scan 1: {taken} of {first['frames']} frames" in adaptive_run.said
    assert "s saved" in adaptive_run.said


def test_a_deliberate_end_is_no_loss(adaptive_run):
    summary = adaptive_run.summary()
    account = summary["account"]
    assert summary["closed"]
    assert (account["lost"], account["failed"]) == (0, 0)
    assert account["announced"] == account["recorded"] == account["in_results"]
    with open_run(adaptive_run.folder / "run.nxs") as recorded:
        first = recorded.scans()[0]
        (closed,) = recorded.accounts(first.scan)
        (stop,) = recorded.stops(first.scan)
    assert closed.announced + closed.withdrawn == first.frames
    assert closed.why_withdrawn.startswith("not taken: map good enough")
    assert (stop.reason, stop.lost) == ("complete", {})


def test_the_rescan_is_in_the_pause_and_finds_the_finer_structure_that_is_there(adaptive_run):
    with open_run(adaptive_run.folder / "run.nxs") as recorded:
        whole, region = recorded.scans()
        maps = {r.scan: r for r in recorded.results() if r.name == "lattice_parameter"}
        samples = recorded.samples(whole.run)
        requests = recorded.requests()
    assert region.notes["role"] == "roi"
    assert region.notes["parent"] == whole.scan
    pause = (samples.wall_s >= whole.time) & (samples.wall_s <= region.time)
    assert pause.any()
    assert np.all(samples.current_a[pause] == 0)
    coarse, fine = maps[whole.scan], maps[region.scan]
    truth = load_truth(adaptive_run.folder / "truth" / "truth_002.npz")
    true, solid = lattice_on(truth, fine.coords["x"], fine.coords["y"])
    nearest = [
        np.abs(coarse.coords[axis][None, :] - fine.coords[axis][:, None]).argmin(axis=1)
        for axis in ("y", "x")
    ]
    before = coarse.values[np.ix_(*nearest)]
    there = solid & np.isfinite(fine.values) & np.isfinite(before)
    assert there.sum() > 100

    def rms(values):
        return float(np.sqrt(np.mean((values[there] - true[there]) ** 2)))

    def likeness(values):
        return float(np.corrcoef(values[there], true[there])[0, 1])

    print(
        f"finer map: {rms(fine.values):.4f} Å rms ({rms(before):.4f} before), "
        f"correlation {likeness(fine.values):.3f} ({likeness(before):.3f})"
    )
    assert fine.attrs["roi_correction"] == "slice"
    assert rms(fine.values) < 0.6 * rms(before)
    assert likeness(fine.values) > max(0.95, likeness(before))
    rows, columns = np.nonzero(truth.lithium_rich)  # it looked at a lithium-rich particle
    middle = [float(fine.coords[axis].mean()) for axis in ("x", "y")]
    assert np.hypot(truth.x_um[columns] - middle[0], truth.y_um[rows] - middle[1]).min() < 1.5
    asked = {m.id: m.kind for m in requests if isinstance(m, Proposal)}
    words = [(asked[m.id], m.verdict) for m in requests if isinstance(m, Decision)]
    assert words == [
        ("stop", "approved"), ("stop", "done"), ("roi", "approved"), ("roi", "done"),
    ]  # fmt: skip
    assert region.notes["proposal"] in asked


def test_the_budget_is_kept_and_the_dose_is_in_the_file(adaptive_run):
    budgets = yaml.safe_load(EXAMPLE.read_text())["adaptive"]["budgets"]
    with open_run(adaptive_run.folder / "run.nxs") as recorded:
        scans = recorded.scans()
        doses = [r for r in recorded.results() if (r.consumer, r.name) == ("plan", "dose")]
    assert len(scans) == 1 + budgets["rescans"]
    assert len(doses) == len(scans)
    assert doses[0].values.max() < doses[1].values.max() <= budgets["dose"]
    assert doses[1].unit == "photons/um2"


def test_the_run_goes_on_without_its_recommender(adaptive_run):
    """It was killed until the supervisor left it down; what it had asked for is finished."""
    assert adaptive_run.kills > 1
    assert "recommender ended" in adaptive_run.said
    assert "stays down" in adaptive_run.said
    assert adaptive_run.summary()["closed"]
    assert left_running(adaptive_run.folder) == []

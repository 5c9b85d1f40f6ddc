"""The laboratory's own tools: deck, clock, file limits, slopes; and a verdict that can say no."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from operando.cli import soak
from operando.cli.experiment_file import load
from operando.cli.folder import RunFolder
from operando.cli.observer import Observer
from operando.cli.parts import Parts
from operando.cli.soak import given_up, outcome_problems
from operando.cli.soak_clock import WallClock
from operando.cli.soak_faults import Bench, limit_files, strike
from operando.cli.soak_figure import draw_memory
from operando.cli.soak_laboratory import Struck, fitting
from operando.cli.soak_measure import Life, Measure, slope
from operando.cli.soak_report import RunRecord
from operando.cli.soak_schedule import (
    ENDINGS,
    KILL_PLAN,
    KILL_SIM,
    KILL_SIM_IN_CURRENT,
    Deck,
    Fault,
    ending_of,
    faults,
)
from operando.cli.soak_verdict import (
    Verdict,
    account_problems,
    cell_problems,
    memory_problems,
    results_problems,
)
from operando.cli.summary import Outcome
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import Account, GroupAccount, Result, Samples, Status


def test_every_fault_is_dealt_once_before_any_comes_again_and_the_seed_decides_the_order():
    every = faults(2)
    orders = []
    for seed in (1, 1, 2):
        deck = Deck(every, seed)
        dealt = []
        for _ in range(2 * len(every)):
            assert deck.complete == (len(dealt) >= len(every))
            dealt.append(deck.deal(lambda fault: True))
        assert set(dealt[: len(every)]) == set(dealt[len(every) :]) == set(every)
        orders.append(dealt)
    assert orders[0] == orders[1] != orders[2]


def test_the_seed_decides_how_the_last_run_ends():
    assert [ending_of(seed) for seed in (0, 1, 2, 3, 5)] == [
        KILL_SIM_IN_CURRENT, KILL_PLAN, KILL_SIM, KILL_SIM_IN_CURRENT, KILL_SIM,
    ]  # fmt: skip
    assert all(fault.ends for fault in ENDINGS)


def test_a_repeated_series_brings_frames_under_a_name_of_its_own(beamline, until, tmp_path):
    line = beamline()
    experiment = load(Path(soak.__file__).with_name("quick.yaml"))
    wires = experiment.detector.model_copy(update={"rest": line.simulation.rest_url})
    bench = Bench(
        experiment.model_copy(update={"detector": wires}), RunFolder(tmp_path), {},
        WallClock(tmp_path / "clock"),
    )  # fmt: skip
    description = ScanDescription(
        "run", "scan", 3, "xrdct", (20, 20),
        (GridAxis("rotation", "deg", 0, tuple(range(20))),
         GridAxis("translation", "um", 1, tuple(range(20)))),
    )  # fmt: skip
    detector = line.simulation.detector
    for name, value in (
        ("trigger_mode", "exts"), ("nimages", 1), ("ntrigger", 400), ("count_time", 0.01),
    ):  # fmt: skip
        detector.write(detector.detector, name, value)
    for name, value in (
        ("mode", "enabled"), ("format", "cbor"), ("header_appendix", description.to_json()),
    ):  # fmt: skip
        detector.write(detector.stream, name, value)
    repeat = Fault("repeat", "the series", phase="discharging", loses=True)
    for times in (1, 2):
        strike(repeat, bench, Parts(tmp_path, {}))
        until(lambda times=times: len(line.of_stream("ScanStop")) == times, 20)
    first, second = line.of_stream("ScanStop")
    assert (first.scan, first.frames, first.lost) == ("scan", 8, {})
    assert second.scan.startswith("scan-series-2-")
    assert (second.frames, second.lost) == (8, {})
    for start in line.of_stream("ScanStart"):
        assert start.technique == "frames"  # it is not what its description says
        assert start.notes["description_problem"]
    until(lambda: detector.state == "idle")


def test_hardware_that_dies_in_current_is_safe_by_its_lease_and_somebody_is_told(monkeypatch):
    def record(*trouble: str, fault: Fault = KILL_SIM_IN_CURRENT) -> RunRecord:
        outcome = Outcome(False, list(trouble), [], 1.0)
        experiment = load(Path(soak.__file__).with_name("quick.yaml"))
        struck = [Struck(1.0, fault, "discharging")]
        return RunRecord(
            RunFolder(Path("nowhere")), experiment, outcome, struck, Measure(), "", 1.0, 0, 1.0
        )

    monkeypatch.setattr(soak, "verdict_of", lambda *_: Verdict())
    monkeypatch.setattr(soak, "left_behind", lambda folder: [])
    told = "plan ended with exit 1: NotSafe: not safe, look at the hardware: cell safe: ..."
    assert soak.judged(record("sim went down", told)).problems == []
    (problem,) = soak.judged(record("sim went down")).problems
    assert problem.startswith("nobody was told 'not safe")
    assert soak.judged(record("sim went down", fault=KILL_SIM)).problems == []


def test_a_fault_that_does_not_fit_waits_for_its_moment():
    deck = Deck(faults(2), 3)
    assert deck.deal(lambda fault: False) is None
    first = deck.deal(lambda fault: fault.kind == "abort")
    assert first is not None
    assert first.kind == "abort"
    assert deck.deal(lambda fault: fault.kind == "abort") is None
    deck.back(first)
    assert deck.deal(lambda fault: fault.kind == "abort") is first


def test_nothing_is_done_twice_to_the_same_part_nor_before_the_plan_runs():
    observer = Observer()
    assert not fitting(observer, set())(Fault("kill", "hub"))
    observer.take(Status("plan", "discharging", 0.0, {}))
    assert fitting(observer, set())(Fault("kill", "hub"))
    assert not fitting(observer, {"hub"})(Fault("kill", "hub"))
    assert not fitting(observer, set())(Fault("kill", "sim", phase="scanning"))
    assert not fitting(observer, set())(Fault("repeat", "the series", phase="discharging"))


def test_nothing_is_asked_of_a_detector_that_is_frozen():
    observer = Observer()
    observer.take(Status("plan", "discharging", 0.0, {}))
    asked = Fault("abort", "the series", phase="discharging")
    assert fitting(observer, set())(asked)
    assert not fitting(observer, {"detector"})(asked)


def test_a_clock_that_jumps_is_seen_by_programs_and_not_by_their_waiting(tmp_path):
    clock = WallClock(tmp_path / "clock")
    code = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    print(time.time(), time.time_ns() / 1e9, time.monotonic(), flush=True)\n"
    )
    with clock.shown():
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert str(tmp_path) not in os.environ.get("PYTHONPATH", "")

    def asked() -> list[float]:
        process.stdin.write("\n")
        process.stdin.flush()
        return [float(word) for word in process.stdout.readline().split()]

    before = asked()
    clock.jump(-7200)
    after = asked()
    process.communicate()
    assert after[0] - before[0] == pytest.approx(-7200, abs=60)
    assert after[1] - before[1] == pytest.approx(-7200, abs=60)
    assert 0 <= after[2] - before[2] < 60


def test_a_full_disk_is_one_for_the_part_that_it_is_meant_for_and_is_emptied_again(tmp_path):
    code = (
        "import sys\n"
        "for path in sys.stdin:\n"
        "    try:\n"
        "        with open(path.strip(), 'ab', buffering=0) as file:\n"
        "            print(file.write(bytes(2000)), flush=True)\n"
        "    except OSError as error:\n"
        "        print(error.errno, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def written() -> int:
        process.stdin.write(f"{tmp_path / 'file'}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    assert written() == 2000
    mend = limit_files(process.pid, 2000)
    assert written() == 27  # EFBIG
    (tmp_path / "ours").write_bytes(bytes(10_000))
    mend()
    assert written() == 2000
    process.communicate()
    mend()  # of a process that is gone: nothing


def test_growth_is_told_within_lives_and_not_between_them():
    times = np.arange(0.0, 60.0)
    grows = Life(0.0, list(times), list(1e8 + 1000.0 * times))
    higher = Life(0.0, list(times), list(9e8 + 1000.0 * times))
    short = Life(0.0, [0.0, 1.0], [0.0, 9e9])
    assert slope([grows, higher, short]) == pytest.approx(1000.0)
    fills = Life(0.0, list(times), list(1e8 + 1e6 * np.minimum(times, 29.0)))
    assert slope([fills]) == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(slope([short]))


def test_the_memory_of_every_part_is_a_row_of_a_figure(tmp_path):
    def measured(*names: str, lives: int) -> Measure:
        made = Measure()
        times = list(np.arange(0.0, 30.0))
        for name in names:
            made.lives[name] = {n: Life(100.0 + 40 * n, times, [1e8] * 30) for n in range(lives)}
        return made

    assert measured("hub", lives=2).span() == (100.0, 169.0)
    quiet = measured("hub", "recorder", lives=1)
    paths = draw_memory(quiet, [measured("hub", lives=3), quiet], tmp_path / "both")
    assert sorted(path.name for path in paths) == ["memory.pdf", "memory.png"]
    two = plt.imread(paths[1])
    (one,) = {plt.imread(p).shape for p in draw_memory(measured("hub", lives=1), [], tmp_path)[1:]}
    assert two.shape[0] > one[0]
    assert draw_memory(Measure(), [], tmp_path / "none") == []


def account(**changes) -> Account:
    made = Account(
        "r", "s", 1, 10, 9, 0, {4: "cut"},
        (GroupAccount("record", 9, {}), GroupAccount("process", 9, {})), True,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_an_account_that_adds_up_is_no_problem():
    assert account_problems(account(), 9, may_lose=True) == []


@pytest.mark.parametrize(
    ("broken", "kept", "may_lose", "words"),
    [
        (account(closed=False), 9, True, "open"),
        (account(received=8), 9, True, "announced 10, received 8, lost 1"),
        (account(), 8, True, "9 recorded by the account, 8 in the file"),
        (account(), 9, False, "lost, for no fault: 4: cut"),
        (account(lost={4: ""}), 9, True, "without a reason"),
        (
            account(groups=(GroupAccount("record", 9, {}), GroupAccount("process", 8, {}))),
            9, True, "process has done 8",
        ),
    ],
)  # fmt: skip
def test_an_account_that_does_not_add_up_is_named(broken, kept, may_lose, words):
    assert any(words in line for line in account_problems(broken, kept, may_lose))


def result(values) -> Result:
    array = np.asarray(values, "f4")
    return Result("r", "s", 1, "xrdct", "map", ("y",), {}, {}, "Å", array, None, 1.0, 1, True)


def test_one_bit_in_one_map_is_seen():
    key = ("xrdct", "map")
    wanted = {key: result([1.0, 2.0])}
    assert results_problems(1, {key: result([1.0, 2.0])}, wanted) == []
    other = result([1.0, np.nextafter(np.float32(2.0), np.float32(3.0))])
    assert "differs" in results_problems(1, {key: other}, wanted)[0]
    assert "missing" in results_problems(1, {}, wanted)[0]
    assert "too many" in results_problems(1, wanted, {})[0]


def test_a_cell_through_which_current_may_flow_is_named():
    one = np.ones(1)
    off = Samples("r", one, one, one, 0 * one, one, one, ("HOLD_OCV",))
    on = dataclasses.replace(off, current_a=-8e-6 * one, states=("RUNNING",))
    assert cell_problems("HOLD_OCV", [on]) == []  # its own word counts
    assert "RUNNING" in cell_problems("RUNNING", [off])[0]
    assert cell_problems("", [off]) == []
    assert "-8e-06 A" in cell_problems("", [on])[0]
    assert cell_problems("", []) != []


def test_memory_is_held_against_the_undisturbed_run():
    assert memory_problems({"hub": 150.0}, {"hub": 100.0}, 64.0) == []
    assert "hub took 200 MB" in memory_problems({"hub": 200.0}, {"hub": 100.0}, 64.0)[0]


def test_trouble_is_a_problem_unless_it_was_asked_for():
    def ended(*trouble: str) -> Outcome:
        return Outcome(False, list(trouble), [], 1.0)

    full = [Struck(0.0, Fault("fill the disk of", "recorder"), "scanning")]
    words = ("3 frames could not be recorded; see", "nothing is thrown away: operando recover")
    assert outcome_problems(ended(), []) == []
    assert outcome_problems(ended(*words), full) == []
    assert len(outcome_problems(ended(*words), [])) == 2
    assert len(outcome_problems(ended("hub went down"), full)) == 1
    killed = [Struck(0.0, KILL_SIM, "scanning")]
    assert outcome_problems(ended("sim went down: "), killed) == []
    assert "not named" in outcome_problems(ended(), killed)[0]


def test_a_plan_may_give_up_where_every_attempt_at_its_last_scan_lost_too_many():
    words = "plan ended with exit 1: FramesMissing: detector took 700 frames of scan 4, 0 arrived"
    said = Outcome(False, [words], [], 1.0)

    def explained(*shares: float | None) -> bool:
        known = {n: share for n, share in enumerate(shares, 1) if share is not None}
        return outcome_problems(said, [], given_up(known, said.trouble)) == []

    assert explained(0.003, 0.4, 1.0, 0.43)
    assert explained(0.003, None, 1.0, 0.43)  # one whose header was missed was never announced
    assert explained(0.003, 0.4, 1.0)
    for shares in ((0.1, 0.4, 1.0, 0.003), (0.4, 0.43, 0.003), (0.4, 0.003, 0.4)):
        assert not explained(*shares)
    assert not given_up({1: 0.4, 2: 0.43}, [])
    assert not given_up({}, [])


def test_a_plan_whose_detector_was_killed_in_its_last_attempt_may_give_up():
    words = "NotSafe: not safe, look at the hardware: detector disarmed: PUT http://h: no answer ("
    said = Outcome(False, [f"plan ended with exit 1: {words}"], [], 1.0)
    assert outcome_problems(said, [], given_up({1: 0.4, 2: 1.0, 3: 0.43}, said.trouble)) == []
    assert len(outcome_problems(said, [], given_up({1: 0.0, 2: 0.43}, said.trouble))) == 1


def test_a_soak_that_meets_what_it_was_not_made_for_still_tells_what_it_knows(
    tmp_path, monkeypatch
):
    def quiet_run(experiment, folder, laboratory, say):
        outcome = Outcome(False, [], [], 1.0)
        return RunRecord(folder, experiment, outcome, [], laboratory.measure, "", 1.0, 0, 1.0)

    def surprised(*_):
        raise ArithmeticError("nobody thought of that")

    experiment = load(Path(soak.__file__).with_name("quick.yaml"))
    monkeypatch.setattr(soak, "one_run", quiet_run)
    monkeypatch.setattr(soak, "judged", surprised)
    said: list[str] = []
    folder = tmp_path / "judge"
    assert soak.Soak(experiment, folder, soak.SoakChoices(), said.append).execute() == 1
    words = "the judge failed: ArithmeticError: nobody thought of that"
    assert json.loads((folder / "soak.json").read_text())["runs"][0]["problems"] == [words]
    assert f"BROKEN      undisturbed: {words}" in said

    def second_fails(experiment, folder, laboratory, say):
        if laboratory.deck is None:
            return quiet_run(experiment, folder, laboratory, say)
        raise OSError("no more ports")

    monkeypatch.setattr(soak, "one_run", second_fails)
    monkeypatch.setattr(soak, "judged", lambda record: Verdict())
    folder = tmp_path / "laboratory"
    assert soak.Soak(experiment, folder, soak.SoakChoices(), said.append).execute() == 1
    words = ["the laboratory failed: OSError: no more ports"]
    assert json.loads((folder / "soak.json").read_text())["runs"][0]["problems"] == words

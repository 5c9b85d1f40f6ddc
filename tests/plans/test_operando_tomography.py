from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from bluesky import RunEngine
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import RunEngineInterrupted
from operando.detectors.stage import FlyScan
from operando.detectors.techniques import Galvanostatic, OpenCircuit, Potentiostatic
from operando.plans import pause
from operando.plans.documents import DocumentPublisher
from operando.plans.engine import Stopped, make_engine, run_safely
from operando.plans.hold import HeldTooLong
from operando.plans.operando_tomography import operando_tomography
from operando.plans.position_watch import PositionWatch
from operando.plans.safety import NotSafe
from operando.plans.tomogram import Incomplete
from operando.stream.messages import Account, Document, GroupAccount, Message

Make = Callable[..., Any]
Until = Callable[..., None]
MARKS = [{"capacity_ah": 2e-6}, {"voltage_v": 3.95}]


class Setup:
    """A beamline, its devices, a RunEngine and all that came out."""

    def __init__(self, line: Any) -> None:
        self.line = line
        self.cell, self.stage, self.detector = (
            line.potentiostat(),
            line.stage(),
            line.detector(),
        )
        self.dwell_s = 0.0
        self.messages: list[Message] = []
        self.phases: list[str] = []
        self.values: list[dict[str, Any]] = []
        self.on_report: Callable[[str, dict[str, Any]], None] = lambda phase, values: None
        self.engine: RunEngine = make_engine([DocumentPublisher(self.messages.append)])

    def plan(self, marks: Any = MARKS, **changes: Any) -> Any:
        settings: dict[str, Any] = {
            "current_a": -8e-6, "cutoff_v": 3.0, "angles": 8, "translations": 8,
            "relaxation_s": 600.0, "exposure_s": 0.002, "dwell_s": self.dwell_s,
            "snake": True,
        }  # fmt: skip
        return operando_tomography(
            self.cell, self.stage, self.detector, marks, report=self.report,
            **{**settings, **changes},
        )  # fmt: skip

    def report(self, phase: str, values: dict[str, Any]) -> None:
        if not self.phases or self.phases[-1] != phase:
            self.phases.append(phase)
        self.values.append({"phase": phase, **values})
        self.on_report(phase, values)

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        """What was reported under these names, phase by phase."""
        rows = [(v["phase"], *(v[name] for name in names)) for v in self.values]
        return [row for at, row in enumerate(rows) if at == 0 or row != rows[at - 1]]

    def documents(self, name: str) -> list[dict[str, Any]]:
        return [
            orjson.loads(m.text)
            for m in self.messages
            if isinstance(m, Document) and m.name == name
        ]

    def pause_once(self, when: Callable[[str, dict[str, Any]], bool]) -> None:
        """Request a hard pause the first time that when(phase, values) is true."""
        asked = threading.Event()

        def look(phase: str, values: dict[str, Any]) -> None:
            if not asked.is_set() and when(phase, values):
                asked.set()
                threading.Thread(target=self.engine.request_pause, daemon=True).start()

        self.on_report = look

    def is_safe(self) -> bool:
        instrument = self.line.simulation.instrument
        return (
            self.line.cell == "HOLD_OCV"
            and instrument.mode.name == "OCV"
            and self.line.simulation.detector.state == "idle"
        )


@pytest.fixture
def setup(beamline: Make) -> Setup:
    return Setup(beamline())


@pytest.fixture
def slow(beamline: Make) -> Setup:
    """A cell whose discharge, and a stage whose flight, take long enough to be interrupted."""
    made = Setup(beamline(clock=400.0))
    made.dwell_s = 0.02
    return made


def in_scan(phase: str, values: dict[str, Any]) -> bool:
    return phase == "scanning" and 5 < values["frames_done"] < values["frames"] - 5


PHASES: dict[str, Callable[[str, dict[str, Any]], bool]] = {
    "discharge": lambda phase, values: phase == "discharging",
    "relaxation": lambda phase, values: phase == "relaxing",
    "scan": in_scan,
}


def test_the_experiment_runs_from_mark_to_mark_to_the_cut_off(
    setup: Setup, until: Until, tmp_path: Path
) -> None:
    positions = PositionWatch(setup.stage, setup.messages.append)
    positions.start()
    run, *scans = run_safely(setup.engine, setup.plan(), setup.cell)
    positions.stop()
    assert len(scans) == 2
    assert setup.is_safe()
    assert setup.phases == [
        "discharging", "relaxing", "scanning", "discharging", "relaxing", "scanning",
        "discharging", "finished",
    ]  # fmt: skip
    until(lambda: len(setup.line.of_stream("ScanStop")) == 2)
    starts = setup.line.of_stream("ScanStart")
    assert [(s.run, s.scan, s.number) for s in starts] == [(run, scans[0], 1), (run, scans[1], 2)]
    assert [s.trajectory.grid for s in starts] == [(8, 8)] * 2
    assert starts[0].cell.charge_ah == pytest.approx(-2e-6, rel=1e-3)
    assert starts[0].cell.state == "HOLD_OCV"
    assert [(s.notes["mark"], s.notes["mark_at"]) for s in starts] == [
        (1, "0.002 mAh"), (2, "3.950 V"),
    ]  # fmt: skip
    assert setup.told("mark", "next_mark", "marks_taken") == [
        ("discharging", 0, "0.002 mAh", 0),
        ("relaxing", 1, "3.950 V", 0),
        ("scanning", 1, "3.950 V", 0),
        ("discharging", 1, "3.950 V", 1),
        ("relaxing", 2, "cut-off 3 V", 1),
        ("scanning", 2, "cut-off 3 V", 1),
        ("discharging", 2, "cut-off 3 V", 2),
        ("finished", 2, "", 2),
    ]
    assert [s.reason for s in setup.line.of_stream("ScanStop")] == ["complete", "complete"]
    assert abs(setup.line.simulation.instrument.charge_ah) == pytest.approx(1.43e-5, rel=0.05)
    start, *inner = setup.documents("start")
    assert start["uid"] == run
    assert [d["operando_run"] for d in inner] == [run, run]
    assert {d["exit_status"] for d in setup.documents("stop")} == {"success"}
    assert {m.run for m in setup.messages if isinstance(m, Document)} == {run}
    names = [d["name"] for d in setup.documents("descriptor")]
    assert set(names) == {
        "baseline", "voltage", "current", "charge", "cell_time", "cell", "primary",
    }  # fmt: skip
    assert [d["indices"] for d in setup.documents("stream_datum")] == [{"start": 0, "stop": 64}] * 2
    truth = sorted((tmp_path / "truth").glob("truth_*.npz"))
    assert [p.name for p in truth] == ["truth_001.npz", "truth_002.npz"]


def test_measured_positions_belong_to_the_frames_of_their_scan(setup: Setup, until: Until) -> None:
    positions = PositionWatch(setup.stage, setup.messages.append)
    positions.start()
    _, scan = run_safely(setup.engine, setup.plan([{"capacity_ah": 2e-6}]), setup.cell)
    until(lambda: sum(type(m).__name__ == "Positions" for m in setup.messages) == 16)
    positions.stop()
    until(lambda: setup.line.of_stream("ScanStart"))
    (start,) = setup.line.of_stream("ScanStart")
    for axis in ("translation", "rotation"):
        found = [m for m in setup.messages if getattr(m, "axis", "") == axis]
        assert {m.scan for m in found} == {scan}
        indices = np.concatenate([m.indices for m in found])
        values = np.concatenate([m.values for m in found])
        planned = start.trajectory.axis(axis).values
        assert sorted(indices) == list(range(64))
        np.testing.assert_allclose(values, planned[indices], atol=0.2)


def test_the_cut_off_before_a_mark_ends_the_run(setup: Setup) -> None:
    marks = [{"capacity_ah": 2e-6}, {"capacity_ah": 5e-5}]
    uids = run_safely(setup.engine, setup.plan(marks), setup.cell)
    assert len(uids) == 2
    assert setup.is_safe()
    assert setup.told("mark", "marks", "marks_taken")[-1] == ("finished", 1, 2, 1)


@pytest.mark.parametrize("where", PHASES)
@pytest.mark.parametrize("how", ["abort", "stop", "halt"])
def test_it_is_safe_at_the_pause_and_after_its_end(slow: Setup, where: str, how: str) -> None:
    slow.pause_once(PHASES[where])
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan())
    assert slow.engine.state == "paused"
    assert slow.is_safe()
    getattr(slow.engine, how)()
    assert slow.engine.state == "idle"
    assert slow.is_safe()


def test_a_discharge_goes_on_after_a_pause_without_passing_charge_twice(slow: Setup) -> None:
    slow.pause_once(PHASES["discharge"])
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan([{"capacity_ah": 2e-6}], cutoff_v=4.0))
    assert slow.is_safe()
    slow.engine.resume()
    starts = slow.line.of_stream("ScanStart")
    assert len(starts) == 1
    assert starts[0].cell.charge_ah == pytest.approx(-2e-6, rel=1e-3)
    assert slow.is_safe()


def test_an_interrupted_scan_is_taken_again_as_a_new_run(slow: Setup, until: Until) -> None:
    slow.pause_once(in_scan)
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan([{"capacity_ah": 2e-6}], cutoff_v=4.0))
    assert slow.is_safe()
    slow.engine.resume()
    until(lambda: len(slow.line.of_stream("ScanStop")) == 2)
    first, second = slow.line.of_stream("ScanStop")
    assert first.reason != "complete"
    assert second.reason == "complete"
    assert second.frames == 64
    one, two = slow.line.of_stream("ScanStart")
    assert one.scan != two.scan
    assert (one.number, two.number) == (1, 2)
    assert (one.notes["attempt"], two.notes["attempt"]) == (1, 2)
    assert [d["exit_status"] for d in slow.documents("stop")] == ["fail", "success", "success"]
    assert slow.is_safe()


def test_an_exception_in_the_scan_leaves_the_cell_open_and_names_its_cause(setup: Setup) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the sample fell off")

    setup.line.simulation.twin.expose = broken
    with pytest.raises(Exception, match="reports an error"):
        run_safely(setup.engine, setup.plan(), setup.cell)
    assert setup.line.cell == "HOLD_OCV"
    assert setup.line.simulation.instrument.mode.name == "OCV"
    assert setup.phases[-1] == "stopped"


def test_a_report_that_raises_ends_the_run_safely(slow: Setup) -> None:
    def broken(phase: str, values: dict[str, Any]) -> None:
        if in_scan(phase, values):
            raise OSError("window is gone")

    slow.on_report = broken
    with pytest.raises(OSError, match="window is gone"):
        run_safely(slow.engine, slow.plan(), slow.cell)
    assert slow.is_safe()


def test_missing_frames_are_noticed_and_the_scan_given_up_after_its_attempts(setup: Setup) -> None:
    trigger, lost = setup.line.simulation.detector.trigger, []

    def deaf(rotation: float, translation: float) -> bool:
        if not lost or len(lost) > 63:
            lost.append(translation)  # the first pulse of each attempt does not arrive
            return False
        lost.append(translation)
        return bool(trigger(rotation, translation))

    setup.line.simulation.stage._trigger = deaf
    with pytest.raises(Incomplete, match=r"stands at frame|announced"):
        run_safely(
            setup.engine,
            _impatient(setup.plan([{"capacity_ah": 2e-6}], attempts=1)),
            setup.cell,
        )
    assert setup.is_safe()


def _impatient(plan: Any) -> Any:
    import operando.plans.tomogram as module

    module._STALLED_S, before = 0.5, module._STALLED_S
    try:
        yield from plan
    finally:
        module._STALLED_S = before


def test_a_limit_opens_the_circuit_and_ends_the_run(beamline: Make) -> None:
    setup = Setup(beamline(clock=600.0))
    setup.cell.limits = type(setup.cell.limits)(4.0, 4.4, 1e-4, 1e-4, 50.0)
    barely = 4.000001  # so near the limit that no look at the voltage falls between the two
    with pytest.raises(Exception, match="passed a limit"):
        run_safely(setup.engine, setup.plan([{"capacity_ah": 1.2e-5}], cutoff_v=barely), setup.cell)
    assert setup.line.cell == "LIMIT"
    assert setup.line.simulation.instrument.mode.name == "OCV"
    with pytest.raises(RuntimeError, match="acknowledge"):
        run_safely(setup.engine, setup.plan(), setup.cell)


def test_a_cell_that_runs_something_else_is_left_alone_until_asked(slow: Setup) -> None:
    slow.cell.set(Galvanostatic(-8e-6))
    with pytest.raises(RuntimeError, match="running something else"):
        slow.engine(slow.plan())


@pytest.mark.parametrize(
    "wrong",
    [{"marks": [{"volt": 3}]}, {"current_a": 0.0}, {"attempts": 0}, {"order": "golden"}],
)
def test_a_wrong_plan_stops_before_the_first_message(wrong: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"marks": MARKS, "current_a": -8e-6, "cutoff_v": 3.0, **wrong}
    marks = settings.pop("marks")
    with pytest.raises(ValueError):
        next(operando_tomography(None, None, None, marks, **settings))  # type: ignore[arg-type]


def test_the_messages_are_in_the_order_of_the_experiment(beamline: Make) -> None:
    line = beamline(receive=False)
    cell, stage, detector = line.potentiostat(), line.stage(), line.detector()
    messages = RunEngineSimulator().simulate_plan(
        operando_tomography(
            cell, stage, detector, MARKS, current_a=-8e-6, cutoff_v=3.0, angles=4, translations=3
        )
    )
    sets = [m.args[0] for m in messages if m.command == "set" and m.obj is cell]
    assert [type(s) for s in sets] == [
        Galvanostatic, OpenCircuit, Galvanostatic, OpenCircuit, Galvanostatic,
    ]  # fmt: skip
    assert all(m.obj is not cell.set_current for m in messages)
    flights = [m.args[0] for m in messages if m.command == "prepare" and m.obj is stage]
    assert all(isinstance(f, FlyScan) and f.frames() == 12 for f in flights)
    commands = [m.command for m in messages]
    assert commands.count("open_run") == commands.count("close_run") == 3
    assert [m.obj for m in messages if m.command == "stop"][-2:] == [cell, stage]
    armed = [i for i, m in enumerate(messages) if m.command == "kickoff" and m.obj is detector]
    flown = [i for i, m in enumerate(messages) if m.command == "kickoff" and m.obj is stage]
    assert all(a < f for a, f in zip(armed, flown, strict=True))


def test_a_scan_waits_while_there_is_no_room_and_the_cell_stays_at_open_circuit(
    setup: Setup,
) -> None:
    asked: list[str] = []

    def why_hold() -> str:
        asked.append(setup.line.cell)
        return "the spool is full" if len(asked) <= 3 else ""

    _, *scans = run_safely(setup.engine, setup.plan(MARKS[:1], why_hold=why_hold), setup.cell)
    assert len(scans) == 1
    assert set(asked) == {"HOLD_OCV"}  # it is asked again between the lines
    assert len(asked) >= 4
    assert setup.phases[:4] == ["discharging", "relaxing", "holding", "scanning"]
    assert {v["reason"] for v in setup.values if v["phase"] == "holding"} == {"the spool is full"}
    assert setup.is_safe()


def hold_from(setup: Setup, frame: int, asks: int) -> tuple[Callable[[], str], list[int]]:
    """A reason from when that many pulses were given, for so many asks; what was given then."""
    given: list[int] = []

    def why_hold() -> str:
        flight = setup.line.simulation.stage._flight
        pulses = flight.pulses if flight is not None else 0
        if pulses < frame or len(given) >= asks:
            return ""
        given.append(pulses)
        return "the spool is nearly full"

    return why_hold, given


def test_a_scan_holds_between_its_lines_and_goes_on_in_the_same_flight(
    slow: Setup, until: Until
) -> None:
    why_hold, given = hold_from(slow, 10, 8)
    _, *scans = run_safely(
        slow.engine, slow.plan(MARKS[:1], cutoff_v=4.0, why_hold=why_hold), slow.cell
    )
    assert len(scans) == 1
    until(lambda: slow.line.of_stream("ScanStop"))
    (stop,) = slow.line.of_stream("ScanStop")
    assert (stop.reason, stop.frames, stop.lost) == ("complete", 64, {})
    # it finished the line it was on, and not one pulse of the next was given while it was held
    assert given[-1] % 8 == 0
    assert given[-1] - given[0] <= 8
    assert given[-3:] == [given[-1]] * 3
    assert [p for p in slow.phases if p in ("scanning", "holding")] == [
        "scanning", "holding", "scanning",
    ]  # fmt: skip
    held = [v for v in slow.values if v["phase"] == "holding"]
    assert {v["reason"] for v in held} == {"the spool is nearly full"}
    assert held[-1]["frames_done"] == given[-1]
    assert [d["exit_status"] for d in slow.documents("stop")] == ["success", "success"]
    assert slow.is_safe()


def test_a_hold_that_takes_too_long_ends_the_run_by_name_with_the_cell_open(slow: Setup) -> None:
    why_hold, _ = hold_from(slow, 10, 10**9)
    with pytest.raises(HeldTooLong, match=r"scan 1 at frame \d+ of 64: held for 0.4 s, the spool"):
        run_safely(
            slow.engine, slow.plan(MARKS[:1], why_hold=why_hold, hold_limit_s=0.4), slow.cell
        )
    assert len(slow.line.of_stream("ScanStart")) == 1  # it is not taken again: there is no room
    assert slow.documents("stop")[0]["exit_status"] == "fail"
    assert "held for 0.4 s" in slow.documents("stop")[0]["reason"]
    assert slow.is_safe()


def test_a_scan_for_which_there_is_never_room_is_not_begun(setup: Setup) -> None:
    with pytest.raises(HeldTooLong, match=r"scan 1 was not begun: held for 0\.1 s, no disk"):
        run_safely(
            setup.engine,
            setup.plan(MARKS[:1], why_hold=lambda: "no disk", hold_limit_s=0.1),
            setup.cell,
        )
    assert setup.line.of_stream("ScanStart") == []
    assert setup.is_safe()


def test_a_pause_in_a_hold_takes_the_scan_again(slow: Setup) -> None:
    why_hold, _ = hold_from(slow, 10, 40)
    slow.pause_once(lambda phase, values: phase == "holding" and "frames_done" in values)
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan(MARKS[:1], cutoff_v=4.0, why_hold=why_hold))
    assert slow.is_safe()
    slow.engine.resume()
    one, two = slow.line.of_stream("ScanStart")
    assert (one.notes["attempt"], two.notes["attempt"]) == (1, 2)
    assert slow.is_safe()


def accounts(in_results: list[int], lost: dict[int, str]) -> Callable[[str], Account]:
    """The account of a scan of 64 frames as the hub would tell it, ask by ask."""
    left = list(in_results)

    def account_of(scan: str) -> Account:
        done = left.pop(0) if len(left) > 1 else left[0]
        came = 64 - len(lost)
        groups = (GroupAccount("record", came, {}), GroupAccount("process", done, {}))
        return Account("r", scan, 1, 64, came, 0, lost, groups, done == came)

    return account_of


def account_events(setup: Setup) -> list[dict[str, Any]]:
    streams = {d["uid"]: d["name"] for d in setup.documents("descriptor")}
    events = setup.documents("event")
    return [d["data"] for d in events if streams[d["descriptor"]] == "account"]


def test_the_scans_stop_document_carries_the_closed_account_and_names_what_is_lost(
    setup: Setup,
) -> None:
    why = "never arrived from the detector"
    account_of = accounts([0, 40, 62], {7: why, 9: why})
    run_safely(setup.engine, setup.plan(MARKS[:1], account_of=account_of), setup.cell)
    scan, run = setup.documents("stop")
    assert (scan["exit_status"], run["exit_status"]) == ("success", "success")
    assert scan["reason"] == (
        "announced 64 = recorded 62 + lost 2; recorded = in results 62 + failed 0 + pending 0; "
        f"lost: 7, 9: {why}"
    )
    (counted,) = account_events(setup)
    assert (counted["account_announced"], counted["account_in_results"]) == (64, 62)
    assert orjson.loads(counted["account_reasons"])["lost"] == [f"7, 9: {why}"]


def interrupt_in_scan(setup: Setup, how: str, account_of: Callable[[str], Account]) -> None:
    """Begin a scan and end it from outside: by Ctrl-C, or by a person at the RunEngine."""
    plan = setup.plan(MARKS[:1], account_of=account_of)
    if how == "Ctrl-C":
        sent = threading.Event()

        def send(phase: str, values: dict[str, Any]) -> None:
            if in_scan(phase, values) and not sent.is_set():
                sent.set()
                os.kill(os.getpid(), signal.SIGINT)

        setup.on_report = send
        with pytest.raises(Stopped):
            run_safely(setup.engine, plan, setup.cell)
        return
    setup.pause_once(in_scan)
    with pytest.raises(RunEngineInterrupted):
        setup.engine(plan)
    getattr(setup.engine, how)()


@pytest.mark.parametrize(("how", "status"), [("Ctrl-C", "abort"), ("stop", "success")])
def test_the_stop_document_of_a_scan_that_is_ended_from_outside_carries_the_account_as_it_is(
    slow: Setup, how: str, status: str
) -> None:
    interrupt_in_scan(slow, how, accounts([20], {7: "never arrived"}))
    scan, _ = slow.documents("stop")
    assert scan["exit_status"] == status
    assert scan["reason"] == (
        "ended from outside before its last frame; announced 64 = recorded 63 + lost 1; "
        "recorded = in results 20 + failed 0 + pending 43; lost: 7: never arrived"
    )
    (counted,) = account_events(slow)
    assert (counted["account_pending"], counted["account_closed"]) == (43, False)
    assert slow.is_safe()


def test_an_account_that_does_not_close_is_written_as_it_stands(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operando.plans.scan_account.closed_account.__defaults__", (0.0, int))
    account_of = accounts([60], {})
    run_safely(setup.engine, setup.plan(MARKS[:1], account_of=account_of), setup.cell)
    assert "in results 60 + failed 0 + pending 4" in setup.documents("stop")[0]["reason"]
    assert account_events(setup)[0]["account_closed"] is False


def test_a_run_can_leave_the_cell_at_a_held_potential_and_the_next_one_starts_from_there(
    beamline: Make,
) -> None:
    setup = Setup(beamline(clock=800.0))
    setup.cell.safe = Potentiostatic(4.1)
    marks = [{"capacity_ah": 1e-6}]
    for cutoff_v in (4.0, 3.95):
        run_safely(setup.engine, setup.plan(marks, cutoff_v=cutoff_v), setup.cell)
        assert setup.line.cell == "HOLD_POTENTIAL"
    (_, second) = setup.line.of_stream("ScanStart")
    assert second.cell.state == "HOLD_OCV"  # scans are taken at open circuit all the same
    assert second.cell.charge_ah == pytest.approx(-1e-6, rel=1e-3)  # and charge counts anew


def test_a_scan_that_somebody_aborts_at_the_detector_is_taken_again(slow: Setup) -> None:
    """Its frames are lost by name; the detector itself looks as if it had done its work."""
    came = slow.line.of_stream
    aborted = threading.Event()

    def lost(scan: str) -> int:
        return sum(len(stop.lost) for stop in came("ScanStop") if stop.scan == scan)

    def arrived(scan: str) -> int:
        return lost(scan) + sum(frame.scan == scan for frame in came("Frame"))

    def abort(phase: str, values: dict[str, Any]) -> None:
        if in_scan(phase, values) and not aborted.is_set():
            aborted.set()
            slow.line.simulation.detector.end_series("abort")

    slow.detector._arrived, slow.detector._lost = arrived, lost
    slow.on_report = abort
    run_safely(slow.engine, slow.plan(MARKS[:1]), slow.cell)
    first, second = slow.line.of_stream("ScanStart")
    assert (first.notes["attempt"], second.notes["attempt"]) == (1, 2)
    assert lost(first.scan) > 0
    assert lost(second.scan) == 0
    assert "scan is taken again" in slow.phases
    assert slow.is_safe()


class Gone:
    """A detector that dies in its first scan and is back after some looks, where it ever is."""

    def __init__(self, slow: Setup, looks: float) -> None:
        self.away = False
        self.cells: set[str] = set()
        self._slow, self._looks = slow, looks
        slow.on_report = self.look
        slow.detector.simplon._client = httpx.Client(transport=httpx.MockTransport(self.request))

    def look(self, phase: str, values: dict[str, Any]) -> None:
        self.away = self.away or (self._looks > 0 and in_scan(phase, values))
        if phase == "holding":
            self.cells.add(self._slow.line.cell)
            self._looks -= 1
            self.away = self._looks > 0

    def request(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("connection refused")
        answer = httpx.request(
            request.method, request.url, content=request.content, trust_env=False, timeout=60
        )
        return httpx.Response(answer.status_code, content=answer.content)


def test_a_detector_that_goes_away_is_waited_for_and_its_scan_taken_again(slow: Setup) -> None:
    gone = Gone(slow, looks=2)
    _, first, second = run_safely(slow.engine, slow.plan(MARKS[:1]), slow.cell)
    stops = {d["run_start"]: d for d in slow.documents("stop")}
    assert stops[first]["exit_status"] == "fail"
    assert "no answer" in stops[first]["reason"]
    assert stops[second]["exit_status"] == "success"
    held = {v["reason"] for v in slow.values if v["phase"] == "holding"}
    assert all(reason.startswith("the detector is away: ") for reason in held)
    assert len(held) == 1
    assert gone.cells == {"HOLD_OCV"}
    assert slow.is_safe()


def test_a_pause_while_the_detector_is_away_replays_nothing_of_the_failed_scan(
    slow: Setup,
) -> None:
    gone = Gone(slow, looks=math.inf)
    slow.pause_once(lambda phase, values: gone.look(phase, values) or phase == "holding")
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan(MARKS[:1]))
    assert slow.line.cell == "HOLD_OCV"
    begun = len(slow.documents("start"))
    gone.away = False
    slow.on_report = lambda phase, values: None
    slow.engine.resume()
    assert [d["exit_status"] for d in slow.documents("stop")] == ["fail", "success", "success"]
    assert begun == 2  # the run and the failed scan; then one more scan
    assert len(slow.documents("start")) == 3
    assert slow.is_safe()


def test_a_detector_that_does_not_come_back_ends_the_run_by_name(
    slow: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "BACK_S", 0.5)
    gone = Gone(slow, looks=math.inf)
    with pytest.raises(NotSafe, match=r"detector disarmed: PUT .*no answer"):
        run_safely(slow.engine, slow.plan(MARKS[:1]), slow.cell)
    assert gone.cells == {slow.line.cell} == {"HOLD_OCV"}
    assert slow.values[-1]["phase"] == "stopped"
    assert "no answer" in slow.values[-1]["reason"]


@pytest.mark.parametrize("how", ["abort", "stop"])
def test_who_ends_a_scan_whose_detector_cannot_be_disarmed_ends_the_run(
    slow: Setup, how: str
) -> None:
    gone = Gone(slow, looks=0)
    slow.pause_once(in_scan)
    with pytest.raises(RunEngineInterrupted):
        slow.engine(slow.plan())
    assert slow.line.cell == "HOLD_OCV"
    gone.away = True
    with pytest.raises(NotSafe, match=r"detector disarmed: PUT .*no answer"):
        getattr(slow.engine, how)()
    assert len(slow.documents("start")) == 2  # the run and the scan: nothing more was begun
    assert "scan is taken again" not in slow.phases
    assert slow.line.cell == "HOLD_OCV"

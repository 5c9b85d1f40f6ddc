import itertools
import threading

import numpy as np
import pytest
from operando.stream.compression import checksum, encode
from operando.stream.ledger import ScanLedger
from operando.stream.link import HubFull
from operando.stream.messages import (
    Axis,
    Decision,
    Detector,
    Document,
    Frame,
    Positions,
    Proposal,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Trajectory,
    Withdrawal,
)
from operando.stream.packing import pack
from operando.stream.recorder import Recorder
from operando.stream.replayer import replay
from operando.stream.run_file import open_run

FRAMES = 8


def scan_start(number):
    axes = (Axis("x", "um", np.arange(FRAMES, dtype=np.float64)),)
    return ScanStart(
        "run", f"s{number}", number, "frames", FRAMES,
        Detector("d", (8, 10), "uint16", (75e-6, 75e-6), 65000), Trajectory((FRAMES,), axes),
        "", 5e4, 0.01, None, 100.0 * number,
    )  # fmt: skip


def make_frame(number, index):
    pixels = np.random.default_rng([number, index]).poisson(5, (8, 10)).astype(np.uint16)
    data = encode(pixels, "bslz4")
    return Frame(f"s{number}", index, (8, 10), "uint16", "bslz4", data, checksum(data), 0.1 * index)


def samples():
    wall = np.arange(50.0, 350.0, 10.0)
    return Samples("run", wall - 50, wall, *(wall,) * 4, ("CC",) * len(wall))


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "run.nxs"
    with Recorder(path) as recorder:
        recorder.take(Document("run", "start", '{"time": 60.0}'))
        recorder.take(samples())
        for number in (1, 2):
            recorder.take(scan_start(number))
            for index in (3, 0, 7, 1, 2, 6, 5, 4)[: FRAMES - number]:
                recorder.take(make_frame(number, index))
            recorder.take(Positions(f"s{number}", "x", "um", np.arange(4), np.arange(4) + 0.01))
            recorder.take(Document("run", "event", f'{{"time": {100 * number + 50}}}'))
            recorder.take(ScanStop(f"s{number}", FRAMES - number, "complete", {}))
            values = np.zeros((2, 2))
            recorder.take(
                Result("run", f"s{number}", number, "c", "m", ("y", "x"), {}, {}, "", values, None,
                       1.0, 1, True)
            )  # fmt: skip
        recorder.take(Document("run", "stop", '{"time": 400.0}'))
    return path


def in_bytes(message):
    return [bytes(part) for part in pack(message)]


def of(kind, messages):
    return [m for m in messages if isinstance(m, kind)]


def test_frames_are_byte_identical_after_recording_and_replaying(recorded):
    heard = []
    with open_run(recorded) as run:
        assert replay(run, heard.append) == 2 * FRAMES - 3
    for frame in of(Frame, heard):
        assert in_bytes(frame) == in_bytes(make_frame(int(frame.scan[1:]), frame.index))


def test_a_replay_of_a_recorded_replay_puts_the_same_messages(recorded, tmp_path):
    first, second = [], []
    with open_run(recorded) as run:
        replay(run, first.append)
    with Recorder(tmp_path / "again.nxs") as recorder:
        for message in first:
            assert recorder.take(message) == ""
    with open_run(tmp_path / "again.nxs") as run:
        replay(run, second.append)
    assert [in_bytes(m) for m in second] == [in_bytes(m) for m in first]


def test_the_order_is_that_of_the_run(recorded):
    heard = []
    with open_run(recorded) as run:
        replay(run, heard.append)
    kinds = [k for k, _ in itertools.groupby(type(m).__name__ for m in heard)]
    assert kinds == [
        "Samples", "Document", "ScanStart", "Frame", "Positions", "ScanStop",
        "Samples", "Document", "ScanStart", "Frame", "Positions", "ScanStop",
        "Samples", "Document",
    ]  # fmt: skip
    assert [d.name for d in of(Document, heard)] == ["start", "event", "event", "stop"]
    times = np.concatenate([s.time_s for s in of(Samples, heard)])
    np.testing.assert_array_equal(times, samples().time_s)
    assert of(Result, heard) == []  # results are made again, by the analysis


def test_a_new_run_gets_names_of_its_own(recorded):
    heard = []
    with open_run(recorded) as run:
        replay(run, heard.append, new_run="second")
    assert {s.run for s in of(ScanStart, heard)} == {"second"}
    starts = {s.scan for s in of(ScanStart, heard)}
    assert starts.isdisjoint({"s1", "s2"})
    assert {m.scan for m in (*of(Frame, heard), *of(ScanStop, heard))} == starts


def test_stopped_on_the_way_it_ends_the_scan_as_aborted(recorded):
    heard, stop = [], threading.Event()

    def put(message):
        heard.append(message)
        if isinstance(message, Frame) and message.index == 2:
            stop.set()

    with open_run(recorded) as run:
        assert replay(run, put, stop=stop) == 3
    assert isinstance(heard[-1], ScanStop)
    assert heard[-1].frames == 3
    assert "stopped" in heard[-1].reason
    assert len(of(ScanStart, heard)) == 1


def test_a_hub_without_room_is_asked_again(recorded):
    heard, refusals = [], iter([True, False] * 1000)

    def put(message):
        if next(refusals) and isinstance(message, Frame):
            raise HubFull("no room")
        heard.append(message)

    with open_run(recorded) as run:
        replay(run, put)
    assert len(of(Frame, heard)) == 2 * FRAMES - 3


def test_a_frame_damaged_in_the_file_is_lost_with_that_reason(recorded):
    import h5py

    with h5py.File(recorded, "r+") as file:
        file["entry/scan_0001/instrument/detector/checksum"][3] = 1
    heard = []
    with open_run(recorded) as run:
        replay(run, heard.append)
    assert "damaged" in of(ScanStop, heard)[0].lost[3]


def test_the_pace_is_kept(recorded):
    import time

    began = time.monotonic()
    with open_run(recorded) as run:
        count = replay(run, lambda m: None, frames_per_s=100.0)
    assert time.monotonic() - began >= count / 100.0


def test_every_history_of_the_cell_comes_back_also_the_one_before_the_run_had_a_name(tmp_path):
    path = tmp_path / "run.nxs"
    recorder = Recorder(path)
    for run, first in (("", 0.0), ("run", 5.0)):
        times = first + np.arange(5.0)
        flat = np.ones(5)
        recorder.take(Samples(run, times, 1e9 + times, flat, flat, flat, flat, ("HOLD_OCV",) * 5))
    recorder.close()
    came: list = []
    with open_run(path) as recorded:
        replay(recorded, came.append)
    histories = [m for m in came if isinstance(m, Samples)]
    assert [s.run for s in histories] == ["", "run"]
    assert [float(s.time_s[0]) for s in histories] == [0.0, 5.0]


def test_what_was_withdrawn_asked_and_made_by_the_plan_comes_again(tmp_path):
    ledger = ScanLedger("run", "s1", 1, FRAMES, ("record",))
    ledger.withdraw(Withdrawal("s1", 5, "good enough"))
    asked = Proposal(
        "run", "1", "exposure", "s1", "why", (0.0, 0.0, 1.0), 0.1, 1.0, 2.0, 190.0, 110.0
    )
    said = Decision("run", "1", "vetoed", "window", "", 111.0)
    dose = Result(
        "run", "s1", 1, "plan", "dose", ("y",), {}, {}, "MGy", np.ones(3), None, 1.0, 1, True
    )
    other = Result("run", "s1", 1, "xrdct", "a", ("y",), {}, {}, "", np.ones(3), None, 1.0, 1, True)
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (
            scan_start(1), *(make_frame(1, i) for i in range(5)), dose, other, asked, said,
            ScanStop("s1", 5, "complete", {}),
        ):  # fmt: skip
            assert recorder.take(message) == ""
            if isinstance(message, Frame):
                ledger.receive(message.index)
        ledger.stop(ScanStop("s1", 5, "complete", {}))
        recorder.take(ledger.account())
    sent = []
    with open_run(tmp_path / "run.nxs") as run:
        replay(run, sent.append, new_run="again")
    kinds = [type(m).__name__ for m in sent]
    assert kinds.index("Withdrawal") < kinds.index("ScanStop")
    (withdrawn,) = [m for m in sent if isinstance(m, Withdrawal)]
    assert withdrawn == Withdrawal("again/s1", 5, "good enough")
    (again,) = [m for m in sent if isinstance(m, Result)]
    assert (again.consumer, again.scan, again.run) == ("plan", "again/s1", "again")
    assert [(m.run, m.id) for m in sent if isinstance(m, (Proposal, Decision))] == [
        ("again", "1"), ("again", "1"),
    ]  # fmt: skip
    assert next(m for m in sent if isinstance(m, Proposal)).scan == "again/s1"

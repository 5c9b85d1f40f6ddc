import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
import zmq
from operando.stream import redo_log
from operando.stream.compression import checksum, decode, encode
from operando.stream.disk_watch import DiskWatch
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import (
    Account,
    Axis,
    Detector,
    Document,
    Frame,
    GroupAccount,
    Positions,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)
from operando.stream.nexus import account_of, account_text, stop_of, stop_text
from operando.stream.recorder import Recorder, RecorderError
from operando.stream.redo_log import log_of
from operando.stream.run_file import open_run

SHAPE = (64, 80)
PATIENCE_S = 60.0


def scan_start(scan="s1", number=1, frames=6, dtype="uint16"):
    mask = np.zeros(SHAPE, bool)
    mask[3, 4] = True
    detector = Detector("eiger", SHAPE, dtype, (75e-6, 75e-6), 65000, mask)
    axes = (Axis("translation", "um", np.arange(frames, dtype=np.float64)),)
    trajectory = Trajectory((frames,), axes)
    return ScanStart(
        "run", scan, number, "xrdct", frames, detector, trajectory, "Distance: 0.4\n", 5e4, 0.01,
        None, 1000.0 * number,
    )  # fmt: skip


def make_frame(index, scan="s1", encoding="bslz4", dtype="uint16"):
    pixels = np.random.default_rng(index).poisson(3, SHAPE).astype(dtype)
    data = pixels.tobytes() if encoding == "raw" else encode(pixels, encoding)
    return Frame(scan, index, SHAPE, dtype, encoding, data, checksum(data), 0.01 * index)


def lattice_map(number, name="lattice_parameter", side=5, scan=None, revision=1):
    coords = {"y": np.arange(side, dtype=float), "x": np.arange(side, dtype=float)}
    values = np.full((side, side), 8.1 + number / 100, np.float32)
    values[0, 0] = np.nan
    return Result(
        "run", scan or f"s{number}", number, "xrdct", name, ("y", "x"), coords,
        {"y": "um", "x": "um"}, "Å", values, np.full_like(values, 1e-3), 1.0, revision, True,
        attrs={"forbidden_low": 8.076},
    )  # fmt: skip


def samples(first, count):
    time_s = np.arange(first, first + count, dtype=np.float64)
    same = np.ones(count)
    columns = (1000 + time_s, 4 - time_s / 100, -8e-6 * same, -time_s, 25 * same)
    return Samples("run", time_s, *columns, ("CC",) * count)


@pytest.mark.parametrize("encoding", ["bslz4", "lz4", "raw"])
def test_frames_stand_in_the_file_as_the_detector_sent_them_and_any_reader_decodes_them(
    tmp_path, encoding
):
    frames = [make_frame(i, encoding=encoding) for i in (3, 0, 5)]
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (scan_start(), *frames):
            assert recorder.take(message) == ""
        assert recorder.frames == 3
    with h5py.File(tmp_path / "run.nxs") as file:
        detector = file["entry/scan_0001/instrument/detector"]
        assert detector["data"].shape == (6, *SHAPE)
        assert detector["written"][()].tolist() == [1, 0, 0, 1, 0, 1]
        assert np.isnan(detector["time"][1])
        assert detector["pixel_mask"][3, 4] == 1
        for frame in frames:
            _, chunk = detector["data"].id.read_direct_chunk((frame.index, 0, 0))
            assert chunk == frame.data
            np.testing.assert_array_equal(detector["data"][frame.index], decode(frame))


def test_a_frame_in_another_encoding_than_its_scan_keeps_its_pixels(tmp_path):
    odd = make_frame(1, encoding="lz4")
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (scan_start(), make_frame(0), odd):
            assert recorder.take(message) == ""
    with h5py.File(tmp_path / "run.nxs") as file:
        stored = file["entry/scan_0001/instrument/detector/data"][1]
    np.testing.assert_array_equal(stored, decode(odd))


def test_the_file_opens_at_the_stack_of_lattice_maps(tmp_path):
    from silx.io.nxdata import get_default

    with Recorder(tmp_path / "run.nxs", experiment_text="cell: LMO") as recorder:
        recorder.take(samples(0, 10))
        for number in (1, 2, 3):
            recorder.take(scan_start(f"s{number}", number))
            recorder.take(lattice_map(number, "peak_width"))
            recorder.take(lattice_map(number))
            recorder.take(lattice_map(number, "fit_status"))
    with h5py.File(tmp_path / "run.nxs") as file:
        default = get_default(file, validate=True)
        assert default is not None
        assert default.group.name == "/entry/xrdct_lattice_parameter"
        assert default.signal.shape == (3, 5, 5)
        assert default.axes_dataset_names == ["scan", "y", "x"]
        assert default.errors.shape == (3, 5, 5)
        np.testing.assert_allclose(default.signal[:, 1, 1], [8.11, 8.12, 8.13], rtol=1e-6)
        single = get_default(file["entry/scan_0002/xrdct/lattice_parameter"], validate=True)
        assert single.axes_dataset_names == ["y", "x"]
        assert single.signal.attrs["units"] == "Å"
        history = get_default(file["entry/potentiostat"], validate=True)
        assert history.signal_dataset_name == "voltage"
        assert "negative" in file["entry/potentiostat"].attrs["sign_rule"]
        assert file["entry/experiment"].asstr()[()] == "cell: LMO"


def test_without_a_map_the_file_opens_at_the_potentiostat(tmp_path):
    from silx.io.nxdata import get_default

    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(samples(0, 10))
    with h5py.File(tmp_path / "run.nxs") as file:
        assert get_default(file, validate=True).group.name == "/entry/potentiostat"


def test_a_better_version_of_a_map_replaces_the_one_before(tmp_path):
    newer = replace(lattice_map(1, revision=2), values=np.full((5, 5), 8.2, np.float32))
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (scan_start(), lattice_map(1), newer):
            assert recorder.take(message) == ""
    with open_run(tmp_path / "run.nxs") as run:
        (result,) = run.results()
        assert result.revision == 2
    with h5py.File(tmp_path / "run.nxs") as file:
        assert file["entry/xrdct_lattice_parameter/values"].shape == (1, 5, 5)
        assert file["entry/xrdct_lattice_parameter/values"][0, 1, 1] == np.float32(8.2)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (make_frame(0, scan="nobody"), "not begun"),
        (make_frame(6), "which has 6"),
        (replace(make_frame(0), shape=(3, 3)), "announced was"),
        (replace(make_frame(0), dtype="uint32"), "announced was"),
        (replace(make_frame(0, encoding="raw"), data=b"short"), "5 bytes"),
        (Positions("s1", "translation", "um", np.array([9]), np.array([1.0])), "has 6"),
        (replace(make_frame(0, encoding="lz4"), checksum=1), "checksum"),
        (ScanStop("nobody", 0, "complete"), "not begun"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason_and_the_rest_goes_on(
    tmp_path, message, reason
):
    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(scan_start())
        assert recorder.take(make_frame(1)) == ""
        assert reason in recorder.take(message)
        assert recorder.flush() == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert [f.index for f in run.frames("s1")] == [1]


def test_positions_that_are_no_numbers_leave_what_was_measured(tmp_path):
    def placed(indices, values):
        return Positions("s1", "x", "um", np.array(indices), np.array(values))

    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(scan_start())
        assert recorder.take(placed([0, 1], [1.0, 2.0])) == ""
        assert recorder.take(placed([0, 1, 2], [np.nan, np.inf, 3.0])) == ""
        assert recorder.take(placed([3], [np.nan])) == ""
    with open_run(tmp_path / "run.nxs") as run:
        (measured,) = run.positions("s1")
    assert dict(zip(measured.indices, measured.values, strict=True)) == {0: 1.0, 1: 2.0, 2: 3.0}


def test_no_run_is_written_over_another(tmp_path):
    Recorder(tmp_path / "run.nxs").close()
    with pytest.raises(RecorderError, match="exists"):
        Recorder(tmp_path / "run.nxs")
    (tmp_path / "other.nxs.part").write_bytes(b"something else")
    with pytest.raises(RecorderError, match="cannot be written"):
        Recorder(tmp_path / "other.nxs")
    assert (tmp_path / "other.nxs.part").read_bytes() == b"something else"


@pytest.fixture
def shared_folder():
    """A folder whose way is open to everybody, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        inner = Path(folder) / "run"
        inner.mkdir()
        inner.chmod(0o777)
        yield inner
        inner.chmod(0o777)


@contextlib.contextmanager
def as_somebody():
    """As a user who is not root, whom permissions hold."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["read-only", "closed"])
def test_a_folder_that_may_not_be_written_is_named_when_a_run_begins(shared_folder, mode):
    shared_folder.chmod(mode)
    with as_somebody(), pytest.raises(RecorderError, match=r"run\.nxs\.part cannot be written: "):
        Recorder(shared_folder / "run.nxs")


def test_a_run_whose_folder_loses_its_permissions_stays_whole_in_its_part_file(
    shared_folder, caplog
):
    with as_somebody():
        recorder = Recorder(shared_folder / "run.nxs")
        assert recorder.take(scan_start()) == ""
        assert recorder.take(make_frame(0)) == ""
    shared_folder.chmod(0o555)
    with as_somebody():
        assert [recorder.take(make_frame(index)) for index in range(1, 6)] == [""] * 5
        assert recorder.flush() == ""
        recorder.close()
    assert "the run stays in" in caplog.text
    assert not recorder.path.exists()
    with open_run(recorder.part) as run:
        assert [bytes(f.data) for f in run.frames("s1")] == [make_frame(n).data for n in range(6)]
        assert run.damaged == {}


def test_a_full_disk_is_named_and_with_room_again_nothing_is_missing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path / "run.nxs")
    recorder.take(scan_start(frames=40))
    recorder.flush()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        for index in range(20):
            assert recorder.take(make_frame(index, encoding="raw")) == ""
        for _ in range(3):
            assert "File too large" in recorder.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with open_run(recorder.part) as run:
        assert list(run.frames("s1")) == []
    assert recorder.take(make_frame(30)) == ""  # there is room again
    assert recorder.flush() == ""
    recorder.close()
    with open_run(tmp_path / "run.nxs") as run:
        came = {f.index: f for f in run.frames("s1")}
        assert run.damaged == {}
    assert set(came) == {*range(20), 30}
    assert all(came[i].data == make_frame(i, encoding="raw").data for i in range(20))


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_recorder import make_frame, samples, scan_start
from operando.stream.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]))
recorder.take(scan_start(frames=100000))
for index in range(100000):
    recorder.take(make_frame(index))
    recorder.take(samples(index, 1))
    if index % 7 == 6:
        recorder.flush()
        print(index, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_after_kill_9_everything_acknowledged_is_in_the_part_file_and_a_successor_goes_on(
    tmp_path, seed
):
    script = WRITER.format(tests=os.path.dirname(__file__))
    path = tmp_path / "run.nxs"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = -1
    for _ in range(3 + 5 * seed):
        reported = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    reported = max([reported, *(int(line) for line in process.stdout)])
    process.wait()
    process.stdout.close()
    with open_run(tmp_path / "run.nxs.part") as run:
        frames = [f.index for f in run.frames("s1")]
        assert frames[: reported + 1] == list(range(reported + 1))
        assert run.damaged == {}
        assert len(run.samples().states) > reported
    with Recorder(path) as successor:
        assert successor.take(make_frame(99_999)) == ""
        assert successor.take(scan_start(frames=100_000)) == ""  # told again: nothing new
    with open_run(path) as run:
        again = [f.index for f in run.frames("s1")]
        assert again[: reported + 1] == list(range(reported + 1))
        assert again[-1] == 99_999


def recorded_by_a_hub(tmp_path, messages, after, disk=None):
    """Run a recorder behind a hub over messages, call after(live), then stop the recorder."""
    context = zmq.Context()
    stop = threading.Event()
    failures = []
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", groups=("record",))

    def record():
        try:
            with (
                Member(config.items, "record", "all", "recorder", 32, context) as member,
                Recorder(tmp_path / "run.nxs", member, "experiment", disk) as recorder,
            ):
                recorder.run(stop)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=record)
    with Hub(config, context):
        thread.start()
        try:
            with (
                Producer(config.items, "p", context) as producer,
                LiveSubscriber(f"ipc://{tmp_path}/l", context) as live,
            ):
                for message in messages:
                    producer.put(message)
                producer.flush(PATIENCE_S)
                found = after(live)
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    context.destroy(linger=0)
    assert failures == []
    return found


def test_with_a_full_disk_nothing_is_taken_and_with_room_again_nothing_is_missing(tmp_path):
    free = [0]
    asked = threading.Event()

    def free_bytes():
        asked.set()
        return free[0]

    def make_room(live):
        assert asked.wait(PATIENCE_S)
        asked.clear()
        assert asked.wait(PATIENCE_S)  # it looks again and again
        held = wait_for(live, lambda m: isinstance(m, Account))
        assert held.group("record").done == 0  # and takes nothing
        free[0] = 1 << 40
        return wait_for(live, lambda m: isinstance(m, Account) and m.closed)

    messages = (scan_start(), *(make_frame(i) for i in range(6)), ScanStop("s1", 6, "complete"))
    disk = DiskWatch(tmp_path, free=free_bytes)
    account = recorded_by_a_hub(tmp_path, messages, make_room, disk)
    assert account.group("record").done == account.received == 6
    assert account.group("record").failed == {}
    with open_run(tmp_path / "run.nxs") as run:
        assert run.frame_indices("s1") == list(range(6))


def test_what_the_disk_refuses_is_tried_again_and_acknowledged_when_it_is_there(
    tmp_path, monkeypatch, caplog, until
):
    """Quota, I/O error: meanwhile nothing more is taken, and the log says why."""
    refuses = threading.Event()

    def pwrite(*arguments):
        if refuses.is_set():
            raise OSError(122, "Disk quota exceeded")
        return os.pwrite(*arguments)

    shim = types.SimpleNamespace(**{**vars(os), "pwrite": pwrite})
    monkeypatch.setattr(redo_log, "os", shim)

    def mend(live):
        held = wait_for(live, lambda m: isinstance(m, Account) and m.received == 6)
        until(lambda: "could not be flushed" in caplog.text, PATIENCE_S)
        assert held.group("record").done == 0
        refuses.clear()
        return wait_for(live, lambda m: isinstance(m, Account) and m.closed)

    def messages():
        yield scan_start()
        redo = log_of(tmp_path / "run.nxs.part")  # the scan's start is in it
        until(lambda: redo.exists() and redo.stat().st_size > redo_log.BEGIN_BYTES, PATIENCE_S)
        refuses.set()
        yield from (make_frame(i) for i in range(6))
        yield ScanStop("s1", 6, "complete")

    account = recorded_by_a_hub(tmp_path, messages(), mend)
    assert account.group("record").done == account.received == 6
    assert account.group("record").failed == {}
    with open_run(tmp_path / "run.nxs") as run:
        assert [f.data for f in run.frames("s1")] == [make_frame(n).data for n in range(6)]


def wait_for(live, wanted):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for message in live.poll(0.2, limit=1):
            if wanted(message):
                return message
    raise AssertionError("it never came")


def test_a_potentiostats_clock_that_jumps_ends_no_history_and_the_file_says_so(tmp_path, caplog):
    stretches = (([1, 2], [11, 12]), ([1e12], [13]), ([2, 1e12], [12, 13]), ([3, 0], [14, 15]),
                 ([3, 0, 1], [14, 15, 16]), ([2, 3], [5, 6]))  # fmt: skip
    with Recorder(tmp_path / "run.nxs") as recorder:
        for times, walls in stretches:
            one = np.ones(len(times))
            clocks = np.array(times, float), np.array(walls, float)
            assert recorder.take(Samples("run", *clocks, *[one] * 4, ("CC",) * len(times))) == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert run.samples().time_s.tolist() == [1, 2, 1e12, 3, 0, 1, 2, 3]
    with h5py.File(tmp_path / "run.nxs") as file:
        assert file["entry/potentiostat"].attrs["clock_set_back"] == 2
    assert "went back" in caplog.text


def test_the_account_of_a_large_scan_that_broke_off_is_short_in_the_file():
    reasons = {i: f"reason {i // 1000 % 2}" for i in range(20_000)}
    groups = (GroupAccount("record", 0, reasons), GroupAccount("process", 0, {}))
    account = Account("r", "s", 1, 40_000, 20_000, 0, {i + 20_000: "late" for i in reasons},
                      groups, True)  # fmt: skip
    stop = ScanStop("s", 20_000, "aborted", account.lost)
    assert len(account_text(account)) < 1000
    assert account_of(account_text(account)) == account
    assert stop_of(stop_text(stop)) == stop


def test_a_whole_run_through_the_hub_closes_its_account_in_the_file(tmp_path):
    bad = replace(make_frame(5), shape=(3, 3))
    messages = (
        scan_start(),
        *(make_frame(i) for i in range(4)),
        bad,
        samples(0, 5),
        lattice_map(1),
        Document("run", "start", "{}"),
        ScanStop("s1", 5, "complete", {4: "dropped by the detector"}),
    )

    def closed(live):
        account = wait_for(live, lambda m: isinstance(m, Account) and m.closed)
        wait_for(live, lambda m: isinstance(m, Status) and m.values["outstanding"] == 0)
        return account

    account = recorded_by_a_hub(tmp_path, messages, closed)
    assert account.group("record").done == 4
    assert "(3, 3)" in account.group("record").failed[5]
    assert account.lost == {4: "dropped by the detector"}
    with open_run(tmp_path / "run.nxs") as run:
        assert run.accounts() == [account]
        assert [f.index for f in run.frames("s1")] == [0, 1, 2, 3]
        assert run.experiment_text == "experiment"


def test_stopped_in_mid_scan_the_file_is_whole_and_has_what_had_come(tmp_path):
    messages = (scan_start(frames=100), *(make_frame(i) for i in range(10)))
    recorded_by_a_hub(tmp_path, messages, lambda live: None)
    assert not (tmp_path / "run.nxs.part").exists()
    with open_run(tmp_path / "run.nxs") as run:
        assert [f.index for f in run.frames("s1")] == list(range(10))
        assert run.stops() == []


def test_repeated_deliveries_change_nothing(tmp_path):
    account = Account("run", "s1", 1, 6, 6, 0, {}, (GroupAccount("record", 6, {}),), True)
    with Recorder(tmp_path / "run.nxs") as recorder:
        for message in (scan_start(), make_frame(0), samples(0, 5), account, lattice_map(1)):
            recorder.take(message)
        for message in (scan_start(), make_frame(0), samples(3, 5), account, lattice_map(1)):
            assert recorder.take(message) == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert len(run.scans()) == len(run.accounts()) == len(run.results()) == 1
        np.testing.assert_array_equal(run.samples().time_s, np.arange(8.0))


def test_two_scans_of_the_same_number_both_have_their_place(tmp_path):
    with Recorder(tmp_path / "run.nxs") as recorder:
        for scan in ("first try", "repeat"):
            recorder.take(scan_start(scan, 1))
            recorder.take(make_frame(2, scan=scan))
    with open_run(tmp_path / "run.nxs") as run:
        assert sorted(s.scan for s in run.scans()) == ["first try", "repeat"]
        assert [f.index for f in run.frames("repeat")] == [2]


def test_the_filters_are_those_that_every_hdf5_reader_has_plugins_for(tmp_path):
    for encoding, filter_id in (("bslz4", hdf5plugin.BSHUF_ID), ("lz4", hdf5plugin.LZ4_ID)):
        path = tmp_path / f"{encoding}.nxs"
        with Recorder(path) as recorder:
            recorder.take(scan_start())
            recorder.take(make_frame(0, encoding=encoding))
        with h5py.File(path) as file:
            properties = file["entry/scan_0001/instrument/detector/data"].id.get_create_plist()
            assert properties.get_filter(0)[0] == filter_id


@pytest.mark.parametrize(
    ("consumer", "name"),
    [
        ("instrument", "detector"), ("/entry", "scan_0001"), ("/", "entry"), ("..", "x"),
        ("xrdct", "program"), ("xrdct", "a/b"), ("xrdct", ""), ("", "map"),
    ],
)  # fmt: skip
def test_no_result_can_take_the_place_of_something_else(tmp_path, consumer, name):
    with Recorder(tmp_path / "run.nxs") as recorder:
        recorder.take(scan_start())
        recorder.take(make_frame(0))
        assert recorder.take(lattice_map(1)) == ""
        bad = replace(lattice_map(1), consumer=consumer, name=name)
        assert "cannot be called" in recorder.take(bad)
    with open_run(tmp_path / "run.nxs") as run:
        assert [f.data for f in run.frames("s1")] == [make_frame(0).data]
        assert [r.name for r in run.results()] == ["lattice_parameter"]


@pytest.mark.parametrize(
    "change",
    [
        {"time": float("nan")}, {"time": float("inf")}, {"scan": "s\0x"},
        {"trajectory": Trajectory((2**63,), ())},
    ],
)  # fmt: skip
def test_a_scan_that_cannot_be_written_leaves_nothing_and_stops_nobody(tmp_path, change):
    with Recorder(tmp_path / "run.nxs") as recorder:
        assert recorder.take(replace(scan_start(), **change)) != ""
        assert recorder.take(scan_start("s2", 2)) == ""
        assert recorder.flush() == ""
        recorder._file.close()  # a kill
        recorder._redo.close()
    with Recorder(tmp_path / "run.nxs") as again:
        assert again.take(make_frame(0, "s2")) == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert [start.scan for start in run.scans()] == ["s2"]


def test_a_group_that_cannot_be_read_is_left_alone_by_whoever_goes_on(tmp_path, caplog):
    recorder = Recorder(tmp_path / "run.nxs")
    recorder.take(scan_start("s1", 1))
    recorder.take(scan_start("s2", 2))
    del recorder._scans["s1"]["number"]
    recorder.flush()
    recorder._file.close()
    recorder._redo.close()
    with Recorder(tmp_path / "run.nxs") as again:
        assert again.take(make_frame(0, "s2")) == ""
    assert "/entry/scan_0001 in" in caplog.text

import dataclasses
import math

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operando.stream.compression import checksum, encode
from operando.stream.messages import (
    Account,
    Axis,
    CellState,
    Detector,
    Document,
    Frame,
    GroupAccount,
    Positions,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Trajectory,
)
from operando.stream.recorder import Recorder
from operando.stream.run_file import RunFileError, open_run


def same(one, other):
    """Whether two messages are equal, arrays bit for bit and nan equal to nan."""
    if dataclasses.is_dataclass(one):
        fields = [f.name for f in dataclasses.fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, n), getattr(other, n)) for n in fields
        )
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


def scan_start(scan="s1", number=1):
    mask = np.zeros((8, 10), bool)
    mask[2] = True
    cell = CellState(12.5, 3.9, -8e-6, -1e-6, float("nan"), "HOLD_OCV")
    axes = (
        Axis("rotation", "deg", np.repeat([0.0, 90.0, 45.0], 2)),
        Axis("translation", "um", np.tile([0.1, 0.7], 3)),
    )
    return ScanStart(
        run="run",
        scan=scan,
        number=number,
        technique="xrdct",
        frames=6,
        detector=Detector("eiger", (8, 10), "uint32", (75e-6, 76e-6), 2**31, mask),
        trajectory=Trajectory((3, 2), axes),
        poni="# pyFAI\nDistance: 0.41\n",
        energy_ev=float("nan"),
        exposure_s=0.0125,
        cell=cell,
        time=1.7e9 + number,
        notes={"sample": "LMO Å", "dose": 1.5, "count": 3, "good": True},
    )


def make_frame(index, scan="s1"):
    pixels = np.random.default_rng(index).poisson(5, (8, 10)).astype(np.uint32)
    data = encode(pixels, "bslz4")
    return Frame(scan, index, (8, 10), "uint32", "bslz4", data, checksum(data), index / 3)


def results(scan="s1", number=1):
    pattern = np.linspace(0, 1, 7, dtype=np.float32)
    common = {"run": "run", "scan": scan, "number": number, "consumer": "xrdct"}
    return [
        Result(
            **common, name="pattern", dims=("q",), coords={"q": np.linspace(1, 2, 7)},
            units={"q": "1/Å"}, unit="", values=pattern, uncertainty=None, completeness=0.5,
            revision=3, final=True, attrs={"a": 8.1, "fitted": True, "n": 2, "word": "ok"},
        ),
        Result(
            **common, name="reflections", dims=("reflection",),
            coords={n: np.arange(3) for n in "hkl"}, units={}, unit="1/Å",
            values=np.array([1.0, np.nan, 3.0]), uncertainty=np.ones(3), completeness=1.0,
            revision=4, final=True,
        ),
        Result(
            **common, name="volume", dims=("y", "x", "q"),
            coords={"y": np.arange(2), "x": np.arange(2), "q": np.arange(4, dtype=np.float32)},
            units={"y": "um", "x": "um", "q": "1/Å"}, unit="counts",
            values=np.arange(16, dtype=np.float32).reshape(2, 2, 4), uncertainty=None,
            completeness=1.0, revision=1, final=True, live=False,
        ),
        Result(
            **common, name="phase", dims=("phase",), coords={"phase": np.arange(2)}, units={},
            unit="", values=np.arange(2.0), uncertainty=None, completeness=1.0, revision=1,
            final=True,
        ),
        Result(
            **common, name="total", dims=(), coords={}, units={}, unit="counts",
            values=np.array(5.0), uncertainty=np.array(0.5), completeness=1.0, revision=1,
            final=True,
        ),
    ]  # fmt: skip


def samples(count=5):
    columns = [np.random.default_rng(n).random(count) for n in range(5)]
    states = tuple("CC" if n % 2 else "HOLD_OCV" for n in range(count))
    return Samples("run", np.arange(count, dtype=np.float64), *columns, states)


STOP = ScanStop("s1", 5, "complete", {4: "lost on the way"})
ACCOUNT = Account(
    "run", "s1", 1, 6, 5, 1, {4: "lost on the way"},
    (GroupAccount("record", 4, {2: "disk full"}), GroupAccount("process", 5, {})), True,
)  # fmt: skip
DOCUMENTS = [Document("run", "start", '{"uid": "a"}'), Document("run", "stop", '{"Å": 1}')]


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "run.nxs"
    with Recorder(path, experiment_text="name: test Å\n") as recorder:
        messages = [
            scan_start(), *(make_frame(i) for i in (5, 0, 1, 3)), STOP, ACCOUNT, *DOCUMENTS,
            Positions("s1", "translation", "um", np.array([1, 3]), np.array([0.11, 0.72])),
            *results(), samples(), scan_start("s2", 2),
        ]  # fmt: skip
        for message in messages:
            assert recorder.take(message) == ""
    return path


def test_every_message_comes_back_as_it_was_recorded(recorded):
    with open_run(recorded) as run:
        assert same(run.scans()[0], scan_start())
        assert [s.scan for s in run.scans()] == ["s1", "s2"]
        frames = list(run.frames("s1"))
        assert [f.index for f in frames] == [0, 1, 3, 5]
        assert all(same(f, make_frame(f.index)) for f in frames)
        assert run.stops() == [STOP]
        assert run.stops("s2") == []
        assert run.accounts("s1") == [ACCOUNT]
        assert run.documents() == DOCUMENTS
        assert same(run.samples(), samples())
        (positions,) = run.positions("s1")
        assert positions.indices.tolist() == [1, 3]
        assert positions.values.tolist() == [0.11, 0.72]
        came = {r.name: r for r in run.results("s1")}
        for result in results():
            assert same(came.pop(result.name), result), result.name
        assert came == {}
        assert run.experiment_text == "name: test Å\n"


def sampled(run, first, end):
    whole = samples(end)
    columns = {
        f.name: getattr(whole, f.name)[first:] for f in dataclasses.fields(whole) if f.name != "run"
    }
    return Samples(run=run, **columns)


def record(path, *messages):
    with Recorder(path) as recorder:
        for message in messages:
            assert recorder.take(message) == ""
    return path


def test_the_runs_own_history_has_the_plain_name_whatever_was_sampled_before_it(tmp_path):
    path = record(
        tmp_path / "run.nxs", sampled("", 0, 20), scan_start(), sampled("run", 20, 25),
        sampled("", 25, 60),
    )  # fmt: skip
    with h5py.File(path) as file:
        entry = file["entry"]
        assert entry["potentiostat"].attrs["run"] == "run"
        assert entry["potentiostat_outside"].attrs["run"] == ""
        assert entry.attrs["default"] == "potentiostat"
    with open_run(path) as run:
        assert same(run.samples(), sampled("run", 20, 25))
        assert same(run.samples("run"), sampled("run", 20, 25))
        assert run.samples("").time_s.tolist() == [*range(20), *range(25, 60)]
        assert run.samples("another") is None
        assert {s.run for s in run.histories()} == {"", "run"}


def test_a_run_that_was_recorded_under_the_second_name_is_found(tmp_path):
    path = record(tmp_path / "old.nxs", sampled("", 0, 9), scan_start(), sampled("run", 9, 12))
    with h5py.File(path, "r+") as file:
        file["entry"].move("potentiostat", "potentiostat_2")
        file["entry"].move("potentiostat_outside", "potentiostat")
    with open_run(path) as run:
        assert same(run.samples(), sampled("run", 9, 12))


def test_without_a_scan_the_longest_history_is_the_runs(tmp_path):
    path = record(tmp_path / "a.nxs", sampled("", 0, 3), sampled("run", 3, 12))
    with open_run(path) as run:
        assert same(run.samples(), sampled("run", 3, 12))


def test_a_second_run_in_one_file_has_a_history_of_its_own(tmp_path):
    path = record(tmp_path / "b.nxs", sampled("run", 0, 9), sampled("later", 9, 50), scan_start())
    with h5py.File(path) as file:
        assert file["entry/potentiostat_2"].attrs["run"] == "later"
    with open_run(path) as run:
        assert same(run.samples(), sampled("run", 0, 9))


def test_a_run_without_anything_reads_as_that(tmp_path):
    Recorder(tmp_path / "empty.nxs").close()
    with open_run(tmp_path / "empty.nxs") as run:
        assert (run.scans(), run.results(), run.documents(), run.accounts()) == ([], [], [], [])
        assert run.samples() is None
        assert run.experiment_text == ""


def test_a_frame_whose_bytes_rotted_is_left_out_and_named(recorded):
    with h5py.File(recorded, "r+") as file:
        data = file["entry/scan_0001/instrument/detector/data"]
        mask, chunk = data.id.read_direct_chunk((1, 0, 0))
        data.id.write_direct_chunk((1, 0, 0), chunk[:-1] + bytes([chunk[-1] ^ 1]), mask)
    with open_run(recorded) as run:
        assert [f.index for f in run.frames("s1")] == [0, 3, 5]
        assert "checksum" in run.damaged["s1", 1]


def test_a_frame_that_is_no_image_as_the_file_describes_it_is_left_out_and_named(recorded):
    with h5py.File(recorded, "r+") as file:
        file["entry/scan_0001/instrument/detector"].attrs["rows"] = 1 << 50
    with open_run(recorded) as run:
        assert list(run.frames("s1")) == []
        assert "is no image" in run.damaged["s1", 0]


def test_a_scan_that_is_not_there_is_named_with_those_that_are(recorded):
    with open_run(recorded) as run, pytest.raises(RunFileError, match=r"no scan s9.*s1.*s2"):
        list(run.frames("s9"))


def write_text(path):
    path.write_text("no HDF5 at all")


def write_other(path):
    with h5py.File(path, "w") as file:
        file["entry/data"] = 1


def write_future(path):
    with h5py.File(path, "w") as file:
        file.attrs["operando_run"] = 99


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (write_text, "cannot be read"),
        (write_other, "no recorded run"),
        (write_future, "format 99"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_run_gives_one_line(tmp_path, write, told):
    path = tmp_path / "x.nxs"
    write(path)
    with pytest.raises(RunFileError, match=told) as caught:
        open_run(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def read_everything(path):
    with open_run(path) as run:
        for start in run.scans():
            list(run.frames(start.scan))
            run.positions(start.scan)
        run.stops(), run.accounts(), run.results(), run.documents(), run.samples()
        return run.experiment_text


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(share=st.floats(0, 0.999))
def test_a_cut_file_gives_a_run_file_error_or_what_is_left(recorded, tmp_path, share):
    whole = recorded.read_bytes()
    cut = tmp_path / "cut.nxs"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RunFileError) as caught:
        read_everything(cut)
    assert "\n" not in str(caught.value)


def test_a_history_over_scans_is_recorded_without_being_stacked(tmp_path):
    history = Result(
        "run", "s1", 1, "xrdct", "particle_history", ("particle", "scan"),
        {"particle": np.arange(2), "scan": np.array([1])}, {}, "Å", np.ones((2, 1)), None, 1.0, 1,
        True,
    )  # fmt: skip
    with Recorder(tmp_path / "run.nxs") as recorder:
        assert recorder.take(scan_start()) == ""
        assert recorder.take(history) == ""
    with open_run(tmp_path / "run.nxs") as run:
        assert [r.name for r in run.results()] == ["particle_history"]

"""Every message to bytes and back, and bytes that are none of ours."""

from __future__ import annotations

import dataclasses
import math
from math import inf, nan

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operando.stream.messages import (
    PROPOSALS,
    VERDICTS,
    Account,
    Axis,
    CellState,
    Decision,
    Detector,
    Document,
    Focus,
    Frame,
    GroupAccount,
    Message,
    Positions,
    Proposal,
    Reduction,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
    Withdrawal,
)
from operando.stream.packing import (
    MAX_HEADER_BYTES,
    VERSION,
    PackingError,
    kind_of,
    pack,
    peek,
    unpack,
)
from operando.stream.reasons import MAX_SCAN_FRAMES

WORDS = st.text(max_size=12)
COUNTS = st.integers(0, 2**40)
NUMBERS = st.floats(width=64)
IDS = st.text(min_size=1, max_size=12)
NAMES = st.from_regex(r"\w[\w .-]{0,11}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TIMES = st.floats(0, 1e11)
PLACES = st.floats(-1e3, 1e3)
SCALARS = st.one_of(WORDS, COUNTS, NUMBERS, st.booleans())
NOTES = st.dictionaries(WORDS, SCALARS, max_size=3)
REASONS = st.dictionaries(st.integers(0, 10**6), WORDS, max_size=3)
ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.uint16, np.int64, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def vectors(size: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, size, elements=NUMBERS)


def trajectories(frames: int) -> st.SearchStrategy[Trajectory]:
    axes = st.builds(Axis, NAMES, TEXTS, vectors(frames if frames < 6 else 0))
    several = st.lists(axes, max_size=2 if frames < 6 else 0, unique_by=lambda axis: axis.name)
    return st.builds(
        Trajectory, st.lists(st.integers(1, 100), max_size=3).map(tuple), several.map(tuple)
    )


DETECTORS = st.tuples(COUNTS, COUNTS).flatmap(
    lambda shape: st.builds(
        Detector,
        WORDS,
        st.just(shape),
        st.sampled_from(["uint16", "uint32"]),
        st.tuples(NUMBERS, NUMBERS),
        COUNTS,
        st.none() | hnp.arrays(np.bool_, shape) if max(shape) < 9 else st.none(),
    )
)
CELLS = st.builds(CellState, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, WORDS)
GROUPS = st.builds(GroupAccount, WORDS, COUNTS, REASONS)
MESSAGES: dict[type, st.SearchStrategy[Message]] = {
    ScanStart: (st.integers(0, 5) | COUNTS).flatmap(
        lambda frames: st.builds(
            ScanStart,
            run=TEXTS,
            scan=TEXTS,
            number=COUNTS,
            technique=TEXTS,
            frames=st.just(frames),
            detector=DETECTORS,
            trajectory=trajectories(frames),
            poni=WORDS,
            energy_ev=NUMBERS,
            exposure_s=NUMBERS,
            cell=st.none() | CELLS,
            time=TIMES,
            notes=NOTES,
        )
    ),
    Frame: st.builds(
        Frame,
        WORDS,
        COUNTS,
        st.tuples(COUNTS, COUNTS),
        WORDS,
        WORDS,
        st.binary(max_size=20),
        st.integers(0, 2**64 - 1),
        NUMBERS,
    ),
    ScanStop: st.builds(ScanStop, WORDS, COUNTS, WORDS, REASONS),
    Positions: st.integers(0, 4).flatmap(
        lambda n: st.builds(
            Positions,
            *(WORDS, NAMES, WORDS),
            hnp.arrays(np.int64, n, elements=st.integers(0, 2**63 - 1)),
            vectors(n),
        )
    ),
    Samples: st.integers(0, 4).flatmap(
        lambda n: st.builds(
            Samples,
            TEXTS,
            *[hnp.arrays(np.float64, n, elements=PLACES)] * 2,
            *[vectors(n)] * 4,
            st.lists(WORDS, min_size=n, max_size=n).map(tuple),
        )
    ),
    Document: st.builds(Document, WORDS, WORDS, WORDS),
    Reduction: st.builds(
        Reduction,
        WORDS,
        COUNTS,
        st.dictionaries(WORDS, ARRAYS, max_size=2),
        st.dictionaries(WORDS, WORDS, max_size=2),
    ),
    Result: st.builds(
        Result,
        run=WORDS,
        scan=WORDS,
        number=COUNTS,
        consumer=NAMES,
        name=NAMES,
        dims=st.lists(WORDS, max_size=2).map(tuple),
        coords=st.dictionaries(WORDS, ARRAYS, max_size=2),
        units=st.dictionaries(WORDS, WORDS, max_size=2),
        unit=WORDS,
        values=ARRAYS,
        uncertainty=st.none() | ARRAYS,
        completeness=NUMBERS,
        revision=COUNTS,
        final=st.booleans(),
        live=st.booleans(),
        attrs=NOTES,
    ),
    Account: st.builds(
        Account,
        run=WORDS,
        scan=WORDS,
        number=COUNTS,
        announced=COUNTS,
        received=COUNTS,
        duplicates=COUNTS,
        lost=REASONS,
        groups=st.lists(GROUPS, max_size=2).map(tuple),
        closed=st.booleans(),
        withdrawn=COUNTS,
        why_withdrawn=WORDS,
    ),
    Status: st.builds(Status, WORDS, WORDS, NUMBERS, NOTES),
    Focus: st.builds(Focus, WORDS, COUNTS, COUNTS),
    Withdrawal: st.builds(Withdrawal, WORDS, COUNTS, WORDS),
    Proposal: st.builds(
        Proposal,
        run=WORDS,
        id=IDS,
        kind=st.sampled_from(PROPOSALS),
        scan=WORDS,
        reason=WORDS,
        region=st.tuples(PLACES, PLACES, st.floats(0.1, 1e3)),
        exposure_s=st.floats(1e-6, 1e3),
        cost_s=NUMBERS,
        dose=NUMBERS,
        deadline=st.floats(1e9, 2e9),
        time=st.floats(0, 1e9),
    ),
    Decision: st.builds(Decision, WORDS, IDS, st.sampled_from(VERDICTS), WORDS, WORDS, NUMBERS),
}
ANY = st.one_of(*MESSAGES.values())


def same(a: object, b: object) -> bool:
    """Equality that looks into arrays and takes nan for nan."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return False
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (bytes, memoryview)):
        return bytes(a) == bytes(b)  # type: ignore[arg-type]
    if dataclasses.is_dataclass(a):
        names = [f.name for f in dataclasses.fields(a)]
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and a == b


def sent(message: Message) -> list[bytes]:
    return [bytes(part) for part in pack(message)]


def test_every_kind_of_message_has_a_strategy_here():
    assert set(MESSAGES) == set(Message.__args__)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda cls: cls.__name__)
def test_a_message_comes_back_as_it_went(kind):
    @settings(deadline=None, max_examples=60)
    @given(message=MESSAGES[kind])
    def there_and_back(message):
        parts = sent(message)
        assert same(unpack(parts), message)
        assert peek(parts[0])[0] == kind_of(message)

    there_and_back()


def test_arrays_and_payloads_are_not_copied_on_either_side():
    payload = bytearray(b"x" * 100)
    frame = Frame("s", 0, (10, 10), "uint8", "raw", memoryview(payload), 1)
    header, part = pack(frame)
    payload[0] = ord("y")
    assert bytes(part[:1]) == b"y"
    buffer = bytes(part)
    back = unpack([header, buffer])
    assert isinstance(back, Frame)
    assert np.shares_memory(np.frombuffer(back.data, "u1"), np.frombuffer(buffer, "u1"))


def test_arrays_that_came_from_a_wire_cannot_be_written_to():
    positions = Positions("s", "x", "um", np.arange(3), np.zeros(3))
    back = unpack(sent(positions))
    assert isinstance(back, Positions)
    with pytest.raises(ValueError, match="read-only"):
        back.values[0] = 1.0


@pytest.mark.parametrize("told", [0, 1, (1 << 63) + 1, (1 << 64) - 1])
def test_every_checksum_of_settings_travels_with_its_reduction(told):
    back = unpack(sent(Reduction("s", 1, {"a": np.zeros(2)}, {}, told)))
    assert isinstance(back, Reduction)
    assert back.settings == told


def test_object_and_text_arrays_do_not_travel():
    with pytest.raises(PackingError, match="object"):
        pack(Reduction("s", 0, {"a": np.array([None])}))
    with pytest.raises(PackingError, match="<U1"):
        pack(Reduction("s", 0, {"a": np.array(["x"])}))


@settings(deadline=None, max_examples=60)
@given(message=ANY)
def test_every_truncated_header_is_refused(message):
    header, *rest = sent(message)
    for length in range(len(header)):
        with pytest.raises(PackingError):
            unpack([header[:length], *rest])


@settings(deadline=None, max_examples=400)
@given(message=ANY, data=st.data())
def test_mutations_are_refused_or_are_messages_but_nothing_else_happens(message, data):
    parts = [bytearray(part) for part in sent(message)]
    for _ in range(data.draw(st.integers(1, 4))):
        part = data.draw(st.sampled_from([p for p in parts if p]))
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpack([bytes(part) for part in parts])
    except PackingError:
        return


def test_seeded_mutations_of_one_header_raise_packing_errors_only():
    rng = np.random.default_rng(5)
    result = Result(
        *("run", "scan", 1, "xrdct", "lattice_parameter", ("y", "x")),
        {"y": np.arange(3.0), "x": np.arange(4.0)},
        *({"y": "um", "x": "um"}, "Å", np.zeros((3, 4), "f4"), None, 0.5, 3, False),
    )
    header, *rest = sent(result)
    refused = 0
    for _ in range(5000):
        bad = bytearray(header)
        for _ in range(rng.integers(1, 5)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        try:
            unpack([bytes(bad), *rest])
        except PackingError:
            refused += 1
    assert refused > 2500


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.binary(max_size=40), max_size=3))
def test_any_bytes_are_refused(parts):
    with pytest.raises(PackingError):
        unpack(parts)


def header_of(fields: object, **changes: object) -> bytes:
    return msgpack.packb({"v": VERSION, "kind": "focus", "fields": fields, **changes})


SOUND = {"scan": "s", "row": 1, "column": 2}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (header_of(SOUND, v=VERSION + 1), "version"),
        (header_of(SOUND, v=True), "version"),
        (header_of(SOUND, kind="pickle"), "unknown kind"),
        (header_of(SOUND, kind=["focus"]), "unknown kind"),
        (header_of({**SOUND, "extra": 1}), "needs"),
        (header_of({"scan": "s", "row": 1}), "needs"),
        (header_of({**SOUND, "row": "1"}), "no int"),
        (header_of({**SOUND, "row": True}), "no int"),
        (header_of({**SOUND, "row": 1.0}), "no int"),
        (header_of({**SOUND, "scan": b"s"}), "no str"),
        (header_of([1, 2]), "not a map"),
        (msgpack.packb([1, 2]), "not one of ours"),
        (msgpack.packb({"v": 1, "kind": "focus"}), "not one of ours"),
        (b"\xc1", "not msgpack"),
        (header_of({**SOUND, "scan": msgpack.ExtType(5, b"x")}), "not msgpack"),
    ],
)
def test_headers_that_are_not_ours_are_refused_by_reason(header, words):
    with pytest.raises(PackingError, match=words):
        unpack([header])


@pytest.mark.parametrize(
    ("description", "buffer", "words"),
    [
        ([0, "<f8", [4]], bytes(24), "32 bytes, 24 came"),
        ([0, "<f8", [-1]], bytes(24), "shape"),
        ([0, "<f8", [2**62, 2**62]], bytes(24), "bytes"),
        ([0, "<f8", [0, 2**62]], b"", "shape"),  # no bytes are needed, none came
        ([0, "<f8", [0, 2**64 - 1]], b"", "shape"),
        ([0, "|O", [3]], bytes(24), "does not travel"),
        ([0, "<U2", [3]], bytes(24), "does not travel"),
        ([0, "(3,)f8", [1]], bytes(24), "does not travel"),
        ([0, "<f4", [6]], bytes(24), "needs float64"),
        ([1, "<f8", [3]], bytes(24), "names buffer"),
        ([-1, "<f8", [3]], bytes(24), "names buffer"),
        (["0", "<f8", [3]], bytes(24), "names buffer"),
        ([0, "<f8", [1] * 9], bytes(8), "shape"),
        ([0, "<f8"], bytes(24), "not an array"),
    ],
)
def test_an_array_that_lies_about_its_buffer_is_refused(description, buffer, words):
    fields = {"scan": "s", "axis": "x", "unit": "um", "indices": [1, "<i8", [0]]}
    header = msgpack.packb(
        {"v": VERSION, "kind": "positions", "fields": {**fields, "values": description}}
    )
    with pytest.raises(PackingError, match=words):
        unpack([header, buffer, b""])


def test_a_buffer_that_nothing_names_or_two_share_is_refused():
    positions = sent(Positions("s", "x", "um", np.arange(3), np.zeros(3)))
    with pytest.raises(PackingError, match="3 buffers came, 2 are named"):
        unpack([*positions, b"more"])
    header = msgpack.unpackb(positions[0])
    header["fields"]["indices"][0] = header["fields"]["values"][0]
    with pytest.raises(PackingError, match="each used once"):
        unpack([msgpack.packb(header), *positions[1:]])


def test_an_oversize_header_is_not_read():
    with pytest.raises(PackingError, match="at most"):
        unpack([bytes(9 << 20)])


def on_grid(grid):
    return dataclasses.replace(
        TWO_FRAMES, trajectory=dataclasses.replace(TWO_FRAMES.trajectory, grid=grid)
    )


def with_axis(*names, unit="um"):
    axes = tuple(Axis(name, unit, np.zeros(2)) for name in names)
    return dataclasses.replace(TWO_FRAMES, trajectory=Trajectory((), axes))


def result_of(consumer, name):
    return Result("r", "s", 1, consumer, name, (), {}, {}, "", np.zeros(()), None, 1.0, 1, True)


def samples_of(times, walls):
    two = np.zeros(2)
    return Samples("r", np.array(times), np.array(walls), two, two, two, two, ("a", "b"))


def of_lengths(*lengths: int) -> list[np.ndarray]:
    return [np.zeros(n) for n in lengths]


DETECTOR = Detector("d", (2, 3), "uint16", (1e-4, 1e-4), 9, np.zeros((2, 3), bool))
TWO_FRAMES = ScanStart(
    "r", "s", 1, "xrdct", 2, DETECTOR, Trajectory((2,), (Axis("x", "um", np.zeros(2)),)),
    "", 5e4, 0.1, None, 0.0,
)  # fmt: skip


def test_the_end_of_a_large_scan_that_broke_off_is_read_as_it_was_sent():
    halves = {i: ("never arrived", "died on the way")[i // 30_000] for i in range(60_000)}
    turns = {i: f"reason {i % 3}, which is of fair length" for i in range(60_000)}
    groups = tuple(GroupAccount(name, 0, turns) for name in ("record", "process"))
    for message in (
        ScanStop("s", 0, "aborted", halves),
        Account("r", "s", 1, 60_000, 0, 0, turns, groups, True),
    ):
        parts = pack(message)
        assert len(parts[0]) < 1000
        assert unpack(parts) == message


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0, 3, 0], [3, 4, 0]], "do not ascend"),
        ([[5, 4, 0]], "do not ascend"),
        ([[-1, 4, 0]], "do not ascend"),
        ([[0, 2**62, 0]], "go beyond"),
        ([[0, 4, 1]], "names a reason"),
        ([[0, 4, -1]], "names a reason"),
        ([[0, 4]], "shape"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(table, words):
    array = np.array(table, np.int64)
    lost = [["why"], [0, "<i8", list(array.shape)]]
    fields = {"scan": "s", "frames": 0, "reason": "aborted", "lost": lost, "dropped": []}
    header = msgpack.packb({"v": VERSION, "kind": "scan_stop", "fields": fields})
    with pytest.raises(PackingError, match=words):
        unpack([header, array.tobytes()])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Document("r", "event", "x" * (MAX_HEADER_BYTES + 1)), "at most"),
        (ScanStop("s", 0, "aborted", {MAX_SCAN_FRAMES: "x"}), "a reason for frame"),
        (ScanStop("s", 0, "aborted", {-1: "x"}), "a reason for frame"),
    ],
)
def test_what_nobody_could_read_is_not_packed(message, words):
    with pytest.raises(PackingError, match=words):
        pack(message)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Positions("s", "x", "um", np.arange(3), np.zeros(1)), "one value an index"),
        (Positions("s", "x", "um", np.zeros((2, 2), int), np.zeros((2, 2))), "one value an index"),
        (Positions("s", "x", "um", np.array([0, -1]), np.zeros(2)), "index -1"),
        (Samples("r", *of_lengths(2, 2, 2, 2, 2, 1), ("a", "b")), "temperature_c"),
        (Samples("r", *of_lengths(2, 2, 2, 2, 2, 2), ("a",)), "time_s"),
        (dataclasses.replace(TWO_FRAMES, frames=3), "axis 'x' of shape"),
        (
            dataclasses.replace(TWO_FRAMES, detector=dataclasses.replace(DETECTOR, shape=(3, 2))),
            "mask of shape",
        ),
        *((dataclasses.replace(TWO_FRAMES, time=t), "is no time") for t in (nan, inf, -1.0, 1e300)),
        *(
            (on_grid(grid), "points are needed")
            for grid in ((2**63,), (2, 0), (2, -1), (2000,) * 3, (1,) * 9)
        ),
        *((with_axis(name), "no '/'") for name in ("", ".", "..", "a/b", "/entry", "a\0b")),
        (with_axis("x", unit="u\0m"), "zero byte"),
        (with_axis("x", "x"), "stands twice"),
        (dataclasses.replace(TWO_FRAMES, scan="s\0"), "zero byte"),
        (dataclasses.replace(TWO_FRAMES, scan="s" * 1000), "at most"),
        *((result_of(consumer, "n"), "consumer") for consumer in ("", "..", "/entry", "/", "a/b")),
        *((result_of("c", name), "name") for name in ("", ".", "/entry/scan_0001", "a\0")),
        (Positions("s", "/entry/potentiostat/time", "um", np.arange(2), np.zeros(2)), "axis"),
        (samples_of([1.0, nan], [1.0, 2.0]), "time_s is not finite"),
        (samples_of([1.0, 2.0], [1.0, inf]), "wall_s is not finite"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(message, words):
    with pytest.raises(PackingError, match=words):
        unpack(sent(message))
    assert same(unpack(sent(TWO_FRAMES)), TWO_FRAMES)

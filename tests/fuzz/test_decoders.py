"""The decoders that a run uses on bytes from outside, against any bytes: sound, or their own error.

hypothesis searches and shrinks. Half of what it makes is anything at all, half is a sound thing
with damage in it, which gets further in.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import hostile_bytes as hostile
import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import example, given, settings
from hypothesis import strategies as st
from operando.consumers.crystal import Crystal, StructureError
from operando.consumers.decoding import FrameDecoder
from operando.consumers.findings import Findings
from operando.consumers.findings_file import (
    FindingsDamaged,
    Kept,
    path_of,
    read_findings,
    write_findings,
)
from operando.materials import structures
from operando.materials.calibration import read_calibration
from operando.stream import compression
from operando.stream.curve_keys import (
    KeysError,
    add_client,
    load_client_keys,
    load_server_keys,
    make_keys,
)
from operando.stream.live import LivePublisher, LiveSubscriber
from operando.stream.messages import Frame, Status
from operando.stream.packing import pack
from operando.stream.segment_log import SegmentLog, segments_of
from operando.stream.spool import Delivered, Ended, GroupKind, PutAgain, Settled, read_spool
from sound_messages import SOUND, scan_start

SEEDS = st.randoms(use_true_random=False)
ANYTHING = st.binary(max_size=200)
DTYPES = ("uint8", "uint16", "uint32")
# a multiple of 64 pixels, groups of eight and a tail, less than a group
SHAPES = ((16, 32), (9, 15), (1, 5))


def searched(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True)


def read_or_refused(read: Callable[[], object], error: type[Exception], begins: str = ""):
    """What read gives; None where it refuses as it has to, by its own error of one line."""
    try:
        return read()
    except error as refused:
        line = str(refused)
    assert begins in line
    assert "\n" not in line
    return None


# -- frames -------------------------------------------------------------------------------------


@cache
def sound_payloads(encoding: str, dtype: str, shape: tuple[int, int]) -> tuple[bytes, ...]:
    """Frames of few, of many and of no photons."""
    random = np.random.default_rng(11)
    images = [random.poisson(mean, shape).astype(dtype) for mean in (0.3, 90.0, 0.0)]
    return tuple(compression.encode(pixels, encoding) for pixels in images)


def judged(frame: Frame, decode: FrameDecoder, verify: bool) -> bool:
    """Whether frame was decoded. Fails where production says other pixels than the library."""
    try:
        wanted = compression.decode(frame, verify=verify)
    except compression.DecodeError:
        wanted = None
    found = read_or_refused(
        lambda: decode(frame, verify=verify), compression.DecodeError, "frame 7 of scan s"
    )
    if found is None:
        return False
    assert wanted is not None, "pixels of a payload that the library refuses"
    assert (found.shape, found.dtype) == (frame.shape, np.dtype(frame.dtype))
    np.testing.assert_array_equal(found, wanted)
    return True


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("encoding", compression.ENCODINGS)
def test_a_damaged_frame_gives_the_librarys_pixels_or_is_refused_by_name(encoding, dtype):
    decode, outcomes = FrameDecoder(), set()

    @searched(150)
    @given(SEEDS, st.sampled_from(SHAPES), st.booleans())
    def holds(random: Random, shape: tuple[int, int], verify: bool) -> None:
        sound = sound_payloads(encoding, dtype, shape)
        data = random.choice(sound)
        frame = Frame("s", 7, shape, dtype, encoding, data, compression.checksum(data))
        assert judged(frame, decode, True)
        bad = replace(frame, data=hostile.mutated(random, data, sound))
        outcomes.add(judged(bad, decode, verify))

    holds()
    assert outcomes == {True, False}  # what never refuses, or never decodes, tests nothing


@searched(400)
@given(
    ANYTHING,
    st.sampled_from(compression.ENCODINGS),
    st.sampled_from([*DTYPES, "int32", "float64", "object", "", "uint128"]),
    st.tuples(st.integers(-1, 40), st.integers(-1, 40)),
    st.booleans(),
)
@example(b"\0" * 12 + b"\xff\xff\xff\xff", "bslz4", "uint16", (1, 8), False)
@example(b"\0" * 8 + b"\xff\xff\xff\xf8" + b"\0" * 20, "bslz4", "uint8", (4, 8), False)
def test_any_bytes_as_a_frame_give_the_librarys_pixels_or_are_refused_by_name(
    data: bytes, encoding: str, dtype: str, shape: tuple[int, int], fits: bool
) -> None:
    check = compression.checksum(data) if fits else 0
    judged(Frame("s", 7, shape, dtype, encoding, data, check), FrameDecoder(), fits)


# -- the spool ----------------------------------------------------------------------------------

PAST = (PutAgain, Settled, Ended, Delivered, GroupKind)
NOTES = [
    msgpack.packb(words)
    for words in (
        ["put", b"receiver", 4, "process"], ["settled", "record", [["s", 3, ""], ["s", 4, "no"]]],
        ["ended", "record", "s"], ["delivered", "record", 9], ["kind", "record", "all"],
    )
]  # fmt: skip


@searched(150)
@given(SEEDS, st.lists(ANYTHING, min_size=1, max_size=3), st.booleans())
def test_records_that_say_anything_are_read_as_ours_or_named(
    random: Random, parts: list[bytes], damaged: bool
) -> None:
    """Sound records whatever is in them, and then the same file damaged."""
    named: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        log = SegmentLog(folder / "journal", sync_s=0)
        heads = [random.choice(NOTES) for _ in range(4)]
        heads[2] = hostile.mutated_msgpack(random, heads[2])
        heads[3] = hostile.mutated(random, heads[3], NOTES)
        for number, head in enumerate(heads, 1):
            log.append(number, [head, *random.choice(SOUND)])
        log.append(5, parts)
        log.close()
        (segment,) = segments_of(folder / "journal")
        if damaged:
            whole = segment.path.read_bytes()
            segment.path.write_bytes(hostile.mutated(random, whole, [whole]))
        (folder / "frames").mkdir()
        (folder / "frames" / segment.path.name).write_bytes(b"".join(parts))
        found = list(read_spool(folder, named.append))
    assert all(isinstance(past, PAST) for past in found)
    assert all(line and "\n" not in line for line in named)
    if not damaged:
        told = sum(line.startswith("journal: record") for line in named)
        assert len(found) + told == 5  # each is read or named, none twice
        assert len(found) >= 2


# -- findings -----------------------------------------------------------------------------------


@cache
def sound_findings() -> bytes:
    kept = Kept("r", 3, "slice", {"diary": Findings.of(scan_start())})
    with tempfile.TemporaryDirectory() as folder:
        write_findings(Path(folder), kept)
        return path_of(Path(folder), "r", 3).read_bytes()


@searched(300)
@given(SEEDS, ANYTHING, st.sampled_from(["anything", "damaged", "of another version"]))
def test_a_findings_file_of_any_bytes_is_read_or_named(
    random: Random, data: bytes, kind: str
) -> None:
    sound = sound_findings()
    if kind == "damaged":
        data = hostile.mutated(random, sound, [sound])
    elif kind == "of another version":  # under a checksum that fits
        parts = list(msgpack.unpackb(sound[12:]))
        place = random.randrange(len(parts))
        parts[place] = random.choice([hostile.mutated_msgpack(random, parts[0]), data, 7, None])
        body = msgpack.packb(random.choice([parts, parts[0], 5, {"a": parts}, [], parts[1:]]))
        data = b"OpF1" + compression.checksum(body).to_bytes(8, "little") + body
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.findings"
        path.write_bytes(data)
        found = read_or_refused(lambda: read_findings(path), FindingsDamaged, "x.findings")
    if found is None:
        return
    assert isinstance(found, Kept)
    if kind != "of another version":
        assert data == sound  # the checksum lets nothing else through


# -- keys ---------------------------------------------------------------------------------------


@cache
def sound_keys() -> dict[str, bytes]:
    """Path inside a folder of keys -> content."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "keys"
        make_keys(folder)
        add_client(folder, "desk", "window")
        files = [file for file in folder.rglob("*key*") if file.is_file()]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@searched(200)
@given(SEEDS, ANYTHING, st.booleans())
def test_key_files_of_any_bytes_are_read_or_named(random: Random, data: bytes, any_: bool) -> None:
    keys = sound_keys()
    name = random.choice(sorted(n for n in keys if not n.startswith("desk")))
    bad = data if any_ else hostile.mutated(random, keys[name], list(keys.values()))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "allowed").mkdir()
        for one in (n for n in keys if not n.startswith("desk")):
            (folder / one).write_bytes(bad if one == name else keys[one])
            (folder / one).chmod(0o600)
        for load in (load_server_keys, load_client_keys):
            found = read_or_refused(lambda load=load: load(folder), KeysError)
            if found is None:
                continue
            assert zmq.curve_public(found.secret) == found.public
            # damage in one file lets nobody in under two keys, nor a key without a role
            assert load is load_client_keys or len(found.roles) <= 2


# -- CIF and calibration tables ------------------------------------------------------------------


@searched(150)
@given(SEEDS, st.sampled_from(structures.names()), st.booleans())
def test_a_damaged_cif_gives_lines_or_is_refused_in_one_line(
    random: Random, name: str, any_: bool
) -> None:
    sound = structures.structure(name)
    if any_:
        text = ANY_CIF.format(**{key: _number(random) for key in "abcdefg"})
    else:
        damaged = hostile.mutated(random, sound.cif.encode(), [sound.cif.encode()])
        text = damaged.decode("utf-8", "replace")
    mine = structures.Structure("mine", "?", text)
    crystal = read_or_refused(lambda: Crystal(mine, 3.0), StructureError, "structure mine: ")
    if crystal is None:
        return
    lines = crystal.lines()
    assert np.isfinite(lines.q).all()
    assert np.isfinite(lines.strength).all()


ANY_CIF = """data_x
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {d}
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
O1 O {e} 0 0 {f} {g}
"""


def _number(random: Random) -> str:
    usual = ["8.2"] * 12
    return random.choice(
        [*usual, "90", "0", "-3", "1e9", "1e300", "1e-9", "nan", "inf", ".", "?", "1(2)", "x"]
    )


@searched(300)
@given(SEEDS, st.text(max_size=120), st.booleans())
def test_a_calibration_table_of_any_text_is_read_or_refused_in_one_line(
    random: Random, text: str, any_: bool
) -> None:
    sound = (
        b"# for people\nsegment,a,y [],sigma\n1,8.0,0.1,0\n1,8.1,0.4,0\n2,8.2,0.6,1e-3\n2,8.3,1,0"
    )
    if not any_:
        text = hostile.mutated(random, sound, [sound]).decode("utf-8", "replace")
    table = read_or_refused(lambda: read_calibration(text, "t"), ValueError, "calibration table t")
    if table is None:
        return
    path = [value for segment in table.segments for value in segment.quantity]
    assert path == sorted(set(path))
    assert all(np.isfinite(segment.parameter).all() for segment in table.segments)
    assert len(table.steps()) == len(table.segments) - 1


@pytest.mark.parametrize("cell", ['"' + "9" * 200_000, "1" * 200_000, "\0", '"a\n"'])
def test_a_calibration_table_with_an_impossible_cell_is_refused_in_one_line(cell):
    with pytest.raises(ValueError, match="calibration table t") as caught:
        read_calibration(f"segment,a,y\n1,8.0,{cell}\n1,8.1,0.4\n", "t")
    assert len(str(caught.value)) < 300


# -- the live side -------------------------------------------------------------------------------


@pytest.fixture
def wire():
    """A publisher that sends whatever it is told, and a listener."""
    logging.getLogger("operando.stream.live").setLevel(logging.ERROR)
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.setsockopt(zmq.LINGER, 0)
    publisher.bind("inproc://live")
    with LiveSubscriber("inproc://live", context) as live:
        for _ in range(2):  # "/" and its private topic
            assert publisher.poll(10_000)
            publisher.recv()
        yield publisher, live
    publisher.close()
    context.term()
    logging.getLogger("operando.stream.live").setLevel(logging.NOTSET)


def test_live_messages_of_any_parts_are_read_or_counted(wire):
    publisher, live = wire
    numbers = itertools.count(1)

    @searched(200)
    @given(SEEDS, st.lists(ANYTHING, max_size=4), st.booleans())
    def holds(random: Random, parts: list[bytes], any_: bool) -> None:
        if not any_:
            sound = random.choice(SOUND)
            parts = [random.randbytes(random.choice((8, 8, 7, 0))), *sound]
            place = random.randrange(len(parts))
            parts[place] = hostile.mutated(random, parts[place], [s[0] for s in SOUND])
        before = live.damaged
        number = next(numbers)
        publisher.send_multipart([b"/" + random.randbytes(3), *parts])
        last = pack(Status("hub", "up", float(number), {}))
        publisher.send_multipart([b"/status/hub", bytes(8), *last])
        found = []
        while not (found and isinstance(found[-1], Status) and found[-1].time == number):
            came = live.poll(10.0)
            assert came, "a message behind a damaged one did not come"
            found += came
        assert len(found) - 1 + live.damaged - before == 1  # read or counted, never both

    holds()
    assert live.damaged > 50


def test_subscriptions_of_any_bytes_do_not_stop_the_publisher():
    context = zmq.Context()
    publisher = LivePublisher(context, "inproc://live", 1 << 20)
    publisher.cache.keep("status/hub", pack(Status("hub", "up", 1.0, {})))
    asker = context.socket(zmq.XSUB)
    asker.setsockopt(zmq.LINGER, 0)
    asker.connect("inproc://live")

    @searched(200)
    @given(SEEDS, ANYTHING)
    def holds(random: Random, data: bytes) -> None:
        asker.send(random.choice([b"", b"\x01", b"\x01@", b"\x00"]) + data)
        asker.send(b"\x01@own|status")
        for _ in range(1000):
            publisher.answer_subscriptions()
            if asker.poll(10):
                break
        while asker.poll(0):
            assert len(asker.recv_multipart()) >= 2

    holds()
    publisher.close()
    asker.close()
    context.term()

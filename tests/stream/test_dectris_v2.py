"""DECTRIS stream V2: against cbor2 as the independent implementation, and hostile bytes."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import time

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.stream import bounded_cbor, dectris_series, dectris_v2
from operando.stream.bounded_cbor import CborError, Tagged
from operando.stream.compression import decode, encode
from operando.stream.dectris_series import End, Image, ImageError, Start, StreamError
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.packing import pack, unpack

PIXELS = np.random.default_rng(3).poisson(4, (6, 10)).astype(np.uint16)
START = Start(
    series=12,
    images=40,
    shape=(6, 10),
    dtype="uint16",
    unique="01FQ",
    exposure_s=0.01,
    frame_time_s=0.011,
    energy_ev=50_000.0,
    pixel_m=(75e-6, 80e-6),
    beam_center_px=(2.5, 3.5),
    saturation=30_000,
    mask=np.eye(6, 10, dtype=bool),
    description="EIGER2 500K",
    serial_number="E-01",
    sensor_material="CdTe",
    sensor_thickness_m=750e-6,
    arm_date="2026-03-01T12:00:00+01:00",
    user_data='{"a": 1}',
)


def image_of(data: bytes, encoding: str = "raw", **fields: object) -> Image:
    given = {"series": 12, "index": 5, "shape": (6, 10), "dtype": "<u2", "encoding": encoding}
    return Image(**{**given, "data": data, "unique": "01FQ", **fields})


def parse(message: bytes, channel: str = "") -> Start | Image | End:
    return dectris_v2.parse(memoryview(message), channel)


def pixels_of(image: Image) -> np.ndarray:
    return decode(dectris_series.frame(image, "s"), verify=True)


def start_fields(**changes: object) -> bytes:
    fields = cbor2.loads(dectris_v2.build_start(START)[3:])
    fields.update(changes)
    return cbor2.dumps({k: v for k, v in fields.items() if v is not ...})


def image_fields(array: object, **changes: object) -> bytes:
    fields = {"type": "image", "series_id": 12, "series_unique_id": "01FQ", "image_id": 5}
    return cbor2.dumps({**fields, "data": {"threshold_1": array}, **changes})


def multi(tag: int, content: object, sizes: object = (6, 10), order: int = 40) -> cbor2.CBORTag:
    return cbor2.CBORTag(order, [list(sizes), cbor2.CBORTag(tag, content)])


def test_a_start_comes_back_as_it_was_sent():
    start = parse(dectris_v2.build_start(START))
    assert isinstance(start, Start)
    np.testing.assert_array_equal(start.mask, START.mask)
    for name in Start.__dataclass_fields__:
        if name != "mask":
            assert getattr(start, name) == getattr(START, name), name


def test_an_independent_decoder_finds_the_documented_fields():
    fields = cbor2.loads(dectris_v2.build_start(START)[3:])
    assert next(iter(fields)) == "type"
    assert (fields["image_size_x"], fields["image_size_y"]) == (10, 6)
    assert fields["incident_wavelength"] == pytest.approx(0.2479684, rel=1e-6)
    assert fields["number_of_images"] == 40
    sizes, typed = fields["pixel_mask"]["threshold_1"].value
    assert (list(sizes), typed.tag) == ([6, 10], 70)
    assert cbor2.loads(dectris_v2.build_end(End(12, "01FQ")))["type"] == "end"


def test_messages_begin_with_the_detectors_signature_and_are_read_without_it_too():
    message = dectris_v2.build_end(End(12, "01FQ"))
    assert message[:3] == b"\xd9\xd9\xf7"
    assert parse(message) == parse(message[3:]) == End(12, "01FQ")


@pytest.mark.parametrize("encoding", ["raw", "bslz4", "lz4"])
def test_an_image_comes_back_as_it_was_sent(encoding):
    payload = encode(PIXELS, encoding)
    message = dectris_v2.build_image(image_of(payload, encoding, time_s=1.25), exposure_s=0.01)
    image = parse(message)
    assert isinstance(image, Image)
    assert (image.series, image.index, image.unique, image.time_s) == (12, 5, "01FQ", 1.25)
    np.testing.assert_array_equal(pixels_of(image), PIXELS)


def test_the_payload_of_an_image_is_not_copied():
    message = dectris_v2.build_image(image_of(encode(PIXELS, "bslz4"), "bslz4"))
    image = parse(message)
    assert isinstance(image, Image)
    frame = dectris_series.frame(image, "s")
    assert np.shares_memory(np.frombuffer(frame.data, "u1"), np.frombuffer(message, "u1"))


@pytest.mark.parametrize(
    ("tag", "dtype"),
    [(64, "|u1"), (68, "|u1"), (69, "<u2"), (70, "<u4"), (65, ">u2"), (66, ">u4")],
)
def test_every_unsigned_array_tag_is_read(tag, dtype):
    stored = PIXELS.astype(dtype)
    image = parse(image_fields(multi(tag, stored.tobytes())))
    assert isinstance(image, Image)
    found = pixels_of(image)
    assert found.dtype == np.dtype(dtype).newbyteorder("<")
    np.testing.assert_array_equal(found, PIXELS)


def test_pixels_that_run_down_the_columns_are_turned():
    image = parse(image_fields(multi(69, PIXELS.tobytes(order="F"), order=1040)))
    assert isinstance(image, Image)
    np.testing.assert_array_equal(pixels_of(image), PIXELS)


def test_compressed_pixels_of_the_other_byte_order_are_read():
    swapped = PIXELS.astype(">u2").view("<u2")
    content = cbor2.CBORTag(56500, ["bslz4", 2, encode(swapped, "bslz4")])
    image = parse(image_fields(multi(65, content)))
    assert isinstance(image, Image)
    np.testing.assert_array_equal(pixels_of(image), PIXELS)


def test_bitshuffle_over_another_width_than_the_pixels_is_read():
    wide = PIXELS.astype("<u4")
    content = cbor2.CBORTag(56500, ["bslz4", 2, encode(wide.view("<u2"), "bslz4")])
    image = parse(image_fields(multi(70, content)))
    assert isinstance(image, Image)
    np.testing.assert_array_equal(pixels_of(image), wide)


def test_the_first_channel_is_taken_unless_another_is_named():
    second = PIXELS + 1
    both = {
        "threshold_1": multi(69, PIXELS.tobytes()),
        "threshold_2": multi(69, second.tobytes()),
    }
    message = image_fields(None, data=both)
    first, named = parse(message), parse(message, "threshold_2")
    assert isinstance(first, Image)
    assert isinstance(named, Image)
    np.testing.assert_array_equal(pixels_of(first), PIXELS)
    np.testing.assert_array_equal(pixels_of(named), second)
    with pytest.raises(ImageError, match=r"no channel 'threshold_9'"):
        parse(message, "threshold_9")


@pytest.mark.parametrize("form", [">e", ">f", ">d"])
def test_half_single_and_double_floats_are_read(form):
    code = {">e": b"\xf9", ">f": b"\xfa", ">d": b"\xfb"}[form]
    message = b"\xa1\x61x" + code + struct.pack(form, 0.25)
    assert bounded_cbor.read_map(memoryview(message)) == {"x": 0.25}


def test_unknown_keys_and_tags_are_passed_over():
    message = start_fields(new={"deep": [1, cbor2.CBORTag(4711, "?")]}, other=None)
    assert isinstance(parse(message), Start)


def test_what_a_header_at_detail_basic_leaves_out_is_missed_by_nobody():
    start = parse(start_fields(pixel_mask=..., saturation_value=..., count_time=..., user_data=...))
    assert isinstance(start, Start)
    assert start.mask is None
    assert start.saturation is None
    assert math.isnan(start.exposure_s)
    assert dectris_series.scan_start(start).detector.saturation == 65535


@pytest.mark.parametrize(
    ("changes", "unique"),
    [
        ({"scan": "s" * 1000}, "01ab"),
        ({"scan": "\0"}, "01ab"),
        ({"technique": "\0"}, "01ab"),
        ({"axes": (GridAxis("a/b", "um", 0, (1.0, 2.0)),)}, "01ab"),
        ({"scan": "\0"}, "\0" * 100 + "u" * 1000),
    ],
    ids=["long scan", "zero in scan", "zero in technique", "axis", "and in its unique name"],
)
def test_a_description_that_nobody_would_take_costs_the_description_and_not_the_frames(
    changes, unique
):
    described = dataclasses.replace(ScanDescription("r", "s", 1, "xrdct", (2,), ()), **changes)
    start = Start(
        7, 2, (4, 6), "uint16", unique=unique, pixel_m=(1e-4, 1e-4), user_data=described.to_json()
    )
    scan = dectris_series.scan_start(start)
    assert unpack([bytes(part) for part in pack(scan)]).scan == scan.scan
    assert scan.scan.startswith("series-7-")
    assert (scan.technique, scan.frames) == ("frames", 2)
    assert scan.notes["description_problem"]


def test_a_header_appendix_given_as_a_structure_arrives_as_json():
    start = parse(start_fields(user_data={"a": [1, "b", None]}))
    assert isinstance(start, Start)
    assert json.loads(start.user_data) == {"a": [1, "b", None]}


def test_a_mask_that_does_not_fit_is_left_out_with_a_warning():
    start = parse(start_fields(pixel_mask={"threshold_1": multi(70, bytes(80), (4, 5))}))
    assert isinstance(start, Start)
    assert start.mask is None
    assert "it is (4, 5), the image (6, 10)" in start.warnings[0]


def test_a_compressed_big_endian_column_major_mask_is_read():
    flags = np.arange(60, dtype=">u4").reshape(6, 10)
    swapped = np.ascontiguousarray(flags.T).view("<u4")
    content = cbor2.CBORTag(56500, ["bslz4", 4, encode(swapped, "bslz4")])
    start = parse(start_fields(pixel_mask={"threshold_1": multi(66, content, order=1040)}))
    assert isinstance(start, Start)
    np.testing.assert_array_equal(start.mask, flags != 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"series_id": ...}, "series_id is None"),
        ({"series_id": -1}, "series_id is -1"),
        ({"series_id": True}, "series_id is True"),
        ({"number_of_images": "9"}, "number_of_images"),
        ({"number_of_images": 10**12}, "start of 1000000000000 images"),
        ({"image_dtype": "object"}, "object"),
        ({"image_size_x": 0}, r"shape \(6, 0\)"),
        ({"image_size_y": 10**7}, "shape"),
        ({"type": "stop"}, "type 'stop'"),
        ({"type": ...}, "type 'None'"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused_by_reason(changes, words):
    with pytest.raises(StreamError, match=words):
        parse(start_fields(**changes))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (None, "without the tag"),
        (b"123", "without the tag"),
        (multi(99, b"x"), "array tag 99"),
        (multi(69, "text"), "neither bytes"),
        (multi(69, bytes(120), (6,)), "dimensions"),
        (multi(69, bytes(120), (6, -10)), "dimensions"),
        (multi(69, bytes(120), (1 << 40, 1 << 40)), "dimensions"),
        (multi(69, cbor2.CBORTag(56500, ["zstd", 2, b"x"])), "compression 'zstd'"),
        (multi(69, cbor2.CBORTag(56500, ["bslz4", 2])), "algorithm, element size and bytes"),
        (cbor2.CBORTag(40, [[6, 10]]), "dimensions and content"),
    ],
)
def test_an_image_that_cannot_be_used_is_named_in_the_error(array, words):
    with pytest.raises(ImageError, match=words) as caught:
        parse(image_fields(array))
    assert (caught.value.series, caught.value.index) == (12, 5)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (image_of(bytes(119)), "119 came"),
        (image_of(encode(PIXELS, "bslz4")[:-3], "bslz4", shuffled_bytes=2), "came"),
        (image_of(encode(PIXELS, "bslz4"), "bslz4", shuffled_bytes=3), "elements of 3 bytes"),
        (image_of(bytes(480), dtype=">f8"), "float64"),
    ],
)
def test_a_damaged_payload_is_named_in_the_error(image, words):
    with pytest.raises(ImageError, match=words) as caught:
        dectris_series.frame(image, "s")
    assert (caught.value.series, caught.value.index) == (12, 5)


def test_a_message_cut_in_its_payload_still_says_which_image_it_was():
    message = dectris_v2.build_image(image_of(encode(PIXELS, "bslz4"), "bslz4"))
    with pytest.raises(ImageError, match="damaged: cut") as caught:
        parse(message[:-5])
    assert (caught.value.series, caught.value.index) == (12, 5)


@pytest.mark.parametrize(
    "message",
    [
        dectris_v2.build_start(START),
        dectris_v2.build_image(image_of(encode(PIXELS, "bslz4"), "bslz4")),
        dectris_v2.build_end(End(12, "01FQ")),
    ],
    ids=["start", "image", "end"],
)
class TestHostile:
    def test_every_truncation_is_refused(self, message):
        for length in range(len(message)):
            with pytest.raises(StreamError):
                parse(message[:length])

    def test_bytes_after_the_message_are_refused(self, message):
        with pytest.raises(StreamError):
            parse(message + b"\0")

    def test_mutations_raise_stream_errors_only(self, message):
        rng = np.random.default_rng(len(message))
        for _ in range(3000):
            bad = bytearray(message)
            for _ in range(rng.integers(1, 5)):
                bad[rng.integers(len(bad))] = rng.integers(256)
            try:
                item = parse(bytes(bad))
                if isinstance(item, Image):
                    dectris_series.frame(item, "s")
                elif isinstance(item, Start):
                    dectris_series.scan_start(item) if item.images < 1000 else None
            except StreamError:
                pass


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\xa1\x61x" + b"\x81" * 1000 + b"\x00", "nested deeper"),
        (b"\xa1\x61x" + b"\xd8\x28" * 1000 + b"\x00", "nested deeper"),
        (b"\xa1\x61x" + b"\xa1\x61x" * 1000 + b"\x00", "nested deeper"),
        (b"\xa1\x61x\x5b" + b"\x7f" + b"\xff" * 7, "cut"),
        (b"\xa1\x61x\x7b" + b"\x7f" + b"\xff" * 7, "a text of"),
        (b"\xa1\x61x\x9b" + b"\xff" * 8, "cut"),
        (b"\xbb" + b"\xff" * 8, "cut"),
        (b"\xa1\x61x\x9b" + b"\xff" * 8 + b"\x00" * 200_000, "more than 100000 items"),
        (b"\xa1\x61x\x9f" + b"\x00" * 200_000, "more than 100000 items"),
        (b"\xa1\x61x\x5f" + b"\x40" * 200_000, "more than 100000 items"),
        (b"\xa1\x40\x00", "as a key"),
        (b"\xa1\xf5\x00", "as a key"),
        (b"\xa1\xf9\x00\x00\x00", "as a key"),
        (b"\xa2\x61x\x00\x61x\x00", "stands twice"),
        (b"\xa1\x61x\x61\xff", "not UTF-8"),
        (b"\xa1\x61x\xff", "a break where"),
        (b"\xa1\x61x\x81\xff", "a break in a list"),
        (b"\xa1\xff", "a break in a map"),
        (b"\xa1\x61x\xfc", "begins no item|means nothing"),
        (b"\xa1\x61x\xf8\x20", "simple value"),
        (b"\xa1\x61x\x1f", "begins no item"),
        (b"\xa1\x61x\x5f\x61x\xff", "none of its own"),
        (b"\x83\x01\x02\x03", "no map"),
        (b"", "cut"),
        (b"\xd9\xd9\xf7" * 200_000, "more than 100000 items"),
    ],
)
def test_hostile_cbor_is_refused_at_once(message, words):
    began = time.perf_counter()
    with pytest.raises(CborError, match=words):
        bounded_cbor.read_map(memoryview(message))
    assert time.perf_counter() - began < 2.0


def test_references_and_bignums_are_inert():
    shared = b"\xa1\x61x\xd8\x1c\x81\xd8\x1d\x00"  # a list that holds itself
    assert bounded_cbor.read_map(memoryview(shared)) == {"x": Tagged(28, [Tagged(29, 0)])}
    big = b"\xa1\x61x\xc2\x49" + b"\xff" * 9
    value = bounded_cbor.read_map(memoryview(big))["x"]
    assert isinstance(value, Tagged)
    assert isinstance(value.value, memoryview)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(max_size=8),
        st.binary(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 99)), inner, max_size=4),
    ),
    max_leaves=20,
)


def plain(value: object) -> object:
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


@settings(deadline=None)
@given(fields=st.dictionaries(st.text(max_size=5), VALUES, max_size=5), canonical=st.booleans())
def test_what_cbor2_writes_is_read_as_it_was_meant(fields, canonical):
    message = cbor2.dumps(fields, canonical=canonical)
    assert plain(bounded_cbor.read_map(memoryview(message))) == fields


@settings(deadline=None)
@given(fields=st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_containers_of_indefinite_length_are_read(fields):
    message = cbor2.dumps(fields, indefinite_containers=True)
    assert plain(bounded_cbor.read_map(memoryview(message))) == fields


def test_strings_in_pieces_are_read():
    message = b"\xa2\x61x\x7f\x61a\x62bc\xff\x61y\x5f\x41\x01\x42\x02\x03\xff"
    fields = bounded_cbor.read_map(memoryview(message))
    assert plain(fields) == {"x": "abc", "y": b"\1\2\3"}


@settings(deadline=None, max_examples=500)
@given(message=st.binary(max_size=60))
def test_any_bytes_are_a_map_or_one_error(message):
    try:
        assert isinstance(bounded_cbor.read_map(memoryview(message)), dict)
    except CborError:
        return

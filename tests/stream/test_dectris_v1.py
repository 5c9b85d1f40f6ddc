"""DECTRIS stream V1: parts by htype, in any arrangement that senders use."""

from __future__ import annotations

import hashlib
import json
import math

import lz4.block
import numpy as np
import pytest
from operando.stream import dectris_series, dectris_v1
from operando.stream.compression import decode, encode
from operando.stream.dectris_series import End, Image, ImageError, Start, StreamError
from operando.stream.dectris_v1 import PartsReader

PIXELS = np.random.default_rng(4).poisson(4, (6, 10)).astype(np.uint32)
START = Start(
    series=6,
    images=3,
    shape=(6, 10),
    dtype="uint32",
    exposure_s=0.01,
    frame_time_s=0.011,
    energy_ev=8041.0,
    pixel_m=(75e-6, 80e-6),
    beam_center_px=(2.5, 3.5),
    saturation=83270,
    mask=np.eye(6, 10, dtype=bool),
    description="EIGER2 9M",
    serial_number="E-18",
    sensor_material="CdTe",
    sensor_thickness_m=750e-6,
    arm_date="2024-03-12T15:29:58.142+01:00",
    user_data='{"operando": 0}',
)


def image_of(index: int = 0, encoding: str = "bslz4", **fields: object) -> Image:
    given = {"series": 6, "index": index, "shape": (6, 10), "dtype": "<u4", "encoding": encoding}
    return Image(**{**given, "data": encode(PIXELS, encoding), **fields})


def views(parts: list[bytes]) -> list[memoryview]:
    return [memoryview(part) for part in parts]


def read(*messages: list[bytes]) -> list[dectris_v1.Item]:
    reader = PartsReader()
    return [item for message in messages for item in reader.read(views(message))]


def apart(parts: list[bytes]) -> list[list[bytes]]:
    return [[part] for part in parts]


def pixels_of(item: object) -> np.ndarray:
    assert isinstance(item, Image)
    return decode(dectris_series.frame(item, "s"), verify=True)


def image_parts(blob: bytes, **changes: object) -> list[bytes]:
    described = {
        "encoding": "bs32-lz4<",
        "htype": "dimage_d-1.0",
        "shape": [10, 6],
        "size": len(blob),
        "type": "uint32",
        **changes,
    }
    digest = hashlib.md5(blob).hexdigest()
    opening = {"frame": 0, "hash": digest, "htype": "dimage-1.0", "series": 6}
    times = {"htype": "dconfig-1.0", "real_time": 1, "start_time": 2_000_000_000, "stop_time": 3}
    return [json.dumps(opening).encode(), json.dumps(described).encode(), blob, dump(times)]


def dump(fields: dict[str, object]) -> bytes:
    return json.dumps(fields).encode()


def test_a_header_at_detail_all_comes_back_as_it_was_sent():
    (start,) = read(dectris_v1.build_start(START))
    assert isinstance(start, Start)
    np.testing.assert_array_equal(start.mask, START.mask)
    for name in Start.__dataclass_fields__:
        if name != "mask":
            assert getattr(start, name) == getattr(START, name), name


def test_a_header_at_detail_basic_has_no_mask():
    (start,) = read(dectris_v1.build_start(START, "basic"))
    assert isinstance(start, Start)
    assert start.mask is None
    assert (start.images, start.shape, start.user_data) == (3, (6, 10), START.user_data)


def test_a_header_at_detail_none_knows_neither_shape_nor_number():
    # Its one part could be followed by others, so it closes when the next opening part comes
    start, end = read(dectris_v1.build_start(START, "none")[:1], dectris_v1.build_end(End(6)))
    assert isinstance(start, Start)
    assert (start.images, start.shape) == (0, None)
    assert end == End(6)
    with pytest.raises(StreamError, match="header_detail must be basic or all"):
        dectris_series.scan_start(start)


@pytest.mark.parametrize(
    ("mode", "images"), [("ints", 12), ("exts", 12), ("inte", 3), ("exte", 3), ("new", 12)]
)
def test_the_number_of_images_follows_the_trigger_mode(mode, images):
    parts = dectris_v1.build_start(START, "basic")
    config = {**json.loads(parts[1]), "nimages": 4, "ntrigger": 3, "trigger_mode": mode}
    (start,) = read([parts[0], dump(config)])
    assert isinstance(start, Start)
    assert start.images == images


@pytest.mark.parametrize("detail", ["all", "basic", "none"])
def test_parts_that_come_one_a_message_make_the_same(detail):
    messages = [
        *apart(dectris_v1.build_start(START, detail)),
        *apart([*dectris_v1.build_image(image_of(0)), b"{}"]),
        *apart(dectris_v1.build_image(image_of(1))),
        *apart(dectris_v1.build_end(End(6))),
    ]
    start, first, second, end = read(*messages)
    assert isinstance(start, Start)
    assert start.user_data == START.user_data
    assert (start.mask is not None) == (detail == "all")
    np.testing.assert_array_equal(pixels_of(first), PIXELS)
    np.testing.assert_array_equal(pixels_of(second), PIXELS)
    assert end == End(6)


def test_a_header_in_several_messages_is_put_together():
    parts = dectris_v1.build_start(START)
    items = read(parts[:2], parts[2:4], parts[4:6], dectris_v1.build_image(image_of()))
    start = items[0]
    assert isinstance(start, Start)
    np.testing.assert_array_equal(start.mask, START.mask)
    assert isinstance(items[-1], Image)


def test_the_order_of_parts_and_keys_does_not_matter():
    opening, described, blob, times = dectris_v1.build_image(image_of(time_s=2.5))
    reversed_keys = dump(dict(reversed(json.loads(opening).items())))
    for parts in (
        [described, blob, times, reversed_keys],
        [times, opening, described, blob],
        [opening, times, b"{}", described, blob],
    ):
        (image,) = read(parts)
        assert isinstance(image, Image)
        assert image.time_s == 2.5
        np.testing.assert_array_equal(pixels_of(image), PIXELS)


def test_shape_is_x_then_y():
    (image,) = read(image_parts(encode(PIXELS, "bslz4")))
    assert isinstance(image, Image)
    assert image.shape == (6, 10)
    assert image.time_s == 2.0
    np.testing.assert_array_equal(pixels_of(image), PIXELS)


def bare_block(pixels: np.ndarray) -> bytes:
    return lz4.block.compress(pixels.tobytes(), store_size=False)


@pytest.mark.parametrize(
    ("encoding", "blob"),
    [
        ("bs32-lz4<", encode(PIXELS, "bslz4")),
        ("bs32lz4<", encode(PIXELS, "bslz4")),
        ("bs16-lz4<", encode(PIXELS.view("<u2"), "bslz4")),
        ("bs8-lz4<", encode(PIXELS.view("u1"), "bslz4")),
        ("bs32-lz4>", encode(PIXELS.astype(">u4").view("<u4"), "bslz4")),
        ("lz4<", encode(PIXELS, "lz4")),
        ("lz4<", bare_block(PIXELS)),
        ("lz4>", bare_block(PIXELS.astype(">u4"))),
        ("lz4", bare_block(PIXELS)),
        ("<", PIXELS.tobytes()),
        (">", PIXELS.astype(">u4").tobytes()),
        ("", PIXELS.tobytes()),
    ],
)
def test_every_encoding_gives_the_same_pixels(encoding, blob):
    (image,) = read(image_parts(blob, encoding=encoding))
    np.testing.assert_array_equal(pixels_of(image), PIXELS)


def test_the_payload_is_not_copied():
    blob = encode(PIXELS, "bslz4")
    (image,) = read(image_parts(blob))
    assert isinstance(image, Image)
    frame = dectris_series.frame(image, "s")
    assert np.shares_memory(np.frombuffer(frame.data, "u1"), np.frombuffer(blob, "u1"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 5}, "its header says 5"),
        ({"shape": [10]}, "shape"),
        ({"shape": [10, -6]}, "shape"),
        ({"shape": [10, 1 << 30]}, "shape"),
        ({"shape": None}, "shape"),
        ({"type": "object"}, "'object'"),
        ({"type": ["uint32"]}, "uint32"),
        ({"encoding": "bs32<"}, "encoding 'bs32<'"),
        ({"encoding": "zip<"}, "encoding 'zip<'"),
        ({"encoding": 5}, "encoding '5'"),
    ],
)
def test_an_image_that_cannot_be_used_is_named_in_the_error(changes, words):
    (error,) = read(image_parts(encode(PIXELS, "bslz4"), **changes))
    assert isinstance(error, ImageError)
    assert (error.series, error.index) == (6, 0)
    assert words in str(error)


def test_a_blob_that_does_not_match_its_md5_is_refused():
    parts = image_parts(PIXELS.tobytes(), encoding="<")
    parts[2] = bytes([parts[2][0] ^ 1]) + parts[2][1:]
    (error,) = read(parts)
    assert isinstance(error, ImageError)
    assert "md5" in str(error)


def test_an_image_without_its_pixels_is_named():
    opening, described, _, times = dectris_v1.build_image(image_of(2))
    for parts in ([opening, times], [opening, described]):
        (error,) = read(parts)
        assert isinstance(error, ImageError)
        assert error.index == 2


def test_a_damaged_lz4_block_is_refused():
    block = bytearray(bare_block(PIXELS))
    block[0] = 0xFF
    (image,) = read(image_parts(bytes(block), encoding="lz4>"))  # ">": decoded at the receiver
    assert isinstance(image, Image)
    with pytest.raises(ImageError, match="does not decode"):
        dectris_series.frame(image, "s")


def test_strays_before_a_header_cost_nothing_after_it():
    opening, described, blob, times = dectris_v1.build_image(image_of())
    items = read(
        [described],
        [blob],
        [times],
        [b"{}"],
        [described, blob, times],
        *apart(dectris_v1.build_start(START, "basic")),
        [opening, described, blob, times],
    )
    assert [type(item) for item in items].count(StreamError) == 3
    assert isinstance(items[-2], Start)
    np.testing.assert_array_equal(pixels_of(items[-1]), PIXELS)


def test_a_stray_blob_never_becomes_another_images_pixels():
    first = dectris_v1.build_image(image_of(0))
    other = dectris_v1.build_image(image_of(1, data=encode(PIXELS + 1, "bslz4")))
    items = read(*apart(first[1:]), *apart(other))
    assert isinstance(items[-1], Image)
    assert items[-1].index == 1
    np.testing.assert_array_equal(pixels_of(items[-1]), PIXELS + 1)


def test_a_mask_that_does_not_fit_is_left_out_with_a_warning():
    parts = dectris_v1.build_start(START)
    cut = [*parts[:5], parts[5][:20], *parts[6:]]
    turned = [*parts[:4], dump({**json.loads(parts[4]), "shape": [6, 10]}), *parts[5:]]
    for header, words in ((cut, "20 bytes came, 240 are due"), (turned, "it is [6, 10]")):
        (start,) = read(header)
        assert isinstance(start, Start)
        assert start.mask is None
        assert words in start.warnings[0]


def test_a_header_that_cannot_be_meant_is_refused_by_reason():
    opening, config = dectris_v1.build_start(START, "basic")[:2]
    for changes, words in (
        ({"nimages": 0}, "a series of 1 x 0 images"),
        ({"ntrigger": "1"}, "ntrigger"),
        ({"bit_depth_image": 12}, "uint12"),
        ({"x_pixels_in_detector": 0}, "(6, 0)"),
    ):
        (error,) = read([opening, dump({**json.loads(config), **changes})])
        assert isinstance(error, StreamError)
        assert words in str(error)


def test_missing_numbers_of_a_header_are_nan():
    opening, config = dectris_v1.build_start(START, "basic")[:2]
    kept = ("nimages", "ntrigger", "bit_depth_image", "x_pixels_in_detector")
    few = {k: v for k, v in json.loads(config).items() if k in kept or k.startswith("y_pixels")}
    (start,) = read([opening, dump(few)])
    assert isinstance(start, Start)
    assert math.isnan(start.energy_ev)
    assert math.isnan(start.pixel_m[0])
    assert start.saturation is None


def test_half_a_surrogate_pair_in_a_name_is_replaced():
    parts = dectris_v1.build_start(START)
    parts[1] = parts[1].replace(b'"description": "', b'"description": "\\ud800')
    (start,) = read(parts)
    assert start.description.startswith("?")


def test_garbage_gives_errors_and_the_next_series_is_read():
    rng = np.random.default_rng(9)
    sound = [
        *dectris_v1.build_start(START),
        *dectris_v1.build_image(image_of()),
        *dectris_v1.build_end(End(6)),
    ]
    for _ in range(300):
        reader = PartsReader()
        for part in sound:
            bad = bytearray(part)
            for _ in range(rng.integers(0, 4)):
                bad[rng.integers(len(bad))] = rng.integers(256)
            several = [bytes(bad), b"\xff\xfe", b'["list"]', b"[" * 100_000]
            reader.read(views(several[: rng.integers(1, 5)]))
        # A garbled part may have announced a blob, which swallows the first part that follows
        reader.read(views([b"{}", b"{}"]))
        items = reader.read(views(dectris_v1.build_start(START)))
        items += reader.read(views(dectris_v1.build_image(image_of())))
        assert any(isinstance(item, Start) for item in items)
        np.testing.assert_array_equal(pixels_of(items[-1]), PIXELS)

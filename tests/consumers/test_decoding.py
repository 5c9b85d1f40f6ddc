"""Frames decoded by our own kernel: the library's pixels, and an error for any other bytes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import textwrap

import bitshuffle
import numpy as np
import pytest
from operando.consumers import decoding
from operando.consumers.decoding import FrameDecoder
from operando.stream import compression
from operando.stream.compression import DecodeError
from operando.stream.messages import Frame


def frame_of(pixels: np.ndarray, payload: bytes, index: int = 7) -> Frame:
    return Frame(
        "scan-1", index, pixels.shape, pixels.dtype.name, "bslz4", payload,
        compression.checksum(payload),
    )  # fmt: skip


def packed(pixels: np.ndarray, block_elements: int) -> bytes:
    """As a detector with blocks of its own size packs it."""
    prefix = struct.pack(">QI", pixels.nbytes, block_elements * pixels.itemsize)
    return prefix + bitshuffle.compress_lz4(pixels, block_elements).tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("shape", [(64, 128), (61, 67), (1, 5), (3, 3), (128, 1028), (1, 2056)])
@pytest.mark.parametrize("top", [1, 3, 200, 4000, 60_000, 2**32])
def test_pixels_are_those_that_were_packed(dtype: str, shape: tuple[int, int], top: int) -> None:
    top = min(top, int(np.iinfo(dtype).max) + 1)
    pixels = np.random.default_rng(1).integers(0, top, shape).astype(dtype)
    decode = FrameDecoder()
    payload = compression.encode(pixels, "bslz4")
    np.testing.assert_array_equal(decode(frame_of(pixels, payload), verify=True), pixels)
    np.testing.assert_array_equal(decode(frame_of(pixels, bytes(12) + payload[12:])), pixels)
    if pixels.size >= 8:
        for elements in (8, 72, 512, 8192):
            np.testing.assert_array_equal(
                decode(frame_of(pixels, packed(pixels, elements))), pixels
            )


def test_frames_after_one_another_do_not_show_through() -> None:
    decode = FrameDecoder()
    random = np.random.default_rng(2)
    for mean in (1e6, 0.0, 3.0, 300.0, 0.01):
        pixels = random.poisson(mean, (100, 103)).astype(np.uint32)
        found = decode(frame_of(pixels, compression.encode(pixels, "bslz4")))
        np.testing.assert_array_equal(found, pixels)


def test_other_encodings_and_types_are_decoded_as_ever() -> None:
    decode = FrameDecoder()
    pixels = np.random.default_rng(3).integers(-5, 9, (20, 30)).astype(np.int32)
    for encoding in compression.ENCODINGS:
        payload = compression.encode(pixels, encoding)
        frame = Frame("s", 0, pixels.shape, "int32", encoding, payload, 0)
        np.testing.assert_array_equal(decode(frame), pixels)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p[:-1], "bytes"),
        (lambda p: p + b"\0", "follow"),
        (lambda p: p[:12] + b"\xff" + p[13:], "block 0"),
        (lambda p: p[:16] + b"\xff" * 40 + p[56:], "does not decode"),
        (lambda p: p[:8], "prefix"),
    ],
)
def test_damaged_bytes_are_an_error_that_names_scan_and_index(spoil, words) -> None:
    pixels = np.random.default_rng(4).poisson(3, (64, 64)).astype(np.uint32)
    frame = frame_of(pixels, spoil(compression.encode(pixels, "bslz4")))
    with pytest.raises(DecodeError, match=words) as caught:
        FrameDecoder()(frame)
    assert "frame 7 of scan scan-1" in str(caught.value)
    with pytest.raises(DecodeError, match="checksum"):
        FrameDecoder()(Frame(*[getattr(frame, n) for n in
                               ("scan", "index", "shape", "dtype", "encoding", "data")], 1),
                       verify=True)  # fmt: skip


def test_without_the_librarys_lz4_frames_are_decoded_all_the_same(monkeypatch) -> None:
    monkeypatch.setattr(decoding, "available", lambda: False)
    pixels = np.random.default_rng(5).poisson(3, (64, 64)).astype(np.uint32)
    found = FrameDecoder()(frame_of(pixels, compression.encode(pixels, "bslz4")))
    np.testing.assert_array_equal(found, pixels)


FUZZ = """
    import json, sys
    import numpy as np
    from operando.consumers.decoding import FrameDecoder
    from operando.stream import compression
    from operando.stream.messages import Frame
    rng = np.random.default_rng(int(sys.argv[1]))
    decode = FrameDecoder()
    counts = {"refused": 0, "wrong": 0, "same": 0}
    for dtype, walked in (("uint32", 0), ("uint16", 1), ("uint8", 2)):
        pixels = rng.poisson(2, (256, 257)).astype(dtype)
        sound = compression.encode(pixels, "bslz4")
        for _ in range(1000):
            bad = bytearray(sound)
            for _ in range(rng.integers(1, 20)):
                bad[rng.integers(len(bad))] = rng.integers(256)
            if rng.random() < 0.2:
                bad = bad[: rng.integers(len(bad))]
            frame = Frame("s", 0, pixels.shape, dtype, "bslz4", bytes(bad), 0)
            try:
                counts["same" if np.array_equal(decode(frame), pixels) else "wrong"] += 1
            except compression.DecodeError:
                counts["refused"] += 1
    print(json.dumps(counts))
"""


def test_three_thousand_corruptions_never_kill_the_process() -> None:
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FUZZ), "20240607"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-2000:]
    counts = json.loads(child.stdout)
    assert sum(counts.values()) == 3000
    assert counts["refused"] > 700

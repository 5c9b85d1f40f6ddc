"""Files damaged in any way: what is read is what was written, the rest is lost by name."""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import hostile_bytes as hostile
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.stream.compression import decode
from operando.stream.image_files import frames_from_files
from operando.stream.messages import Frame, ScanStart, ScanStop
from operando.stream.segment_log import Damage, Record, SegmentLog, read_log, segments_of

RECORDS = 30
IMAGES = [np.random.default_rng(s).poisson(5, (12, 17)).astype(np.int32) for s in range(3)]
WRITERS = {".cbf": CbfImage, ".tif": TifImage, ".edf": EdfImage}
SEEDS = st.randoms(use_true_random=False)


def parts_of(number: int) -> list[bytes]:
    return [b"%d" % number, bytes([number]) * (number % 7), b"OpR1" * (number % 3)]


@cache
def sound_log() -> tuple[str, bytes]:
    """Name and content of a segment of RECORDS records."""
    with tempfile.TemporaryDirectory() as folder:
        log = SegmentLog(Path(folder), sync_s=0)
        for number in range(1, RECORDS + 1):
            log.append(number, parts_of(number))
        log.close()
        (segment,) = segments_of(Path(folder))
        return segment.path.name, segment.path.read_bytes()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_damaged_log_gives_only_what_was_written_in_order_and_names_the_rest(
    random: Random,
) -> None:
    name, whole = sound_log()
    damaged = hostile.mutated(random, whole, [whole])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(damaged)
        found = list(read_log(Path(folder)))
        records = [item for item in found if isinstance(item, Record)]
        for record in records:
            assert [bytes(part) for part in record.parts] == parts_of(record.number)
        numbers = [record.number for record in records]
        assert numbers == sorted(set(numbers))
        damages = [item for item in found if isinstance(item, Damage)]
        read = sum(r.place.length for r in records) + sum(d.length for d in damages)
        assert read == len(damaged)  # every byte is in a record or in a named stretch
        assert damages or whole.startswith(damaged)


@cache
def sound_image(suffix: str, number: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{suffix}"
        WRITERS[suffix](data=IMAGES[number]).write(str(path))
        return path.read_bytes()


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_damaged_image_costs_no_other_and_is_lost_by_name_or_of_the_scans_form(suffix):
    logging.getLogger("fabio").setLevel(logging.CRITICAL)

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(SEEDS)
    def holds(random: Random) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(3):
                content = sound_image(suffix, number)
                if number == 1:
                    content = hostile.mutated(random, content, [sound_image(suffix, 2)])
                (Path(folder) / f"scan_{number}{suffix}").write_bytes(content)
            start, *frames, stop = frames_from_files(Path(folder))
        assert isinstance(start, ScanStart)
        assert isinstance(stop, ScanStop)
        came = {frame.index: frame for frame in frames if isinstance(frame, Frame)}
        assert set(came) | set(stop.lost) == set(range(start.frames))
        assert not set(came) & set(stop.lost)
        last = start.frames - 1  # a damaged file may say that it holds several images
        for index, number in ((0, 0), (last, 2)):
            np.testing.assert_array_equal(decode(came[index], verify=True), IMAGES[number])
        for frame in came.values():
            assert decode(frame, verify=True).shape == start.detector.shape
        assert all(reason and "\n" not in reason for reason in stop.lost.values())

    holds()

"""A detector's stream over real sockets into scans, frames and stops."""

from __future__ import annotations

import dataclasses
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from operando.stream import dectris_v1, dectris_v2
from operando.stream.compression import checksum, decode, encode
from operando.stream.dectris_emitter import DectrisEmitter
from operando.stream.dectris_receiver import DectrisReceiver
from operando.stream.dectris_series import Image, Start
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import CellState, Frame, Message, ScanStart, ScanStop
from operando.stream.series_account import NEVER_ARRIVED

SHAPE = (32, 50)
IMAGES = [np.random.default_rng(seed).poisson(3, SHAPE).astype(np.uint16) for seed in range(6)]
WAIT_S = 60.0

DESCRIPTION = ScanDescription(
    *("run-1", "scan-1", 3, "xrdct", (2, 3)),
    (
        GridAxis("rotation", "deg", 0, (0.0, 90.0)),
        GridAxis("translation", "um", 1, (-1.0, 0.0, 1.0)),
    ),
    poni="Distance: 0.4",
    cell=CellState(10.0, 3.9, 0.0, -1e-6, 21.0, "HOLD_OCV"),
    notes={"sample": "LMO"},
)


def start_of(series: int = 1, images: int = 6, **fields: object) -> Start:
    given = {"unique": f"u{series}", "energy_ev": 50_000.0, "pixel_m": (75e-6, 75e-6)}
    return Start(series, images, SHAPE, "uint16", **{**given, "exposure_s": 0.01, **fields})


class Listening:
    """A receiver in its thread, and what it put."""

    def __init__(self, address: str | list[str], **options: object) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.connects = options.pop("connects", True)
        put = options.pop("put", self.messages.put)
        self.receiver = DectrisReceiver(address, put, **{"grace_s": 0.2, **options})
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.receiver.run(self.stop)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Listening:
        self.thread.start()
        assert not self.connects or self.receiver.connected.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    @property
    def counters(self):
        return self.receiver.counters

    def take(self, cls: type) -> Message:
        message = self.messages.get(timeout=WAIT_S)
        assert isinstance(message, cls), message
        return message

    def scan(self) -> tuple[ScanStart, dict[int, Frame], ScanStop]:
        """The next whole scan."""
        start = self.take(ScanStart)
        frames: dict[int, Frame] = {}
        while True:
            message = self.messages.get(timeout=WAIT_S)
            if isinstance(message, ScanStop):
                assert message.scan == start.scan
                assert message.frames == len(frames)
                assert set(message.lost) | set(frames) == set(range(start.frames))
                assert not set(message.lost) & set(frames)
                return start, frames, message
            assert isinstance(message, Frame)
            assert message.scan == start.scan
            assert message.index not in frames
            frames[message.index] = message

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the receiver to have seen something; the counters have no event of their own."""
        pause = threading.Event()
        for _ in range(int(WAIT_S / 0.01)):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError(f"not seen within {WAIT_S} s; counters: {self.counters}")


@contextmanager
def line(emits: str = "v2", **options: object) -> Iterator[tuple[DectrisEmitter, Listening]]:
    emitter_options = {k: options.pop(k) for k in ("parts_apart", "header_detail") if k in options}
    with (
        DectrisEmitter("tcp://127.0.0.1:*", emits, **emitter_options) as emitter,
        Listening(emitter.address, **options) as listening,
    ):
        yield emitter, listening


def send_all(emitter: DectrisEmitter, start: Start, encoding: str = "bslz4") -> None:
    emitter.start(start)
    for index in range(start.images):
        emitter.image(start.series, index, IMAGES[index % 6], encoding, time_s=0.01 * index)
    emitter.end()


@pytest.mark.parametrize("encoding", ["raw", "bslz4", "lz4"])
@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("v2", {}),
        ("v1", {}),
        ("v1", {"header_detail": "basic"}),
        ("v1", {"parts_apart": True}),
        ("v1", {"parts_apart": True, "header_detail": "basic"}),
    ],
)
@pytest.mark.parametrize("told", ["auto", "exactly"])
def test_frames_arrive_equal_pixel_for_pixel(version, options, told, encoding):
    expect = version if told == "exactly" else "auto"
    with line(version, version=expect, **options) as (emitter, listening):
        send_all(emitter, start_of(), encoding)
        start, frames, stop = listening.scan()
    assert (start.frames, start.detector.shape, start.detector.dtype) == (6, SHAPE, "uint16")
    assert (stop.reason, stop.lost) == ("complete", {})
    for index, frame in frames.items():
        np.testing.assert_array_equal(decode(frame, verify=True), IMAGES[index])
        assert frame.time_s == pytest.approx(0.01 * index)
        assert frame.encoding == encoding
        assert isinstance(frame.data, memoryview)


def test_the_detectors_bytes_reach_the_frame_unchanged():
    payload = encode(IMAGES[0], "bslz4")
    with line() as (emitter, listening):
        emitter.start(start_of(images=1))
        emitter.image(1, 0, payload)
        _, frames, _ = listening.scan()
    assert bytes(frames[0].data) == payload
    assert frames[0].checksum == checksum(payload)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_scan_is_built_from_the_detectors_start_and_the_plans_description(version):
    mask = np.zeros(SHAPE, bool)
    mask[3, 5] = True
    sent = start_of(
        user_data=DESCRIPTION.to_json(),
        mask=mask,
        saturation=4000,
        description="EIGER2 500K",
        arm_date="2026-03-01T12:00:00.123456789+01:00",
    )
    with line(version) as (emitter, listening):
        send_all(emitter, sent)
        start, _, _ = listening.scan()
    assert (start.run, start.scan, start.number, start.technique) == (
        *("run-1", "scan-1", 3, "xrdct"),
    )
    assert start.trajectory.grid == (2, 3)
    np.testing.assert_array_equal(start.trajectory.axis("rotation").values, [0, 0, 0, 90, 90, 90])
    assert (start.poni, start.cell) == (DESCRIPTION.poni, DESCRIPTION.cell)
    assert (start.energy_ev, start.exposure_s) == (50_000.0, 0.01)
    assert start.detector.pixel_m == (75e-6, 75e-6)
    assert (start.detector.name, start.detector.saturation) == ("EIGER2 500K", 4000)
    np.testing.assert_array_equal(start.detector.mask, mask)
    assert start.time == pytest.approx(1772362800.123, abs=0.001)
    assert start.notes["sample"] == "LMO"
    assert "description_problem" not in start.notes


@pytest.mark.parametrize(
    ("user_data", "words"),
    [
        ("", None),
        ("free text of somebody", "JSONDecodeError"),
        ('{"operando": 99}', "version 1"),
        (DESCRIPTION.to_json()[:-5], "JSONDecodeError"),
    ],
)
def test_without_a_usable_description_a_scan_is_a_row_of_frames(user_data, words):
    with line() as (emitter, listening):
        send_all(emitter, start_of(user_data=user_data))
        start, _, _ = listening.scan()
    assert start.technique == "frames"
    assert start.trajectory.grid == (6,)
    np.testing.assert_array_equal(start.trajectory.axis("frame").values, np.arange(6))
    assert start.scan == "series-1-u1"
    problem = start.notes.get("description_problem")
    assert (problem is None) if words is None else (words in problem)


def test_a_description_of_another_number_of_frames_gives_no_trajectory():
    with line() as (emitter, listening):
        send_all(emitter, start_of(images=5, user_data=DESCRIPTION.to_json()))
        start, frames, stop = listening.scan()
    assert (len(frames), stop.lost) == (5, {})
    assert (start.run, start.scan, start.technique) == ("run-1", "scan-1", "frames")
    assert start.trajectory.grid == (5,)
    assert "6 frames, the detector announces 5" in start.notes["description_problem"]


def test_a_description_left_over_from_an_earlier_scan_does_not_name_the_next():
    with line() as (emitter, listening):
        send_all(emitter, start_of(1, user_data=DESCRIPTION.to_json()))
        first, _, _ = listening.scan()
        send_all(emitter, start_of(2, user_data=DESCRIPTION.to_json()))
        second, _, _ = listening.scan()
    assert first.scan == "scan-1"
    assert second.scan == "scan-1-series-2-u2"
    assert "came before" in second.notes["description_problem"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_series_that_comes_again_whole_is_a_scan_of_its_own_and_the_first_stays(version):
    """The same number and the same description, as from a detector that was started again."""
    start = start_of(1, user_data=DESCRIPTION.to_json())
    with line(version) as (emitter, listening):
        send_all(emitter, start)
        first, frames, _ = listening.scan()
        emitter.start(start)
        for index in range(6):
            emitter.image(1, index, IMAGES[(index + 1) % 6])
        emitter.end()
        second, others, stop = listening.scan()
    assert first.scan == "scan-1"
    assert second.scan.startswith("scan-1-series-1-")
    assert "came before" in second.notes["description_problem"]
    assert (stop.reason, stop.lost, stop.dropped) == ("complete", {}, ())
    for index in range(6):
        np.testing.assert_array_equal(decode(frames[index]), IMAGES[index])
        np.testing.assert_array_equal(decode(others[index]), IMAGES[(index + 1) % 6])
    assert listening.counters.conflicts == 0


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_images_that_never_arrive_are_lost_by_index_after_the_end(version):
    with line(version) as (emitter, listening):
        emitter.start(start_of())
        for index in (0, 2, 5):
            emitter.image(1, index, IMAGES[index])
        emitter.end()
        _, frames, stop = listening.scan()
    assert sorted(frames) == [0, 2, 5]
    assert stop.reason == "complete"
    assert stop.lost == dict.fromkeys((1, 3, 4), NEVER_ARRIVED)


def test_an_end_that_overtakes_the_last_images_does_not_cost_them():
    with line(grace_s=WAIT_S) as (emitter, listening):
        emitter.start(start_of())
        emitter.image(1, 5, IMAGES[5])
        emitter.end()
        for index in (3, 1, 0, 4, 2):
            emitter.image(1, index, IMAGES[index])
        _, frames, stop = listening.scan()
    assert len(frames) == 6
    assert stop.lost == {}


def test_images_over_several_connections_are_one_scan():
    with (
        DectrisEmitter("tcp://127.0.0.1:*") as one,
        DectrisEmitter("tcp://127.0.0.1:*") as other,
        Listening([one.address, other.address], grace_s=WAIT_S) as listening,
    ):
        one.start(start_of())
        start = listening.take(ScanStart)
        other.start(start_of())  # the same series announced again is no new scan
        other.end()
        for index in range(6):
            (one if index % 2 else other).image(1, index, IMAGES[index])
        found = [listening.take(Frame) for _ in range(6)]
        stop = listening.take(ScanStop)
    assert {f.index for f in found} == set(range(6))
    assert {f.scan for f in found} == {start.scan}
    assert (stop.frames, stop.lost) == (6, {})
    assert listening.counters.scans == 1


def test_a_scan_without_an_end_message_is_complete_when_all_have_come():
    with line() as (emitter, listening):
        emitter.start(start_of())
        for index in range(6):
            emitter.image(1, index, IMAGES[index])
        _, _, stop = listening.scan()
        assert stop.reason == "complete"
        emitter.end()  # late: belongs to nothing, harms nothing
        send_all(emitter, start_of(2))
        assert listening.scan()[2].lost == {}
    assert listening.counters.ends == 2


def test_an_image_that_comes_twice_is_handed_on_once():
    with line() as (emitter, listening):
        emitter.start(start_of())
        for index in (0, 0, 1, 0, 1, 2, 3, 4, 5):
            emitter.image(1, index, IMAGES[index])
        _, frames, _ = listening.scan()
    assert len(frames) == 6
    assert listening.counters.duplicates == 3
    assert listening.counters.frames == 6


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_image_that_comes_again_as_another_is_named_and_the_first_is_kept(version, caplog):
    with line(version) as (emitter, listening):
        emitter.start(start_of())
        for index, content in ((0, 0), (1, 1), (1, 1), (1, 2), (3, 3), (0, 4), (1, 3), (2, 2)):
            emitter.image(1, index, IMAGES[content])
        emitter.send_image(dataclasses.replace(damaged(version), index=3))
        listening.until(lambda: listening.counters.conflicts == 4)
        status = listening.receiver.status()
        for index in (4, 5):
            emitter.image(1, index, IMAGES[index])
        emitter.end()
        _, frames, stop = listening.scan()
        emitter.start(start_of(2))
        listening.until(lambda: "warning" not in listening.receiver.status())
    words = "3 x image that came again with other content, the first is kept: 0-1, 3"
    assert stop.lost == {}
    assert stop.dropped == ("1 x image that came again", words)
    assert status["warning"].endswith(words)
    assert (status["duplicates"], status["conflicts"]) == (5, 4)
    for index in range(6):
        np.testing.assert_array_equal(decode(frames[index]), IMAGES[index])
    assert caplog.text.count("came again with other content") == 1
    assert "image 1 of series 1" in caplog.text


def test_what_was_dropped_is_told_by_kind_in_the_scan_in_which_it_came():
    with line() as (emitter, listening):
        emitter.start(start_of())
        emitter.send([b"GET / HTTP/1.1"])
        emitter.send([b"GET / HTTP/1.1"])
        emitter.image(1, 0, IMAGES[0])
        emitter.send_image(Image(7, 0, SHAPE, "<u2", "raw", IMAGES[0].tobytes(), unique="u7"))
        emitter.end()
        _, _, stop = listening.scan()
        send_all(emitter, start_of(2))
        _, _, clean = listening.scan()
        status = listening.receiver.status()
    (kind,) = [k.removeprefix("rejected: ") for k in status if k.startswith("rejected: ")]
    assert stop.dropped == (
        "1 x image of another series", f"2 x message that was rejected: {kind}",
    )  # fmt: skip
    assert clean.dropped == ()
    assert (status["rejected"], status[f"rejected: {kind}"], status["strays"]) == (2, 2, 1)


def damaged(version: str) -> Image:
    payload = bytearray(encode(IMAGES[2], "bslz4"))
    payload[14] = 0xFF  # the first block's length
    return Image(
        1, 2, SHAPE, "<u2", "bslz4", bytes(payload), unique="u1" if version == "v2" else ""
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_damaged_image_is_lost_by_index_and_reason_and_costs_no_other(version):
    with line(version) as (emitter, listening):
        emitter.start(start_of())
        for index in range(6):
            if index == 2:
                emitter.send_image(damaged(version))
            else:
                emitter.image(1, index, IMAGES[index])
        emitter.end()
        _, frames, stop = listening.scan()
    assert sorted(frames) == [0, 1, 3, 4, 5]
    assert list(stop.lost) == [2]
    assert "block 0 of 1 claims" in stop.lost[2]
    assert listening.counters.rejected == {"damaged": 1}


def test_a_sound_copy_makes_up_for_a_damaged_one():
    with line() as (emitter, listening):
        emitter.start(start_of())
        emitter.send_image(damaged("v2"))
        for index in range(6):
            emitter.image(1, index, IMAGES[index])
        emitter.end()
        _, _, stop = listening.scan()
    assert (stop.frames, stop.lost) == (6, {})


def test_a_v1_image_whose_md5_is_wrong_is_lost():
    with line("v1") as (emitter, listening):
        emitter.start(start_of(images=2))
        image = Image(1, 0, SHAPE, "<u2", "raw", IMAGES[0].tobytes())
        opening, described, blob, times = dectris_v1.build_image(image)
        emitter.send([opening, described, b"\xff" + blob[1:], times])
        emitter.image(1, 1, IMAGES[1])
        emitter.end()
        _, _, stop = listening.scan()
    assert list(stop.lost) == [0]
    assert "md5" in stop.lost[0]


@pytest.mark.parametrize(
    ("form", "kind", "words"),
    [
        ({"shape": (50, 32)}, "wrong shape", "it is (50, 32), the series announced (32, 50)"),
        ({"dtype": "<u4"}, "wrong dtype", "it is uint32, the series announced uint16"),
    ],
)
def test_an_image_of_another_form_than_announced_is_lost(form, kind, words):
    dtype = form.get("dtype", "<u2")
    image = Image(1, 0, SHAPE, dtype, "raw", IMAGES[0].astype(dtype).tobytes(), unique="u1")
    with line() as (emitter, listening):
        emitter.start(start_of(images=1))
        emitter.send_image(dataclasses.replace(image, **form))
        emitter.end()
        _, _, stop = listening.scan()
    assert stop.lost == {0: words}
    assert listening.counters.rejected == {kind: 1}


def test_an_index_that_was_not_announced_is_refused():
    with line() as (emitter, listening):
        emitter.start(start_of(images=1))
        emitter.image(1, 1, IMAGES[1])
        emitter.image(1, 0, IMAGES[0])
        _, frames, stop = listening.scan()
    assert (list(frames), stop.lost) == ([0], {})
    assert listening.counters.rejected == {"not announced": 1}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_strays_are_counted_and_drained_before_the_next_start(version):
    with line(version) as (emitter, listening):
        send_all(emitter, start_of(7, images=2))
        listening.scan()
        for index in range(5):  # what an aborted series leaves in the detector
            emitter.image(7, index % 2, IMAGES[index])
        emitter.start(start_of(8, images=2))
        emitter.image(7, 0, IMAGES[0])
        emitter.image(8, 0, IMAGES[0])
        emitter.image(9, 1, IMAGES[1])
        emitter.image(8, 1, IMAGES[1])
        start, frames, stop = listening.scan()
    assert len(frames) == 2
    assert stop.lost == {}
    assert listening.counters.strays == 7
    assert start.notes["detector_series"] == 8


def test_an_image_of_the_same_number_but_another_series_is_a_stray():
    with line() as (emitter, listening):
        emitter.start(start_of(images=1))
        foreign = Image(1, 0, SHAPE, "<u2", "raw", IMAGES[5].tobytes(), unique="another")
        emitter.send_image(foreign)
        emitter.image(1, 0, IMAGES[0])
        _, frames, _ = listening.scan()
    np.testing.assert_array_equal(decode(frames[0]), IMAGES[0])
    assert listening.counters.strays == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("series", [1, 2])
def test_a_new_start_closes_the_open_scan_as_aborted(version, series):
    with line(version) as (emitter, listening):
        emitter.start(start_of(1))
        emitter.image(1, 0, IMAGES[0])
        send_all(emitter, start_of(series, unique="again"))
        first, second = listening.scan(), listening.scan()
    assert first[2].reason == "aborted"
    assert first[2].lost == dict.fromkeys(range(1, 6), "aborted: the next series began")
    assert second[2].reason == "complete"
    assert second[0].scan != first[0].scan


def test_an_abort_closes_the_scan_and_what_still_comes_is_dropped():
    with line() as (emitter, listening):
        emitter.start(start_of())
        emitter.image(1, 0, IMAGES[0])
        start = listening.take(ScanStart)
        listening.take(Frame)
        listening.receiver.abort()
        stop = listening.take(ScanStop)
        emitter.image(1, 1, IMAGES[1])
        emitter.end()
        send_all(emitter, start_of(2))
        assert listening.scan()[2].lost == {}
    assert (stop.scan, stop.frames, stop.reason) == (start.scan, 1, "aborted")
    assert sorted(stop.lost) == [1, 2, 3, 4, 5]
    assert listening.counters.strays == 1


def test_a_receiver_that_is_stopped_closes_its_scan():
    with line() as (emitter, listening):
        emitter.start(start_of())
        listening.take(ScanStart)
    stop = listening.take(ScanStop)
    assert stop.reason == "failed: the receiver was stopped"
    assert len(stop.lost) == 6


def test_a_v1_header_without_details_is_completed_by_its_first_image_and_description():
    with line("v1", header_detail="none") as (emitter, listening):
        send_all(emitter, start_of(1, user_data=DESCRIPTION.to_json()))
        start, frames, _ = listening.scan()
        assert (start.scan, start.detector.shape, len(frames)) == ("scan-1", SHAPE, 6)
        send_all(emitter, start_of(2))  # nobody says how many images are to come
        listening.until(lambda: listening.counters.ends == 2)
    assert listening.counters.rejected == {"start incomplete": 1}
    assert listening.counters.strays == 6


GARBAGE = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"{",
    b"{}",
    b'{"htype": "dimage_d-1.0"}',
    b"\xa1\x61x\x01",
    b"\xa1\x64type\x65start",
    b"\xd9\xd9\xf7\xa1\x64type\x63end",
    b"\xff" * 1000,
    bytes(range(256)),
]


@pytest.mark.parametrize("version", ["v1", "v2", "auto"])
def test_garbage_is_counted_logged_once_a_kind_and_survived(version, caplog):
    emits = "v1" if version == "v1" else "v2"
    with caplog.at_level(logging.WARNING), line(emits, version=version) as (emitter, listening):
        for _ in range(3):
            for garbage in GARBAGE:
                emitter.send([garbage])
                emitter.send([garbage, garbage])
        emitter.send([b"{}"])  # what a garbled part may have announced as its blob
        emitter.send([b"{}"])
        send_all(emitter, start_of())
        _, frames, stop = listening.scan()
    assert (len(frames), stop.lost) == (6, {})
    rejected = listening.counters.rejected
    assert sum(rejected.values()) > 20
    assert "reader failed" not in rejected
    logged = [r for r in caplog.records if r.name.endswith("dectris_receiver")]
    assert len(logged) == len(rejected)


def test_random_bytes_and_mutated_messages_never_end_the_receiver():
    rng = np.random.default_rng(11)
    sound = [
        [dectris_v2.build_start(start_of(images=3))],
        [dectris_v2.build_image(Image(1, 0, SHAPE, "<u2", "bslz4", encode(IMAGES[0], "bslz4")))],
        dectris_v1.build_start(start_of(images=3), "basic"),
        dectris_v1.build_image(Image(1, 0, SHAPE, "<u2", "raw", IMAGES[0].tobytes())),
    ]
    put = queue.Queue()
    with line(put=put.put) as (emitter, listening):
        for _ in range(1500):
            parts = [bytearray(part) for part in sound[rng.integers(len(sound))]]
            part = parts[rng.integers(len(parts))]
            for _ in range(rng.integers(1, 6)):
                part[rng.integers(min(len(part), 400))] = rng.integers(256)
            emitter.send([bytes(part) for part in parts])
        listening.until(lambda: listening.counters.messages == 1500)
        assert listening.thread.is_alive()
    assert "reader failed" not in listening.counters.rejected
    assert sum(listening.counters.rejected.values()) > 100


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999", "-1", "9" * 400])
def test_a_description_with_an_impossible_number_does_not_end_the_receiver(number):
    text = DESCRIPTION.to_json().replace('"number": 3', f'"number": {number}')
    assert text != DESCRIPTION.to_json()
    with line() as (emitter, listening):
        send_all(emitter, start_of(user_data=text))
        start, frames, _ = listening.scan()
    assert len(frames) == 6
    assert "description_problem" in start.notes


def test_a_stray_v1_part_does_not_swallow_the_start_of_a_v2_series():
    with line() as (emitter, listening):
        emitter.send([b'{"htype":"dimage_d-1.0","shape":[50,32],"type":"uint16"}'])
        send_all(emitter, start_of())
        _, frames, stop = listening.scan()
    assert (len(frames), stop.lost) == (6, {})


def test_a_message_of_very_many_parts_is_dropped():
    with line() as (emitter, listening):
        emitter.send([b"{}"] * 20_000)
        send_all(emitter, start_of())
        assert listening.scan()[2].lost == {}
    assert listening.counters.rejected == {"too many parts": 1}


def test_an_oversize_message_is_not_received_and_the_line_comes_back():
    with line(max_message_bytes=1 << 20) as (emitter, listening):
        emitter.send([bytes(2 << 20)])  # ZeroMQ drops the connection and makes a new one
        listening.until(lambda: not listening.receiver.connected.is_set())
        assert listening.receiver.connected.wait(WAIT_S)
        send_all(emitter, start_of())
        assert listening.scan()[2].lost == {}
    assert listening.counters.rejected == {"line given up": 1}


def test_a_peer_that_speaks_another_protocol_does_not_deafen_the_receiver():
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(WAIT_S)
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with Listening(address, connects=False) as listening:
        peer, _ = server.accept()
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"BOGUS".ljust(20, b"\0") + bytes(32))
        listening.until(lambda: listening.counters.rejected.get("line given up", 0) > 0)
        assert not listening.receiver.connected.is_set()
        peer.close()
        server.close()
        with DectrisEmitter(address) as emitter:
            assert listening.receiver.connected.wait(WAIT_S)
            send_all(emitter, start_of())
            assert listening.scan()[2].lost == {}


def test_connected_follows_the_detector_away_and_back():
    with DectrisEmitter("tcp://127.0.0.1:*") as first, Listening(first.address) as listening:
        first.close()
        listening.until(lambda: not listening.receiver.connected.is_set())
        with DectrisEmitter(first.address) as second:
            assert listening.receiver.connected.wait(WAIT_S)
            send_all(second, start_of())
            assert listening.scan()[2].lost == {}


def test_a_connection_inside_the_process_counts_as_connected():
    with DectrisEmitter("inproc://detector") as emitter, Listening("inproc://detector") as heard:
        send_all(emitter, start_of())
        assert heard.scan()[2].lost == {}


def test_a_blocked_put_holds_the_detector_back_and_costs_no_frame():
    gate = threading.Event()
    taken: queue.Queue[Message] = queue.Queue()

    def put(message: Message) -> None:
        if isinstance(message, Frame):
            assert gate.wait(WAIT_S)
        taken.put(message)

    with line(put=put, grace_s=0.01) as (emitter, listening):
        listening.messages = taken
        emitter.start(start_of())
        for index in range(6):
            emitter.image(1, index, IMAGES[index])
        emitter.end()
        listening.until(lambda: taken.qsize() == 1)
        gate.wait(0.3)  # longer than the grace time: a slow put is no silence of the detector
        gate.set()
        _, frames, stop = listening.scan()
    assert len(frames) == 6
    assert stop.lost == {}


def test_what_put_raises_ends_run():
    def put(message: Message) -> None:
        raise ConnectionError("no hub")

    with line(put=put) as (emitter, listening):
        emitter.start(start_of())
        listening.thread.join(WAIT_S)
        assert not listening.thread.is_alive()
    assert isinstance(listening.error, ConnectionError)


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match="'v3' is none of v1, v2, auto"):
        DectrisReceiver("tcp://127.0.0.1:9", print, version="v3", context=zmq.Context.instance())


def test_a_receiver_takes_over_the_series_of_one_that_was_killed():
    with line() as (emitter, listening):
        emitter.start(start_of())
        emitter.image(1, 0, IMAGES[0], "bslz4")
        begun = listening.take(ScanStart)
        assert listening.take(Frame).index == 0
    with line(resume=begun) as (emitter, successor):
        emitter.start(start_of())  # a start that comes again means nothing new
        for index in (2, 3, 5):  # 1 and 4 died with the former
            emitter.image(1, index, IMAGES[index], "bslz4")
        emitter.end(1)
        frames = [successor.take(Frame) for _ in range(3)]
        stop = successor.take(ScanStop)
        emitter.start(start_of(2))
        assert successor.take(ScanStart).scan != begun.scan
    assert [(f.scan, f.index) for f in frames] == [(begun.scan, i) for i in (2, 3, 5)]
    np.testing.assert_array_equal(decode(frames[0], verify=True), IMAGES[2])
    assert stop.scan == begun.scan
    assert set(stop.lost) == {0, 1, 4}  # of 0 the hub knows that it has come
    assert "receiver was killed" in stop.lost[1]


@pytest.mark.parametrize("emits", ["v1", "v2"])
def test_a_detector_started_anew_begins_another_scan_though_its_numbers_begin_again(emits):
    described = {"user_data": dataclasses.replace(DESCRIPTION, scan="scan-2").to_json()}
    with line(emits) as (emitter, listening):
        emitter.start(start_of(unique="first"))
        emitter.image(1, 0, IMAGES[0])
        begun = listening.take(ScanStart)
        assert listening.take(Frame).index == 0
        emitter.start(start_of(unique="second", **described))
        emitter.image(1, 0, IMAGES[1])
        former, again = listening.take(ScanStop), listening.take(ScanStart)
        frame = listening.take(Frame)
    assert (former.scan, former.reason) == (begun.scan, "aborted")
    assert (again.scan, frame.scan, frame.index) == ("scan-2", "scan-2", 0)
    assert listening.counters.duplicates == 0


@pytest.mark.parametrize("emits", ["v1", "v2"])
def test_a_series_taken_over_is_not_mixed_with_that_of_a_detector_started_anew(emits):
    described = {"user_data": dataclasses.replace(DESCRIPTION, scan="scan-2").to_json()}
    with line(emits) as (emitter, listening):
        emitter.start(start_of(unique="first"))
        begun = listening.take(ScanStart)
    with line(emits, resume=begun) as (emitter, successor):  # both were killed
        send_all(emitter, start_of(unique="second", **described))
        former = successor.take(ScanStop)
        start, frames, stop = successor.scan()
    assert (former.scan, former.reason, former.frames) == (begun.scan, "aborted", 0)
    assert (start.scan, len(frames), stop.lost) == ("scan-2", 6, {})


def test_an_image_of_a_detector_started_anew_is_none_of_a_series_taken_over():
    with line() as (emitter, listening):
        emitter.start(start_of(unique="first"))
        begun = listening.take(ScanStart)
    with line(resume=begun) as (emitter, successor):
        emitter.start(start_of(unique="first"))
        emitter.send_image(Image(1, 0, SHAPE, "<u2", "raw", IMAGES[0].tobytes(), unique="second"))
        emitter.image(1, 1, IMAGES[1])
        assert successor.take(Frame).index == 1
    assert successor.counters.strays == 1


def test_a_scan_of_no_detector_is_not_taken_over():
    with line() as (emitter, listening):
        send_all(emitter, start_of())
        begun, _, _ = listening.scan()
    foreign = dataclasses.replace(begun, notes={})
    with (
        DectrisEmitter("tcp://127.0.0.1:*", "v2") as emitter,
        Listening(emitter.address, resume=foreign) as successor,
    ):
        send_all(emitter, start_of(7))
        start, frames, _ = successor.scan()
    assert len(frames) == 6
    assert start.notes["detector_series"] == 7


def test_silence_ends_a_series_taken_over_but_not_while_it_is_held(monkeypatch):
    monkeypatch.setattr("operando.stream.dectris_receiver._RESUMED_SILENT_S", 0.2)
    asked, holds = threading.Event(), threading.Event()
    holds.set()

    def held() -> bool:
        asked.set()
        return holds.is_set()

    with line() as (emitter, listening):
        emitter.start(start_of())
        begun = listening.take(ScanStart)
    with line(resume=begun, held=held) as (emitter, successor):
        pause = threading.Event()
        for _ in range(10):  # longer than the silence that would end it
            pause.wait(0.05)
            assert asked.wait(WAIT_S)
            asked.clear()
        emitter.start(start_of())  # a start that comes again means nothing new
        emitter.image(1, 3, IMAGES[3], "bslz4")
        assert successor.take(Frame).index == 3
        holds.clear()  # and then the detector says no more
        stop = successor.take(ScanStop)
    assert stop.reason == "failed: silence after the receiver was started again"
    assert stop.frames == 1

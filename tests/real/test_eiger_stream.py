"""A captured DECTRIS stream V1 of an EIGER2 9M, sent over a real socket.

Its image blobs were cut to 20,000 bytes when it was stored, so all three images are damaged.
"""

from __future__ import annotations

import queue
import threading

import cbor2
import numpy as np
import pytest
from measured import DATA
from operando.stream.compression import decode
from operando.stream.dectris_emitter import DectrisEmitter
from operando.stream.dectris_receiver import DectrisReceiver
from operando.stream.dectris_series import Start
from operando.stream.messages import Frame, Message, ScanStart, ScanStop

CAPTURE = DATA / "streams" / "eiger-small.cbors"
WAIT_S = 60.0

pytestmark = pytest.mark.skipif(
    not CAPTURE.exists(), reason=f"no captured stream at {CAPTURE}; set OPERANDO_DATA"
)


def captured() -> list[list[bytes]]:
    messages = []
    with CAPTURE.open("rb") as file:
        size = CAPTURE.stat().st_size
        while file.tell() < size:
            # One byte at a time, or the decoder would read ahead of the message
            messages.append(cbor2.CBORDecoder(file, read_size=1).decode())
    return messages


@pytest.mark.parametrize("version", ["v1", "auto"])
@pytest.mark.parametrize("parts_apart", [False, True])
def test_the_capture_is_one_header_three_damaged_frames_and_one_end(version, parts_apart):
    messages: queue.Queue[Message] = queue.Queue()
    stop = threading.Event()
    with DectrisEmitter("tcp://127.0.0.1:*", "v1", parts_apart=parts_apart) as emitter:
        receiver = DectrisReceiver(emitter.address, messages.put, version=version)
        thread = threading.Thread(target=receiver.run, args=(stop,), daemon=True)
        thread.start()
        try:
            assert receiver.connected.wait(WAIT_S)
            for parts in captured():
                emitter.send(parts)

            start = messages.get(timeout=WAIT_S)
            assert isinstance(start, ScanStart)
            detector = start.detector
            assert (start.frames, detector.shape, detector.dtype) == (3, (3262, 3108), "uint32")
            assert (detector.name, detector.saturation) == ("Dectris EIGER2 CdTe 9M", 83270)
            assert (detector.pixel_m, start.energy_ev) == ((75e-6, 75e-6), 8041.0)
            assert start.exposure_s == pytest.approx(0.01, rel=1e-4)
            assert start.time == pytest.approx(1710253798.142, abs=1e-3)
            assert detector.mask is None  # its blob was cut as well, which a note says
            assert "20000 bytes came, 40553184 are due" in start.notes["detector_warnings"]

            end = messages.get(timeout=WAIT_S)
            assert isinstance(end, ScanStop)
            assert (end.scan, end.frames, end.reason) == (start.scan, 0, "complete")
            assert end.lost == {
                0: "20000 bytes came, its header says 755083",
                1: "20000 bytes came, its header says 754672",
                2: "20000 bytes came, its header says 755895",
            }
            counters = receiver.counters
            assert (counters.scans, counters.frames, counters.ends) == (1, 0, 1)
            assert counters.rejected == {"header warning": 1, "damaged": 3}

            a_sound_series_is_received(emitter, messages)
            assert thread.is_alive()
        finally:
            stop.set()
            thread.join(WAIT_S)
    assert not thread.is_alive()


def a_sound_series_is_received(emitter: DectrisEmitter, messages: queue.Queue[Message]) -> None:
    images = np.random.default_rng(1).poisson(2, (3, 514, 1030)).astype(np.uint32)
    emitter.start(Start(7, 3, (514, 1030), "uint32"))
    for index, image in enumerate(images):
        emitter.image(7, index, image)
    emitter.end()
    assert isinstance(messages.get(timeout=WAIT_S), ScanStart)
    for image in images:
        frame = messages.get(timeout=WAIT_S)
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(decode(frame, verify=True), image)
    end = messages.get(timeout=WAIT_S)
    assert isinstance(end, ScanStop)
    assert (end.frames, end.lost) == (3, {})

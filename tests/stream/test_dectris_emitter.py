"""What the emitter promises to its caller; what it sends is held in the receiver's tests."""

from __future__ import annotations

import numpy as np
import pytest
import zmq
from operando.stream.dectris_emitter import DectrisEmitter, EmitterBlocked
from operando.stream.dectris_series import Start

START = Start(1, 100, (64, 64), "uint16")


def test_the_address_is_where_a_wildcard_ended_up():
    with DectrisEmitter("tcp://127.0.0.1:*") as emitter:
        assert int(emitter.address.rsplit(":", 1)[1]) > 0


def test_without_a_receiver_a_send_raises_instead_of_dropping():
    with (
        DectrisEmitter("tcp://127.0.0.1:*", timeout_s=0.05) as emitter,
        pytest.raises(EmitterBlocked, match=r"nobody took a message from tcp://127.0.0.1:"),
    ):
        emitter.start(START)


def test_a_receiver_that_does_not_read_fills_a_bounded_queue():
    pixels = np.zeros((64, 64), np.uint16)
    with DectrisEmitter("inproc://slow", timeout_s=0.05, high_water=4) as emitter:
        pull = zmq.Context.instance().socket(zmq.PULL)
        pull.setsockopt(zmq.RCVHWM, 4)
        pull.connect(emitter.address)
        emitter.start(START)
        sent = 0
        while sent < 100:
            try:
                emitter.image(1, sent, pixels)
            except EmitterBlocked:
                break
            sent += 1
        assert sent < 10
        received = [pull.recv() for _ in range(sent + 1)]
        assert len(received) == sent + 1
        pull.close(linger=0)


def test_an_image_before_any_start_is_refused():
    with DectrisEmitter("tcp://127.0.0.1:*") as emitter:
        with pytest.raises(ValueError, match="image 3: no series was begun"):
            emitter.image(1, 3, b"")
        with pytest.raises(ValueError, match="no series was begun"):
            emitter.end()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_start_without_a_shape_is_refused(version):
    with (
        DectrisEmitter("tcp://127.0.0.1:*", version) as emitter,
        pytest.raises(ValueError, match="names the shape"),
    ):
        emitter.start(Start(1, 0, None, ""))


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match="'v3' is none of v1, v2"):
        DectrisEmitter("tcp://127.0.0.1:*", "v3")

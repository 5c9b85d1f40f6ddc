"""What a receiver that starts late hears of the scan that is under way."""

import dataclasses
import threading

import pytest
import zmq
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Detector, ScanStart, ScanStop, Trajectory
from operando.stream.open_scan import open_detector_scan

START = ScanStart(
    "r", "a", 1, "frames", 4, Detector("d", (2, 2), "uint8", (1e-4, 1e-4), 250),
    Trajectory((), ()), "", 5e4, 0.1, None, 0.0, {"detector_series": 3},
)  # fmt: skip


@pytest.fixture
def said(tmp_path):
    """A function: put these into a hub, then ask."""
    context = zmq.Context()

    def ask(*messages):
        config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
        with Hub(config, context), Producer(config.items, "receiver", context) as producer:
            for message in messages:
                producer.put(message)
            producer.flush()
            topics = ("scan_start", "scan_stop", "status/hub")
            with LiveSubscriber(config.live, context, topics=topics) as live:
                return open_detector_scan(live, threading.Event())

    yield ask
    context.destroy(linger=0)


def test_the_last_scan_without_a_stop_is_told(said):
    second = dataclasses.replace(START, scan="b", number=2)
    found = said(START, ScanStop("a", 4, "complete"), second)
    assert found is not None
    assert found.scan == "b"


def test_none_is_told_where_all_have_stopped_or_none_is_a_detectors(said):
    of_files = dataclasses.replace(START, scan="c", notes={})
    assert said(START, ScanStop("a", 4, "complete"), of_files) is None

"""When the plan holds for want of room, and when it goes on."""

from __future__ import annotations

import threading

import pytest
import zmq
from operando.plans.backlog import GO_ON_BELOW, HOLD_ABOVE, SILENT_S, Backlog, why_hold
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Status


@pytest.mark.parametrize(
    ("fill", "holding", "holds"),
    [
        (0.0, False, False),
        (HOLD_ABOVE - 0.01, False, False),
        (HOLD_ABOVE, False, True),
        (HOLD_ABOVE - 0.01, True, True),
        (GO_ON_BELOW, True, True),
        (GO_ON_BELOW - 0.01, True, False),
    ],
)
def test_it_holds_above_one_level_and_goes_on_below_another(fill, holding, holds):
    assert bool(why_hold({"fill": fill}, 0.0, holding)) is holds


def test_the_reason_says_how_full_and_what_waits():
    said = why_hold({"fill": 0.9, "lag_frames": 1234}, 0.0, False)
    assert "90 %" in said
    assert "1234 frames" in said
    assert "declared 64 MB" in why_hold({"fill": 1.0, "held": "declared 64 MB"}, 0.0, False)


def test_a_hub_that_says_nothing_is_a_reason():
    assert "said nothing for 11 s" in why_hold({"fill": 0.0}, SILENT_S + 1, False)
    assert why_hold({}, SILENT_S - 1, False) == ""


@pytest.mark.parametrize(
    ("lag_s", "holding", "holds"),
    [(59.0, False, False), (61.0, False, True), (31.0, True, True), (29.0, True, False)],
)
def test_a_frame_that_waits_too_long_holds_until_half_of_that_time(lag_s, holding, holds):
    said = why_hold({"fill": 0.1, "lag_s": lag_s, "lag_frames": 7}, 0.0, holding, age_s=60.0)
    assert bool(said) is holds
    assert not holds or ("60 s may be" in said and "7 frames" in said)


def test_a_recorder_without_room_is_the_reason_whatever_the_hub_says():
    for fill in (0.0, 0.9):
        said = why_hold({"fill": fill}, 0.0, False, recorder="12 MB free under /data")
        assert said.startswith("12 MB free under /data;")


def test_it_hears_the_recorder_through_the_hub(tmp_path):
    context = zmq.Context()
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
    with Hub(config, context), Producer(config.items, "recorder-status", context) as recorder:
        backlog = Backlog(lambda: LiveSubscriber(config.live, topics=("status/",)))
        backlog.start()
        pause = threading.Event()
        for held in ("no room", ""):
            recorder.put(Status("recorder", "recording", 1.0, {"held": held}))
            for _ in range(200):
                if ("no room" in backlog.why()) == bool(held):
                    break
                pause.wait(0.05)
            assert ("no room" in backlog.why()) == bool(held)
        backlog.stop()
    context.destroy(linger=0)


def test_it_hears_the_hub(tmp_path):
    context = zmq.Context()
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
    with Hub(config, context):
        backlog = Backlog(lambda: LiveSubscriber(config.live))
        backlog.start()
        heard = threading.Event()
        for _ in range(200):
            if backlog._values:
                break
            heard.wait(0.05)
        assert backlog.why() == ""
        assert backlog._values["fill"] == 0.0
        backlog.stop()
    context.destroy(linger=0)

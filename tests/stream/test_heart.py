"""Members whose user hangs are given up by the hub, and only those."""

import logging
import time

import pytest
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import Detector, Frame, ScanStart, Status, Trajectory

PATIENCE_S = 60.0
HUNG_AFTER_S = 0.2
REPORTS = 6  # of the hub, twice a second: more than after which one who hangs is given up


@pytest.fixture
def hub(tmp_path, context):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", dead_after_s=1.0)
    with Hub(config, context) as hub:
        yield hub


@pytest.fixture
def members(hub, context):
    """A function that waits for the hub's next word on who is there."""
    with LiveSubscriber(hub.live_address, context, topics=("status/hub",)) as live:

        def ask():
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                found = [m for m in live.poll(0.2) if isinstance(m, Status)]
                if found:
                    return str(found[-1].values["members"])
            raise AssertionError("the hub says nothing")

        yield ask


def scan_start(frames):
    detector = Detector("d", (1, 8), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", "s", 1, "frames", frames, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def frame(index):
    return Frame("s", index, (1, 8), "uint8", "raw", b"12345678", 0)


def receive_frame(member, index):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        delivery = member.receive(0.2)
        if delivery is not None and isinstance(delivery.message, Frame):
            if delivery.message.index == index:
                return delivery
        elif delivery is not None:
            member.acknowledge(delivery)
    raise AssertionError(f"frame {index} did not come")


def until(ask, wanted):
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(ask()):
        assert time.monotonic() < deadline, "did not happen in time"


@pytest.mark.parametrize(("group", "role"), [("process", "reduce"), ("record", "all")])
def test_the_frames_of_one_who_hangs_go_to_others_and_he_joins_again(
    hub, members, context, caplog, group, role
):
    caplog.set_level(logging.WARNING)
    join = {"context": context, "hung_after_s": HUNG_AFTER_S}
    with Producer(hub.items_address, "p", context) as producer:
        producer.put(scan_start(frames=2))
        with Member(hub.items_address, group, role, "hangs", **join) as hangs:
            producer.put(frame(0))
            receive_frame(hangs, 0)
            # from here nothing of it is called, while its heart could go on for ever
            with Member(hub.items_address, group, role, "works", context=context) as works:
                receive_frame(works, 0)
                until(members, lambda there: f"{group}/hangs" not in there)
                assert "hangs: hangs, away for" in caplog.text
                assert f"hub: {group}/hangs is gone, silent for" in caplog.text
            producer.put(frame(1))
            receive_frame(hangs, 1)
            until(members, lambda there: f"{group}/hangs" in there)


def test_one_who_has_acknowledged_everything_may_be_away(hub, members, context):
    """A recorder that waits for room on its disk holds nothing, and takes nothing."""
    with (
        Producer(hub.items_address, "p", context) as producer,
        Member(
            hub.items_address, "record", "all", "waits",
            context=context, hung_after_s=HUNG_AFTER_S,
        ) as member,
    ):  # fmt: skip
        producer.put(scan_start(frames=2))
        producer.put(frame(0))
        member.acknowledge(receive_frame(member, 0))
        until(members, lambda there: "record/waits" in there)
        assert all("record/waits" in members() for _ in range(REPORTS))
        producer.put(frame(1))
        receive_frame(member, 1)  # and does not acknowledge it
        until(members, lambda there: "record/waits" not in there)


def test_one_who_says_that_it_works_is_not_taken_for_hung(hub, members, context):
    with Member(
        hub.items_address, "process", "absorb", "busy", context=context, hung_after_s=1.0
    ) as member:
        member.receive(0.0)
        until(members, lambda there: "process/busy" in there)
        for _ in range(REPORTS):
            assert "process/busy" in members()
            member.working()
        until(members, lambda there: "process/busy" not in there)

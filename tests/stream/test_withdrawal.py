"""A scan that ends early on purpose, through the hub: nothing is lost, nobody else may say so."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import xxhash
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import (
    Account,
    Decision,
    Detector,
    Frame,
    Proposal,
    Result,
    ScanStart,
    ScanStop,
    Trajectory,
    Withdrawal,
)
from operando.stream.spool_room import SpoolConfig

PATIENCE_S = 60.0
ASKED = Proposal("r", "r-1", "roi", "s", "why", (0.0, 0.0, 5.0), 0.1, 9.0, 1.0, 60.0, 0.0)
SAID = Decision("r", "r-1", "approved", "window", "", 1.0)


def start(frames=6):
    detector = Detector("d", (10, 100), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", "s", 1, "frames", frames, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def frame(index):
    data = np.full(1000, index, np.uint8).tobytes()
    return Frame("s", index, (10, 100), "uint8", "raw", data, xxhash.xxh3_64_intdigest(data))


@pytest.fixture
def opened(tmp_path):
    """A function that starts a hub on the same addresses and spool."""
    hubs = []
    numbers = itertools.count()

    def start_hub():
        name = next(numbers)
        hub = Hub(
            HubConfig(
                f"ipc://{tmp_path}/i{name}",
                f"ipc://{tmp_path}/l{name}",
                groups=("record",),
                spool=SpoolConfig(tmp_path / "spool", 64 << 20),
            )
        )
        hub.start()
        hubs.append(hub)
        return hub

    yield start_hub
    for hub in hubs:
        hub.stop()


def received(member, wanted):
    """All deliveries until a closed account came; of these kinds, each acknowledged."""
    found = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        delivery = member.receive(0.2)
        if delivery is None:
            continue
        member.acknowledge(delivery)
        if isinstance(delivery.message, wanted):
            found.append(delivery.message)
        if isinstance(delivery.message, Account) and delivery.message.closed:
            return found
    raise AssertionError(f"no closed account; {found}")


@pytest.mark.parametrize("restart", [False, True], ids=["live", "hub-killed"])
def test_the_account_closes_without_the_frames_that_were_withdrawn(opened, restart):
    hub = opened()
    lost = dict.fromkeys((3, 4, 5), "never arrived from the detector") | {1: "damaged"}
    with Producer(hub.items_address, "receiver") as source, Producer(
        hub.items_address, "plan"
    ) as plan:  # fmt: skip
        source.put(start())
        for index in (0, 2):
            source.put(frame(index))
        source.flush()
        plan.put(Withdrawal("s", 3, "good enough"))
        plan.flush()
        if not restart:
            source.put(ScanStop("s", 2, "complete", lost))
            source.flush()
    if restart:
        hub.stop()
        hub = opened()
        with Producer(hub.items_address, "receiver") as source:
            source.put(ScanStop("s", 2, "complete", lost))
    member = Member(hub.items_address, "record", "all", "recorder", 8)
    try:
        *_, stop, account = received(member, (ScanStop, Account))
    finally:
        member.close()
    assert stop == ScanStop("s", 2, "complete", {1: "damaged"})
    assert (account.announced, account.received, account.lost) == (3, 2, {1: "damaged"})
    assert (account.withdrawn, account.why_withdrawn) == (3, "good enough")


def test_requests_reach_the_record_and_who_joins_late(opened):
    hub = opened()
    with Producer(hub.items_address, "recommender") as asks:
        asks.put(ASKED)
    with Producer(hub.items_address, "window") as says:
        says.put(SAID)
    with LiveSubscriber(hub.live_address, topics=("proposal/", "decision/")) as late:
        heard = []
        deadline = time.monotonic() + PATIENCE_S
        while len(heard) < 2 and time.monotonic() < deadline:
            heard += late.poll(0.5)
    assert heard == [ASKED, SAID]
    member = Member(hub.items_address, "record", "all", "recorder", 8)
    found = []
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < 2 and time.monotonic() < deadline:
            delivery = member.receive(0.2)
            if delivery is not None:
                member.acknowledge(delivery)
                found.append(delivery.message)
    finally:
        member.close()
    assert found == [ASKED, SAID]


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("window", ASKED),
        ("reducer-0", SAID),
        ("recommender", Withdrawal("s", 1, "because")),
        ("window", Result("r", "s", 1, "xrdct", "a", (), {}, {}, "", np.zeros(()), None, 1, 1, 1)),
        ("plan", Withdrawal("never", 1, "of no scan")),
        ("plan", Withdrawal("s", 99, "beyond its end")),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_the_senders_business_is_refused_and_counted(opened, sender, message):
    hub = opened()
    with Producer(hub.items_address, "receiver") as source:
        source.put(start())
    with Producer(hub.items_address, sender) as producer:
        producer.put(message)
        producer.flush()
        assert producer.refused == 1

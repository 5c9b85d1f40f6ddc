import threading
import time

import numpy as np
import pytest
import zmq
from hostile_bytes import MESSAGES, broken
from operando.stream import members
from operando.stream.hub import Hub, HubConfig
from operando.stream.members import HubUnreachable, Member, MemberRefused, Producer
from operando.stream.messages import (
    Detector,
    Document,
    Frame,
    Positions,
    ScanStart,
    Status,
    Trajectory,
)
from operando.stream.packing import pack
from operando.stream.wire_ops import Got, Hello, Item, Put, WireError, pack_op, unpack_op

PATIENCE_S = 60.0


@pytest.fixture
def hub(tmp_path, context):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", dead_after_s=1.0)
    with Hub(config, context) as hub:
        yield hub


def scan_start():
    detector = Detector("d", (1, 8), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", "s", 1, "frames", 4, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def receive(member, wanted):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        delivery = member.receive(0.2)
        if delivery is not None and isinstance(delivery.message, wanted):
            return delivery
    raise AssertionError(f"no {wanted.__name__} came")


def test_without_a_hub_a_put_says_so_in_time(tmp_path, context):
    producer = Producer(f"ipc://{tmp_path}/nobody", "receiver", context, window=1)
    producer.put(Status("x", "first", 0.0))
    with pytest.raises(HubUnreachable, match="receiver could not put a Status"):
        producer.put(Status("x", "second", 0.0), timeout_s=0.1)
    producer.close()


def test_a_hub_that_comes_late_gets_everything_in_order(tmp_path, context):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", groups=("record",))
    with Producer(config.items, "plan", context) as producer:
        for number in range(5):
            producer.put(Document("r", "event", str(number)))
        member = Member(config.items, "record", "all", "rec", context=context)
        with Hub(config, context), member:
            producer.flush(PATIENCE_S)
            texts = []
            for _ in range(5):
                delivery = receive(member, Document)
                member.acknowledge(delivery)
                texts.append(delivery.message.text)
    assert texts == list("01234")


def test_a_message_changed_after_it_was_put_arrives_as_it_was(hub, context):
    with (
        Producer(hub.items_address, "p", context) as producer,
        Member(hub.items_address, "record", "all", "rec", context=context) as member,
    ):
        producer.put(scan_start())
        values = np.zeros(100_000)
        producer.put(Positions("s", "x", "um", np.arange(100_000), values))
        values[:] = 1.0
        assert receive(member, Positions).message.values.max() == 0.0


def test_a_member_busy_for_longer_than_the_patience_of_the_hub_stays_a_member(hub, context):
    with (
        Producer(hub.items_address, "p", context) as producer,
        Member(hub.items_address, "record", "all", "rec", context=context) as member,
    ):
        producer.put(scan_start())
        producer.put(Frame("s", 0, (1, 8), "uint8", "raw", b"12345678", 0))
        delivery = receive(member, Frame)
        busy = threading.Event()
        busy.wait(2.5)  # a long kernel: nothing of the member is called in this time
        member.acknowledge(delivery)
        assert member.receive(0.3) is None  # neither asked who it is nor given the frame again


def test_a_message_that_cannot_be_read_is_acknowledged_as_failed_and_skipped(hub, context):
    dealer = context.socket(zmq.DEALER)
    dealer.connect(hub.items_address)
    header, *_ = pack(Document("r", "event", "x" * 10))
    dealer.send_multipart([pack_op(Put(1, 1, "")), header, b"a part that nobody named"])
    dealer.send_multipart([pack_op(Put(2, 1, "")), *pack(Document("r", "event", "good"))])
    with Member(hub.items_address, "record", "all", "rec", context=context) as member:
        delivery = receive(member, Document)
        assert delivery.message.text == "good"
        member.acknowledge(delivery)
    dealer.close(linger=0)


@pytest.mark.parametrize("case", MESSAGES)
def test_a_shape_that_cannot_be_harms_neither_the_hub_nor_a_member(hub, context, case):
    dealer = context.socket(zmq.DEALER)
    dealer.connect(hub.items_address)
    dealer.send_multipart([pack_op(Put(1, 1, "")), *MESSAGES[case]])
    assert dealer.poll(PATIENCE_S * 1000), "the hub said nothing to it"
    assert unpack_op(dealer.recv_multipart()[0]).seq == 1
    dealer.send_multipart([pack_op(Put(2, 1, "")), *pack(Document("r", "event", "good"))])
    with Member(hub.items_address, "record", "all", "rec", context=context) as member:
        assert receive(member, Document).message.text == "good"
    dealer.close(linger=0)


def test_a_message_over_which_reading_itself_breaks_is_failed_and_skipped(
    hub, context, monkeypatch
):
    with (
        Producer(hub.items_address, "p", context) as producer,
        Member(hub.items_address, "record", "all", "rec", context=context) as member,
    ):
        for text in ("bad", "good"):
            producer.put(Document("r", "event", text))
        monkeypatch.setattr(members, "unpack", broken(members.unpack, "text", "bad"))
        assert receive(member, Document).message.text == "good"


def test_the_newcomer_of_the_same_name_stays_and_the_old_one_is_told(hub, context):
    with Member(hub.items_address, "process", "reduce", "r0", context=context) as old:
        assert old.receive(0.1) is None
        with (
            Member(hub.items_address, "process", "reduce", "r0", context=context) as new,
            Producer(hub.items_address, "p", context) as producer,
        ):
            producer.put(scan_start())
            receive(new, ScanStart)
            with pytest.raises(MemberRefused, match="taken your place"):
                old.receive(PATIENCE_S)


@pytest.mark.parametrize(("role", "credit"), [("king", 4), ("reduce", 0)])
def test_a_member_that_makes_no_sense_is_refused_where_it_is_made(hub, context, role, credit):
    with pytest.raises(ValueError, match=r"needs one of|at least 1"):
        Member(hub.items_address, "process", role, "m", credit, context)


@pytest.mark.parametrize("op", [Put(3, 1, "g"), Got(2, "why"), Hello("g", "all", "n", 4), Item(7)])
def test_operations_come_back_as_they_went(op):
    assert unpack_op(pack_op(op)) == op


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_cut_operations_are_no_operations(size):
    with pytest.raises(WireError):
        unpack_op(pack_op(Hello("group", "reduce", "name", 4))[:size])

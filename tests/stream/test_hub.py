"""The hub over real sockets, with members in threads' hands and in processes that get killed."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import msgpack
import numpy as np
import pytest
import xxhash
import zmq
from operando.stream.hub import Hub, HubConfig
from operando.stream.link import HubFull, HubUnreachable
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, MemberRefused, Producer
from operando.stream.messages import (
    Account,
    Detector,
    Document,
    Focus,
    Frame,
    Positions,
    Reduction,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)
from operando.stream.packing import pack
from operando.stream.wire_ops import Put, pack_op, unpack_op

PATIENCE_S = 60.0


def scan_start(scan="s", frames=4, number=1):
    detector = Detector("d", (10, 100), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", scan, number, "frames", frames, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def make_frame(index, scan="s", size=1000):
    data = np.random.default_rng(index).integers(0, 255, size, np.uint8).tobytes()
    return Frame(
        scan, index, (10, size // 10), "uint8", "raw", data, xxhash.xxh3_64_intdigest(data)
    )


def reduce_of(frame):
    return Reduction(frame.scan, frame.index, {"sum": np.array([sum(bytes(frame.data))], float)})


def samples(first, count):
    time_s = np.arange(first, first + count, dtype=np.float64)
    return Samples("r", time_s, time_s, time_s, time_s, time_s, time_s, ("OCV",) * count)


def take(member, wanted, count, acknowledge=True):
    """The next count messages of type wanted; all that comes is acknowledged on the way."""
    found = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        delivery = member.receive(0.2)
        if delivery is None:
            continue
        if isinstance(delivery.message, wanted):
            found.append(delivery)
        if acknowledge or not isinstance(delivery.message, wanted):
            member.acknowledge(delivery)
    assert len(found) == count, f"{len(found)} {wanted} came, {count} were awaited"
    return found


def live_until(live, wanted):
    """Listen until a message fits."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for message in live.poll(0.2, limit=1):
            if wanted(message):
                return message
    raise AssertionError("the live side never said so")


def is_closed(message):
    return isinstance(message, Account) and message.closed


@pytest.fixture
def open_hub(context, tmp_path):
    """A function that starts a hub with these settings; stopped afterwards."""
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def start(**settings):
            name = tmp_path / f"hub{next(numbers)}"
            addresses = {"items": f"ipc://{name}-items", "live": f"ipc://{name}-live"}
            return stack.enter_context(Hub(HubConfig(**{**addresses, **settings}), context))

        yield start


@pytest.fixture
def joined(context):
    """Functions that make producers and members of a hub; closed afterwards."""
    with contextlib.ExitStack() as stack:

        class Make:
            def producer(self, hub, name="producer", **options):
                made = Producer(hub.items_address, name, context, **options)
                stack.callback(made.close)
                return made

            def member(self, hub, group, role, name=None, **options):
                made = Member(
                    hub.items_address, group, role, name or role, context=context, **options
                )
                stack.callback(made.close)
                return made

            def live(self, hub, **options):
                return stack.enter_context(LiveSubscriber(hub.live_address, context, **options))

        yield Make()


@pytest.mark.parametrize("transport", ["ipc", "tcp", "inproc"])
def test_two_groups_both_get_every_frame_byte_for_byte(transport, open_hub, joined):
    addresses = {
        "ipc": {},
        "tcp": {"items": "tcp://127.0.0.1:*", "live": "tcp://127.0.0.1:*"},
        "inproc": {"items": "inproc://items", "live": "inproc://live"},
    }
    hub = open_hub(**addresses[transport])
    producer = joined.producer(hub)
    recorder = joined.member(hub, "record", "all")
    reducer = joined.member(hub, "process", "reduce")
    frames = [make_frame(i, size=200_000) for i in range(4)]
    for message in (scan_start(), *frames):
        producer.put(message)
    for member in (recorder, reducer):
        came = [d.message for d in take(member, Frame, 4)]
        assert [bytes(f.data) for f in came] == [f.data for f in frames]
        assert [f.checksum for f in came] == [f.checksum for f in frames]


def test_positions_that_overtake_the_start_of_their_scan_come_after_it(open_hub, joined):
    hub = open_hub()
    stage, receiver = joined.producer(hub, "stage"), joined.producer(hub, "receiver")
    recorder = joined.member(hub, "record", "all")
    absorber = joined.member(hub, "process", "absorb")
    first = Positions("s", "y", "um", np.array([0, 1]), np.array([0.1, 0.9]))
    stage.put(Positions("never begun", "y", "um", np.array([0]), np.array([0.5])))
    stage.put(first)
    stage.flush()
    receiver.put(scan_start())
    for member in (recorder, absorber):
        start, positions = take(member, (ScanStart, Positions), 2)
        assert (start.message.scan, positions.message.scan) == ("s", "s")
        assert positions.message.values.tolist() == [0.1, 0.9]


def test_two_reducers_share_the_frames_and_the_absorber_gets_each_reduction_once(open_hub, joined):
    hub = open_hub(groups=("process",))
    producer, live = joined.producer(hub), joined.live(hub)
    reducers = [joined.member(hub, "process", "reduce", f"r{i}", credit=2) for i in range(2)]
    absorber = joined.member(hub, "process", "absorb")
    live_until(live, lambda m: isinstance(m, Status) and m.values["members"].count("/") == 3)
    putting = threading.Thread(
        target=lambda: [
            producer.put(m)
            for m in (
                scan_start(frames=40),
                *(make_frame(i) for i in range(40)),
                ScanStop("s", 40, "complete"),
            )
        ]
    )
    putting.start()
    counts, reductions, stopped = [0, 0], {}, None
    deadline = time.monotonic() + PATIENCE_S
    while stopped is None and time.monotonic() < deadline:
        for number, reducer in enumerate(reducers):
            delivery = reducer.receive(0.005)
            if delivery is not None and isinstance(delivery.message, Frame):
                counts[number] += 1
                reducer.send(reduce_of(delivery.message))
        delivery = absorber.receive(0.005)
        if delivery is not None and isinstance(delivery.message, Reduction):
            assert delivery.message.index not in reductions
            reductions[delivery.message.index] = float(delivery.message.arrays["sum"][0])
            absorber.acknowledge_frame("s", delivery.message.index)
        elif delivery is not None and isinstance(delivery.message, ScanStop):
            stopped = delivery
    putting.join()
    assert stopped is not None
    assert sum(counts) == 40
    assert min(counts) > 0
    assert reductions == {i: float(sum(make_frame(i).data)) for i in range(40)}
    account = live_until(live, is_closed)
    assert (account.group("process").done, account.lost) == (40, {})
    absorber.acknowledge(stopped)
    live_until(live, lambda m: isinstance(m, Status) and m.values["outstanding"] == 0)


REDUCER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
from operando.stream.members import Member
from operando.stream.messages import Frame, Reduction
import numpy as np
with Member(sys.argv[1], "process", "reduce", sys.argv[2], credit=4) as member:
    while True:
        delivery = member.receive(30.0)
        if delivery is not None and isinstance(delivery.message, Frame):
            frame = delivery.message
            total = np.frombuffer(frame.data, np.uint8).sum(dtype=np.float64)
            member.send(Reduction(frame.scan, frame.index, {"sum": np.array([total])}))
"""


def absorb_scan(hub, joined, total, between):
    """Put a scan and absorb it; between(absorbed) is called after each reduction. Sums by index."""
    producer, absorber = joined.producer(hub), joined.member(hub, "process", "absorb")
    producer.put(scan_start(frames=total))

    def put_all():
        for index in range(total):
            producer.put(make_frame(index, size=100_000))
        producer.put(ScanStop("s", total, "complete"))

    putting = threading.Thread(target=put_all)
    putting.start()
    sums, stopped = {}, False
    deadline = time.monotonic() + 90
    while not stopped and time.monotonic() < deadline:
        delivery = absorber.receive(0.5)
        if delivery is None:
            continue
        if isinstance(delivery.message, Reduction):
            index = delivery.message.index
            assert index not in sums
            sums[index] = float(delivery.message.arrays["sum"][0])
            absorber.acknowledge_frame("s", index)
            between(len(sums))
        elif isinstance(delivery.message, ScanStop):
            absorber.acknowledge(delivery)
            stopped = True
    putting.join()
    return sums


def true_sums(total):
    frames = (make_frame(i, size=100_000) for i in range(total))
    return {f.index: float(np.frombuffer(f.data, np.uint8).sum()) for f in frames}


@pytest.fixture
def start_reducer():
    """A function that starts a reducer of a name in a process of its own; killed afterwards."""
    started = []

    def start(hub, name):
        process = subprocess.Popen(
            [sys.executable, "-c", REDUCER, hub.items_address, name], stderr=subprocess.DEVNULL
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_killing_reducers_in_mid_scan_loses_nothing(open_hub, joined, start_reducer):
    hub = open_hub(groups=("process",))
    live = joined.live(hub)
    total, kills = 200, []
    rng = np.random.default_rng(5)
    reducers = [start_reducer(hub, f"r{n}") for n in range(2)]

    def kill(absorbed):
        if len(kills) < 4 and absorbed >= (len(kills) + 1) * total // 6:
            victim = int(rng.integers(2))
            kills.append(victim)
            os.kill(reducers[victim].pid, signal.SIGKILL)
            reducers[victim].wait()
            reducers[victim] = start_reducer(hub, f"r{1 + len(kills)}")

    assert absorb_scan(hub, joined, total, kill) == true_sums(total)
    assert len(kills) == 4
    account = live_until(live, is_closed)
    assert account.group("process").done == total
    assert account.group("process").failed == {}


def test_reducers_freeze_join_leave_and_are_replaced_in_mid_scan(open_hub, joined, start_reducer):
    """A frozen one loses its frames to others; what it says when it wakes counts for nothing."""
    hub = open_hub(groups=("process",), dead_after_s=1.0)
    live = joined.live(hub)
    total = 120
    reducers = {name: start_reducer(hub, name) for name in ("frozen", "old", "leaving")}
    events = {
        10: lambda: reducers["frozen"].send_signal(signal.SIGSTOP),
        30: lambda: start_reducer(hub, "joining"),
        50: lambda: start_reducer(hub, "old"),  # an upgrade: the new one takes the old one's place
        70: lambda: reducers["leaving"].send_signal(signal.SIGINT),
        total - 1: lambda: reducers["frozen"].send_signal(signal.SIGCONT),
    }

    def between(absorbed):
        if absorbed in events:
            events.pop(absorbed)()

    assert absorb_scan(hub, joined, total, between) == true_sums(total)
    assert events == {}
    account = live_until(live, is_closed)
    assert (account.group("process").done, account.group("process").failed) == (total, {})
    assert reducers["old"].wait(PATIENCE_S) != 0  # it was told that its place is taken
    assert reducers["leaving"].wait(PATIENCE_S) != 0


def test_a_producer_waits_at_a_full_window_and_goes_on_when_there_is_room(open_hub, joined):
    hub = open_hub(groups=("record",), window_bytes=25_000)
    producer = joined.producer(hub, window=2)
    producer.put(scan_start(frames=10))
    accepted = []

    def put_until_full():
        for index in range(10):
            producer.put(make_frame(index, size=10_000), timeout_s=0.5)
            accepted.append(index)

    with pytest.raises(HubFull, match="no room"):
        put_until_full()
    assert len(accepted) in (4, 5)  # the window's, and those whose answer is withheld
    other = joined.producer(hub, "plan")
    other.put(Document("r", "start", "{}"))
    other.flush(PATIENCE_S)  # documents are not held up by frames
    recorder = joined.member(hub, "record", "all")

    def put_rest():
        for index in range(len(accepted), 10):
            producer.put(make_frame(index, size=10_000))

    putting = threading.Thread(target=put_rest)
    putting.start()
    came = take(recorder, Frame, 10)
    putting.join()
    producer.flush(PATIENCE_S)
    assert [d.message.index for d in came] == list(range(10))


def test_reductions_pass_while_the_window_is_full(open_hub, joined):
    hub = open_hub(groups=("process",), window_bytes=5_000)
    producer = joined.producer(hub, window=1)
    reducer = joined.member(hub, "process", "reduce", credit=1)
    absorber = joined.member(hub, "process", "absorb")
    producer.put(scan_start(frames=6))
    putting = threading.Thread(
        target=lambda: [producer.put(make_frame(i, size=10_000)) for i in range(6)]
    )
    putting.start()
    for _ in range(6):
        (delivery,) = take(reducer, Frame, 1, acknowledge=False)
        reducer.send(reduce_of(delivery.message))
        reducer.flush(PATIENCE_S)
        (absorbed,) = take(absorber, Reduction, 1, acknowledge=False)
        absorber.acknowledge_frame("s", absorbed.message.index)
    putting.join()
    producer.flush(PATIENCE_S)


def test_the_same_frame_twice_is_handed_on_once_and_counted(open_hub, joined):
    hub = open_hub(groups=("record",))
    producer, live = joined.producer(hub), joined.live(hub)
    recorder = joined.member(hub, "record", "all")
    for message in (scan_start(frames=2), make_frame(0), make_frame(0), make_frame(1)):
        producer.put(message)
    producer.put(ScanStop("s", 2, "complete"))
    take(recorder, ScanStop, 1)
    account = live_until(live, is_closed)
    assert (account.received, account.duplicates, account.group("record").done) == (2, 1, 2)


def test_a_put_repeated_after_a_reconnection_is_taken_once(open_hub, context, joined):
    hub = open_hub(groups=("record",))
    recorder = joined.member(hub, "record", "all")
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, b"p")
    dealer.connect(hub.items_address)
    for seq in (1, 2, 1, 2, 4, 3):  # 4 comes before 3 was there: it will be put again
        document = pack(Document("r", "event", str(seq)))
        dealer.send_multipart([pack_op(Put(seq, 1, "")), *document])
    came = take(recorder, Document, 3)
    assert [d.message.text for d in came] == ["1", "2", "3"]
    assert recorder.receive(0.2) is None
    dealer.close(linger=0)


def test_the_account_names_what_is_lost_and_goes_to_the_record_when_it_closes(open_hub, joined):
    hub = open_hub(groups=("record",))
    producer = joined.producer(hub)
    recorder = joined.member(hub, "record", "all")
    for message in (scan_start(frames=4), make_frame(0), make_frame(3)):
        producer.put(message)
    producer.put(ScanStop("s", 2, "aborted", {1: "damaged"}))
    failed = take(recorder, Frame, 2, acknowledge=False)
    recorder.acknowledge(failed[0])
    recorder.acknowledge(failed[1], failed="disk full")
    (delivery,) = take(recorder, Account, 1)
    account = delivery.message
    assert account.closed
    assert account.lost[1] == "damaged"
    assert "aborted" in account.lost[2]
    assert account.group("record").failed == {3: "disk full"}


def test_a_recorder_that_dies_leaves_its_frames_to_the_next(open_hub, joined):
    hub = open_hub(groups=("record",), dead_after_s=1.0)
    producer = joined.producer(hub)
    producer.put(scan_start(frames=3))
    script = REDUCER.replace('"process", "reduce"', '"record", "all"').replace(
        "member.send", "print"
    )
    mortal = subprocess.Popen(
        [sys.executable, "-c", script, hub.items_address, "mortal"], stdout=subprocess.PIPE
    )
    for index in range(3):
        producer.put(make_frame(index))
    assert mortal.stdout is not None
    for _ in range(3):
        mortal.stdout.readline()  # it has them, and says nothing to the hub
    mortal.kill()
    mortal.wait()
    mortal.stdout.close()
    producer.put(ScanStop("s", 3, "complete"))
    successor = joined.member(hub, "record", "all", "successor")
    assert sorted(d.message.index for d in take(successor, Frame, 3)) == [0, 1, 2]
    take(successor, ScanStop, 1)


def test_an_absorber_that_restarts_is_told_the_whole_scan_and_nothing_counts_twice(
    open_hub, joined
):
    hub = open_hub(groups=("process",))
    producer, live = joined.producer(hub), joined.live(hub)
    reducer = joined.member(hub, "process", "reduce")
    first = joined.member(hub, "process", "absorb", "first")
    for message in (scan_start(frames=4), *(make_frame(i) for i in range(4))):
        producer.put(message)
    producer.put(Focus("s", 1, 2))
    for delivery in take(reducer, Frame, 4, acknowledge=False):
        reducer.send(reduce_of(delivery.message))
    for delivery in take(first, Reduction, 4, acknowledge=False)[:3]:
        first.acknowledge_frame("s", delivery.message.index)
    live_until(live, lambda m: isinstance(m, Account) and m.group("process").done == 3)
    first.close()
    second = joined.member(hub, "process", "absorb", "second")
    again = take(second, Reduction, 4, acknowledge=False)
    assert sorted(d.message.index for d in again) == [0, 1, 2, 3]
    take(second, Focus, 1)
    for delivery in again:
        second.acknowledge_frame("s", delivery.message.index)
    producer.put(ScanStop("s", 4, "complete"))
    take(second, ScanStop, 1)
    assert live_until(live, is_closed).group("process").done == 4


def test_messages_go_where_they_belong(open_hub, joined):
    hub = open_hub()
    producer, live = joined.producer(hub), joined.live(hub)
    recorder = joined.member(hub, "record", "all")
    absorber = joined.member(hub, "process", "absorb")
    positions = Positions("s", "x", "um", np.arange(2), np.zeros(2))
    shown = Result("r", "s", 1, "c", "shown", (), {}, {}, "", np.array(1.0), None, 0.5, 1, False)
    kept = Result(
        "r", "s", 1, "c", "kept", (), {}, {}, "", np.array(1.0), None, 1.0, 2, True, live=False
    )
    for message in (scan_start(), positions, samples(0, 3), Document("r", "event", "{}")):
        producer.put(message)
    for message in (shown, kept, Status("plan", "scanning", 0.0)):
        producer.put(message)
    recorded = [take(recorder, t, 1)[0].message for t in (ScanStart, Positions, Samples, Document)]
    assert recorded[1].axis == "x"
    assert take(recorder, Result, 1)[0].message.name == "kept"
    take(absorber, ScanStart, 1)
    take(absorber, Positions, 1)
    live_until(live, lambda m: isinstance(m, Result) and m.name == "shown")
    seen = live_until(live, lambda m: isinstance(m, Status) and m.component == "plan")
    assert seen.state == "scanning"
    assert absorber.receive(0.2) is None


def test_a_frame_nobody_announced_is_refused_with_the_reason(open_hub, joined, caplog):
    hub = open_hub()
    producer = joined.producer(hub)
    producer.put(make_frame(0))
    producer.put(scan_start(frames=2))
    producer.put(make_frame(2))
    producer.put(Reduction("s", 0, {}))
    producer.flush(PATIENCE_S)
    assert producer.refused == 3
    assert "not announced" in caplog.text
    assert "announced 2 frames" in caplog.text


def test_what_was_refused_is_refused_for_the_same_reason_when_it_is_put_again(open_hub, context):
    hub = open_hub()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(hub.items_address)

    def answer_to(seq, base, message):
        dealer.send_multipart([pack_op(Put(seq, base, "")), *pack(message)])
        assert dealer.poll(PATIENCE_S * 1000)
        return unpack_op(dealer.recv_multipart()[0])

    first = answer_to(1, 1, make_frame(0))
    assert "not announced" in first.refused
    assert answer_to(2, 1, scan_start()).refused == ""
    assert answer_to(1, 1, make_frame(0)) == first  # the answer was lost on its way
    assert answer_to(2, 1, scan_start()).refused == ""
    assert answer_to(3, 2, make_frame(0)).refused == ""  # from here on it has that answer
    assert answer_to(1, 1, make_frame(0)).refused == ""
    dealer.close(linger=0)


def test_garbage_is_counted_and_harms_nobody(open_hub, context, joined):
    hub = open_hub(items="tcp://127.0.0.1:*", groups=("record",))
    host, port = hub.items_address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as scanner:
        scanner.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
    stranger = context.socket(zmq.DEALER)
    stranger.connect(hub.items_address)
    for parts in (
        [b""],
        [b"\xc1\xff"],
        [msgpack.packb({"op": "launch"})],
        [msgpack.packb({"op": "put", "seq": "1", "base": 1, "group": ""})],
        [pack_op(Put(1, 1, "")), b"no header"],
        [pack_op(Put(2, 1, ""))],
        [
            msgpack.packb(
                {"op": "hello", "group": "record", "role": "king", "name": "", "credit": 1}
            )
        ],
        [msgpack.packb({"op": "item", "tag": 3})],
        [b"x"] * 500,
    ):
        stranger.send_multipart(parts)
    live = joined.live(hub)
    status = live_until(
        live, lambda m: isinstance(m, Status) and m.values["ignored"] + m.values["refused"] >= 9
    )
    assert (status.values["ignored"], status.values["refused"]) == (7, 2)
    producer, recorder = joined.producer(hub), joined.member(hub, "record", "all")
    producer.put(scan_start())
    producer.put(make_frame(0))
    take(recorder, Frame, 1)
    stranger.close(linger=0)


def test_a_member_of_an_unknown_group_is_told_which_there_are(open_hub, joined):
    hub = open_hub()
    stray = joined.member(hub, "proces", "reduce")
    with pytest.raises(MemberRefused, match="there are: record, process"):
        stray.receive(PATIENCE_S)


def test_an_address_in_use_is_an_error_at_the_start(open_hub, context):
    hub = open_hub()
    config = HubConfig("tcp://127.0.0.1:*", hub.live_address)
    with pytest.raises(zmq.ZMQError):
        Hub(HubConfig(hub.live_address.replace("ipc://", "ipc:///nowhere/"), config.live)).start()


def test_members_and_producers_survive_the_hubs_restart(tmp_path, context, joined):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", groups=("record",))
    first = Hub(config, context)
    first.start()
    producer, recorder = joined.producer(first), joined.member(first, "record", "all")
    producer.put(scan_start("before"))
    take(recorder, ScanStart, 1)
    first.stop()
    producer.put(scan_start("after"))
    with pytest.raises(HubUnreachable):
        producer.flush(0.3)
    second = Hub(config, context)
    second.start()
    try:
        started = []
        finish = time.monotonic() + PATIENCE_S
        while not started and time.monotonic() < finish:
            with contextlib.suppress(HubUnreachable):
                producer.flush(0.2)
            delivery = recorder.receive(0.2)
            if delivery is not None:
                started.append(delivery.message.scan)
        assert started == ["after"]
    finally:
        second.stop()

"""A hub with a spool: killed and restarted, overtaken by its source, out of room, rotten."""

import contextlib
import errno
import itertools
import os
import time

import numpy as np
import pytest
import xxhash
import zmq
from hostile_bytes import MESSAGES, broken
from operando.stream import router
from operando.stream.hub import Hub, HubConfig
from operando.stream.link import HubFull
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import (
    Account,
    Detector,
    Document,
    Frame,
    Reduction,
    Result,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)
from operando.stream.packing import pack, peek, unpack
from operando.stream.segment_log import segments_of
from operando.stream.spool import LastPuts, PutAgain, read_spool
from operando.stream.spool_room import SpoolConfig
from operando.stream.wire_ops import Got, Put, pack_op, unpack_op

PATIENCE_S = 60.0


def scan_start(scan="s", frames=4, number=1):
    detector = Detector("d", (10, 100), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", scan, number, "frames", frames, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def make_frame(index, scan="s", size=1000):
    data = np.random.default_rng(index).bytes(size)
    shape = (10, size // 10)
    return Frame(scan, index, shape, "uint8", "raw", data, xxhash.xxh3_64_intdigest(data))


def sound(frame, size=1000):
    return bytes(frame.data) == make_frame(frame.index, size=size).data


def reduce_of(frame):
    return Reduction(frame.scan, frame.index, {"sum": np.array([sum(bytes(frame.data))], float)})


def final_result(scan="s"):
    values = np.arange(3.0)
    return Result(
        "r", scan, 1, "c", "n", ("x",), {"x": values}, {"x": ""}, "", values, None, 1.0, 1, True
    )


class Bench:
    """One hub at a time on the same addresses and spool, and whoever talks to it."""

    def __init__(self, folder, context, stack, **spool):
        self.context, self.stack = context, stack
        self.spool = SpoolConfig(folder / "spool", **{"segment_bytes": 20_000, **spool})
        self.config = {"items": f"ipc://{folder}/items", "live": f"ipc://{folder}/live"}
        self.hub = None
        self.names = itertools.count()

    def start(self, **settings):
        config = {**self.config, "spool": self.spool, **settings}
        self.hub = self.stack.enter_context(Hub(HubConfig(**config), self.context))
        return self.hub

    def restart(self, **settings):
        self.hub.stop()
        return self.start(**settings)

    def producer(self, **options):
        made = Producer(self.config["items"], "producer", self.context, **options)
        self.stack.callback(made.close)
        return made

    def member(self, group, role, **options):
        name = f"{role}-{next(self.names)}"
        made = Member(self.config["items"], group, role, name, context=self.context, **options)
        self.stack.callback(made.close)
        return made

    def until(self, wanted):
        with LiveSubscriber(self.config["live"], self.context) as live:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                for message in live.poll(0.2, limit=1):
                    if wanted(message):
                        return message
        raise AssertionError("the live side never said so")

    def settled(self):
        return self.until(lambda m: isinstance(m, Account) and m.closed)

    def status(self):
        return self.until(lambda m: isinstance(m, Status) and m.component == "hub").values


@pytest.fixture
def bench(tmp_path):
    context = zmq.Context()
    with contextlib.ExitStack() as stack:
        yield lambda **spool: Bench(tmp_path, context, stack, **spool)
    context.destroy(linger=0)


def take(member, wanted, count, acknowledge=True):
    """The next count messages of type wanted; everything that comes is acknowledged on the way."""
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
    assert len(found) == count, f"{len(found)} {wanted.__name__} came, {count} were awaited"
    return found


def drain(member):
    """Indices of the frames that are there, all acknowledged."""
    found = []
    while (delivery := member.receive(0.05)) is not None:
        member.acknowledge(delivery)
        if isinstance(delivery.message, Frame):
            found.append(delivery.message.index)
    return found


def silent(member, wanted, for_s=0.4):
    """Whether nothing of type wanted comes any more."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        delivery = member.receive(0.05)
        if delivery is not None and isinstance(delivery.message, wanted):
            return False
    return True


def put_until_full(producer, count):
    """How many of count frames were taken."""
    for index in range(count):
        try:
            producer.put(make_frame(index), timeout_s=0.5)
        except HubFull:
            return index
    return count


def test_a_scan_goes_on_over_a_restart_of_the_hub_and_nothing_counts_twice(bench):
    bench = bench()
    bench.start()
    recorder = bench.member("record", "all", credit=3)
    reducer = bench.member("process", "reduce", credit=3)
    absorber = bench.member("process", "absorb")
    producer = bench.producer()
    producer.put(scan_start(frames=20))
    for index in range(12):
        producer.put(make_frame(index))
    recorded = [d.message.index for d in take(recorder, Frame, 5)]
    for _ in range(6):
        (delivery,) = take(reducer, Frame, 1, acknowledge=False)
        reducer.send(reduce_of(delivery.message))
    for delivery in take(absorber, Reduction, 4, acknowledge=False):
        absorber.acknowledge_frame("s", delivery.message.index)
    producer.flush()
    reducer.flush()
    bench.restart()
    for index in range(12, 20):
        producer.put(make_frame(index))
    producer.put(ScanStop("s", 20, "complete"))
    while len(set(recorded)) < 20:
        (delivery,) = take(recorder, Frame, 1)
        assert sound(delivery.message)
        recorded.append(delivery.message.index)
    sums = {}
    deadline = time.monotonic() + PATIENCE_S
    stopped = False
    while not stopped and time.monotonic() < deadline:
        delivery = reducer.receive(0.01)
        if delivery is not None and isinstance(delivery.message, Frame):
            reducer.send(reduce_of(delivery.message))
        delivery = absorber.receive(0.01)
        if delivery is not None and isinstance(delivery.message, Reduction):
            sums[delivery.message.index] = delivery.message.arrays["sum"][0]
            absorber.acknowledge_frame("s", delivery.message.index)
        elif delivery is not None:
            stopped = isinstance(delivery.message, ScanStop)
            absorber.acknowledge(delivery)
    producer.flush()
    assert sums == {i: sum(make_frame(i).data) for i in range(20)}
    account = bench.settled()
    assert (account.received, account.duplicates, account.lost) == (20, 0, {})
    assert [g.done for g in account.groups] == [20, 20]


def test_what_was_acknowledged_before_is_not_delivered_again(bench):
    bench = bench()
    bench.start(groups=("record",))
    producer = bench.producer()
    producer.put(scan_start(frames=6))
    for index in range(6):
        producer.put(make_frame(index))
    producer.put(Document("r", "start", "{}"))
    recorder = bench.member("record", "all", credit=8)
    first = take(recorder, Frame, 6, acknowledge=False)
    recorder.acknowledge(first[:4])
    take(recorder, Document, 0)
    bench.until(lambda m: isinstance(m, Account) and m.group("record").done == 4)
    recorder.close()
    bench.restart(groups=("record",))
    again = bench.member("record", "all", credit=8)
    assert sorted(d.message.index for d in take(again, Frame, 2)) == sorted(
        d.message.index for d in first[4:]
    )
    assert silent(again, Frame)


def test_a_document_that_was_delivered_is_not_delivered_again(bench):
    bench = bench()
    bench.start(groups=("record",))
    recorder = bench.member("record", "all")
    producer = bench.producer()
    for text in ("a", "b", "c"):
        producer.put(Document("r", "event", text))
    took = take(recorder, Document, 3, acknowledge=False)
    recorder.acknowledge(took[:2])
    bench.until(
        lambda m: isinstance(m, Status) and m.component == "hub" and m.values["outstanding"] == 1
    )
    recorder.close()
    bench.restart(groups=("record",))
    again = bench.member("record", "all")
    (left,) = take(again, Document, 1)
    assert left.message.text == "c"
    assert silent(again, Document)


def test_a_word_on_a_delivery_of_the_former_hub_means_nothing_to_the_next(bench):
    bench = bench()
    bench.start(groups=("record",))
    recorder = bench.member("record", "all", credit=4)
    producer = bench.producer()
    producer.put(scan_start(frames=4))
    for index in range(4):
        producer.put(make_frame(index))
    before = take(recorder, Frame, 4, acknowledge=False)
    producer.flush()
    bench.restart(groups=("record",))
    after = take(recorder, Frame, 4, acknowledge=False)
    recorder.acknowledge(before)
    recorder.acknowledge(after[0])
    account = bench.until(lambda m: isinstance(m, Account) and m.group("record").done)
    assert account.group("record").done == 1


def test_hub_and_absorber_killed_together_leave_a_new_absorber_all_reductions(bench):
    bench = bench()
    bench.start()
    bench.member("record", "all")
    reducer = bench.member("process", "reduce", credit=8)
    absorber = bench.member("process", "absorb")
    producer = bench.producer()
    producer.put(scan_start(frames=6))
    for index in range(6):
        producer.put(make_frame(index))
    for delivery in take(reducer, Frame, 6, acknowledge=False):
        reducer.send(reduce_of(delivery.message))
    for delivery in take(absorber, Reduction, 3, acknowledge=False):
        absorber.acknowledge_frame("s", delivery.message.index)
    reducer.flush()
    bench.until(lambda m: isinstance(m, Account) and m.group("process").done == 3)
    absorber.close()
    bench.restart()
    again = bench.member("process", "absorb")
    assert sorted(d.message.index for d in take(again, Reduction, 6, False)) == list(range(6))


@pytest.mark.parametrize("hub_too", [False, True])
def test_an_absorber_killed_in_a_scan_larger_than_memory_misses_nothing(bench, tmp_path, hub_too):
    frames = 60
    bench = bench(limit_bytes=40_000, segment_bytes=4_000, keep_s=1e-3)
    bench.start(groups=("process",), history_bytes=500)
    reducer = bench.member("process", "reduce", credit=4)
    absorber = bench.member("process", "absorb")
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=frames))
    sent = {}
    for index in range(frames):
        producer.put(make_frame(index))
        (delivery,) = take(reducer, Frame, 1, acknowledge=False)
        reducer.send(reduce_of(delivery.message))
        (delivery,) = take(absorber, Reduction, 1, acknowledge=False)
        sent[index] = [bytes(p) for p in pack(delivery.message)]
        absorber.acknowledge_frame("s", index)
    bench.until(lambda m: isinstance(m, Account) and m.group("process").done == frames)
    assert len(segments_of(tmp_path / "spool" / "frames")) < 15  # some were let go
    assert len(segments_of(tmp_path / "spool" / "work")) > 2  # but not of the open scan
    absorber.close()
    if hub_too:
        bench.restart(groups=("process",), history_bytes=500)
    again = bench.member("process", "absorb")
    came = {}
    for delivery in take(again, Reduction, frames, acknowledge=False):
        came[delivery.message.index] = [bytes(p) for p in pack(delivery.message)]
        again.acknowledge_frame("s", delivery.message.index)
    assert came == sent
    producer.put(ScanStop("s", frames, "complete"))
    take(again, ScanStop, 1)
    account = bench.settled()
    assert (account.group("process").done, account.group("process").failed) == (frames, {})


def test_final_results_wait_in_the_spool_for_the_recorder(bench):
    bench = bench()
    bench.start(groups=("record",))
    producer = bench.producer()
    producer.put(scan_start())
    producer.put(final_result())
    producer.flush()
    bench.restart(groups=("record",))
    recorder = bench.member("record", "all")
    (found,) = take(recorder, Result, 1)
    np.testing.assert_array_equal(found.message.values, np.arange(3.0))


def test_a_slow_group_does_not_stall_the_source_while_the_spool_has_room(bench):
    bench = bench()
    bench.start(groups=("record",), window_bytes=10_000)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=300))
    for index in range(300):
        producer.put(make_frame(index), timeout_s=5)
    producer.flush(5)
    values = bench.until(lambda m: isinstance(m, Status) and m.values["lag_frames"] == 300).values
    assert values["queued_bytes"] <= 10_000
    recorder = bench.member("record", "all", credit=8)
    frames = [d.message for d in take(recorder, Frame, 300)]
    assert [f.index for f in frames] == list(range(300))
    assert all(sound(f) for f in frames)


def test_at_its_declared_size_the_spool_holds_the_source_back_and_then_lets_it_go_on(bench):
    bench = bench(limit_bytes=150_000, segment_bytes=10_000)
    bench.start(groups=("record",), window_bytes=10_000)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=400))
    put = put_until_full(producer, 400)
    assert 100 < put < 160
    full = bench.until(lambda m: isinstance(m, Status) and m.state == "full").values
    assert full["fill"] == 1.0
    assert "declared" in full["held"]
    recorder = bench.member("record", "all", credit=8)
    seen = [d.message.index for d in take(recorder, Frame, 60)]
    for index in range(put, 400):
        while True:
            try:
                producer.put(make_frame(index), timeout_s=0.02)
                break
            except HubFull:
                seen += drain(recorder)
    seen += [d.message.index for d in take(recorder, Frame, 400 - len(seen))]
    assert sorted(seen) == list(range(400))
    producer.flush()
    assert bench.status()["spool_bytes"] <= 150_000 + 100 * 400  # notes on its frames go beyond


def test_a_disk_that_fails_for_a_while_holds_the_source_back_and_loses_nothing(bench, monkeypatch):
    bench = bench()
    bench.start(groups=("record",))
    dealer = bench.context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, b"receiver")
    dealer.connect(bench.config["items"])

    def put(seq, message):
        dealer.send_multipart([pack_op(Put(seq, 1, "")), *pack(message)])

    def answer(for_s=PATIENCE_S):
        return unpack_op(dealer.recv_multipart()[0]) if dealer.poll(for_s * 1000) else None

    put(1, scan_start())
    assert answer() == Got(1, "")
    whole = os.writev

    def fails(file, buffers):
        if sum(len(b) for b in buffers) > 900:  # a frame; what else is written is small
            raise OSError(errno.EIO, "Input/output error")
        return whole(file, buffers)

    monkeypatch.setattr(os, "writev", fails)
    for index in range(3):
        put(2 + index, make_frame(index))
    full = bench.until(lambda m: isinstance(m, Status) and m.state == "full").values
    assert "cannot be written" in full["held"]
    put(2, make_frame(0))  # as after a reconnection
    recorder = bench.member("record", "all")
    take(recorder, ScanStart, 1)  # the others are served meanwhile
    assert answer(0.3) is None
    monkeypatch.setattr(os, "writev", whole)
    assert [answer() for _ in range(3)] == [Got(2, ""), Got(3, ""), Got(4, "")]
    assert [d.message.index for d in take(recorder, Frame, 3)] == [0, 1, 2]
    dealer.close(linger=0)


def test_a_put_over_which_the_hub_breaks_is_refused_with_the_reason(bench, monkeypatch):
    bench = bench()
    bench.start(groups=("record",))
    producer = bench.producer()
    monkeypatch.setattr(router, "unpack", broken(router.unpack, "scan", "s"))
    producer.put(scan_start())
    producer.flush(PATIENCE_S)
    assert producer.refused == 1


def test_a_segment_stays_until_every_group_is_done_with_all_of_it(bench, tmp_path):
    bench = bench(limit_bytes=100_000, segment_bytes=10_000)
    bench.start(window_bytes=10_000)
    recorder = bench.member("record", "all", credit=8)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=90))
    for index in range(60):
        producer.put(make_frame(index))
    take(recorder, Frame, 60)
    values = bench.until(
        lambda m: isinstance(m, Status) and m.values.get("spool_bytes", 0) > 60_000
    ).values
    assert len(segments_of(tmp_path / "spool" / "frames")) >= 6  # nothing is processed yet
    assert values["spool_fill"] > 0.6
    absorber = bench.member("process", "all", credit=8)
    take(absorber, Frame, 60)
    bench.until(lambda m: isinstance(m, Status) and m.values.get("spool_bytes", 1e9) < 51_000)


def failed_and_then_overtaken(bench):
    """A scan whose frame 7 could not be recorded, and more than the spool holds after it."""
    bench.start(groups=("record",), window_bytes=10_000)
    recorder = bench.member("record", "all", credit=8)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=200))
    for index in range(150):
        producer.put(make_frame(index))
        (delivery,) = take(recorder, Frame, 1, acknowledge=False)
        recorder.acknowledge(delivery, failed="OSError: no room" if index == 7 else "")
    bench.until(lambda m: isinstance(m, Account) and m.group("record").done == 149)
    return recorder, producer


def frames_of(folder):
    return [
        past.parts
        for past in read_spool(folder / "spool", damaged=pytest.fail)
        if isinstance(past, PutAgain) and peek(past.parts[0])[0] == "frame"
    ]


def test_what_could_not_be_recorded_stays_in_the_spool_while_the_run_lasts(bench, tmp_path):
    bench = bench(limit_bytes=60_000, segment_bytes=10_000, keep_s=1e-3)
    recorder, producer = failed_and_then_overtaken(bench)
    assert len(segments_of(tmp_path / "spool" / "frames")) < 8  # others were let go
    bench.restart(groups=("record",), window_bytes=10_000)
    for index in range(150, 200):  # the hub after it lets go no more than the one before
        producer.put(make_frame(index))
        take(recorder, Frame, 1)
    bench.until(lambda m: isinstance(m, Account) and m.group("record").done == 199)
    bench.hub.stop()
    kept = {frame.index: frame for frame in map(unpack, frames_of(tmp_path))}
    assert sound(kept[7])
    assert len(kept) < 80


def test_unrecorded_frames_alone_fill_the_spool_up_to_its_size_and_hold_the_plan(bench):
    bench = bench(limit_bytes=60_000, segment_bytes=10_000)
    bench.start(groups=("record",), window_bytes=10_000)
    recorder = bench.member("record", "all", credit=8)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=400))
    put = 0
    with contextlib.suppress(HubFull):
        while put < 400:
            producer.put(make_frame(put), timeout_s=0.5)
            put += 1
            while (delivery := recorder.receive(0.02)) is not None:
                recorder.acknowledge(delivery, failed="OSError: no room")
    assert 30 < put < 70
    full = bench.until(lambda m: isinstance(m, Status) and m.state == "full").values
    assert (full["fill"], full["lag_frames"]) == (1.0, 0)


def test_a_frame_that_rots_in_the_spool_is_failed_by_name_and_the_others_are_not(bench, tmp_path):
    bench = bench(segment_bytes=1 << 20)
    bench.start(groups=("record",), window_bytes=2000)
    producer = bench.producer()
    producer.put(scan_start(frames=10))
    for index in range(10):
        producer.put(make_frame(index))
    producer.flush()
    (segment,) = segments_of(tmp_path / "spool" / "frames")
    content = bytearray(segment.path.read_bytes())
    place = bytes(content).find(make_frame(6).data)
    content[place + 500] ^= 1
    segment.path.write_bytes(content)
    recorder = bench.member("record", "all", credit=20)
    assert sorted(d.message.index for d in take(recorder, Frame, 9)) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    account = bench.until(lambda m: isinstance(m, Account) and m.group("record").failed)
    assert list(account.group("record").failed) == [6]
    assert "damaged" in account.group("record").failed[6]


@pytest.mark.parametrize("case", MESSAGES)
def test_a_shape_that_cannot_be_does_not_keep_the_next_hub_from_starting(bench, case):
    bench = bench()
    bench.start()
    dealer = bench.context.socket(zmq.DEALER)
    dealer.connect(bench.config["items"])
    dealer.send_multipart([pack_op(Put(1, 1, "")), *MESSAGES[case]])
    assert dealer.poll(PATIENCE_S * 1000)
    dealer.close(linger=0)
    producer = bench.producer()
    producer.put(scan_start())
    producer.flush()
    bench.restart()
    assert [start.scan for start in bench.hub.open_scans] == ["s"]


def test_a_record_over_which_the_hub_breaks_is_left_out_by_name(bench, monkeypatch):
    bench = bench()
    bench.start()
    producer = bench.producer()
    producer.put(scan_start("bad"))
    producer.put(scan_start("good", number=2))
    producer.flush()
    monkeypatch.setattr(router, "unpack", broken(router.unpack, "scan", "bad"))
    bench.restart()
    assert [start.scan for start in bench.hub.open_scans] == ["good"]
    assert bench.status()["damaged"] == 1


def test_frames_whose_segments_were_let_go_still_count_after_a_restart(bench, tmp_path):
    bench = bench(limit_bytes=60_000, segment_bytes=10_000)
    bench.start(groups=("record",), window_bytes=10_000)
    recorder = bench.member("record", "all", credit=8)
    producer = bench.producer(window=4)
    producer.put(scan_start(frames=100))
    for index in range(80):
        producer.put(make_frame(index))
        take(recorder, Frame, 1)
    bench.until(lambda m: isinstance(m, Account) and m.group("record").done == 80)
    assert len(segments_of(tmp_path / "spool" / "frames")) < 8
    bench.restart(groups=("record",))
    for index in range(80, 100):
        producer.put(make_frame(index))
    take(recorder, Frame, 20)
    producer.put(ScanStop("s", 100, "complete"))
    take(recorder, ScanStop, 1)
    account = bench.settled()
    assert (account.received, account.lost, account.group("record").done) == (100, {}, 100)


def test_the_journal_of_a_long_run_is_let_go_as_far_as_it_is_over(bench, tmp_path):
    bench = bench(limit_bytes=60_000, segment_bytes=4_000)
    bench.start(groups=("record",))
    recorder = bench.member("record", "all", credit=8)
    producer = bench.producer()
    for number in range(1, 9):
        producer.put(scan_start(f"s{number}", 4, number))
        for index in range(4):
            producer.put(make_frame(index, f"s{number}"))
        for _ in range(6):
            producer.put(Document("r", "event", "x" * 2000))
        producer.put(ScanStop(f"s{number}", 4, "complete"))
        take(recorder, ScanStop, 1)
    journal = tmp_path / "spool" / "journal"
    bench.until(lambda m: isinstance(m, Status) and 0 < m.values.get("spool_bytes", 0) <= 30_000)
    assert segments_of(journal)[0].first > 1
    producer.put(scan_start("open", 4, 9))
    for index in range(2):
        producer.put(make_frame(index, "open"))
    take(recorder, Frame, 2)
    bench.until(lambda m: isinstance(m, Account) and m.group("record").done == 2)
    bench.restart(groups=("record",))
    assert bench.hub.open_scans[0].scan == "open"
    for index in range(2, 4):
        producer.put(make_frame(index, "open"))
    producer.put(ScanStop("open", 4, "complete"))
    told = []
    while not any(isinstance(m, ScanStop) for m in told):
        (delivery,) = take(recorder, object, 1)
        told.append(delivery.message)
    assert [m.index for m in told if isinstance(m, Frame)] == [2, 3]
    assert not any(isinstance(m, Document) for m in told)
    account = bench.settled()
    assert (account.received, account.duplicates, account.group("record").done) == (4, 0, 4)
    bench.hub.stop()
    pasts = list(read_spool(tmp_path / "spool", damaged=pytest.fail))
    assert any(b"producer" in who for p in pasts if isinstance(p, LastPuts) for who in p.last)


def test_acknowledgements_that_waited_for_the_hub_do_not_bring_the_scan_again_each(bench):
    bench = bench()
    bench.start(groups=("process",))
    reducer = bench.member("process", "reduce", credit=50)
    absorber = bench.member("process", "absorb")
    producer = bench.producer()
    producer.put(scan_start(frames=40))
    for index in range(40):
        producer.put(make_frame(index))
    for delivery in take(reducer, Frame, 40, acknowledge=False):
        reducer.send(reduce_of(delivery.message))
    reducer.flush()
    reductions = take(absorber, Reduction, 40, acknowledge=False)
    bench.hub.stop()
    for delivery in reductions:
        absorber.acknowledge_frame("s", delivery.message.index)
    bench.start(groups=("process",))
    again = 0
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        delivery = absorber.receive(0.1)
        if delivery is not None and isinstance(delivery.message, Reduction):
            again += 1
            absorber.acknowledge_frame("s", delivery.message.index)
    assert 40 <= again <= 80  # by the Hello of the reconnection, and by one Who

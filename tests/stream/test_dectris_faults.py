"""A misbehaving detector: whatever it does wrong is accounted for, by name, at the receiver."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from operando.stream.compression import decode
from operando.stream.dectris_emitter import DectrisEmitter, EmitterBlocked
from operando.stream.dectris_faults import Misbehaviour
from operando.stream.dectris_receiver import DectrisReceiver
from operando.stream.dectris_series import Start
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import Account, Frame, Message, ScanStart, ScanStop
from operando.stream.series_account import NEVER_ARRIVED

SHAPE = (16, 24)
IMAGES = 60
WAIT_S = 60.0
EVERYTHING = {
    "drop": 0.08, "duplicate": 0.08, "reorder": 0.1, "wrong_size": 0.08, "zero_prefix": 0.1,
    "truncate": 0.08,
}  # fmt: skip


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).poisson(3, SHAPE).astype(np.uint16)


def start_of(series: int) -> Start:
    return Start(series, IMAGES, SHAPE, "uint16", unique=f"u{series}", energy_ev=5e4)


def send_series(emitter: DectrisEmitter, series: int) -> None:
    emitter.start(start_of(series))
    for index in range(IMAGES):
        emitter.image(series, index, pixels(index))
    emitter.end(series)


@contextmanager
def receiving(address: str, put=None) -> Iterator[tuple[DectrisReceiver, queue.Queue[Message]]]:
    came: queue.Queue[Message] = queue.Queue()
    receiver = DectrisReceiver(address, put or came.put, grace_s=0.3)
    stop = threading.Event()
    thread = threading.Thread(target=receiver.run, args=(stop,), daemon=True)
    thread.start()
    assert receiver.connected.wait(WAIT_S)
    try:
        yield receiver, came
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def scan_of(came: queue.Queue[Message]) -> tuple[list[Frame], ScanStop]:
    assert isinstance(came.get(timeout=WAIT_S), ScanStart)
    frames = []
    while isinstance(message := came.get(timeout=WAIT_S), Frame):
        frames.append(message)
    assert isinstance(message, ScanStop)
    return frames, message


def injected(faults: Misbehaviour, series: int) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for index in range(IMAGES):
        found.setdefault(faults.of_image(series, index), set()).add(index)
    return found


def expected_reason(fault: str, version: str) -> str:
    return {
        "drop": NEVER_ARRIVED,
        "truncate": " came",
        "wrong_size": "it is (17, 24), the series announced (16, 24)"
        if version == "v2"
        else "its header says",
        "bad_md5": "md5",
    }[fault]


@pytest.mark.parametrize(
    ("version", "fault"),
    [(v, f) for v in ("v1", "v2") for f in (*EVERYTHING, "bad_md5") if (v, f) != ("v2", "bad_md5")],
)
def test_each_misbehaviour_is_accounted_for_by_name(version, fault):
    faults = Misbehaviour(seed=7, **{fault: 0.3})
    hit = injected(faults, 1)[fault]
    assert 5 < len(hit) < 40
    with (
        DectrisEmitter("tcp://127.0.0.1:*", version, misbehaviour=faults) as emitter,
        receiving(emitter.address) as (receiver, came),
    ):
        send_series(emitter, 1)
        frames, stop = scan_of(came)
    for frame in frames:
        np.testing.assert_array_equal(decode(frame, verify=True), pixels(frame.index))
    order = [f.index for f in frames]
    assert len(set(order)) == len(order)
    assert set(order) | set(stop.lost) == set(range(IMAGES))
    assert not set(order) & set(stop.lost)
    if fault in ("duplicate", "reorder", "zero_prefix"):  # nothing is lost by these
        assert stop.lost == {}
        assert receiver.counters.duplicates == (len(hit) if fault == "duplicate" else 0)
        assert (order != sorted(order)) == (fault == "reorder")
        assert receiver.counters.rejected == {}
        return
    assert set(stop.lost) == hit
    for reason in stop.lost.values():
        assert expected_reason(fault, version) in reason
    if fault != "drop":
        assert sum(receiver.counters.rejected.values()) == len(hit)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_series_whose_start_was_missed_is_strays_and_the_next_one_is_whole(version):
    faults = Misbehaviour(seed=1, header_missed=0.5)
    missed = next(s for s in range(1, 50) if faults.of_series(s))
    whole = next(s for s in range(missed, 50) if not faults.of_series(s))
    with (
        DectrisEmitter("tcp://127.0.0.1:*", version, misbehaviour=faults) as emitter,
        receiving(emitter.address) as (receiver, came),
    ):
        send_series(emitter, missed)
        send_series(emitter, whole)
        frames, stop = scan_of(came)
    assert receiver.counters.strays == IMAGES
    assert (len(frames), stop.lost) == (IMAGES, {})


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_images_that_the_detector_gave_up_are_lost_by_index(version):
    faults = Misbehaviour(seed=5, end_early=1.0)
    sent = faults.images_before_end(3, IMAGES)
    assert 0 < sent < IMAGES
    with (
        DectrisEmitter("tcp://127.0.0.1:*", version, misbehaviour=faults) as emitter,
        receiving(emitter.address) as (receiver, came),
    ):
        send_series(emitter, 3)
        frames, stop = scan_of(came)
    assert [f.index for f in frames] == list(range(sent))
    assert stop.lost == dict.fromkeys(range(sent, IMAGES), NEVER_ARRIVED)
    assert receiver.counters.ends == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_ledger_closes_whatever_the_detector_does(tmp_path, seed):
    """Detector, receiver, hub and a recorder: announced = recorded + lost, with every reason."""
    faults = Misbehaviour(seed=seed, header_missed=0.2, end_early=0.3, **EVERYTHING)
    series = range(1, 9)
    announced = [s for s in series if faults.of_series(s) != "header_missed"]
    recorded: dict[str, set[int]] = {}
    accounts: dict[str, Account] = {}
    with (
        zmq.Context() as context,
        Hub(HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", ("record",)), context) as hub,
        Producer(hub.items_address, "receiver", context) as producer,
        Member(hub.items_address, "record", "all", "m", 16, context) as member,
        LiveSubscriber(hub.live_address, context) as live,
        DectrisEmitter("tcp://127.0.0.1:*", misbehaviour=faults) as emitter,
        receiving(emitter.address, producer.put) as (receiver, _),
    ):
        sender = threading.Thread(target=lambda: [send_series(emitter, s) for s in series])
        sender.start()
        for _ in range(600):
            delivery = member.receive(0.1)
            if delivery is not None:
                if isinstance(frame := delivery.message, Frame):
                    same = np.array_equal(decode(frame, verify=True), pixels(frame.index))
                    assert same, f"wrong pixels in frame {frame.index}"
                    recorded.setdefault(frame.scan, set()).add(frame.index)
                member.acknowledge(delivery)
            else:
                for message in live.poll(0.0):
                    if isinstance(message, Account) and message.closed:
                        accounts[message.scan] = message
            if len(accounts) == len(announced) and receiver.counters.scans == len(announced):
                break
        sender.join(WAIT_S)
    assert len(accounts) == len(announced)
    for scan, account in accounts.items():
        number = int(scan.split("-")[1])
        gone = set(account.lost)
        assert account.group("record").done == account.received == len(recorded.get(scan, set()))
        assert recorded.get(scan, set()) | gone == set(range(IMAGES))
        assert not recorded.get(scan, set()) & gone
        sent = faults.images_before_end(number, IMAGES)
        hit = {i for i in range(sent) if faults.of_image(number, i) in
               ("drop", "wrong_size", "truncate")}  # fmt: skip
        assert gone == hit | set(range(sent, IMAGES))
        assert all(account.lost.values())


def test_the_same_seed_misbehaves_alike_and_another_does_not():
    of = [[Misbehaviour(seed=s, drop=0.5).of_image(1, i) for i in range(64)] for s in (1, 1, 2)]
    assert of[0] == of[1] != of[2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"drop": 1.5}, "drop is 1.5"),
        ({"truncate": float("nan")}, "truncate is nan"),
        ({"drop": 0.6, "duplicate": 0.6}, "more than 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_shares_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Misbehaviour(**settings)


def test_a_wrong_md5_cannot_be_had_from_a_stream_without_any():
    with pytest.raises(ValueError, match="V2 carries no md5"):
        DectrisEmitter("tcp://127.0.0.1:*", "v2", misbehaviour=Misbehaviour(bad_md5=0.1))


def test_a_blocked_duplicate_is_not_sent_a_third_time():
    faults = Misbehaviour(duplicate=1.0)
    with (
        zmq.Context() as context,
        DectrisEmitter(
            "tcp://127.0.0.1:*", timeout_s=0.05, high_water=1, misbehaviour=faults, context=context
        ) as emitter,
        context.socket(zmq.PULL) as pull,
    ):
        with pytest.raises(EmitterBlocked):
            emitter.start(start_of(1))  # nobody is there
        pull.connect(emitter.address)
        for index in (0, 1, 2):
            for _ in range(100):
                try:
                    emitter.start(start_of(1)) if index == 0 else emitter.image(1, index, pixels(1))
                    break
                except EmitterBlocked:
                    pull.poll(50)
        emitter.close()
        got = 0
        while pull.poll(300):
            pull.recv()
            got += 1
    assert got == 1 + 2 * 2

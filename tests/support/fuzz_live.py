"""Hostile messages through a live receiver and a live hub, and a sound scan after them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from random import Random

import hostile_bytes as hostile
import numpy as np
import zmq
from fuzz_targets import Broken, hostile_message, hostile_v1, hostile_v2
from operando.stream import compression, dectris_v2
from operando.stream.dectris_receiver import DectrisReceiver
from operando.stream.dectris_series import End
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, Producer
from operando.stream.messages import Account, Frame, Message, ScanStart, ScanStop
from operando.stream.wire_ops import Put, pack_op
from sound_messages import (
    IMAGES_SENT,
    OPS,
    PIXELS,
    PIXELS_OF,
    frame_of,
    image_of,
    scan_start,
    start_of,
)

PATIENCE_S = 60.0
PER_STRANGER = 500  # messages from one identity


def _wait(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"not within {PATIENCE_S} s: {what}")
        pause.wait(0.01)


class _Unexpected(logging.Handler):
    """Exceptions that somebody caught because he had to, not because he knew them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


def receiver(random: Random, count: int) -> Counter[str]:
    """count messages to a receiver, V1 and V2 by turns; then a scan that must be whole."""
    came: list[Message] = []
    outcomes: Counter[str] = Counter()
    with zmq.Context() as context:
        push = context.socket(zmq.PUSH)
        push.setsockopt(zmq.SNDTIMEO, round(PATIENCE_S * 1000))
        push.setsockopt(zmq.LINGER, 0)
        push.bind("tcp://127.0.0.1:*")
        address = push.getsockopt_string(zmq.LAST_ENDPOINT)
        listening = DectrisReceiver(address, came.append, grace_s=0.2, context=context)
        stop = threading.Event()
        thread = threading.Thread(target=listening.run, args=(stop,), daemon=True)
        thread.start()
        _wait(listening.connected.is_set, "a connection")
        for number in range(count):
            push.send_multipart([hostile_v2(random)] if number // 50 % 2 else hostile_v1(random))
            if number % 1000 == 999:
                _check_frames(came, outcomes)
        _wait(lambda: listening.counters.messages >= count, "all hostile messages taken")
        last = 10**9
        sound = [dectris_v2.build_start(start_of(last))]
        sound += [dectris_v2.build_image(image_of(i, series=last)) for i in IMAGES_SENT]
        for message in [*sound, dectris_v2.build_end(End(last, f"u{last}"))]:
            push.send(message)
        _wait(
            lambda: came and isinstance(came[-1], ScanStop)
            and listening.counters.messages >= count + len(sound) + 1,
            "the sound scan",
        )  # fmt: skip
        stop.set()
        thread.join(PATIENCE_S)
        push.close()
    tail = came[-2 - len(IMAGES_SENT) :]
    if not isinstance(tail[0], ScanStart) or tail[-1].reason != "complete" or tail[-1].lost:
        raise Broken(f"the scan after the hostile messages: {tail[0]}, {tail[-1]}")
    _check_frames(came, outcomes)
    counters = listening.counters
    if "reader failed" in counters.rejected:
        raise Broken(f"the receiver met what it did not know: {counters.rejected}")
    outcomes.update({f"rejected: {kind}": n for kind, n in counters.rejected.items()})
    outcomes["stray"] = counters.strays
    outcomes["duplicate"] = counters.duplicates
    return outcomes


def _check_frames(came: list[Message], outcomes: Counter[str]) -> None:
    """Frames as they were announced, payloads whole: then their pixels are those sent."""
    for message in came[:-50] if len(came) > 100 else came:
        if not isinstance(message, Frame):
            continue
        try:
            pixels = compression.decode(message, verify=True)
        except compression.DecodeError:
            outcomes["rejected: DecodeError"] += 1
            continue
        sent = PIXELS_OF.get((message.encoding, bytes(message.data)))
        like = (message.shape, message.dtype) == (PIXELS[0].shape, "uint16")
        if sent is None or not like:
            outcomes["accepted"] += 1
        elif np.array_equal(pixels, PIXELS[sent]):
            outcomes["same"] += 1
        else:
            raise Broken(f"wrong pixels in frame {message.index} of {message.scan}")
    if len(came) > 100:
        del came[:-50]


def hub(random: Random, count: int) -> Counter[str]:
    """count messages to a hub from strangers; then a scan whose account must close."""
    caught = _Unexpected()
    logging.getLogger("operando.stream.hub").addHandler(caught)
    try:
        with zmq.Context() as context:
            config = HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", ("record",),
                               dead_after_s=2.0)  # fmt: skip
            with Hub(config, context) as made:
                outcomes = _through(made, context, random, count)
    finally:
        logging.getLogger("operando.stream.hub").removeHandler(caught)
    if caught.records:
        raise Broken(f"the hub met what it did not know: {caught.records[0]}")
    return outcomes


def _through(made: Hub, context: zmq.Context, random: Random, count: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    done = threading.Event()
    kept: dict[int, Frame] = {}

    def record() -> None:
        with Member(made.items_address, "record", "all", "recorder", 64, context) as member:
            while not done.is_set():
                delivery = member.receive(0.05)
                if delivery is None:
                    continue
                message = delivery.message
                if isinstance(message, Frame):
                    if message.scan == "sound":
                        kept[message.index] = message
                    else:
                        _check_frames([message], outcomes)
                member.acknowledge(delivery)

    recorder = threading.Thread(target=record, daemon=True)
    recorder.start()
    sent = 0
    while sent < count:
        sent += _stranger(made, context, random, min(PER_STRANGER, count - sent))
    with (
        LiveSubscriber(made.live_address, context) as live,
        Producer(made.items_address, "honest", context) as producer,
    ):
        producer.put(scan_start("sound"))
        for index in IMAGES_SENT:
            producer.put(frame_of(index, "sound"))
        producer.put(ScanStop("sound", len(IMAGES_SENT), "complete"))
        producer.flush(PATIENCE_S)
        accounts: list[Account] = []

        def closed() -> bool:
            accounts.extend(
                m for m in live.poll(0.0)
                if isinstance(m, Account) and m.scan == "sound" and m.closed
            )  # fmt: skip
            return bool(accounts)

        _wait(closed, "the account of the sound scan")
    done.set()
    recorder.join(PATIENCE_S)
    if accounts[0].received != len(IMAGES_SENT) or sorted(kept) != list(IMAGES_SENT):
        raise Broken(f"the scan after the hostile messages: {accounts[0]}")
    for index, frame in kept.items():
        if not np.array_equal(compression.decode(frame, verify=True), PIXELS[index]):
            raise Broken(f"wrong pixels in frame {index} of the sound scan")
    outcomes["sent"] = count
    return outcomes


def _stranger(made: Hub, context: zmq.Context, random: Random, count: int) -> int:
    """count messages from one identity, most of them puts in order; it waits to be heard."""
    with context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.SNDTIMEO, round(PATIENCE_S * 1000))
        socket.setsockopt(zmq.LINGER, round(PATIENCE_S * 1000))
        socket.connect(made.items_address)
        seq = 0
        for _ in range(count):
            kind = random.random()
            if kind < 0.7:
                seq += 1
                socket.send_multipart([pack_op(Put(seq, seq, "")), *hostile_message(random)])
            elif kind < 0.8:
                socket.send_multipart(hostile_v1(random))
            elif kind < 0.9:
                socket.send(hostile.mutated(random, random.choice(OPS), OPS))
            else:
                socket.send(hostile.mutated_msgpack(random, random.choice(OPS)))
            while socket.poll(0):
                socket.recv_multipart()
        # an honest word at the end, on a number that is due: its answer says all was read
        seq += 1
        socket.send_multipart([pack_op(Put(seq, seq, "")), *hostile_message(random)])
        if not socket.poll(round(PATIENCE_S * 1000)):
            raise Broken("the hub answers no more")
    return count

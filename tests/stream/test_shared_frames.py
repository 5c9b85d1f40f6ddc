import dataclasses
import gc
import socket
import time

import numpy as np
import pytest
import zmq
from operando.stream.curve_keys import load_client_keys, load_server_keys, make_keys
from operando.stream.hub import Hub, HubConfig
from operando.stream.members import Member, Producer
from operando.stream.messages import Detector, Frame, ScanStart, ScanStop, Trajectory
from operando.stream.packing import pack
from operando.stream.shared_memory import Arena
from operando.stream.spool_room import SpoolConfig
from operando.stream.wire_ops import Bye, Got, Item, Put, Share, Shared, pack_op, unpack_op

SIZE = 200_000
FRAMES = 40
PATIENCE_S = 60.0


@pytest.fixture
def config(tmp_path):
    return HubConfig(
        f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", ("process",), window_bytes=64 * SIZE
    )


def payload(index: int) -> bytes:
    return np.random.default_rng(index).bytes(SIZE)


def start(scan="s"):
    detector = Detector("d", (1, SIZE), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", scan, 1, "frames", FRAMES, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def frame(index, scan="s"):
    return Frame(scan, index, (1, SIZE), "uint8", "raw", payload(index), 0)


def take(member: Member, count: int) -> dict[int, bytes]:
    """Frames by index, each acknowledged when it was read."""
    found: dict[int, bytes] = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        delivery = member.receive(0.1)
        if delivery is None:
            continue
        if isinstance(delivery.message, Frame):
            found[delivery.message.index] = bytes(delivery.message.data)
            assert delivery.intact()
        member.acknowledge(delivery)
    return found


def lending(producer: Producer):
    """The producer's half of shared memory, after it has heard what the hub said."""
    producer._link._take_in()
    return producer._link._lending


@pytest.fixture
def begin(until):
    """Starts a scan and waits until the hub has the producer's memory."""

    def begin(producer: Producer) -> None:
        producer.put(start())
        producer.put(frame(0))
        until(lambda: lending(producer)._accepted)

    return begin


def test_frames_lie_in_shared_memory_and_each_place_comes_back(config, context, begin, until):
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "source", context) as producer,
        Member(hub.items_address, "process", "all", "m", credit=4, context=context) as member,
    ):
        begin(producer)
        sent = []
        producer._link._socket = _Listening(producer._link._socket, sent)
        for index in range(1, FRAMES):
            producer.put(frame(index))
        producer.put(ScanStop("s", FRAMES, "complete"))
        assert take(member, FRAMES) == {n: payload(n) for n in range(FRAMES)}
        assert max(sent) < 1000, "no payload went through the socket"
        until(lambda: lending(producer)._arena.lent == 0)


@pytest.fixture
def own_address() -> str:
    """An address of this machine that is no loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError as error:
            pytest.skip(f"this machine is in no network: {error}")
        host = probe.getsockname()[0]
    if host.startswith("127."):
        pytest.skip("this machine is in no network")
    return host


def test_parts_beside_a_hub_that_is_bound_to_a_network_share_with_it(
    config, context, own_address, tmp_path, until
):
    make_keys(tmp_path / "keys")
    server, client = load_server_keys(tmp_path / "keys"), load_client_keys(tmp_path / "keys")
    bound = dataclasses.replace(config, items=f"tcp://{own_address}:*", keys=server)
    with (
        Hub(bound, context) as hub,
        Producer(hub.items_address, "source", context, keys=client) as producer,
        Member(hub.items_address, "process", "all", "m", 8, context, client) as member,
    ):
        producer.put(start())
        producer.put(frame(0))
        until(lambda: lending(producer)._accepted)
        producer.put(frame(1))
        assert lending(producer)._arena.lent >= 1
        assert take(member, 2) == {n: payload(n) for n in range(2)}
        assert len(member._arenas._known) == 1


def test_who_shall_not_share_gets_and_sends_everything(config, context, begin):
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "lends", context) as lends,
        Producer(hub.items_address, "sends", context, share=False) as sends,
        Member(
            hub.items_address, "process", "all", "m", credit=8, context=context, share=False
        ) as member,
    ):
        begin(lends)
        lends.put(frame(1))
        sends.put(frame(2))
        assert lending(lends)._arena.lent >= 1
        assert lending(sends) is None
        assert take(member, 3) == {n: payload(n) for n in range(3)}
        assert not member._arenas._known


class _Listening:
    """A socket that notes how long its messages are."""

    def __init__(self, socket, sent: list[int]) -> None:
        self._socket = socket
        self._sent = sent

    def send_multipart(self, parts, *flags, **more):
        self._sent.append(sum(len(p) for p in parts))
        return self._socket.send_multipart(parts, *flags, **more)

    def __getattr__(self, name):
        return getattr(self._socket, name)


def test_what_finds_no_room_in_the_arena_is_sent(config, context, monkeypatch, begin):
    monkeypatch.setattr("operando.stream.lending.Arena", lambda: Arena(3 * SIZE))
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "source", context, window=64) as producer,
    ):
        begin(producer)
        for index in range(1, FRAMES):
            producer.put(frame(index))
        assert 1 <= lending(producer)._arena.lent <= 2
        with Member(hub.items_address, "process", "all", "m", context=context) as member:
            assert take(member, FRAMES) == {n: payload(n) for n in range(FRAMES)}


def test_a_member_that_maps_nothing_gets_everything_sent(config, context, monkeypatch, begin):
    with Hub(config, context) as hub, Producer(hub.items_address, "source", context) as producer:
        begin(producer)
        for index in range(1, 8):
            producer.put(frame(index))

        def blind(self, share):
            from operando.stream.shared_memory import NotShared

            raise NotShared("a wall stands between these processes")

        monkeypatch.setattr("operando.stream.shared_memory.MappedArenas.learn", blind)
        with Member(hub.items_address, "process", "all", "m", context=context) as member:
            assert take(member, 8) == {n: payload(n) for n in range(8)}


def test_a_hub_that_cannot_map_gets_everything_sent(config, context, monkeypatch, until):
    def blind(share):
        from operando.stream.shared_memory import NotShared

        raise NotShared("a wall stands between these processes")

    monkeypatch.setattr("operando.stream.shared_frames.MappedArena", blind)
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "source", context) as producer,
        Member(hub.items_address, "process", "all", "m", context=context) as member,
    ):
        producer.put(start())
        for index in range(8):
            producer.put(frame(index))
        assert take(member, 8) == {n: payload(n) for n in range(8)}
        until(lambda: lending(producer)._arena is None)


def test_a_hub_killed_and_started_again_has_what_was_lent_to_the_one_before(
    config, context, tmp_path, begin
):
    spooled = dataclasses.replace(config, spool=SpoolConfig(tmp_path / "spool"))
    with Producer(config.items, "source", context, window=64) as producer:
        with Hub(spooled, context):
            begin(producer)
            for index in range(1, 10):
                producer.put(frame(index))
            producer.flush(PATIENCE_S)
            first = lending(producer)._arena
        for index in range(10, 20):  # nobody is there
            producer.put(frame(index))
        with (
            Hub(spooled, context),
            Member(config.items, "process", "all", "m", credit=32, context=context) as member,
        ):
            producer.flush(PATIENCE_S)
            for index in range(20, FRAMES):
                producer.put(frame(index))
            assert take(member, FRAMES) == {n: payload(n) for n in range(FRAMES)}
            assert lending(producer)._arena is not first


def test_memory_of_a_producer_that_died_is_let_go_when_its_frames_are_done(config, context):
    from operando.stream.shared_frames import SharedFrames

    sent = []

    def send(identity, op, parts):
        sent.append(op)
        return True

    shared = SharedFrames(send)
    arena = Arena(1 << 20)
    shared.offer(b"source", arena.share())
    assert sent == [Shared(arena.token, "")]
    place = arena.lend(b"payload" * 20_000)
    parts = shared.borrow(b"source", place, [b"header"])
    arena.close()
    shared._arenas[b"source"]._owner = 2**22 + 7  # no process has this number
    shared.welcome(b"member", maps=True)
    shared.tidy(())
    assert not shared._told
    assert not shared._arenas
    assert bytes(parts[-1].buffer) == b"payload" * 20_000
    del parts
    gc.collect()
    shared.give_back()
    assert len(sent) == 1, "nobody is left to be told"


def test_a_place_that_cannot_be_is_refused_and_a_forgotten_arena_is_not_an_answer(config, context):
    arena = Arena(1 << 20)
    payload_at = arena.lend(payload(0))
    with Hub(config, context) as hub:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(hub.items_address)

        def put(seq, message, at=()):
            parts = pack(message)
            dealer.send_multipart([pack_op(Put(seq, 1, "", at)), *(parts[:-1] if at else parts)])

        def answer():
            assert dealer.poll(round(PATIENCE_S * 1000))
            return unpack_op(dealer.recv_multipart()[0])

        put(1, start())
        assert answer() == Got(1, "")
        put(2, frame(0), payload_at)  # lent to a hub before this one: to be put again
        dealer.send(pack_op(arena.share()))
        assert answer() == Shared(arena.token, "")
        put(2, frame(0), payload_at)
        assert answer() == Got(2, "")
        token, offset, length, stamp = payload_at
        put(3, frame(1), (token, offset, 1 << 40, stamp))
        refused = answer()
        assert isinstance(refused, Got)
        assert "without a message" in refused.refused
        put(4, frame(2), (token, offset, length - 1, stamp))
        assert answer() == Got(4, "")  # what it lies about is found by who reads it
        with Member(hub.items_address, "process", "all", "m", context=context) as member:
            assert take(member, 1) == {0: payload(0)}
        dealer.close(linger=0)
    arena.close()


def test_what_lies_where_another_frame_lay_is_not_taken_for_it(config, context, begin, until):
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "source", context) as producer,
        Member(hub.items_address, "process", "reduce", "frozen", context=context) as frozen,
    ):
        begin(producer)
        producer.put(frame(1))
        held = frozen.receive(PATIENCE_S)
        while not isinstance(held.message, Frame) or held.message.index != 1:
            held = frozen.receive(PATIENCE_S)
        assert held.intact()
        assert held.message.data == payload(1)
        with Member(
            hub.items_address, "process", "all", "other", credit=8, context=context
        ) as other:
            frozen._link.send_op(Bye())  # the hub gives it up, and its frames to the other
            assert set(take(other, 2)) == {0, 1}
            until(lambda: lending(producer)._arena.lent == 0)
        assert not held.intact()
        producer.put(frame(2))
        assert held.message.data == payload(2), "the lowest place is used again"
        assert not held.intact()


def test_no_op_of_a_member_says_where_a_payload_of_its_own_lies(config, context):
    with Hub(config, context) as hub:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(hub.items_address)
        dealer.send(pack_op(Item(1, (1, 2, 3, 4))))
        dealer.send(pack_op(Share(1, 1, 1, 1 << 20)))
        assert dealer.poll(round(PATIENCE_S * 1000))
        answered = unpack_op(dealer.recv_multipart()[0])
        assert isinstance(answered, Shared)
        assert answered.why_not
        dealer.close(linger=0)

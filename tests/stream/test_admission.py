"""Keys on disk, and who gets into a hub: over real sockets, with a real authenticator."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from operando.stream.admission import Doorkeeper, guard, introduce, is_here, is_local
from operando.stream.curve_keys import (
    ClientKeys,
    KeysError,
    ServerKeys,
    add_client,
    load_client_keys,
    load_server_keys,
    make_keys,
)
from operando.stream.hub import Hub, HubConfig
from operando.stream.link import HubUnreachable, open_dealer
from operando.stream.live import LiveSubscriber
from operando.stream.members import Member, MemberRefused, Producer
from operando.stream.messages import Document, Focus, Status
from operando.stream.packing import pack
from operando.stream.permissions import PART, why_not_join, why_not_put
from operando.stream.wire_ops import (
    Beat,
    Got,
    Item,
    Put,
    Refused,
    Who,
    WireError,
    pack_op,
    unpack_op,
)

WAIT_S = 60.0
REFUSED_S = 0.6  # how long somebody who is not let in tries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    make_keys(made)
    return made


@pytest.fixture
def guarded(folder: Path, context: zmq.Context) -> Iterator[Hub]:
    config = HubConfig(
        "tcp://127.0.0.1:*", "tcp://127.0.0.1:*",
        keys=load_server_keys(folder), live_keys=True,
    )  # fmt: skip
    with Hub(config, context) as hub:
        yield hub


def status(name: str) -> Status:
    return Status(name, "here", 0.0)


def heard(live: LiveSubscriber, component: str, timeout_s: float) -> bool:
    deadline = threading.Event()
    threading.Timer(timeout_s, deadline.set).start()
    while not deadline.is_set():
        for message in live.poll(0.1):
            if isinstance(message, Status) and message.component == component:
                return True
    return False


# -- the files -----------------------------------------------------------------------------------


def test_secret_keys_are_their_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        made = [*make_keys(tmp_path / "k"), *add_client(tmp_path / "k", "desk")]
    finally:
        os.umask(before)
    secret = [p for p in made if p.suffix == ".key_secret"]
    assert len(secret) == 3
    assert {p.stat().st_mode & 0o777 for p in secret} == {0o600}
    assert {p.parent.stat().st_mode & 0o777 for p in made} == {0o700}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_key_that_others_can_read_is_refused(folder, mode):
    for name, load in (("server", load_server_keys), ("client", load_client_keys)):
        path = folder / f"{name}.key_secret"
        path.chmod(mode)
        with pytest.raises(KeysError, match=rf"{name}.key_secret: others can read it"):
            load(folder)


def test_keys_come_back_and_zeromq_reads_them_too(folder):
    import zmq.auth

    server, client = load_server_keys(folder), load_client_keys(folder)
    assert client.server == server.public
    assert server.allowed == {client.public}
    assert zmq.auth.load_certificate(folder / "server.key_secret") == (
        server.public,
        server.secret,
    )


def test_secrets_do_not_stand_in_a_log(folder):
    for keys in (load_server_keys(folder), load_client_keys(folder)):
        assert keys.secret.decode() not in repr(keys)


def test_no_keys_are_written_over_others(folder):
    with pytest.raises(KeysError, match="holds keys already"):
        make_keys(folder)
    add_client(folder, "desk")
    with pytest.raises(KeysError, match="exists"):
        add_client(folder, "desk")


@pytest.mark.parametrize("name", ["", "../out", "a/b", "server", "allowed", ".x", "x" * 65])
def test_a_clients_name_is_no_path(folder, name):
    with pytest.raises(KeysError, match="a name of letters"):
        add_client(folder, name)


@pytest.mark.parametrize(
    "text", ["", "curve\n", "\xff" * 5000, 'public-key = "short"', f'public-key = "{"~" * 40}"']
)
def test_a_file_that_holds_no_key_is_named(folder, text):
    (folder / "server.key").write_text(text, encoding="latin-1")
    with pytest.raises(KeysError, match=r"server\.key: holds no public key"):
        load_client_keys(folder)


def test_halves_of_two_pairs_are_no_pair(folder):
    other = zmq.curve_keypair()[0].decode()
    own = load_client_keys(folder).public.decode()
    path = folder / "client.key_secret"
    path.write_text(path.read_text().replace(own, other))
    with pytest.raises(KeysError, match="no pair"):
        load_client_keys(folder)


def test_a_list_without_anybody_is_an_error(folder):
    (folder / "allowed" / "client.key").unlink()
    with pytest.raises(KeysError, match="nobody could connect"):
        load_server_keys(folder)


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["ipc:///tmp/x", "inproc://x", "tcp://127.0.0.1:*", "tcp://127.8.8.8:1", "tcp://[::1]:7",
     "tcp://localhost:7", "tcp://lo:7"],
)  # fmt: skip
def test_local_addresses_are_known(address):
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://*:7", "tcp://0.0.0.0:7", "tcp://[::]:7", "tcp://10.0.0.5:7", "tcp://eth0:7",
     "tcp://127.0.0.1.example.org:7", "udp://127.0.0.1:7", "ws://127.0.0.1:7", "", "tcp://"],
)  # fmt: skip
def test_a_hub_is_not_bound_off_this_machine_without_keys(address):
    assert not is_local(address)
    with pytest.raises(KeysError, match="keys are needed"):
        Hub(HubConfig(address, "inproc://live"))


@pytest.mark.parametrize("address", ["ipc:///tmp/x", "tcp://127.8.8.8:1", "tcp://[::1]:7"])
def test_what_is_local_is_here(address):
    assert is_here(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://198.51.100.7:7", "tcp://[2001:db8::7]:7", "tcp://eth0:7",
     "tcp://nowhere.example:7", "udp://127.0.0.1:7", "tcp://*:7", "", "tcp://"],
)  # fmt: skip
def test_addresses_of_others_are_not_here(address):
    """None of them is looked up; the numbers are kept for documentation."""
    assert not is_here(address)


def test_a_live_side_cannot_ask_for_keys_that_are_not_there():
    with pytest.raises(KeysError, match="there are none"):
        Hub(HubConfig("inproc://a", "inproc://b", live_keys=True))


# -- who gets in ---------------------------------------------------------------------------------


def whose(who: str, folder: Path) -> ClientKeys | None:
    right = load_client_keys(folder)
    public, secret = zmq.curve_keypair()
    if who == "the right key":
        return right
    if who == "the key of another host":
        add_client(folder, "desk")
        return load_client_keys(folder / "desk")
    if who == "a key of nobody on the list":
        return ClientKeys(right.server, public, secret)
    if who == "the right key for another hub":
        return ClientKeys(zmq.curve_keypair()[0], right.public, right.secret)
    if who == "somebody else's public key":
        return ClientKeys(right.server, right.public, secret)
    return None


@pytest.mark.parametrize(
    ("who", "let_in"),
    [
        ("the right key", True),
        ("the key of another host", True),
        ("no key", False),
        ("a key of nobody on the list", False),
        ("the right key for another hub", False),
        ("somebody else's public key", False),
    ],
)
def test_only_who_is_on_the_list_gets_in(folder, context, who, let_in):
    keys = whose(who, folder)
    config = HubConfig(
        "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", ("record",),
        keys=load_server_keys(folder), live_keys=True,
    )  # fmt: skip
    patience = WAIT_S if let_in else REFUSED_S
    with zmq.Context() as outside, Hub(config, context) as hub:
        live = LiveSubscriber(hub.live_address, outside, keys=keys)
        producer = Producer(hub.items_address, "p", outside, keys=keys)
        member = Member(hub.items_address, "record", "all", "m", context=outside, keys=keys)
        try:
            producer.put(status("visitor"))
            if let_in:
                producer.flush(patience)
                assert heard(live, "visitor", patience)
                member.send(Focus("", 0, 0))
                member.flush(patience)
            else:
                with pytest.raises(HubUnreachable):
                    producer.flush(patience)
                assert not heard(live, "hub", patience)
                assert member.receive(0.1) is None
        finally:
            live.close()
            member.close()
            producer.close()
            outside.destroy(linger=0)


def test_without_an_authenticator_nobody_gets_in(folder):
    server, client = load_server_keys(folder), load_client_keys(folder)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        guard(pull, server)
        pull.bind("tcp://127.0.0.1:*")
        with context.socket(zmq.PUSH) as push:
            push.setsockopt(zmq.LINGER, 0)
            introduce(push, client)
            push.connect(pull.getsockopt_string(zmq.LAST_ENDPOINT))
            push.send(b"x")
            assert not pull.poll(500)
            door = Doorkeeper(server, context)  # the same peer gets in as soon as there is one
            assert pull.poll(10_000)
            door.close()


def test_two_authenticators_in_one_context_are_refused(folder, guarded, context):
    with pytest.raises(KeysError, match="authenticator already"):
        Doorkeeper(load_server_keys(folder), context)


def test_a_hub_whose_port_is_taken_leaves_nothing_behind(folder, guarded, context):
    keys = load_server_keys(folder)
    with zmq.Context() as other:
        for items, live in (
            (guarded.items_address, "tcp://127.0.0.1:*"),
            ("tcp://127.0.0.1:*", guarded.live_address),
        ):
            with pytest.raises(zmq.ZMQError):
                Hub(HubConfig(items, live, keys=keys), other).start()
        with Hub(HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", keys=keys), other):
            pass


def test_hubs_with_keys_follow_each_other_in_one_context(folder, context):
    config = HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", keys=load_server_keys(folder))
    for _ in range(50):
        with Hub(config, context):
            pass


def test_a_malformed_question_is_answered_with_no(folder, context):
    server = load_server_keys(folder)
    door = Doorkeeper(ServerKeys(server.public, server.secret, server.allowed), context)
    with context.socket(zmq.REQ) as ask:
        ask.connect("inproc://zeromq.zap.01")
        for question in (
            [b""],
            [b"1.0", b"1", b"operando", b"", b"", b"CURVE"],
            [b"1.0", b"1", b"operando", b"", b"", b"CURVE", b"short"],
            [b"1.0", b"1", b"operando", b"", b"", b"NULL"],
            [b"1.0", b"1", b"other", b"", b"", b"CURVE", bytes(32)],
            [b"9.0"] * 40,
        ):
            ask.send_multipart(question)
            assert ask.poll(5000)
            assert ask.recv_multipart()[2] == b"400"
    assert door.refused == 6
    door.close()


# -- what those who are in may do ------------------------------------------------------------------


def test_only_the_operations_of_a_peer_are_heard_by_the_hub(tmp_path, context):
    # The hub's own words, said by a peer, and words that are none: counted, and nothing happens
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", ("record",))
    import msgpack

    with Hub(config, context) as hub, context.socket(zmq.DEALER) as stranger:
        live = LiveSubscriber(hub.live_address, context)
        stranger.connect(hub.items_address)
        said = [pack_op(op) for op in (Got(1, ""), Refused("x"), Who(), Item(1))]
        said += [
            msgpack.packb({"op": name, "args": ["rm"]})
            for name in ("eval", "stop", "shutdown", "exec", "__import__", "put ", "PUT", "")
        ]
        for op in said:
            stranger.send(op)
        seen = None
        while seen is None or seen.values["ignored"] < len(said):
            found = [m for m in live.poll(1.0) if isinstance(m, Status) and m.component == "hub"]
            assert found or seen, "the hub fell silent"
            seen = found[-1] if found else seen
        assert seen.values["ignored"] == len(said)
        assert seen.values["members"] == ""
        live.close()


def test_the_live_side_is_read_only(tmp_path, context):
    # An XSUB socket can send upstream: packed messages, operations and garbage change nothing
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
    with Hub(config, context) as hub, context.socket(zmq.XSUB) as writer:
        live = LiveSubscriber(hub.live_address, context)
        assert heard(live, "hub", WAIT_S)
        writer.connect(hub.live_address)
        forged = [bytes(p) for p in pack(status("forged"))]
        for parts in (
            [b"/status/forged", np.uint64(1).tobytes(), *forged],
            [pack_op(Put(1, 1, "")), *forged],
            [pack_op(Beat(b"x"))],
            [b"\x01@" + b"x" * 5000],
            [b"\x07garbage", b""],
        ):
            writer.send_multipart(parts)
        assert not heard(live, "forged", 1.0)
        producer = Producer(hub.items_address, "p", context)
        producer.put(status("after"))
        assert heard(live, "after", WAIT_S)
        producer.close()
        live.close()


# -- what a key is good for ------------------------------------------------------------------------


def test_a_key_made_for_a_window_is_good_for_nothing_else_whatever_name_its_holder_gives(
    folder: Path, context: zmq.Context
) -> None:
    add_client(folder, "desk", "window")
    config = HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", keys=load_server_keys(folder))
    desk, part = load_client_keys(folder / "desk"), load_client_keys(folder)
    with Hub(config, context) as hub:
        address = hub.items_address
        for name in ("window", "receiver"):
            with Producer(address, name, context, keys=desk) as holder:
                holder.put(Focus("", 1, 1))
                holder.flush(WAIT_S)
                assert holder.refused == 0
                holder.put(Document("run", "start", "{}"))
                holder.flush(WAIT_S)
                assert holder.refused == 1
        with (
            Member(address, "process", "reduce", "reducer", context=context, keys=desk) as member,
            pytest.raises(MemberRefused, match="good for window"),
        ):
            member.receive(WAIT_S)
        with Producer(address, "plan", context, keys=part) as plan:
            plan.put(Document("run", "start", "{}"))
            plan.flush(WAIT_S)
            assert plan.refused == 0


@pytest.mark.parametrize(
    ("component", "role", "may"),
    [
        ("window", "window", True), ("recommender", "recommender", True), ("", "person", False),
        ("plan", "window", False), ("hub", "window", False), ("hub", PART, False),
        ("plan", PART, True), ("reducer-0", PART, True), ("", "window", False),
    ],
)  # fmt: skip
def test_a_status_is_about_its_sender_and_never_about_the_hub(component, role, may):
    assert (why_not_put("status", b"x/1", role, "", "", component) == "") is may


def test_a_window_reports_of_itself_and_beats_for_nobody(folder, context):
    add_client(folder, "desk", "window")
    config = HubConfig("tcp://127.0.0.1:*", "tcp://127.0.0.1:*", keys=load_server_keys(folder))
    desk, part = load_client_keys(folder / "desk"), load_client_keys(folder)
    with (
        Hub(config, context) as hub,
        Producer(hub.items_address, "x", context, keys=desk) as holder,
        Producer(hub.items_address, "y", context, keys=part) as other,
    ):
        for producer in (holder, other):
            for component in ("window", "hub"):
                producer.put(status(component))
        holder.put(status("plan"))
        for producer in (holder, other):
            producer.flush(WAIT_S)
        assert (holder.refused, other.refused) == (2, 1)
        dealer = open_dealer(context, b"beats", desk)
        dealer.connect(hub.items_address)
        dealer.send(pack_op(Beat(b"somebody")))
        with LiveSubscriber(hub.live_address, context, topics=("status/hub",)) as live:
            assert any(
                message.values["ignored"] == 1 for _ in range(20) for message in live.poll(WAIT_S)
            )
        dealer.close(linger=0)


def test_a_beat_names_an_identity_and_nothing_longer():
    assert unpack_op(pack_op(Beat(b"x" * 255))) == Beat(b"x" * 255)
    with pytest.raises(WireError, match="of is"):
        unpack_op(pack_op(Beat(b"x" * 256)))


def test_a_member_of_too_long_a_name_is_told_so(tmp_path, context):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
    with (
        Hub(config, context) as hub,
        Member(hub.items_address, "record", "all", "x" * 201, context=context) as member,
        pytest.raises(MemberRefused, match="at most 200"),
    ):
        member.receive(WAIT_S)


def test_a_role_that_is_none_is_no_key(folder):
    with pytest.raises(KeysError, match="role 'root' is none of part, window"):
        add_client(folder, "desk", "root")
    add_client(folder, "desk", "window")
    path = folder / "allowed" / "desk.key"
    path.write_text(path.read_text().replace('"window"', '"everything"'))
    with pytest.raises(KeysError, match="'everything' is none of"):
        load_server_keys(folder)


@pytest.mark.parametrize(
    ("role", "kind", "may"),
    [
        ("reduce", "reduction", True), ("reduce", "result", False), ("reduce", "document", False),
        ("absorb", "result", True), ("absorb", "reduction", False), ("absorb", "frame", False),
        ("all", "status", True), ("all", "result", False), ("", "reduction", True),
        ("", "frame", False),
    ],
)  # fmt: skip
def test_a_member_sends_what_its_work_makes(role, kind, may):
    assert (why_not_put(kind, b"x/1", PART, "process", role) == "") is may


def test_without_a_known_role_a_key_is_good_for_nothing():
    assert "nothing" in why_not_put("frame", b"x/1", "", "", "")
    assert "nothing" in why_not_join("")

"""The group's book-keeping against a model, with members that come, die and speak too late."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from operando.stream.group import IN_FLIGHT, Group
from operando.stream.held import Stored
from operando.stream.segment_log import Damaged, Place
from operando.stream.wire_ops import Hello, Item, Refused

START, STOP = (b"start",), (b"stop",)


class Wire:
    """What a group sends, by member; those in `cut` cannot be reached."""

    def __init__(self):
        self.sent = {}
        self.cut = set()
        self.words = {}

    def send(self, identity, op, parts):
        if identity in self.cut:
            return False
        self.sent.setdefault(identity, []).append((op, tuple(parts)))
        return True

    def enter(self, group, key, reason):
        self.words[key] = reason

    def items(self, identity):
        return [(op.tag, parts) for op, parts in self.sent.get(identity, []) if type(op) is Item]

    def tag_of(self, identity, parts):
        return [tag for tag, sent in self.items(identity) if sent == parts][-1]


@pytest.fixture
def wire():
    return Wire()


def frame(index):
    return (b"frame %d" % index,)


def reduction(index):
    return (b"reduction %d" % index,)


def opened(wire, frames=0, **options):
    group = Group("process", wire.send, wire.enter, **options)
    group.open_scan("s", START)
    for index in range(frames):
        group.add_frame(("s", index), frame(index))
    return group


def join(group, name, role, credit=4):
    group.hello(name.encode(), Hello("process", role, name, credit), 0.0)
    return name.encode()


def test_frames_go_to_the_member_with_most_free_credit(wire):
    group = opened(wire)
    slow, fast = join(group, "slow", "reduce", 2), join(group, "fast", "reduce", 3)
    for index in range(4):
        group.add_frame(("s", index), frame(index))
    group.serve()
    frames = [len([p for _, p in wire.items(m) if p != START]) for m in (slow, fast)]
    assert frames == [2, 2] or frames == [1, 3]
    group.add_frame(("s", 4), frame(4))
    group.add_frame(("s", 5), frame(5))
    group.serve()
    assert len(wire.items(slow)) + len(wire.items(fast)) == 2 + 5  # credit is used up


def test_no_frame_overtakes_the_start_of_its_scan_at_a_member_that_is_behind(wire):
    group = Group("record", wire.send, wire.enter)
    recorder = join(group, "recorder", "all")
    for index in range(IN_FLIGHT):
        group.add_item((b"document %d" % index,))
    group.open_scan("s", START)
    group.add_frame(("s", 0), frame(0))
    group.serve()
    assert START not in [parts for _, parts in wire.items(recorder)]
    assert frame(0) not in [parts for _, parts in wire.items(recorder)]
    group.acknowledge(recorder, [tag for tag, _ in wire.items(recorder)], "")
    group.serve()
    assert [parts for _, parts in wire.items(recorder)][-2:] == [START, frame(0)]


def test_a_reduction_returns_the_credit_but_only_the_absorber_acknowledges(wire):
    group = opened(wire, 2)
    reducer, absorber = join(group, "r", "reduce", 1), join(group, "a", "absorb")
    group.add_reduction(("s", 0), reduction(0))
    group.serve()
    assert frame(1) in [p for _, p in wire.items(reducer)]
    assert wire.words == {}
    group.acknowledge(reducer, [wire.tag_of(reducer, frame(1))], "")
    group.acknowledge_frame(reducer, ("s", 0), "")
    assert wire.words == {}
    group.acknowledge_frame(absorber, ("s", 0), "")
    assert wire.words == {("s", 0): ""}


def test_the_stop_is_the_last_that_the_absorber_gets(wire):
    group = opened(wire, 2)
    join(group, "r", "reduce")
    absorber = join(group, "a", "absorb")
    group.add_stop("s", STOP)
    group.add_reduction(("s", 1), reduction(1))
    assert STOP not in [p for _, p in wire.items(absorber)]
    group.add_reduction(("s", 0), reduction(0))
    assert wire.items(absorber)[-1][1] == STOP
    for index in range(2):
        group.acknowledge_frame(absorber, ("s", index), "")
    assert group.outstanding() > 0
    group.acknowledge(absorber, [wire.tag_of(absorber, STOP)], "")
    assert group.outstanding() == 0
    assert group.scans == {}


def test_a_restarted_absorber_gets_the_whole_scan_again(wire):
    group = opened(wire, 3)
    join(group, "r", "reduce")
    group.add_positions("s", (b"positions",))
    first = join(group, "a", "absorb")
    for index in range(3):
        group.add_reduction(("s", index), reduction(index))
    group.acknowledge_frame(first, ("s", 0), "")
    group.add_stop("s", STOP)
    group.leave(first, died=True)
    second = join(group, "a2", "absorb")
    told = [parts for _, parts in wire.items(second)]
    assert told == [START, (b"positions",), reduction(0), reduction(1), reduction(2), STOP]


def test_what_was_not_kept_for_a_restarted_absorber_is_named_as_failed(wire):
    group = opened(wire, 3, history_bytes=len(reduction(0)[0]))
    join(group, "r", "reduce")
    first = join(group, "a", "absorb")
    for index in range(3):
        group.add_reduction(("s", index), reduction(index))
        group.acknowledge_frame(first, ("s", index), "")
    assert set(wire.words.values()) == {""}
    group.leave(first, died=True)
    join(group, "a2", "absorb")
    assert "restarted" in wire.words["s", 0]
    assert "restarted" in wire.words["s", 1]
    assert wire.words["s", 2] == ""


class Log:
    """A spool of reductions that counts what is read back; those in rotten cannot be."""

    def __init__(self, rotten=()):
        self.read = []
        self.rotten = rotten

    def place(self, index):
        def load(place):
            if place.offset in self.rotten:
                raise Damaged(f"the record at {place.offset} is damaged")
            self.read.append(place.offset)
            return reduction(place.offset)

        return Stored(index + 1, 12, Place(1, index, 12), load)


def reduced(group, log, absorber, count):
    for index in range(count):
        group.add_reduction(("s", index), reduction(index), log.place(index))
        group.acknowledge_frame(absorber, ("s", index), "")


def test_with_a_spool_a_restarted_absorber_gets_what_memory_let_go_as_it_takes_it(wire):
    frames = IN_FLIGHT + 500
    group, log = opened(wire, frames, history_bytes=40), Log()
    join(group, "r", "reduce")
    reduced(group, log, join(group, "a", "absorb"), frames)
    assert log.read == []  # who keeps up is given them from memory
    group.leave(b"a", died=True)
    second = join(group, "a2", "absorb")
    assert len(log.read) <= IN_FLIGHT
    for index in range(frames):
        assert len(log.read) - index <= IN_FLIGHT
        group.acknowledge_frame(second, ("s", index), "")
    given = [parts for _, parts in wire.items(second)[1:]]
    assert given == [reduction(index) for index in range(frames)]
    assert len(log.read) >= frames - 4  # memory keeps 40 bytes
    assert set(wire.words.values()) == {""}


def test_an_absorber_that_is_behind_keeps_no_reductions_in_memory(wire):
    frames = IN_FLIGHT + 500
    group, log = opened(wire, frames, history_bytes=40), Log()
    join(group, "r", "reduce")
    absorber = join(group, "a", "absorb")
    for index in range(frames):
        group.add_reduction(("s", index), reduction(index), log.place(index))
    held = [e for e in group.peers[absorber].outbox if not isinstance(e.parts, Stored)]
    assert len(held) <= 1
    for index in range(frames):
        group.acknowledge_frame(absorber, ("s", index), "")
    assert [p for _, p in wire.items(absorber)[1:]] == [reduction(i) for i in range(frames)]


def test_a_reduction_that_rots_in_the_spool_fails_its_frame_by_name_and_the_scan_ends(wire):
    group, log = opened(wire, 4, history_bytes=1), Log(rotten={2})
    join(group, "r", "reduce")
    reduced(group, log, join(group, "a", "absorb"), 4)
    group.add_stop("s", STOP)
    group.leave(b"a", died=True)
    second = join(group, "a2", "absorb")
    assert "cannot be read back" in wire.words["s", 2]
    assert "damaged" in wire.words["s", 2]
    assert [wire.words["s", i] for i in (0, 1, 3)] == ["", "", ""]
    assert wire.items(second)[-1][1] == STOP
    group.acknowledge(second, [wire.tag_of(second, STOP)], "")
    assert (group.outstanding(), group.scans) == (0, {})


def test_a_newcomer_of_the_same_name_takes_the_place_and_the_frames(wire):
    group = opened(wire, 1)
    old = join(group, "r", "reduce")
    group.hello(b"new", Hello("process", "reduce", "r", 4), 0.0)
    assert any(isinstance(op, Refused) for op, _ in wire.sent[old])
    assert frame(0) in [p for _, p in wire.items(b"new")]
    assert list(group.peers) == [b"new"]


def test_a_frame_that_kills_whoever_holds_it_fails_and_its_neighbours_do_not(wire):
    group = opened(wire, 4)
    absorber = join(group, "a", "absorb")
    deaths = 0
    for life in range(20):
        reducer = join(group, f"r{life}", "reduce", 4)
        died = False
        done = set()
        while not died:
            group.serve()
            mine = [p for _, p in wire.items(reducer) if p[0].startswith(b"frame")]
            fresh = [p for p in mine if p not in done]
            if not fresh:
                break
            for parts in fresh:
                done.add(parts)
                index = int(parts[0].split()[1])
                if index == 2:
                    died = True
                    break
                group.add_reduction(("s", index), reduction(index))
                group.acknowledge_frame(absorber, ("s", index), "")
        group.leave(reducer, died=died)
        deaths += died
    assert deaths == 4
    assert "died" in wire.words["s", 2]
    assert [wire.words["s", i] for i in (0, 1, 3)] == ["", "", ""]


def test_an_unreachable_member_is_given_up_and_its_frames_go_on(wire):
    group = opened(wire)
    first, second = join(group, "r1", "reduce", 4), join(group, "r2", "reduce", 1)
    wire.cut.add(first)
    group.add_frame(("s", 0), frame(0))
    group.serve()
    assert list(group.peers) == [second]
    assert frame(0) in [p for _, p in wire.items(second)]


def test_items_wait_for_the_first_recorder_and_for_the_next_one(wire):
    group = opened(wire)
    group.add_item((b"samples 1",))
    recorder = join(group, "rec", "all")
    assert [p for _, p in wire.items(recorder)] == [START, (b"samples 1",)]
    group.acknowledge(recorder, [wire.tag_of(recorder, START)], "")
    group.leave(recorder, died=True)
    group.add_item((b"samples 2",))
    successor = b"its successor"
    group.hello(successor, Hello("process", "all", "rec", 4), 0.0)
    told = [p for _, p in wire.items(successor)]
    assert sorted(told) == sorted([START, (b"samples 1",), (b"samples 2",)])
    group.acknowledge(successor, [tag for tag, _ in wire.items(successor)], "")
    assert group.outstanding() == 0
    assert group.control_bytes == 0


def test_a_group_of_reducers_keeps_nothing_meant_for_recorders(wire):
    group = opened(wire)
    group.add_item((b"samples",))
    join(group, "r", "reduce")
    group.add_item((b"samples",))
    assert group.control_bytes == 0
    assert group.outstanding() == 0


def test_a_hub_killed_before_it_noted_what_reducers_do_not_want_has_nothing_outstanding(wire):
    group = Group("process", wire.send, wire.enter)
    group.restore("")
    group.open_scan("s", START, number=1)
    group.add_item((b"samples",), number=2)
    group.restore("reduce")  # the last that it noted
    group.restore_settled(("s", 0), "")
    group.restored()
    assert group.outstanding() == 0
    assert group.control_bytes == 0


def test_a_member_that_acknowledges_nothing_is_not_flooded(wire):
    group = opened(wire)
    recorder = join(group, "rec", "all")
    for _ in range(2 * IN_FLIGHT):
        group.add_item((b"samples",))
    assert len(wire.items(recorder)) == IN_FLIGHT
    group.acknowledge(recorder, [tag for tag, _ in wire.items(recorder)], "")
    assert len(wire.items(recorder)) == 2 * IN_FLIGHT


class Lives(RuleBasedStateMachine):
    """Reducers and absorbers come, work, die and rejoin; in the end every frame is absorbed."""

    members = Bundle("members")

    def __init__(self):
        super().__init__()
        self.wire = Wire()
        self.group = opened(self.wire)
        self.frames = 0
        self.stopped = False
        self.lives = 0
        self.absorbed = {}  # by each absorber's own memory

    @rule()
    @precondition(lambda self: not self.stopped)
    def frame_comes(self):
        self.group.add_frame(("s", self.frames), frame(self.frames))
        self.frames += 1
        self.group.serve()

    @rule()
    @precondition(lambda self: not self.stopped)
    def source_stops(self):
        self.stopped = True
        self.group.add_stop("s", STOP)

    @rule(target=members, role=st.sampled_from(["reduce", "reduce", "absorb"]))
    def member_comes(self, role):
        self.lives += 1
        return join(self.group, f"{role}{self.lives}", role, 2), role

    @rule(member=members, died=st.booleans())
    def member_goes(self, member, died):
        self.group.leave(member[0], died)

    @rule(member=members)
    def member_says_hello_again(self, member):
        identity, role = member
        self.absorbed.pop(identity, None)
        self.group.hello(identity, Hello("process", role, identity.decode(), 2), 0.0)

    @rule(member=members, count=st.integers(1, 4), late=st.booleans())
    def member_works(self, member, count, late):
        identity, role = member
        if identity not in self.group.peers and not late:
            return
        for _, parts in self.wire.items(identity)[-count:]:
            word, _, index = parts[0].decode().partition(" ")
            if role == "reduce" and word == "frame":
                self.group.add_reduction(("s", int(index)), reduction(int(index)))
            elif word == "reduction":
                self.absorbed.setdefault(identity, set()).add(int(index))
                self.group.acknowledge_frame(identity, ("s", int(index)), "")
        self.group.serve()

    @invariant()
    def nobody_holds_more_than_the_credit(self):
        held = [k for p in self.group.peers.values() for k in p.frames]
        assert len(held) == len(set(held))
        assert all(len(p.frames) <= p.credit for p in self.group.peers.values())

    def teardown(self):
        if not self.stopped:
            self.group.add_stop("s", STOP)
        reducer = join(self.group, "last-reducer", "reduce", 2)
        absorber = join(self.group, "last-absorber", "absorb")
        if "s" not in self.group.scans:
            return  # cannot be: nobody acknowledges the stop above
        done = 0
        while done < len(self.wire.items(reducer)):
            _, parts = self.wire.items(reducer)[done]
            done += 1
            if parts[0].startswith(b"frame"):
                index = int(parts[0].split()[1])
                self.group.add_reduction(("s", index), reduction(index))
            self.group.serve()
        for peer in list(self.group.peers.values()):  # others that still hold frames die
            if peer.identity not in (reducer, absorber):
                self.group.leave(peer.identity, died=False)
        self.group.serve()
        while done < len(self.wire.items(reducer)):
            _, parts = self.wire.items(reducer)[done]
            done += 1
            if parts[0].startswith(b"frame"):
                index = int(parts[0].split()[1])
                self.group.add_reduction(("s", index), reduction(index))
            self.group.serve()
        told = [parts for _, parts in self.wire.items(absorber)]
        failed = {k[1] for k, reason in self.wire.words.items() if reason}
        mine = {int(p[0].split()[1]) for p in told if p[0].startswith(b"reduction")}
        assert mine | failed == set(range(self.frames))
        assert told[-1] == STOP
        for index in mine:
            self.group.acknowledge_frame(absorber, ("s", index), "")
        self.group.acknowledge(absorber, [self.wire.tag_of(absorber, STOP)], "")
        assert set(self.wire.words) == {("s", i) for i in range(self.frames)}
        assert self.group.outstanding() == 0


Lives.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_nothing_is_lost_whoever_lives_or_dies = Lives.TestCase

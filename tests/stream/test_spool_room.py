"""Where a spool says that there is little room, and what it lets go of."""

import pytest
from operando.plans.backlog import GO_ON_BELOW, HOLD_ABOVE, why_hold
from operando.stream.segment_log import SegmentLog
from operando.stream.spool import LOGS
from operando.stream.spool_room import (
    HOLD_FILL,
    SHORT_FILL,
    SpoolConfig,
    SpoolRoom,
    disk_fill,
)

RESERVE = 256 << 20


@pytest.fixture
def room(tmp_path):
    """A room of 100 000 bytes; put(name, bytes) appends to one of its logs, in segments of 1000."""
    logs = {name: SegmentLog(tmp_path / name, 1000, sync_s=0) for name in LOGS}
    made = SpoolRoom(SpoolConfig(tmp_path, 100_000, reserve_bytes=RESERVE), logs)
    made.free = 100 * RESERVE
    number = iter(range(1, 10_000))
    made.put = lambda name, size=1000: logs[name].append(next(number), [bytes(size)]).segment
    made.left = lambda name: list(logs[name].segments)
    yield made
    for one in logs.values():
        one.close()


def let_go_all(room, above, older_s=0.0):
    gone = []
    while (found := room.spare(above, older_s)) is not None:
        room.let_go(*found)
        gone.append(found)
    return gone


def holds(room, holding=False):
    status = room.status()
    return bool(why_hold({**status, "fill": status["spool_fill"]}, 0.0, holding))


def test_the_plan_holds_well_before_the_disk_is_so_full_that_frames_are_refused(room):
    assert (HOLD_FILL, SHORT_FILL) == (HOLD_ABOVE, GO_ON_BELOW)
    for free_mb, held, refused in (
        (514, "", ""),
        (512, "512 MB free", ""),
        (256, "256 MB free", ""),
    ):
        room.free = free_mb << 20
        assert holds(room) == bool(held), free_mb
        assert str(room.status().get("held", "")).startswith(held)
        assert room.why_refused(100) == refused
    room.free -= 1
    assert "255 MB free" in room.why_refused(100)
    assert disk_fill(RESERVE, RESERVE) == disk_fill(0, RESERVE) == 1.0
    assert disk_fill(1000 * RESERVE, RESERVE) == 0.0


def test_a_hold_for_the_disk_ends_at_three_times_the_reserve(room):
    for free_mb, held in ((766, True), (770, False)):
        room.free = free_mb << 20
        assert holds(room, holding=True) == held


def test_what_nobody_needs_makes_room_on_a_disk_that_is_short_of_it(room):
    first, wanted = room.put("frames"), room.put("frames")
    room.put("frames")
    room.want(wanted, "s")
    assert let_go_all(room, above=50_000) == []
    room.free = int(2.9 * RESERVE)
    assert let_go_all(room, above=50_000) == [("frames", first)]


def test_the_journal_counts_in_what_is_used(room):
    for name in LOGS:
        room.put(name, 10_000)
    assert room.used > 30_000
    assert room.why_refused(69_950)
    assert not room.why_refused(60_000)


def journal_of_two_scans(room):
    segments = [room.put("journal") for _ in range(4)]
    for scan, segment in (("a", segments[0]), ("a", segments[1]), ("b", segments[2])):
        room.opened(scan)
        room.speaks_of("journal", segment, scan)
    room.look(1000)
    room.free = 100 * RESERVE
    return segments


def test_the_journal_goes_from_its_beginning_as_far_as_its_scans_are_over(room):
    segments = journal_of_two_scans(room)
    assert let_go_all(room, above=0) == []
    room.over("b")
    assert let_go_all(room, above=0) == []
    assert room.pinned() == room.used
    room.over("a")
    assert let_go_all(room, above=0) == [("journal", one) for one in segments[:3]]
    assert room.left("journal") == segments[3:]  # which is being written


def test_the_journal_stays_while_a_frame_of_its_scan_is_in_the_spool(room):
    segments = journal_of_two_scans(room)
    kept = room.put("frames")
    room.put("frames")
    room.want(kept, "b")
    room.over("a")
    room.over("b")
    assert let_go_all(room, above=0) == [("journal", one) for one in segments[:2]]
    room.unwant(kept)
    assert let_go_all(room, above=0) == [("frames", kept), ("journal", segments[2])]


def test_the_journal_stays_while_something_in_it_is_not_delivered(room):
    segments = [room.put("journal") for _ in range(3)]
    for owed_from, goes in ((segments[0], []), (segments[1], segments[:1]), (99, segments[1:2])):
        room.look(owed_from)
        room.free = 100 * RESERVE
        assert let_go_all(room, above=0) == [("journal", one) for one in goes]


def test_the_journal_does_not_go_for_its_age(room):
    for name in LOGS:
        for _ in range(3):
            room.put(name)
    room.look(1000)
    room.free = 100 * RESERVE
    gone = let_go_all(room, above=50_000, older_s=1e-9)
    assert {name for name, _ in gone} == {"frames", "work"}

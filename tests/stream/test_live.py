import threading
import time

import numpy as np
import pytest
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.live_cache import KEPT_LOOSE, KEPT_SAMPLES, LiveCache
from operando.stream.members import Producer
from operando.stream.messages import (
    Detector,
    Document,
    Frame,
    Result,
    Samples,
    ScanStart,
    Status,
    Trajectory,
)
from operando.stream.packing import unpack

PATIENCE_S = 60.0


@pytest.fixture
def hub(tmp_path, context):
    with Hub(HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l"), context) as hub:
        yield hub


def result(revision, scan="s", name="map", size=10):
    values = np.full(size, float(revision))
    return Result(
        "r", scan, 1, "xrdct", name, ("x",), {}, {}, "Å", values, None, 0.5, revision, False
    )


def scan_start(scan="s"):
    detector = Detector("d", (1, 8), "uint8", (75e-6, 75e-6), 250)
    return ScanStart(
        "r", scan, 1, "frames", 4, detector, Trajectory((), ()), "", 5e4, 0.1, None, 0.0
    )


def samples(first, count, state="OCV"):
    time_s = np.arange(first, first + count, dtype=np.float64)
    return Samples("r", time_s, time_s, time_s, time_s, time_s, time_s, (state,) * count)


# the potentiostat's clock glitches, is right again, begins again at 0; the third one is a repeat
STRETCHES = (([1, 2], [11, 12]), ([1e12], [13]), ([2, 1e12], [12, 13]), ([3, 0], [14, 15]),
             ([3, 0, 1], [14, 15, 16]))  # fmt: skip


def on_clocks(times, walls):
    one = np.ones(len(times))
    return Samples(
        "r", np.array(times, float), np.array(walls, float), *[one] * 4, ("OCV",) * len(times)
    )


def listen(live, enough):
    """Everything heard until enough(everything heard)."""
    heard = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(heard) and time.monotonic() < deadline:
        heard += live.poll(0.2)
    assert enough(heard), f"heard only {[type(m).__name__ for m in heard]}"
    return heard


def of(kind, heard):
    return [m for m in heard if isinstance(m, kind)]


def test_a_late_joiner_gets_the_last_of_everything_and_the_whole_curve(hub, context):
    with Producer(hub.items_address, "p", context) as producer:
        for message in (
            scan_start(),
            Frame("s", 2, (1, 8), "uint8", "raw", b"12345678", 0),
            result(1),
            result(2),
            Status("plan", "scanning", 0.0),
            samples(0, 10),
            samples(10, 10),
            samples(15, 10),
            Document("r", "start", "{}"),
            Document("r", "event", "{}"),
        ):
            producer.put(message)
        producer.flush(PATIENCE_S)
    with LiveSubscriber(hub.live_address, context) as live:
        heard = listen(live, lambda h: any(s.component == "plan" for s in of(Status, h)))
    assert [r.revision for r in of(Result, heard)] == [2]
    assert [f.index for f in of(Frame, heard)] == [2]
    assert [s.scan for s in of(ScanStart, heard)] == ["s"]
    assert [d.name for d in of(Document, heard)] == ["start"]
    np.testing.assert_array_equal(of(Samples, heard)[0].time_s, np.arange(25.0))


def test_those_who_were_there_do_not_hear_it_again_for_the_late_joiner(hub, context):
    with (
        Producer(hub.items_address, "p", context) as producer,
        LiveSubscriber(hub.live_address, context) as early,
    ):
        listen(early, lambda h: len(of(Status, h)) >= 3)  # its own last values are through
        producer.put(result(1))
        listen(early, lambda h: of(Result, h))
        with LiveSubscriber(hub.live_address, context) as late:
            listen(late, lambda h: of(Result, h))
        producer.put(Status("end", "", 0.0))
        heard = listen(early, lambda h: any(s.component == "end" for s in of(Status, h)))
        assert of(Result, heard) == []
        assert early.missed == 0


def test_a_prefix_is_all_that_its_subscriber_hears(hub, context):
    with Producer(hub.items_address, "p", context) as producer:
        producer.put(scan_start())
        producer.put(result(1))
        producer.flush(PATIENCE_S)
        with LiveSubscriber(hub.live_address, context, topics=("result/s/", "frame")) as live:
            listen(live, lambda h: of(Result, h))
            producer.put(Status("x", "", 0.0))
            producer.put(result(2))
            heard = listen(live, lambda h: any(r.revision == 2 for r in of(Result, h)))
    assert {type(m) for m in heard} == {Result}


def test_a_subscriber_that_sleeps_costs_nobody_else_time_and_catches_up_with_the_last(hub, context):
    with (
        Producer(hub.items_address, "p", context) as producer,
        LiveSubscriber(hub.live_address, context) as sleeper,
    ):
        listen(sleeper, lambda h: of(Status, h))
        for revision in range(1, 6001):
            producer.put(result(revision, size=1000))
        producer.flush(PATIENCE_S)  # the hub did not wait
        deadline = time.monotonic() + PATIENCE_S
        revisions = []
        while 6000 not in revisions and time.monotonic() < deadline:
            revisions += [r.revision for r in of(Result, sleeper.poll(0.2))]
        assert 6000 in revisions
        assert sleeper.missed > 0


def test_the_subscriber_survives_the_hubs_restart_and_hears_what_comes_after(tmp_path, context):
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l")
    first = Hub(config, context)
    first.start()
    with LiveSubscriber(first.live_address, context) as live:
        listen(live, lambda h: of(Status, h))
        first.stop()
        with Hub(config, context), Producer(config.items, "p", context) as producer:
            producer.put(result(7))
            heard = listen(live, lambda h: of(Result, h))
    assert of(Result, heard)[-1].revision == 7


def test_waiting_ends_when_the_first_message_comes(hub, context):
    with LiveSubscriber(hub.live_address, context, topics=("result/",)) as live:
        assert live.poll(0.0) == []
        producer = Producer(hub.items_address, "p", context)
        timer = threading.Timer(0.2, lambda: producer.put(result(1)))
        timer.start()
        assert len(live.poll(PATIENCE_S)) == 1
        timer.join()
        producer.close()


def test_the_oldest_scans_results_leave_the_full_cache_first():
    cache = LiveCache(1000)
    for number in range(4):
        scan = f"s{number}"
        cache.keep(f"scan_start/{scan}", [b"x" * 10], scan)
        cache.keep(f"result/{scan}/c/map", [b"r" * 400], scan)
    assert len(list(cache.matching("scan_start/"))) == 4
    assert len(list(cache.matching("result/s0"))) == 0
    assert len(list(cache.matching("result/s3"))) == 1
    assert cache.bytes <= 1000


def test_the_cache_stays_bounded_however_many_scans_come():
    cache = LiveCache(1000)
    for number in range(500):
        cache.keep(f"scan_start/{number}", [b"x" * 10], str(number))
    assert cache.bytes <= 1000
    assert len(list(cache.matching(""))) <= 100


def test_what_is_of_no_scan_stays_bounded_and_what_is_said_again_stays():
    cache = LiveCache(1000)
    plans, large = b"p" * 1_000_000, b"x" * 2_000_000
    for number in range(2000):
        cache.keep("status/plan", [plans])
        cache.keep(f"status/{number}", [large])
    kept = [bytes(parts[0][:1]) for parts in cache.matching("status/")]
    assert kept.count(b"p") == 1
    assert 100 < len(kept) <= KEPT_LOOSE
    for number in range(2000):
        cache.keep(f"status/{number}", [b"x"])
    assert len(list(cache.matching(""))) == KEPT_LOOSE


def test_a_new_version_replaces_the_old_one():
    cache = LiveCache(1000)
    cache.keep("result/s/c/map", [b"old"], "s")
    cache.keep("result/s/c/map", [b"newer"], "s")
    assert list(cache.matching("result/")) == [[b"newer"]]
    assert cache.bytes == 5


def test_a_potentiostats_clock_that_jumps_ends_no_curve():
    cache = LiveCache(1000)
    for times, walls in STRETCHES:
        cache.keep_samples(on_clocks(times, walls))
    (parts,) = cache.matching("samples/")
    assert unpack(parts).time_s.tolist() == [1, 2, 1e12, 3, 0, 1]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_every_change_of_state():
    cache = LiveCache(1000)
    for first in range(0, 3 * KEPT_SAMPLES, 1000):
        cache.keep_samples(samples(first, 999, "CC"))
        cache.keep_samples(samples(first + 999, 1, "OCV"))
    curve = unpack(next(iter(cache.matching("samples/"))))
    assert isinstance(curve, Samples)
    assert len(curve.states) <= KEPT_SAMPLES + 1
    assert curve.time_s[0] == 0.0
    assert curve.time_s[-1] == 3 * KEPT_SAMPLES - 1
    assert sum(s == "OCV" for s in curve.states) == 3 * KEPT_SAMPLES // 1000
    assert np.all(np.diff(curve.time_s) > 0)

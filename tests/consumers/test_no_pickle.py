"""Reducer, absorber and every consumer pickle nothing; numba reads its own cache, nothing else."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

from no_pickle import watched

RUN = """
    import json, sys, threading, time
    sys.path.insert(0, sys.argv[1])
    import sound_messages as sound
    from no_pickle import watched
    from operando.consumers.absorber import Absorber
    from operando.consumers.catalogue import configs
    from operando.consumers.reducer import Reducer
    from operando.consumers.warm_up import warm_up
    from operando.stream.hub import Hub, HubConfig
    from operando.stream.live import LiveSubscriber
    from operando.stream.members import Member, Producer
    from operando.stream.messages import Result, ScanStop
    from pathlib import Path

    folder = Path(sys.argv[2])
    consumers = {name: config() for name, config in configs().items()}
    finals, stop = set(), threading.Event()
    with watched() as seen:
        warm_up(consumers.items())
        address = HubConfig(f"ipc://{folder}/i", f"ipc://{folder}/l", groups=("process",))
        with (
            Hub(address) as hub,
            Member(hub.items_address, "process", "reduce", "reducer") as reduce,
            Member(hub.items_address, "process", "absorb", "absorber") as absorb,
            Producer(hub.items_address, "source") as source,
            LiveSubscriber(hub.live_address) as live,
        ):
            reducer = Reducer({"intensity": consumers["intensity"]})
            absorber = Absorber({"intensity": consumers["intensity"]}, 0.1, folder / "findings")
            threads = [
                threading.Thread(target=reducer.run, args=(reduce, stop)),
                threading.Thread(target=absorber.run, args=(absorb, stop)),
            ]
            for thread in threads:
                thread.start()
            source.put(sound.scan_start())
            for index in range(4):
                source.put(sound.frame_of(index))
            source.put(ScanStop("s", 4, "complete"))
            deadline = time.monotonic() + 60
            while len(finals) < 3 and time.monotonic() < deadline:
                finals |= {m.name for m in live.poll(0.1) if isinstance(m, Result) and m.final}
            stop.set()
            for thread in threads:
                thread.join(10)
    print(json.dumps({"calls": seen.calls, "cached": seen.cached, "finals": sorted(finals),
                      "constants": seen.constants}))
"""


def test_reducer_absorber_and_every_consumer_call_no_pickle_but_numbas_cache(tmp_path):
    support = str(Path(__file__).resolve().parents[1] / "support")
    command = [sys.executable, "-c", textwrap.dedent(RUN), support, str(tmp_path)]
    for _ in range(2):  # a first one may have to compile
        done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout)
        assert found["calls"] == []
        assert found["constants"] == 0
        assert len(found["finals"]) == 3
        if found["cached"]:
            return
    raise AssertionError("no kernel was read from the cache: the watch saw nothing")


def test_the_watch_sees_what_it_is_there_for():
    with watched() as seen:
        pickle.loads(pickle.dumps(Path("x")))
    assert [call.split(" by ")[0] for call in seen.calls] == [
        "pickle.dumps", "pickle.loads", f"find_class {Path('x').__class__.__module__}.PosixPath",
    ]  # fmt: skip
    assert all("test_no_pickle.py" in call for call in seen.calls)
    with watched() as seen:
        pass
    assert (seen.calls, seen.cached) == ([], 0)

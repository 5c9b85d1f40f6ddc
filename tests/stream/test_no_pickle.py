"""A run of hub, members, receiver and recorder unpickles nothing and pickles nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUN = """
    import json, sys, threading

    seen = {"find_class": 0, "guarded": 0}

    def watch(event, arguments):
        if event == "pickle.find_class":
            seen["find_class"] += 1

    # numpy, zmq and the standard library import pickle; nobody may call it
    import pickle, _pickle, marshal, shelve
    import h5py, hdf5plugin, msgpack, numpy as np, zmq
    from operando.stream.compression import decode
    from operando.stream.dectris_emitter import DectrisEmitter
    from operando.stream.dectris_receiver import DectrisReceiver
    from operando.stream.dectris_series import Start
    from operando.stream.hub import Hub, HubConfig
    from operando.stream.live import LiveSubscriber
    from operando.stream.members import Member, Producer
    from operando.stream.messages import Account, Frame, Reduction, ScanStart
    from operando.stream.recorder import Recorder
    from operando.stream.run_file import open_run
    from pathlib import Path

    def guarded(*_, **__):
        seen["guarded"] += 1
        raise SystemExit("pickle was called")

    sys.addaudithook(watch)
    for module in (pickle, _pickle):
        for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
            setattr(module, name, guarded)
    for name in ("send_pyobj", "recv_pyobj"):
        setattr(zmq.Socket, name, guarded)

    folder, poisoned = Path(sys.argv[1]), len(sys.argv) > 2
    frames = 20
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    path = folder / "run.nxs"
    with (
        Hub(HubConfig(f"ipc://{folder}/i", f"ipc://{folder}/l")) as hub,
        Producer(hub.items_address, "receiver") as producer,
        Member(hub.items_address, "record", "all", "recorder") as record,
        Member(hub.items_address, "process", "reduce", "reducer") as reduce,
        Member(hub.items_address, "process", "absorb", "absorber") as absorb,
        LiveSubscriber(hub.live_address) as live,
        DectrisEmitter("tcp://127.0.0.1:*") as emitter,
    ):
        stop = threading.Event()
        receiver = DectrisReceiver(emitter.address, producer.put)
        recorder = Recorder(path, record)
        threads = [
            threading.Thread(target=receiver.run, args=(stop,)),
            threading.Thread(target=recorder.run, args=(stop,)),
        ]
        for thread in threads:
            thread.start()
        assert receiver.connected.wait(10)
        emitter.start(Start(1, frames, pixels.shape, "uint16", unique="u"))
        for index in range(frames):
            emitter.image(1, index, pixels + index)
        emitter.end()
        closed, absorbed = False, 0
        for _ in range(2000):
            delivery = reduce.receive(0.02)
            if delivery is not None and isinstance(delivery.message, Frame):
                frame = delivery.message
                total = {"sum": np.array([decode(frame, verify=True).sum()], float)}
                reduce.send(Reduction(frame.scan, frame.index, total))
            while (delivery := absorb.receive(0.0)) is not None:
                if isinstance(delivery.message, Reduction):
                    absorb.acknowledge_frame(delivery.message.scan, delivery.message.index)
                    absorbed += 1
                else:
                    absorb.acknowledge(delivery)
            closed = closed or any(isinstance(m, Account) and m.closed for m in live.poll(0.0))
            if closed:
                break
        stop.set()
        for thread in threads:
            thread.join(10)
        recorder.close()
    if poisoned:  # the watch itself must be able to see
        pickle.loads(b"")
    with open_run(path) as run:
        (start,) = run.scans()
        recorded = len(list(run.frames(start.scan)))
    print(json.dumps({**seen, "closed": closed, "absorbed": absorbed, "recorded": recorded}))
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_run_calls_no_pickle(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found == {
        "find_class": 0, "guarded": 0, "closed": True, "absorbed": 20, "recorded": 20,
    }  # fmt: skip


def test_a_run_that_called_it_would_be_seen(tmp_path):
    done = run(tmp_path, "poisoned")
    assert done.returncode != 0
    assert "pickle was called" in done.stderr


FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {"send_pyobj", "recv_pyobj", "system", "popen"}
ROOMS = ("stream", "consumers", "live_views", "detectors", "plans", "sim", "materials", "cli")


def forbidden(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "") in FORBIDDEN_MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found += [node.func.id] if node.func.id in FORBIDDEN_CALLS else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += [node.func.attr] if node.func.attr in FORBIDDEN_METHODS else []
            pickled = any(k.arg == "allow_pickle" and k.value.value for k in node.keywords)
            found += ["allow_pickle"] if pickled else []
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_pickles_or_evaluates_text(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {str(f.relative_to(ROOT)): forbidden(ast.parse(f.read_text())) for f in files}
    assert {name: what for name, what in found.items() if what} == {}


def test_the_search_sees_what_it_looks_for():
    text = "import pickle\nfrom marshal import loads\neval('1')\ns.recv_pyobj()\nload(1)"
    assert forbidden(ast.parse(text)) == ["pickle", "marshal", "eval", "recv_pyobj"]
    assert forbidden(ast.parse("np.load(f, allow_pickle=True)")) == ["allow_pickle"]

"""Supervised processes: started, restarted, ended, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from parts_asleep import Sleeping


def wait_for(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        os.sched_yield()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_part_that_is_killed_is_started_again(tmp_path):
    parts = Sleeping(tmp_path, {})
    part = parts.start("reducer-0", restart=True)
    first = part.process.pid
    part.process.kill()
    part.process.wait()
    assert parts.look_after() == ["reducer-0 ended (killed by SIGKILL) and is started again"]
    assert part.alive()
    assert part.process.pid != first
    parts.stop_all()


def test_a_part_that_keeps_dying_stays_down(tmp_path):
    parts = Sleeping(tmp_path, {})
    parts.program = "raise SystemExit(3)"
    part = parts.start("window", restart=True)
    said = []
    for _ in range(8):
        if part.process is not None:
            part.process.wait()
        said += parts.look_after()
    assert said[-1].endswith("stays down")
    assert len(said) == 6
    assert not part.alive()


def test_a_part_that_does_not_listen_is_killed_and_named(tmp_path):
    parts = Sleeping(tmp_path, {})
    parts.program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    )
    part = parts.start("deaf")
    wait_for(lambda: "deaf" in parts.tail(part))
    pid = part.process.pid
    assert parts.stop_all(timeout_s=0.5) == ["deaf did not end within 0 s and was killed"]
    assert gone(pid)


def test_what_a_part_leaves_behind_is_swept(tmp_path):
    parts = Sleeping(tmp_path, {})
    parts.program = (
        "import subprocess, sys, time; "
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print(c.pid, flush=True); time.sleep(60)"
    )
    part = parts.start("parent")
    wait_for(lambda: parts.tail(part).strip().isdigit())
    child = int(parts.tail(part))
    parts.stop_all()
    wait_for(lambda: gone(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_parts_end_when_their_supervisor_is_gone(tmp_path, number):
    child = (
        "from operando.cli.parts import stop_when_asked; import os; e = stop_when_asked(); "
        "print(os.getpid(), flush=True); e.wait()"
    )
    supervisor = (
        "import os, subprocess, sys, time\n"
        "env = {**os.environ, 'OPERANDO_SUPERVISED': '1'}\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE,"
        " env=env, start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", supervisor], stdout=subprocess.PIPE)
    pid = int(process.stdout.readline())
    process.send_signal(number)
    process.wait()
    wait_for(lambda: gone(pid))

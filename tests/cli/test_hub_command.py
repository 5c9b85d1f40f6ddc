"""`operando hub` as a person starts it, without the supervisor."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time

import pytest
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Document, Message, Status
from operando.stream.packing import unpack
from operando.stream.spool import LOGS, PutAgain, read_spool
from whole_run import command, environment

PATIENCE_S = 60.0


def network_in(folder):
    """Addresses in folder, as the experiment there has them."""
    network = {name: f"ipc://{folder}/{name}" for name in ("items", "live")}
    about = {"title": "t", "marks": [{"capacity_mAh": 0.001}], "simulation": {}}
    (folder / "x.yaml").write_text(json.dumps({**about, "network": network}))
    return network


@contextlib.contextmanager
def hub_in(folder, *options):
    """The command at work in folder, until it is killed."""
    network = network_in(folder)
    with (folder / "hub.log").open("w") as log:
        hub = subprocess.Popen(
            command("hub", "x.yaml", "--no-detector", *options), cwd=folder, env=environment(),
            stderr=log,
        )  # fmt: skip
    try:
        with LiveSubscriber(network["live"]) as live:
            deadline = time.monotonic() + PATIENCE_S
            while not any(isinstance(m, Status) for m in live.poll(0.2)):
                assert time.monotonic() < deadline, hub.poll()
        yield network["items"]
    finally:
        hub.kill()
        hub.wait()


def put(items, message: Message):
    with Producer(items, "plan") as producer:
        producer.put(message)
        producer.flush()


def spooled(folder):
    pasts = read_spool(folder / "spool", damaged=pytest.fail)
    return [unpack([bytes(p) for p in x.parts]) for x in pasts if isinstance(x, PutAgain)]


def test_it_keeps_a_spool_where_it_was_started_and_one_after_it_goes_on_from_there(tmp_path):
    message = Document("r", "event", "{}")
    with hub_in(tmp_path) as items:
        put(items, message)
    assert sorted(p.name for p in (tmp_path / "spool").iterdir()) == sorted(LOGS)
    assert spooled(tmp_path) == [message]
    with hub_in(tmp_path):
        assert "goes on from its spool" in (tmp_path / "hub.log").read_text()


def test_without_a_spool_only_when_it_is_told_so(tmp_path):
    with hub_in(tmp_path, "--no-spool") as items:
        put(items, Document("r", "event", "{}"))
        assert "no spool" in (tmp_path / "hub.log").read_text()
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--spool", "here", "--no-spool"], "one of them"),
        (["--spool", "x.yaml"], "does not start"),
    ],
)
def test_a_spool_that_cannot_be_is_a_line_and_no_traceback(tmp_path, options, words):
    network_in(tmp_path)
    done = subprocess.run(
        command("hub", "x.yaml", "--no-detector", *options), cwd=tmp_path, env=environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode
    assert words in done.stderr
    assert "Traceback" not in done.stderr

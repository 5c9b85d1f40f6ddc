"""Parts that begin before their hub is there, and wait for it: none ends, and nothing is lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from operando.cli import serve
from operando.cli.experiment_file import parse
from operando.stream.dectris_emitter import DectrisEmitter
from operando.stream.dectris_series import Start
from operando.stream.hub import Hub, HubConfig
from operando.stream.link import HubUnreachable
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Account, Status
from sound_messages import EXPERIMENT

PATIENCE_S = 60.0
SHAPE = (8, 10)


MADE: dict[str, Hasty] = {}  # of the running test, by name


class Hasty(Producer):
    """A producer that soon gives up, and tells how often."""

    def __init__(self, address, name, context=None, window=8, keys=None):
        super().__init__(address, name, window=1)
        self.gave_up = threading.Semaphore(0)
        MADE[name] = self

    def put(self, message, timeout_s=30.0):
        try:
            super().put(message, 0.05)
        except HubUnreachable:
            self.gave_up.release()
            raise


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """An experiment file's object with addresses of its own, and the hub for it, not started."""
    MADE.clear()
    monkeypatch.setattr(serve, "Producer", Hasty)
    monkeypatch.setattr(serve, "HEARTBEAT_S", 0.02)
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", groups=("record",))
    experiment = parse(EXPERIMENT, "experiment")
    network = experiment.network.model_copy(update={"items": config.items, "live": config.live})
    return experiment.model_copy(update={"network": network}), Hub(config)


def gave_up(name, times):
    deadline = time.monotonic() + PATIENCE_S
    while name not in MADE and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    for _ in range(times):
        assert MADE[name].gave_up.acquire(timeout=PATIENCE_S), f"{name} ended, or has room"


def heard(hub, wanted):
    with LiveSubscriber(hub.live_address) as live:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for message in live.poll(0.2, limit=1):
                if wanted(message):
                    return message
    raise AssertionError("the live side never said so")


def test_a_heartbeat_outlives_a_hub_that_is_away(bench):
    experiment, hub = bench
    with serve.heartbeat(experiment, "reducer-0", serve.Report("reducing")):
        gave_up("reducer-0-status", 3)
        with hub:
            status = heard(hub, lambda m: isinstance(m, Status) and m.component == "reducer-0")
            assert status.state == "reducing"


def test_a_receiver_holds_its_detector_back_until_there_is_a_hub_and_loses_nothing(bench):
    experiment, hub = bench
    stop = threading.Event()
    with DectrisEmitter("tcp://127.0.0.1:*") as emitter:
        detector = experiment.detector.model_copy(update={"stream": emitter.address})
        experiment = experiment.model_copy(update={"detector": detector})
        thread = threading.Thread(target=serve._receive, args=(experiment, stop, None))
        thread.start()
        emitter.start(Start(1, 6, SHAPE, "uint16", unique="u1", exposure_s=0.01))
        for index in range(6):
            emitter.image(1, index, np.full(SHAPE, index, np.uint16), "raw", time_s=0.01 * index)
        emitter.end()
        gave_up("receiver", 3)
        with hub:
            account = heard(hub, lambda m: isinstance(m, Account) and m.received == 6)
            assert account.lost == {}
            stop.set()
            thread.join(PATIENCE_S)
    assert not thread.is_alive()

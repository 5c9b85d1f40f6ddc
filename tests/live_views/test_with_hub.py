"""The window on a real hub: what is put in one process's side shows up on the other."""

import time

import pytest
import zmq
from operando.live_views.main import Watcher
from operando.live_views.model import RunModel
from operando.live_views.theme import DARK, configure
from operando.live_views.window import LiveWindow
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer


@pytest.fixture
def hub(tmp_path):
    context = zmq.Context()
    config = HubConfig(f"ipc://{tmp_path}/items", f"ipc://{tmp_path}/live", groups=("process",))
    try:
        with Hub(config, context) as running:
            yield running, context
    finally:
        context.destroy(linger=0)


def put(running, context, messages):
    with Producer(running.items_address, "test", context) as producer:
        for message in messages:
            producer.put(message)
        producer.flush(10.0)


def watch_until(watcher, condition):
    deadline = time.monotonic() + 15
    while not condition():
        watcher.take()
        assert time.monotonic() < deadline


def test_a_window_opened_late_has_all_the_hub_keeps(qtbot, hub, small, tmp_path):
    running, context = hub
    messages = [small.samples(small.mark_s(2) + 100), *small.results(1, 1.0, 3, final=True)]
    put(running, context, [*messages, *small.results(2, 0.4, 2), *small.statuses(time.time())])
    configure()
    window = LiveWindow(RunModel(), DARK)
    qtbot.addWidget(window)
    source = LiveSubscriber(running.live_address, context)
    watcher = Watcher(window, source, out=tmp_path, finished=lambda: None)
    names = {r.name for r in small.results(1, 1.0, 1)}
    watch_until(
        watcher,
        lambda: (
            [len(s.results) for s in window.model.scans()] == [len(names)] * 2
            and len(window.model.history) > 100
        ),
    )
    watcher.picture()
    assert window.map.canvas.badge.text() == "provisional · 40 %"
    assert "8." in window.map.foot.text()
    put(running, context, small.results(2, 1.0, 9, final=True))
    watch_until(watcher, lambda: window.model.scan().result("lattice_parameter").final)
    watcher.end()
    assert (tmp_path / "final.png").exists()
    source.close()

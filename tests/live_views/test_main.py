import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from operando.live_views.main import Outbox, Watcher, watch
from operando.live_views.model import RunModel
from operando.live_views.theme import DARK, configure, theme_named
from operando.live_views.window import LiveWindow
from operando.stream.messages import Decision, Focus
from PySide6 import QtGui

SCRIPT = """
import sys
from pathlib import Path
from operando.live_views.main import watch
sys.exit(watch(sys.argv[1], offscreen=True, out=Path(sys.argv[2]), every_s=0.2))
"""


class Feed:
    """Messages from a list, some at a time."""

    def __init__(self, messages):
        self.messages = list(messages)
        self.closed = False

    def poll(self, timeout_s=0.0, limit=1000):
        now, self.messages = self.messages[:limit], self.messages[limit:]
        return now

    def close(self):
        self.closed = True


def is_picture(path):
    image = QtGui.QImage(str(path))
    return (image.width(), image.height()) == (1920, 1080)


def test_offscreen_the_view_leaves_numbered_pictures_the_latest_and_a_final_one(
    qapp, small, tmp_path
):
    feed = Feed([*small.finished_scan(1), *small.statuses(time.time())])
    code = watch("inproc://nobody", offscreen=True, out=tmp_path, every_s=0.1,
                 stop_when_idle_s=1.2, source=feed)  # fmt: skip
    assert code == 0
    assert feed.closed
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names[:2] == ["final.png", "latest.png"]
    assert names[2] == "window-0001.png"
    assert all(is_picture(tmp_path / name) for name in names)


def test_sigterm_ends_the_view_with_a_last_picture(tmp_path):
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    address = f"ipc://{tmp_path}/nobody"
    view = subprocess.Popen([sys.executable, "-c", SCRIPT, address, str(tmp_path)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "latest.png").exists():
            assert view.poll() is None
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)
        view.send_signal(signal.SIGTERM)
        assert view.wait(30) == 0
    finally:
        view.kill()
    assert is_picture(tmp_path / "final.png")
    assert not list(tmp_path.glob("*.part"))


def test_old_numbered_pictures_go_when_there_are_too_many(qtbot, tmp_path, monkeypatch):
    from operando.live_views import main

    monkeypatch.setattr(main, "MAX_PICTURES", 3)
    configure()
    window = LiveWindow(RunModel(), DARK)
    qtbot.addWidget(window)
    watcher = Watcher(window, Feed([]), out=tmp_path, finished=lambda: None)
    for _ in range(5):
        watcher.picture()
    kept = sorted(p.name for p in tmp_path.glob("window-*.png"))
    assert kept == ["window-0003.png", "window-0004.png", "window-0005.png"]


@pytest.fixture
def slow_outbox():
    """An outbox whose first message, a Focus, is being sent; go lets all of them through."""
    sent, first, go = [], threading.Event(), threading.Event()

    def slow(message):
        first.set()
        go.wait(60)
        sent.append(message)

    outbox = Outbox(slow)
    outbox.put(Focus("", 0, 0))
    assert first.wait(60)
    yield outbox, sent, go
    go.set()
    outbox.close(5.0)


def test_the_outbox_never_waits_and_only_the_newest_choice_is_sent(slow_outbox):
    outbox, sent, go = slow_outbox
    began = time.monotonic()
    for column in range(1, 50):
        outbox.put(Focus("", 0, column))
    assert time.monotonic() - began < 1.0
    go.set()
    outbox.close(10.0)
    assert [m.column for m in sent] == [0, 49]


def test_no_decision_is_replaced_while_it_waits_to_be_sent(slow_outbox):
    outbox, sent, go = slow_outbox
    for number in range(5):
        outbox.put(Focus("", 0, number))
        outbox.put(Decision("run", str(number), "approved", "window", "", 1.0))
    go.set()
    outbox.close(10.0)
    assert [getattr(m, "id", "focus") for m in sent] == ["focus", *"01234", "focus"]
    assert sent[-1] == Focus("", 0, 4)


def test_a_send_that_fails_is_told_and_the_next_one_still_goes(capsys):
    sent, done = [], threading.Event()

    def send(message):
        if message.column == 0:
            raise ConnectionError("hub gone")
        sent.append(message)
        done.set()

    outbox = Outbox(send)
    outbox.put(Focus("", 0, 0))
    deadline = time.monotonic() + 10
    while "hub gone" not in capsys.readouterr().err:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    outbox.put(Focus("", 0, 1))
    assert done.wait(60)
    outbox.close(5.0)


def test_an_unknown_theme_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="there are 'dark' and 'light'"):
        theme_named("pink")

"""`operando watch`: a window on a hub's live side, on a screen or into PNG files.

The window only listens. With offscreen=True nothing needs a display: every few seconds a picture
is written as window-0001.png, window-0002.png, ... and as latest.png, and the last one, when the
view is ended, as final.png.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from PySide6 import QtCore

from ..stream.messages import Decision, Message
from .model import RunModel
from .picture import save_picture
from .theme import application, theme_named
from .window import LiveWindow

TICK_MS = 100  # the window looks for messages ten times a second and draws at most as often
TAKE_S = 0.04  # of each tick, so that the window answers the mouse even when messages pour in
MAX_PICTURES = 600  # numbered pictures kept; the oldest go first


class Source(Protocol):
    """Where messages come from; a LiveSubscriber, or a list in a test."""

    def poll(self, timeout_s: float = 0.0, limit: int = 1000) -> list[Message]:
        """What has come since the last call."""
        ...

    def close(self) -> None:
        """No more is wanted."""
        ...


class Watcher(QtCore.QObject):
    """Feeds a window from a source, writes pictures, and knows when to end.

    out: folder of pictures, None for none; every_s: time between them [s]
    stop_when_idle_s: end when nothing has come for this long [s], once something has come
    """

    def __init__(
        self,
        window: LiveWindow,
        source: Source,
        *,
        out: Path | None = None,
        every_s: float = 2.0,
        stop_when_idle_s: float | None = None,
        finished: Callable[[], None],
    ) -> None:
        super().__init__()
        self._window, self._source, self._out = window, source, out
        self._every_s, self._idle_s, self._finished = every_s, stop_when_idle_s, finished
        self._next_picture = time.monotonic() + min(every_s, 0.5)
        self._pictures = 0
        self.stopping = False
        self._ended = False
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.tick)

    def start(self) -> None:
        """Begin to look."""
        self._timer.start(TICK_MS)

    def tick(self) -> None:
        """Take what has come; draw, or write the picture that is due."""
        if self._ended:
            return
        self.take()
        silence = self._window.model.silence_s()
        if self.stopping or (self._idle_s is not None and silence > self._idle_s):
            self.end()
        elif self._out is None:
            self._window.tick()
        elif time.monotonic() >= self._next_picture:
            self._next_picture = time.monotonic() + self._every_s
            self.picture()

    def take(self) -> None:
        """Take messages for at most TAKE_S."""
        until = time.monotonic() + TAKE_S
        while messages := self._source.poll(0.0, 200):
            self._window.take(messages)
            if time.monotonic() > until:
                break

    def picture(self) -> None:
        """Write the next numbered picture and latest.png."""
        if self._out is None:
            return
        self._pictures += 1
        self._window.redraw()
        numbered = save_picture(self._window, self._out / f"window-{self._pictures:04d}.png")
        replace_by_copy(numbered, self._out / "latest.png")
        if self._pictures > MAX_PICTURES:
            oldest = self._out / f"window-{self._pictures - MAX_PICTURES:04d}.png"
            oldest.unlink(missing_ok=True)

    def end(self) -> None:
        """The last picture, then the end."""
        if self._ended:
            return
        self._ended = True
        self._timer.stop()
        self.take()
        if self._out is not None:
            self._window.redraw()
            final = save_picture(self._window, self._out / "final.png")
            replace_by_copy(final, self._out / "latest.png")
        self._finished()


class Outbox:
    """Sends from a thread of its own, so that the window never waits.

    Of the places that somebody looks at only the newest counts: a Focus that still waits is
    replaced. Every Decision is sent, in order, before it.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._decisions: deque[Message] = deque()
        self._newest: Message | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Send message as soon as that is possible."""
        with self._changed:
            if isinstance(message, Decision):
                self._decisions.append(message)
            else:
                self._newest = message
            self._changed.notify()

    def close(self, timeout_s: float = 1.0) -> None:
        """Send what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _next(self) -> Message | None:
        with self._changed:
            while not self._decisions and self._newest is None and not self._closing:
                self._changed.wait()
            if self._decisions:
                return self._decisions.popleft()
            message, self._newest = self._newest, None
            return message

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._send(message)
            except Exception as error:  # the picture goes on without the voxel's details
                print(f"watch: {message} was not sent: {error}", file=sys.stderr)


def watch(
    address: str,
    *,
    offscreen: bool = False,
    out: Path | None = None,
    every_s: float = 2.0,
    stop_when_idle_s: float | None = None,
    theme: str = "dark",
    send: Callable[[Message], None] | None = None,
    source: Source | None = None,
) -> int:
    """Open the window on the live side of a hub; returns an exit code when it is closed.

    address: the hub's live address
    offscreen: write pictures into out (default: the current folder) instead of opening a window
    stop_when_idle_s: end by itself after this long without a message [s]
    send: takes the Focus of a clicked voxel and a Decision on a proposal to the hub; None where
        the window may only look
    source: where messages come from, instead of a subscription to address
    """
    colours = theme_named(theme)
    if offscreen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    app = application()
    pictures = (out or Path.cwd()) if offscreen else None
    outbox = Outbox(send) if send is not None else None
    window = LiveWindow(RunModel(), colours, outbox.put if outbox else None, out)
    messages = source if source is not None else _subscription(address)
    watcher = Watcher(
        window, messages, out=pictures, every_s=every_s,
        stop_when_idle_s=stop_when_idle_s, finished=app.quit,
    )  # fmt: skip
    app.lastWindowClosed.connect(watcher.end)
    if offscreen:
        window.show()
    else:
        window.showMaximized()
    watcher.start()
    try:
        with _ended_by_signals(watcher):
            app.exec()
        watcher.end()
    finally:
        app.lastWindowClosed.disconnect(watcher.end)
        messages.close()
        if outbox is not None:
            outbox.close()
        window.close()
        window.deleteLater()
    return 0


def replace_by_copy(picture: Path, target: Path) -> None:
    """Make target the same picture, as a whole: who reads it never sees half of one."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    part.write_bytes(picture.read_bytes())
    os.replace(part, target)


def _subscription(address: str) -> Source:
    from ..stream.live import LiveSubscriber

    return LiveSubscriber(address)


@contextmanager
def _ended_by_signals(watcher: Watcher) -> Iterator[None]:
    """SIGTERM and SIGINT end the view with its last picture; the timer lets Python see them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        watcher.stopping = True

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

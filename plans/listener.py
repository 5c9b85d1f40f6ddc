"""A thread that listens to the hub's live side and hands on what it hears."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..stream.live import LiveSubscriber
from ..stream.messages import Message


class Listener:
    """Listens from start() to stop(); take is called on the listener's own thread.

    listen: opens a subscription, in the thread that uses it
    """

    def __init__(
        self, listen: Callable[[], LiveSubscriber], take: Callable[[Message], None], name: str
    ) -> None:
        self._subscribe = listen
        self._take = take
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=name, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _listen(self) -> None:
        with self._subscribe() as live:
            while not self._stop.is_set():
                for message in live.poll(0.2):
                    self._take(message)

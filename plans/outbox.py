"""One thread that puts messages for many: a channel's producer belongs to a single thread.

Documents, samples and positions come from different threads (RunEngine, ophyd's dispatchers).
They are queued here in order and put by one thread. Nothing is dropped: where the channel does
not answer, the message is put again until it goes; where the queue is full, the sender is told.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable

from ..stream.messages import Message

_log = logging.getLogger(__name__)
_RETRY_S = 0.5


class OutboxFull(RuntimeError):
    """So many messages wait that the channel must be taken for dead."""


class Outbox:
    """Bounded queue in front of put; to be closed."""

    def __init__(
        self, put: Callable[[Message], None], limit: int = 20_000, patience_s: float = 5.0
    ) -> None:
        """limit: messages that may wait; patience_s: how long a sender waits for room [s]."""
        self._put = put
        self._patience_s = patience_s
        self._queue: queue.Queue[Message | None] = queue.Queue(limit)
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue message; from any thread. Raises OutboxFull."""
        try:
            self._queue.put(message, timeout=self._patience_s)
        except queue.Full:
            raise OutboxFull(
                f"{self._queue.maxsize} messages wait, the channel takes none of them"
            ) from None

    @property
    def waiting(self) -> int:
        """Messages that have not been put yet."""
        return self._queue.qsize()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all has been put; False where that did not happen in time."""
        deadline = time.monotonic() + timeout_s
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                self._queue.all_tasks_done.wait(left_s)
        return True

    def close(self, timeout_s: float = 10.0) -> int:
        """Put what waits, at most timeout_s long; how many messages are lost with this."""
        self.flush(timeout_s)
        self._giving_up.set()
        lost = self._queue.unfinished_tasks
        if lost:
            _log.error("%d messages could not be put and are lost", lost)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout=1.0)
        return lost

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            while not self._giving_up.is_set():
                try:
                    self._put(message)
                    break
                except Exception as error:  # whatever the channel raises: try again
                    _log.warning("a message waits: %s", error)
                    self._giving_up.wait(_RETRY_S)
            self._queue.task_done()
        self._queue.task_done()

"""Whether a scan may begin, by what the hub says of its room: the plan waits before frames would.

What a detector sends is not kept for long at the detector: with nobody to fetch it, it drops. So
the plan holds before the next scan while the hub's memory or spool is fuller than HOLD_ABOVE, and
goes on below GO_ON_BELOW. The cell is at open circuit then, and stays there: a hold is a wait
between two steps of the plan and never touches the current.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from ..stream.live import LiveSubscriber
from ..stream.messages import Scalar, Status

HOLD_ABOVE = 0.8
GO_ON_BELOW = 0.6
SILENT_S = 10.0  # the hub reports twice a second


def why_hold(hub: Mapping[str, Scalar], silent_s: float, holding: bool) -> str:
    """Why the next scan has to wait; "" where it has not.

    hub: values of the hub's last Status; silent_s: since then [s]
    holding: whether it waits already
    """
    if silent_s > SILENT_S:
        return f"the hub has said nothing for {silent_s:.0f} s"
    fill = float(hub.get("fill", 0.0))
    if fill < (GO_ON_BELOW if holding else HOLD_ABOVE):
        return ""
    held = str(hub.get("held", ""))
    reason = held or f"what waits to be recorded and analysed fills {100 * fill:.0f} % of its room"
    return f"{reason}; {hub.get('lag_frames', 0)} frames wait"


class Backlog:
    """Listens to the hub from start() to stop(); why() may be asked from any thread.

    listen: opens a subscription to the hub's status, in the thread that uses it
    """

    def __init__(self, listen: Callable[[], LiveSubscriber]) -> None:
        self._subscribe = listen
        self._values: Mapping[str, Scalar] = {}
        self._heard = time.monotonic()
        self._holding = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="backlog", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._heard = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def why(self) -> str:
        """Why the next scan has to wait; "" where it has not."""
        reason = why_hold(self._values, time.monotonic() - self._heard, self._holding)
        self._holding = bool(reason)
        return reason

    def _listen(self) -> None:
        with self._subscribe() as live:
            while not self._stop.is_set():
                for message in live.poll(0.2):
                    if isinstance(message, Status):
                        self._values, self._heard = message.values, time.monotonic()

"""Whether a scan may begin or go on, by what hub and recorder say: the plan waits before frames do.

What a detector sends is not kept for long at the detector: with nobody to fetch it, it drops. So
the plan holds, before a scan and between its lines, while the hub's memory or spool is fuller than
HOLD_ABOVE, while a frame has waited longer than it may, or while the recorder has no room; it goes
on below GO_ON_BELOW, or half of that time. The cell is at open circuit then, and stays there: a
hold is a wait between two steps of the plan and never touches the current.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

from ..stream.live import LiveSubscriber
from ..stream.messages import Scalar, Status

HOLD_ABOVE = 0.8
GO_ON_BELOW = 0.6
SILENT_S = 10.0  # the hub reports twice a second


def why_hold(
    hub: Mapping[str, Scalar],
    silent_s: float,
    holding: bool,
    age_s: float = math.inf,
    recorder: str = "",
) -> str:
    """Why the next scan or line has to wait; "" where it has not.

    hub: values of the hub's last Status; silent_s: since then [s]
    holding: whether it waits already
    age_s: how long a frame may wait to be recorded and analysed [s]
    recorder: why the recorder writes nothing now; "" where it does
    """
    if silent_s > SILENT_S:
        return f"the hub has said nothing for {silent_s:.0f} s"
    fill, lag_s = float(hub.get("fill", 0.0)), float(hub.get("lag_s", 0.0))
    if fill >= (GO_ON_BELOW if holding else HOLD_ABOVE):
        held = str(hub.get("held", ""))
        full = f"what waits to be recorded and analysed fills {100 * fill:.0f} % of its room"
        reason = recorder or held or full
    elif recorder:
        reason = recorder
    elif lag_s > (0.5 * age_s if holding else age_s):
        reason = f"a frame has waited {lag_s:.0f} s to be recorded and analysed, {age_s:g} s may be"
    else:
        return ""
    return f"{reason}; {hub.get('lag_frames', 0)} frames wait"


class Backlog:
    """Listens to the hub from start() to stop(); why() may be asked from any thread.

    listen: opens a subscription to the status of hub and recorder, in the thread that uses it
    age_s: how long a frame may wait to be recorded and analysed [s]
    """

    def __init__(self, listen: Callable[[], LiveSubscriber], age_s: float = math.inf) -> None:
        self._subscribe = listen
        self._age_s = age_s
        self._values: Mapping[str, Scalar] = {}
        self._recorder = ("", -math.inf)  # why it writes nothing, and when it said so
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
        """Why the next scan or line has to wait; "" where it has not."""
        now = time.monotonic()
        recorder, said = self._recorder
        reason = why_hold(
            self._values,
            now - self._heard,
            self._holding,
            self._age_s,
            recorder if now - said < SILENT_S else "",
        )
        self._holding = bool(reason)
        return reason

    def _listen(self) -> None:
        with self._subscribe() as live:
            while not self._stop.is_set():
                for message in live.poll(0.2):
                    if not isinstance(message, Status):
                        continue
                    if message.component == "hub":
                        self._values, self._heard = message.values, time.monotonic()
                    elif message.component == "recorder":
                        self._recorder = str(message.values.get("held", "")), time.monotonic()

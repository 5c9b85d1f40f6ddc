"""Which scan is under way, as the hub's live side tells it to a receiver that starts late."""

from __future__ import annotations

import threading
import time

from .live import LiveSubscriber
from .messages import ScanStart, ScanStop, Status

SETTLE_S = 0.3  # the hub's first word may overtake the answers to what was asked just before


def open_detector_scan(live: LiveSubscriber, stop: threading.Event) -> ScanStart | None:
    """The last scan of a detector that has begun and not stopped; None where there is none.

    live: a fresh subscriber to scan_start, scan_stop and status/hub, in that order
    Waits for the hub, until stop is set.
    """
    starts: dict[str, ScanStart] = {}
    stopped: set[str] = set()
    heard = float("inf")
    while not stop.is_set() and time.monotonic() < heard + SETTLE_S:
        for message in live.poll(0.1):
            if isinstance(message, ScanStart):
                starts[message.scan] = message
            elif isinstance(message, ScanStop):
                stopped.add(message.scan)
            elif isinstance(message, Status):
                heard = min(heard, time.monotonic())
    found = [
        start
        for scan, start in starts.items()
        if scan not in stopped and "detector_series" in start.notes
    ]
    return found[-1] if found else None

"""Process variables that no jump of the clock lets fail.

pyepics takes the time of day for its timeouts: where somebody sets that forward while an answer is
awaited, the read has timed out at once. Here the monotonic clock decides, and it is asked again.
"""

from __future__ import annotations

import time
from typing import Any

from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.signal import DEFAULT_TIMEOUT, EpicsSignalBase

WAITED = 0.5  # of its limit: less, and the timeout was none


class _Asked(EpicsSignalBase):
    def _get_with_timeout(self, pv: Any, timeout: Any, *how: Any) -> Any:
        limit_s = self.timeout if timeout is DEFAULT_TIMEOUT else timeout
        while True:
            began = time.monotonic()
            try:
                return super()._get_with_timeout(pv, timeout, *how)
            except TimeoutError:
                if limit_s is None or time.monotonic() - began >= WAITED * limit_s:
                    raise


class Asked(_Asked, EpicsSignal):
    """An EpicsSignal, read with patience."""


class AskedRO(_Asked, EpicsSignalRO):
    """An EpicsSignalRO, read with patience."""

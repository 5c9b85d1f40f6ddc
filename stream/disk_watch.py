"""Whether the record's disk has room and keeps up: said before frames have to wait for it.

Room is looked at before writing, because HDF5 does not like a write that fails half way. The rate
is what writing took, not what came: bytes over the time spent in writes and flushes. The system
takes writes into memory first, so a slow disk shows when that is full, and at every sync.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .messages import Scalar

RESERVE_BYTES = 64 << 20  # a quarter of the spool's: where both share a disk the spool stops first
JUDGED_BYTES = 32 << 20  # written before a rate is believed
JUDGED_OVER = 256  # flushes that a rate is taken over


class DiskWatch:
    """Watches the folder that a record is written to; used by the recorder's thread.

    min_mb_s: declared rate below which the disk is called slow [MB/s]; 0 = never
    reserve_bytes: room that the record leaves
    free: asked for the bytes that are free; None = the system
    """

    def __init__(
        self,
        folder: Path,
        min_mb_s: float = 0.0,
        reserve_bytes: int = RESERVE_BYTES,
        free: Callable[[], int] | None = None,
    ) -> None:
        self._folder = folder
        self._min_mb_s = min_mb_s
        self._reserve_bytes = reserve_bytes
        self._free = free or (lambda: shutil.disk_usage(folder).free)
        self._wrote: deque[tuple[int, float]] = deque(maxlen=JUDGED_OVER)

    def full(self) -> str:
        """Why nothing may be written now; "" where there is room."""
        free = self._free()
        if free >= self._reserve_bytes:
            return ""
        return (
            f"{free >> 20} MB free under {self._folder}, "
            f"{self._reserve_bytes >> 20} MB are kept free: make room"
        )

    def wrote(self, octets: int, took_s: float) -> None:
        """So many bytes have been written and flushed in this time."""
        self._wrote.append((octets, took_s))

    def mb_s(self) -> float:
        """What the disk takes [MB/s]; nan where too little has been written to tell."""
        wrote = list(self._wrote)  # in one step: the status is asked for by another thread
        octets, took_s = sum(n for n, _ in wrote), sum(s for _, s in wrote)
        return octets / 1e6 / took_s if octets >= JUDGED_BYTES and took_s > 0 else float("nan")

    def slow(self) -> str:
        """That the disk is slower than declared, in words; "" where it is not."""
        rate = self.mb_s()
        if not rate < self._min_mb_s:
            return ""
        return f"the record's disk takes {rate:.1f} MB/s, {self._min_mb_s:g} MB/s are declared"

    def status(self) -> dict[str, Scalar]:
        """For the recorder's Status. held: it writes nothing now, warning: it may come to that."""
        values: dict[str, Scalar] = {"disk_free_bytes": self._free()}
        said = {"held": self.full(), "warning": self.slow()}
        values |= {key: words for key, words in said.items() if words}
        if (rate := self.mb_s()) == rate:
            values["record_mb_s"] = round(rate, 1)
        return values

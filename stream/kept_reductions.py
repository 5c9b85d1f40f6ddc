"""What a restarted absorber is given again: every reduction of a group's unfinished scans.

Absorbing is idempotent, so all of them are kept until their scan is over. Those with a place in the
spool lose only their bytes where memory runs out, oldest first, and are read back when they are
delivered. Without a spool an absorbed one has to go for good then; one that is not absorbed never.

No sockets and no files here: a place knows how to read itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .held import FrameKey, Payload, Stored, size_of


class KeptReductions:
    """Of one group.

    limit_bytes: of those in memory; without a spool, of the absorbed ones [B]
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: dict[str, dict[int, Payload | Stored]] = {}
        self._places: dict[FrameKey, Stored] = {}
        self._in_memory: deque[tuple[FrameKey, int]] = deque()  # what may lose its bytes
        self._bytes = 0
        self._gone: dict[str, list[int]] = {}

    def __contains__(self, key: FrameKey) -> bool:
        return key[1] in self._kept.get(key[0], ())

    def add(self, key: FrameKey, parts: Payload | Stored, stored: Stored | None = None) -> None:
        """One more; stored: where it stands in the spool, which parts may say as well."""
        self._kept.setdefault(key[0], {})[key[1]] = parts
        if stored is not None and not isinstance(parts, Stored):
            self._places[key] = stored
            self._count(key)

    def absorbed(self, key: FrameKey) -> None:
        """A frame was absorbed: what is kept of it need not be in memory, if anything is."""
        kept = self._kept.get(key[0], {}).get(key[1])
        if kept is not None and key not in self._places and not isinstance(kept, Stored):
            self._count(key)

    def of(self, scan: str) -> Iterator[tuple[int, Payload | Stored]]:
        """Index and reduction, or its place, in the order in which they came."""
        yield from self._kept.get(scan, {}).items()

    def gone(self, scan: str) -> list[int]:
        """Indices of those that had to go for good, each said once."""
        return self._gone.pop(scan, [])

    def drop(self, key: FrameKey) -> None:
        """One is of no use: it cannot be read back."""
        self._kept.get(key[0], {}).pop(key[1], None)
        self._places.pop(key, None)

    def forget(self, scan: str) -> None:
        """A scan is over."""
        for index in self._kept.pop(scan, ()):
            self._places.pop((scan, index), None)
        self._gone.pop(scan, None)
        self._in_memory = deque(e for e in self._in_memory if e[0][0] != scan)
        self._bytes = sum(size for _, size in self._in_memory)

    def _count(self, key: FrameKey) -> None:
        size = size_of(self._kept[key[0]][key[1]])
        self._in_memory.append((key, size))
        self._bytes += size
        while self._bytes > self._limit_bytes:
            old, old_size = self._in_memory.popleft()
            self._bytes -= old_size
            self._let_go(old)

    def _let_go(self, key: FrameKey) -> None:
        kept = self._kept.get(key[0], {})
        if key[1] not in kept:
            return
        place = self._places.pop(key, None)
        if place is not None:
            kept[key[1]] = place
        else:
            del kept[key[1]]
            self._gone.setdefault(key[0], []).append(key[1])

"""Parts that run and do not work: the hub has not had them among its members for long.

The hub gives up a member that hangs and gives its work to others; what is left is a process that
holds memory and does nothing. It is killed, and its supervisor starts it again. Only those who
analyse are: a recorder that is silent waits for its disk, and another one would wait as well.
"""

from __future__ import annotations

import time

from ..stream.messages import Status
from .parts import Parts

SILENT_S = 30.0  # beside what the hub waits: the part was hung, or frozen, for longer than that
GAP_S = 5.0  # without reports of the hub nothing is known of anybody
_GROUP = "process/"


class Silence:
    """Hears the hub's reports and ends the parts that are silent.

    limit_s: how long a part that had joined may be away from the hub [s]
    """

    def __init__(self, limit_s: float = SILENT_S) -> None:
        self._limit_s = limit_s
        self._joined: set[str] = set()
        self._away: dict[str, float] = {}
        self._report: Status | None = None
        self._heard = 0.0

    def end_silent(self, parts: Parts, hub: Status | None) -> list[str]:
        """Kill parts that have been away for too long; a sentence for each.

        hub: its newest report
        """
        now = time.monotonic()
        if hub is None or hub is self._report:
            return []
        if now - self._heard > GAP_S:
            self._away.clear()
        self._report, self._heard = hub, now
        listed = str(hub.values.get("members", "")).split(", ")
        there = {name.removeprefix(_GROUP) for name in listed if name.startswith(_GROUP)}
        self._joined |= there
        self._away = {name: self._away.get(name, now) for name in self._joined if name not in there}
        return [line for name in list(self._away) if (line := self._end(parts, name, now))]

    def _end(self, parts: Parts, name: str, now: float) -> str:
        part, since = parts.part(name), self._away[name]
        if part is None or not part.restart or any(began > since for began in part.started):
            self._joined.discard(name)  # until it joins again: it is new, and begins to work
            return ""
        if now - since <= self._limit_s or not part.alive():
            return ""
        self._joined.discard(name)
        parts.kill(part)
        return f"{name} has been silent for {now - since:.0f} s and is killed"

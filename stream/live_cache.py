"""The last of everything, for whoever starts to look late.

One packed message a topic, bounded in bytes: the oldest scans' results go first. Samples are kept
as a whole curve per run, thinned where it grows too long, so that a late joiner sees all of E(t).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterator

import numpy as np

from .cell_clock import news
from .held import Payload, size_of
from .messages import Samples
from .packing import pack

KEPT_SAMPLES = 20_000  # points of one run's curve; a screen shows some 2000
KEPT_RUNS = 2
KEPT_DOCUMENTS = 64
KEPT_REQUESTS = 256  # proposals and the decisions on them
KEPT_LOOSE = 256  # topics of no scan: a status a component, the newest frame
LOOSE_BYTES = 256 << 20  # of them together; a large detector's frame is 72 MB


class LiveCache:
    """Last values by topic.

    limit_bytes: of results and other messages of scans; what is not of a scan has limits of its own
    """

    def __init__(self, limit_bytes: int) -> None:
        self.bytes = 0
        self._limit = limit_bytes
        self._loose: OrderedDict[str, Payload] = OrderedDict()
        self._loose_bytes = 0
        self._scans: OrderedDict[str, dict[str, Payload]] = OrderedDict()
        self._documents: deque[Payload] = deque(maxlen=KEPT_DOCUMENTS)
        self._requests: deque[tuple[str, Payload]] = deque(maxlen=KEPT_REQUESTS)
        self._samples: OrderedDict[str, Samples] = OrderedDict()

    def keep(self, topic: str, parts: Payload, scan: str = "") -> None:
        """Keep this message as the last of its topic; scan: whose it is, "" for none."""
        if not scan:
            self._keep_loose(topic, parts)
            return
        kept = self._scans.setdefault(scan, {})
        self.bytes += size_of(parts) - size_of(kept.get(topic, ()))
        kept[topic] = parts
        while self.bytes > self._limit and self._drop_oldest(scan):
            pass

    def keep_document(self, parts: Payload) -> None:
        """Keep a start or stop document: the last KEPT_DOCUMENTS of all."""
        self._documents.append(parts)

    def keep_request(self, topic: str, parts: Payload) -> None:
        """Keep a proposal or a decision: the last KEPT_REQUESTS of all, in their order."""
        self._requests.append((topic, parts))

    def keep_samples(self, samples: Samples) -> None:
        """Append to the run's curve what is no repeat of it."""
        before = self._samples.get(samples.run)
        self._samples[samples.run] = samples if before is None else _joined(before, samples)
        while len(self._samples) > KEPT_RUNS:
            self._samples.popitem(last=False)

    def matching(self, prefix: str) -> Iterator[Payload]:
        """The kept messages whose topic begins with prefix, in an order that makes sense."""
        for run, samples in self._samples.items():
            if f"samples/{run}".startswith(prefix):
                yield [bytes(p) for p in pack(samples)]
        if "document/".startswith(prefix) or prefix.startswith("document/"):
            yield from self._documents
        for topic, parts in self._requests:
            if topic.startswith(prefix):
                yield parts
        for topics in (*self._scans.values(), self._loose):
            for topic, parts in topics.items():
                if topic.startswith(prefix):
                    yield parts

    def _keep_loose(self, topic: str, parts: Payload) -> None:
        self._loose_bytes += size_of(parts) - size_of(self._loose.pop(topic, ()))
        self._loose[topic] = parts
        while len(self._loose) > 1 and (
            len(self._loose) > KEPT_LOOSE or self._loose_bytes > LOOSE_BYTES
        ):  # those go that nobody has said again for longest
            self._loose_bytes -= size_of(self._loose.popitem(last=False)[1])

    def _drop_oldest(self, current: str) -> bool:
        """Drop the oldest scan that still has results: these first, its bare facts last."""
        for scan, topics in self._scans.items():
            results = [t for t in topics if t.startswith("result/")]
            if results and scan != current:
                for topic in results:
                    self.bytes -= size_of(topics.pop(topic))
                return True
        oldest = next(iter(self._scans))
        if oldest == current:
            return False
        self.bytes -= sum(size_of(p) for p in self._scans.pop(oldest).values())
        return True


def _joined(before: Samples, new: Samples) -> Samples:
    fresh = news(new.time_s, new.wall_s, before.time_s, before.wall_s)
    states = before.states + tuple(s for s, is_new in zip(new.states, fresh, strict=True) if is_new)
    keep = np.ones(len(states), bool)
    if len(states) > KEPT_SAMPLES:  # thin, but keep both sides of every change of state
        keep[1::2] = False
        changed = np.array([a != b for a, b in itertools.pairwise(states)])
        keep[:-1] |= changed
        keep[1:] |= changed
        keep[-1] = True

    def both(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        joined = np.concatenate([getattr(before, name), getattr(new, name)[fresh]])
        kept: np.ndarray[tuple[int], np.dtype[np.float64]] = joined[keep]
        return kept

    return Samples(
        run=new.run,
        time_s=both("time_s"),
        wall_s=both("wall_s"),
        voltage_v=both("voltage_v"),
        current_a=both("current_a"),
        charge_ah=both("charge_ah"),
        temperature_c=both("temperature_c"),
        states=tuple(s for s, k in zip(states, keep, strict=True) if k),
    )

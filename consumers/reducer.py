"""The parallel half of a consumer: frames in, reductions out.

One process, one thread, one decoder. Several consumers share a frame: it is decoded once and
handed to each. A reducer holds no state that matters and acknowledges nothing: a frame that it
takes with it when it dies is delivered to another one.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping

from ..stream.compression import DecodeError
from ..stream.link import insist
from ..stream.members import Member
from ..stream.messages import Array, Frame, Message, Reduction, ScanStart
from .catalogue import ScanNotForThis, make_consumer
from .contract import Consumer, FrameError
from .decoding import FrameDecoder

SCANS_KEPT = 4  # late frames of the scan before this one may still come

log = logging.getLogger(__name__)


class Reducer:
    """Reduces the frames of every open scan with every consumer that can use them.

    configs: consumer name -> its configuration object
    settings: checksum of the settings that these were made from; 0 where nobody compares
    """

    def __init__(self, configs: Mapping[str, object], settings: int = 0) -> None:
        self._configs = dict(configs)
        self._settings = settings
        self._scans: OrderedDict[str, dict[str, Consumer]] = OrderedDict()
        self._decode = FrameDecoder()

    def take(self, message: Message) -> Reduction | None:
        """The reduction of a frame; None for what needs no answer."""
        if isinstance(message, ScanStart):
            self._open(message)
        elif isinstance(message, Frame):
            return self._reduce(message)
        return None

    def run(self, member: Member, stop: threading.Event) -> None:
        """Serve member until stop is set. Raises HubUnreachable where the hub is away even then."""
        while not stop.is_set():
            delivery = member.receive(0.2)
            if delivery is None:
                continue
            reduction = self.take(delivery.message)
            if reduction is not None and delivery.intact():
                insist(member.send, reduction, stop)

    def _open(self, start: ScanStart) -> None:
        if start.scan in self._scans:
            return
        self._scans[start.scan] = consumers_of(start, self._configs)
        while len(self._scans) > SCANS_KEPT:
            self._scans.popitem(last=False)

    def _reduce(self, frame: Frame) -> Reduction:
        consumers = self._scans.get(frame.scan)
        if consumers is None:
            reason = f"frame {frame.index} of scan {frame.scan}: the scan was never announced here"
            return self._answer(frame, {}, dict.fromkeys(self._configs, reason))
        try:
            pixels = self._decode(frame, verify=True)
        except DecodeError as error:
            return self._answer(frame, {}, dict.fromkeys(consumers, str(error)))
        arrays: dict[str, Array] = {}
        failed: dict[str, str] = {}
        for name, consumer in consumers.items():
            try:
                arrays[name] = consumer.reduce(frame.index, pixels)
            except FrameError as error:
                failed[name] = str(error)
        return self._answer(frame, arrays, failed)

    def _answer(self, frame: Frame, arrays: dict[str, Array], failed: dict[str, str]) -> Reduction:
        return Reduction(frame.scan, frame.index, arrays, failed, self._settings)


def consumers_of(start: ScanStart, configs: Mapping[str, object]) -> dict[str, Consumer]:
    """Name -> consumer, for those of configs that can use the scan."""
    found: dict[str, Consumer] = {}
    for name, config in configs.items():
        try:
            found[name] = make_consumer(name, config, start)
        except ScanNotForThis as error:
            log.info("scan %d (%s): %s is left out: %s", start.number, start.scan, name, error)
    return found

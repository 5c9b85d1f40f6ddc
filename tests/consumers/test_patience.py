"""Consumers whose hub has no room, or is away: they hold what they have, and hand it over later."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from operando.consumers.absorber import Absorber
from operando.consumers.reducer import Reducer
from operando.stream.compression import checksum
from operando.stream.link import HubFull, HubUnreachable
from operando.stream.members import Delivery
from operando.stream.messages import Frame, Message

PIXELS = np.zeros((4, 4), np.uint16).tobytes()


class Seat:
    """A member of a hub that takes nothing at the first refusals puts."""

    def __init__(self, refusals: int, end: threading.Event) -> None:
        self.refusals, self.end = refusals, end
        self.taken: list[Message] = []
        self.reports = 0

    def receive(self, timeout_s: float) -> Delivery:
        return Delivery(Frame("s", 0, (4, 4), "uint16", "raw", PIXELS, checksum(PIXELS)), 0)

    def acknowledge(self, delivery: Delivery) -> None:
        """Frames are none of an absorber's business."""

    def send(self, message: Message) -> None:
        if self.refusals:
            self.refusals -= 1
            raise (HubUnreachable if self.refusals % 2 else HubFull)("no room")
        self.taken.append(message)
        self.end.set()


@pytest.mark.parametrize("made", [Absorber, Reducer])
def test_what_was_made_waits_for_a_hub_without_room_and_is_handed_over_once(made):
    end = threading.Event()
    seat = Seat(5, end)
    made({}).run(seat, end)
    assert len(seat.taken) == 1


@pytest.mark.parametrize("made", [Absorber, Reducer])
def test_a_part_that_is_asked_to_end_does_not_wait_for_ever(made):
    end = threading.Event()

    class Leaves(Seat):
        def send(self, message: Message) -> None:
            self.end.set()
            super().send(message)

    with pytest.raises(HubFull):
        made({}).run(Leaves(1, end), end)

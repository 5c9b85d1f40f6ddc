import threading

from operando.consumers.reducer import Reducer
from operando.stream.members import Delivery
from operando.stream.messages import Frame


class Hands:
    """A member that hands out deliveries, and keeps what is sent."""

    def __init__(self, deliveries, stop):
        self.deliveries = deliveries
        self.stop = stop
        self.sent = []

    def receive(self, timeout_s):
        if self.deliveries:
            return self.deliveries.pop(0)
        self.stop.set()
        return None

    def send(self, message):
        self.sent.append(message)


def test_nothing_is_said_of_a_frame_that_may_have_been_overwritten():
    frames = [Frame("unknown", n, (2, 2), "uint8", "raw", bytes(4), 0) for n in range(3)]
    stop = threading.Event()
    hands = Hands([Delivery(f, f.index + 1, lambda n=f.index: n != 1) for f in frames], stop)
    Reducer({}).run(hands, stop)
    assert [reduction.index for reduction in hands.sent] == [0, 2]

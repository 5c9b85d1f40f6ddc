"""A window, what it hears and the pictures it leaves: no pickle."""

from __future__ import annotations

import time

import zmq
from no_pickle import watched
from operando.live_views.main import watch
from operando.stream.hub import Hub, HubConfig
from operando.stream.live import LiveSubscriber
from operando.stream.members import Producer
from operando.stream.messages import Result


class Heard:
    """Messages that came over a wire, for a window that ends when it has shown them."""

    def __init__(self, messages):
        self.messages = messages

    def poll(self, timeout_s=0.0, limit=1000):
        now, self.messages = self.messages[:limit], self.messages[limit:]
        return now

    def close(self): ...


def test_a_window_from_its_first_message_to_its_last_picture_calls_no_pickle(qapp, small, tmp_path):
    context = zmq.Context()
    config = HubConfig(f"ipc://{tmp_path}/i", f"ipc://{tmp_path}/l", groups=("process",))
    sent, heard = [*small.finished_scan(1), *small.statuses(time.time())], []
    finals = {m.name for m in sent if isinstance(m, Result) and m.final}
    deadline = time.monotonic() + 30
    with watched() as seen:
        with Hub(config, context) as hub:
            with Producer(hub.items_address, "test", context) as producer:
                for message in sent:
                    producer.put(message)
                producer.flush(10.0)
            with LiveSubscriber(hub.live_address, context) as live:
                while not finals <= {m.name for m in heard if isinstance(m, Result) and m.final}:
                    heard += live.poll(0.1)
                    assert time.monotonic() < deadline
        code = watch("inproc://nobody", offscreen=True, out=tmp_path / "out", every_s=0.2,
                     stop_when_idle_s=0.3, source=Heard(heard))  # fmt: skip
    context.destroy(linger=0)
    assert code == 0
    assert (tmp_path / "out" / "final.png").is_file()
    assert seen.calls == []

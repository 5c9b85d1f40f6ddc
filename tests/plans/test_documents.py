from __future__ import annotations

import threading

import numpy as np
import orjson
import pytest
from operando.plans.documents import DocumentPublisher
from operando.plans.outbox import Outbox, OutboxFull
from operando.stream.messages import Document, Message, Status


def test_documents_of_a_scan_belong_to_the_outer_run() -> None:
    got: list[Message] = []
    publish = DocumentPublisher(got.append)
    publish("start", {"uid": "outer"})
    publish("descriptor", {"uid": "d1", "run_start": "outer"})
    publish("start", {"uid": "inner", "operando_run": "outer"})
    publish("descriptor", {"uid": "d2", "run_start": "inner"})
    publish("event", {"descriptor": "d2", "data": {"a": 1.0}})
    publish("stream_resource", {"uid": "r", "run_start": "inner"})
    publish("stream_datum", {"stream_resource": "r", "descriptor": "d2"})
    publish("stop", {"run_start": "inner"})
    publish("event", {"descriptor": "d1", "data": {}})
    publish("stop", {"run_start": "outer"})
    assert [m.run for m in got if isinstance(m, Document)] == ["outer"] * 10


def test_numpy_and_strange_values_become_plain_json() -> None:
    got: list[Message] = []
    image = np.arange(6).reshape(2, 3)[:, ::2]
    DocumentPublisher(got.append)(
        "start",
        {"uid": "u", "a": np.float64(1.5), "b": image, "c": {1, 2}, "d": float("nan"), "e": (1,)},
    )
    assert isinstance(got[0], Document)
    found = orjson.loads(got[0].text)
    assert (found["a"], found["b"], found["c"]) == (1.5, [[0, 2], [3, 5]], [1, 2])


def status(i: int) -> Status:
    return Status("plan", str(i), 0.0)


def test_the_outbox_keeps_order_and_waits_for_a_channel_that_comes_back() -> None:
    back, got = threading.Event(), []

    def put(message: Message) -> None:
        if not back.is_set():
            raise TimeoutError("hub is away")
        got.append(message)

    outbox = Outbox(put)
    for i in range(50):
        outbox.put(status(i))
    assert not outbox.flush(0.05)
    back.set()
    assert outbox.flush(10.0)
    assert got == [status(i) for i in range(50)]
    assert outbox.close() == 0


def test_the_outbox_says_when_it_is_full_and_what_it_loses() -> None:
    tried = threading.Event()

    def away(message: Message) -> None:
        tried.set()
        raise TimeoutError("hub is away")

    outbox = Outbox(away, limit=3, patience_s=0.1)
    outbox.put(status(0))
    assert tried.wait(5.0)  # one is in hand, three may wait
    for i in range(1, 4):
        outbox.put(status(i))
    with pytest.raises(OutboxFull, match="3 messages wait"):
        outbox.put(status(4))
    assert outbox.close(timeout_s=0.1) == 4

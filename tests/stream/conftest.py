"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    """A ZeroMQ context of the test's own, whose sockets end with it."""
    context = zmq.Context()
    yield context
    context.destroy(linger=0)

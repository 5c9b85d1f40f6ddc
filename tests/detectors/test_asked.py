"""A clock that jumps while an answer is awaited is no reason to give up; silence is one."""

from __future__ import annotations

import types

import pytest
from operando.detectors import asked
from operando.detectors.asked import Asked, AskedRO
from ophyd.signal import EpicsSignalBase, ReadTimeoutError


@pytest.fixture
def ioc(monkeypatch):
    """Answers in turn, each after so many seconds of the monotonic clock; None: it timed out."""
    answers: list[tuple[float, object]] = []
    now = [100.0]
    monkeypatch.setattr(asked, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def answer(self, pv, timeout, *how):
        after_s, value = answers.pop(0)
        now[0] += after_s
        if value is None:
            raise ReadTimeoutError("Failed to read X within 10.00 sec")
        return value

    monkeypatch.setattr(EpicsSignalBase, "_get_with_timeout", answer)
    return answers


@pytest.mark.parametrize("kind", [Asked, AskedRO])
def test_a_read_that_times_out_at_once_is_asked_again(ioc, kind):
    signal = kind("NOBODY:HAS:THIS", name="x")
    ioc += [(0.01, None), (0.5, None), (0.1, {"value": 3})]
    assert signal._get_with_timeout(None, 10.0, 1.0, None, False, None, None) == {"value": 3}
    assert ioc == []
    signal.destroy()


@pytest.mark.parametrize("timeout", [10.0, asked.DEFAULT_TIMEOUT])
def test_silence_for_its_time_is_silence(ioc, timeout):
    signal = Asked("NOBODY:HAS:THIS", name="x", timeout=10.0)
    ioc += [(10.0, None), (0.1, {"value": 3})]
    with pytest.raises(ReadTimeoutError):
        signal._get_with_timeout(None, timeout, 1.0, None, False, None, None)
    signal.destroy()

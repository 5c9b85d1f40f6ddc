"""Writing process variables so that an answer is waited for, and a failure is one line."""

from __future__ import annotations

import threading

from ophyd import EpicsSignal

PUT_TIMEOUT_S = 5.0


class PutError(RuntimeError):
    """A process variable could not be written; names it and says why."""


def put_and_wait(
    signal: EpicsSignal, value: float | int | str | list[float], timeout_s: float = PUT_TIMEOUT_S
) -> None:
    """Write value and wait until the IOC has processed it. Raises PutError."""
    done = threading.Event()
    try:
        signal.put(
            value,
            connection_timeout=timeout_s,
            use_complete=True,
            callback=lambda **_: done.set(),
            timeout=timeout_s,
        )
    except Exception as error:  # pyepics and ophyd raise many kinds
        raise PutError(f"{signal.pvname} = {_short(value)}: {error}") from error
    if not done.wait(timeout_s):
        raise PutError(f"{signal.pvname} = {_short(value)}: no answer within {timeout_s:g} s")


def fresh(signal: EpicsSignal, timeout_s: float = PUT_TIMEOUT_S) -> object:
    """The value as the IOC has it now, not as a monitor last told it. Raises PutError."""
    try:
        return signal.get(use_monitor=False, timeout=timeout_s, connection_timeout=timeout_s)
    except Exception as error:
        raise PutError(f"{signal.pvname} cannot be read: {error}") from error


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:37] + "..."

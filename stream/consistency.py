"""Whether a message's fields fit each other: what types alone cannot say.

A field of the right type with the wrong length would end whoever indexes with it, and everybody
who gets the message after him. So this is asked once, where messages come in.
"""

from __future__ import annotations

from .messages import Message, Positions, Samples, ScanStart


def inconsistency(message: Message) -> str:
    """What does not fit in message, in words; "" where everything does."""
    if isinstance(message, Positions):
        return _positions(message)
    if isinstance(message, Samples):
        return _samples(message)
    if isinstance(message, ScanStart):
        return _scan_start(message)
    return ""


def _positions(message: Positions) -> str:
    indices, values = message.indices.shape, message.values.shape
    if len(indices) != 1 or indices != values:
        return f"indices of shape {indices}, values of shape {values}: one value an index is needed"
    if message.indices.size and int(message.indices.min()) < 0:
        return f"index {int(message.indices.min())}, they count from 0"
    return ""


def _samples(message: Samples) -> str:
    count = len(message.states)
    for name in ("time_s", "wall_s", "voltage_v", "current_a", "charge_ah", "temperature_c"):
        shape = getattr(message, name).shape
        if shape != (count,):
            return f"{name} of shape {shape}, {count} states came"
    return ""


def _scan_start(message: ScanStart) -> str:
    for axis in message.trajectory.axes:
        if axis.values.shape != (message.frames,):
            return f"axis {axis.name!r} of shape {axis.values.shape}, {message.frames} frames"
    shape, mask = message.detector.shape, message.detector.mask
    if mask is not None and mask.shape != shape:
        return f"mask of shape {mask.shape}, the detector has {shape}"
    return ""

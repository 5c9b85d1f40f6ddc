"""Whether a message's fields fit each other: what types alone cannot say.

A field of the right type with the wrong length would end whoever indexes with it, and everybody
who gets the message after him. So this is asked once, where messages come in.
"""

from __future__ import annotations

import math

from .messages import (
    PROPOSALS,
    VERDICTS,
    Decision,
    Message,
    Positions,
    Proposal,
    Samples,
    ScanStart,
    Withdrawal,
)

MAX_ID = 100  # characters: an id is part of a topic


def inconsistency(message: Message) -> str:
    """What does not fit in message, in words; "" where everything does."""
    if isinstance(message, Positions):
        return _positions(message)
    if isinstance(message, Samples):
        return _samples(message)
    if isinstance(message, ScanStart):
        return _scan_start(message)
    if isinstance(message, (Proposal, Decision)):
        return _request(message)
    if isinstance(message, Withdrawal) and message.first < 0:
        return f"first is {message.first}, frames count from 0"
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


def _request(message: Proposal | Decision) -> str:
    if not 0 < len(message.id) <= MAX_ID:
        return f"id of {len(message.id)} characters, 1 to {MAX_ID} are needed"
    if isinstance(message, Decision):
        known = message.verdict in VERDICTS
        return "" if known else f"verdict {message.verdict[:40]!r}, it is one of {VERDICTS}"
    if message.kind not in PROPOSALS:
        return f"kind {message.kind[:40]!r}, it is one of {PROPOSALS}"
    if not message.deadline >= message.time:  # true also where one of them is nan
        return f"deadline {message.deadline} s does not come after its time {message.time} s"
    whole = all(map(math.isfinite, message.region)) and message.region[2] > 0
    if message.kind == "roi" and not whole:
        return f"region {message.region} um is none"
    if message.kind == "exposure" and not 0 < message.exposure_s < math.inf:
        return f"exposure of {message.exposure_s} s is none"
    return ""

"""Whether a message's fields fit each other: what types alone cannot say.

A field of the right type with the wrong length would end whoever indexes with it, and everybody
who gets the message after him. So this is asked once, where messages come in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .messages import (
    PROPOSALS,
    VERDICTS,
    Decision,
    Message,
    Positions,
    Proposal,
    Result,
    Samples,
    ScanStart,
    Withdrawal,
)
from .reasons import MAX_SCAN_FRAMES

MAX_ID = 100  # characters: an id is part of a topic
MAX_SCAN_ID = 200  # characters: a replay puts its own before that of the run
MAX_DIMENSIONS = 8  # of a grid
MAX_TIME_S = 253_402_300_800.0  # the year 10000: no calendar has what comes after it


def inconsistency(message: Message) -> str:
    """What does not fit in message, in words; "" where everything does."""
    if isinstance(message, Positions):
        return _positions(message)
    if isinstance(message, Samples):
        return _samples(message)
    if isinstance(message, ScanStart):
        return _scan_start(message)
    if isinstance(message, Result):
        return _names([("consumer", message.consumer), ("name", message.name)])
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
    return _names([("axis", message.axis)])


def _samples(message: Samples) -> str:
    count = len(message.states)
    for name in ("time_s", "wall_s", "voltage_v", "current_a", "charge_ah", "temperature_c"):
        shape = getattr(message, name).shape
        if shape != (count,):
            return f"{name} of shape {shape}, {count} states came"
    for name in ("time_s", "wall_s"):  # nothing can be put in order by nan or inf
        if not np.isfinite(getattr(message, name)).all():
            return f"{name} is not finite in {int((~np.isfinite(getattr(message, name))).sum())}"
    return _texts([("run", message.run)])


def _scan_start(message: ScanStart) -> str:
    axes, grid = message.trajectory.axes, message.trajectory.grid
    for axis in axes:
        if axis.values.shape != (message.frames,):
            return f"axis {axis.name!r} of shape {axis.values.shape}, {message.frames} frames"
    shape, mask = message.detector.shape, message.detector.mask
    if mask is not None and mask.shape != shape:
        return f"mask of shape {mask.shape}, the detector has {shape}"
    whole = len(grid) <= MAX_DIMENSIONS and min(grid, default=1) > 0
    if not whole or math.prod(grid) > MAX_SCAN_FRAMES:
        return f"grid {str(grid)[:60]}: 1 to {MAX_SCAN_FRAMES} points are needed"
    if len({axis.name for axis in axes}) < len(axes):
        return f"axes {[axis.name[:20] for axis in axes]}: a name stands twice"
    if not 0 <= message.time < MAX_TIME_S:  # true also where it is nan
        return f"time {message.time} s is no time"
    if len(message.scan) > MAX_SCAN_ID:
        return f"scan of {len(message.scan)} characters, at most {MAX_SCAN_ID}"
    units = [("unit", axis.unit) for axis in axes]
    return _names([("axis", axis.name) for axis in axes]) or _texts(
        [("run", message.run), ("scan", message.scan), ("technique", message.technique), *units]
    )


def _names(named: Iterable[tuple[str, str]]) -> str:
    """What is wrong with names under which something stands in a file."""
    for what, name in named:
        if name in ("", ".", "..") or "/" in name or "\0" in name or len(name) > MAX_ID:
            return f"{what} {name[:40]!r}: 1 to {MAX_ID} characters, no '/', are needed"
    return ""


def _texts(named: Iterable[tuple[str, str]]) -> str:
    for what, text in named:
        if "\0" in text:  # ends a text in a file
            return f"{what} {text[:40]!r}: holds a zero byte"
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

"""Puts a recorded run in again as if it were live.

Frames come in order of index with the bytes, checksums and times they were recorded with, so that
the same analysis gives the same maps. Between the scans come the stretches of the potentiostat's
history and the documents and requests that had come by then, by their unix times.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator

import numpy as np

from .ledger import withdrawal_of
from .link import HubFull
from .messages import (
    Decision,
    Document,
    Frame,
    Message,
    Positions,
    Proposal,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Withdrawal,
)
from .reasons import FewReasons
from .run_file import RunFile

PLAN = "plan"  # whose results, like the dose, no analysis of frames can make again
SAMPLES_AT_ONCE = 500  # a live potentiostat sends a few at a time; a view redraws at each message


def replay(
    run_file: RunFile,
    put: Callable[[Message], None],
    *,
    frames_per_s: float | None = None,
    new_run: str | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Put everything of a run in; the number of frames put.

    put: takes one message, and blocks while there is no room, e.g. Producer.put
    frames_per_s: at most so fast; None: as fast as put takes them
    new_run: another name for the run, which also makes other names of its scans
    stop: ends it early, the open scan as aborted
    """
    stop = stop or threading.Event()
    names = _Names(new_run)

    def send(message: Message) -> None:
        while not stop.is_set():
            try:
                return put(names.of(message))
            except HubFull:
                continue  # somebody behind the hub does not keep up: that is no reason to give up

    history = _History(run_file)
    frames = 0
    for start in run_file.scans():
        for message in history.until(start.time):
            send(message)
        if stop.is_set():
            return frames
        send(start)
        put_in = 0
        for frame in run_file.frames(start.scan):
            if stop.is_set():
                break
            send(frame)
            put_in += 1
            if frames_per_s:
                stop.wait(1.0 / frames_per_s)
        frames += put_in
        for positions in run_file.positions(start.scan):
            send(positions)
        for result in run_file.results(start.scan):
            if result.consumer == PLAN:
                send(result)
        for withdrawn in map(withdrawal_of, run_file.accounts(start.scan)):
            if withdrawn is not None:
                send(withdrawn)
        lost = {i: why for (scan, i), why in run_file.damaged.items() if scan == start.scan}
        last = _stop_of(run_file, start, put_in, lost, stop.is_set())
        put(names.of(last))
        if stop.is_set():
            return frames
    for message in history.until(float("inf")):
        send(message)
    return frames


def _stop_of(
    run_file: RunFile, start: ScanStart, frames: int, lost: dict[int, str], stopped: bool
) -> ScanStop:
    if stopped:
        return ScanStop(start.scan, frames, "aborted: the replay was stopped", lost)
    recorded = run_file.stops(start.scan)
    reason = recorded[0].reason if recorded else "failed: the recording ends before the scan does"
    before = recorded[0].lost if recorded else {}
    few = FewReasons()
    all_lost = {index: few.said(why) for index, why in {**before, **lost}.items()}
    return ScanStop(start.scan, frames, reason, all_lost)


class _History:
    """Samples, documents and requests by their unix times."""

    def __init__(self, run_file: RunFile) -> None:
        self._histories = run_file.histories()
        self._sent = [0] * len(self._histories)
        timed = [*_timed(run_file.documents()), *((r.time, r) for r in run_file.requests())]
        self._timed: list[tuple[float, Message]] = sorted(timed, key=lambda item: item[0])

    def until(self, time: float) -> Iterator[Message]:
        """Those up to time that have not been given before."""
        for place, samples in enumerate(self._histories):
            end = len(samples.states)
            if np.isfinite(time):
                reached = int(np.searchsorted(samples.wall_s, time, "right"))
                end = max(self._sent[place], reached)
            for first in range(self._sent[place], end, SAMPLES_AT_ONCE):
                yield _stretch(samples, first, min(end, first + SAMPLES_AT_ONCE))
            self._sent[place] = end
        while self._timed and self._timed[0][0] <= time:
            yield self._timed.pop(0)[1]


def _stretch(samples: Samples, first: int, end: int) -> Samples:
    columns = {
        f.name: getattr(samples, f.name)[first:end]
        for f in dataclasses.fields(samples)
        if f.name != "run"
    }
    return Samples(run=samples.run, **columns)


def _timed(documents: list[Document]) -> list[tuple[float, Document]]:
    """Documents with times that never fall, so that their order stays."""
    timed = []
    latest = float("-inf")
    for document in documents:
        try:
            time = json.loads(document.text).get("time", latest)
        except (ValueError, AttributeError):
            time = latest
        latest = max(latest, time) if isinstance(time, (int, float)) else latest
        timed.append((latest, document))
    return timed


class _Names:
    """Renames runs and scans, where asked to."""

    def __init__(self, new_run: str | None) -> None:
        self._new_run = new_run

    def of(self, message: Message) -> Message:
        """message under its new names."""
        new = self._new_run
        if new is None:
            return message
        if isinstance(message, ScanStart):
            return dataclasses.replace(message, run=new, scan=f"{new}/{message.scan}")
        if isinstance(message, (Proposal, Result)):
            return dataclasses.replace(message, run=new, scan=f"{new}/{message.scan}")
        if isinstance(message, (Samples, Document, Decision)):
            return dataclasses.replace(message, run=new)
        if isinstance(message, (Frame, Positions, ScanStop, Withdrawal)):
            return dataclasses.replace(message, scan=f"{new}/{message.scan}")
        return message

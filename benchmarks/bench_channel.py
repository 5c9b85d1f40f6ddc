"""The hub's acknowledged channel against plain PUSH and PULL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import ours
from .channel_ends import Channel, Way, forwarded, hub, plain
from .harness import Agreement, Comparison, Contender
from .machine import version_of

GOAL = 0.9


def channel(quick: bool) -> Iterator[Comparison]:
    """Frames of 2 and 10 MB between processes: with hub and acknowledgement, and without.

    Three things differ from plain PUSH and PULL: the way through a third process, that every frame
    is acknowledged, and that on one machine pixels are shared in memory instead of sent. The second
    peer goes the same way without a word, and tells the first from the others. Then over TCP for
    both: to a reducer on another machine than receiver and hub, which share; and where nothing is
    shared, as with all three apart. And where the hub writes every frame to its spool before it
    answers, as in every run with a detector, on the disk of this folder.
    """
    here = Path(".benchmarks").absolute()  # the disk of this folder
    here.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spool-", dir=here) as disk:
        for size, name in ((2 << 20, "2 MB"), (10 << 20, "10 MB")):
            yield from _ways(size, name, Path(disk), quick)


def _ways(size: int, name: str, disk: Path, quick: bool) -> Iterator[Comparison]:
    work = f"frames of {name} from process to process, a frame"
    how = "ours: a third process, acknowledged, pixels shared; theirs may lose frames"
    yield from _compare(size, work, Way(), how, quick)
    work = f"frames of {name} over TCP to another machine's reducer, a frame"
    how = "ours: a third process beside the sender, acknowledged, pixels sent once"
    yield from _compare(size, work, Way("tcp", shared=("sender",)), how, quick)
    work = f"frames of {name} over TCP on loopback, nothing shared, a frame"
    how = "ours: a third process, acknowledged, pixels sent twice; theirs may lose frames"
    yield from _compare(size, work, Way("tcp", shared=()), how, quick)
    work = f"frames of {name} through a spool on the disk, a frame"
    how = "ours: on the disk before the answer, pixels shared; theirs: no disk, may lose frames"
    yield from _compare(size, work, Way(disk=disk / name.replace(" ", "")), how, quick)


def _compare(size: int, work: str, way: Way, note: str, quick: bool) -> Iterator[Comparison]:
    frames = (40 if quick else 200) * (2 << 20) // size
    with (
        hub(size, way) as with_hub,
        plain(size, way) as without,
        forwarded(size, way) as further,
    ):
        zmq = version_of("pyzmq")
        yield Comparison(
            work=work,
            ours=_over(with_hub, "operando hub", ours.version(), frames),
            peers=[
                _over(without, "plain PUSH and PULL", zmq, frames, GOAL),
                _over(further, "PUSH and PULL through a proxy", zmq, frames),
            ],
            agree=lambda mine, theirs: Agreement(
                mine == theirs and mine > 0, f"{mine} and {theirs} frames arrived whole"
            ),
            rounds=5 if quick else 15,
            threads=2,
            note=note,
        )


def _over(
    channel: Channel, name: str, version: str, frames: int, goal: float = float("nan")
) -> Contender:
    return Contender(name, version, lambda _: channel.move(frames), goal, scale=1 / frames)

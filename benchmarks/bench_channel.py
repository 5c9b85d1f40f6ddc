"""The hub's acknowledged channel against plain PUSH and PULL."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from . import ours
from .channel_ends import Channel, Way, forwarded, hub, plain, written
from .harness import Agreement, Comparison, Contender
from .machine import version_of

GOAL = 0.9
PLAIN = "plain PUSH and PULL"


def channel(quick: bool) -> Iterator[Comparison]:
    """Frames of 2 and 10 MB between processes: with hub and acknowledgement, and without.

    Three things differ from plain PUSH and PULL: the way through a third process, that every frame
    is acknowledged, and that on one machine pixels are shared in memory instead of sent. The second
    peer goes the same way without a word, and tells the first from the others. Then over TCP for
    both: on one machine; to a reducer on another machine than receiver and hub, which share; and
    where nothing is shared, as with all three apart. And where the hub writes every frame to its
    spool before it answers, as in every run with a detector, on the disk of this folder; there a
    third peer writes every frame, too, to one file that is forced to the disk as often.
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
    work = f"frames of {name} on one machine by a TCP address, a frame"
    yield from _compare(size, work, Way("tcp"), how, quick)
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
    ways = {PLAIN: plain, "PUSH and PULL through a proxy": forwarded}
    if way.disk is not None:
        ways["PUSH and PULL, written to a file"] = written
    with ExitStack() as open_ways:
        with_hub = open_ways.enter_context(hub(size, way))
        theirs = {name: open_ways.enter_context(make(size, way)) for name, make in ways.items()}
        zmq = version_of("pyzmq")
        yield Comparison(
            work=work,
            ours=_over(with_hub, "operando hub", ours.version(), frames),
            peers=[
                _over(channel, name, zmq, frames, GOAL if channel is theirs[PLAIN] else math.nan)
                for name, channel in theirs.items()
            ],
            agree=lambda mine, theirs: Agreement(
                mine == theirs and mine > 0, f"{mine} and {theirs} frames arrived whole"
            ),
            rounds=5 if quick else 15,
            threads=2,
            note=note,
        )


def _over(
    channel: Channel, name: str, version: str, frames: int, goal: float = math.nan
) -> Contender:
    return Contender(name, version, lambda _: channel.move(frames), goal, scale=1 / frames)

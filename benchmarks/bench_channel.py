"""The hub's acknowledged channel against plain PUSH and PULL."""

from __future__ import annotations

from collections.abc import Iterator

from . import ours
from .channel_ends import Channel, forwarded, hub, plain
from .harness import Agreement, Comparison, Contender
from .machine import version_of


def channel(quick: bool) -> Iterator[Comparison]:
    """Frames of 2 and 10 MB between processes: with hub and acknowledgement, and without.

    Three things differ from plain PUSH and PULL: the way through a third process, that every frame
    is acknowledged, and that on one machine pixels are shared in memory instead of sent. The second
    peer goes the same way without a word, and tells the first from the others.
    """
    for size, name in ((2 << 20, "2 MB"), (10 << 20, "10 MB")):
        frames = (40 if quick else 200) * (2 << 20) // size
        with hub(size) as with_hub, plain(size) as without, forwarded(size) as further:
            yield Comparison(
                work=f"frames of {name} from process to process, a frame",
                ours=_over(with_hub, "operando hub", ours.version(), frames),
                peers=[
                    _over(without, "plain PUSH and PULL", version_of("pyzmq"), frames, 0.9),
                    _over(further, "PUSH and PULL through a proxy", version_of("pyzmq"), frames),
                ],
                agree=lambda mine, theirs: Agreement(
                    mine == theirs and mine > 0, f"{mine} and {theirs} frames arrived whole"
                ),
                rounds=5 if quick else 15,
                threads=2,
                note="ours: a third process, acknowledged, pixels shared; theirs may lose frames",
            )


def _over(
    channel: Channel, name: str, version: str, frames: int, goal: float = float("nan")
) -> Contender:
    return Contender(name, version, lambda _: channel.move(frames), goal, scale=1 / frames)

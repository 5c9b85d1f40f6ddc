"""The channels that are compared carry frames whole, each by the way it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from operando.benchmarks.channel_ends import Way, forwarded, hub, plain, written

SIZE = 1 << 16  # large enough to be shared


@pytest.mark.parametrize(
    ("channel", "way"),
    [
        (plain, Way("tcp")),
        (forwarded, Way("tcp")),
        (hub, Way()),
        (hub, Way("tcp", shared=("sender",))),
        (hub, Way("tcp", shared=())),
    ],
)
def test_frames_arrive_whole_over_every_transport(channel, way: Way) -> None:
    with channel(SIZE, way) as carried:
        assert carried.move(5) == 5
        assert carried.move(3) == 3
        here = Path(carried._folder.name)
        addresses = {path.stem: path.read_text() for path in here.glob("*.address")}
        assert addresses
        assert all(each.startswith(f"{way.transport}://") for each in addresses.values())


@pytest.mark.parametrize("make", [hub, written])
def test_what_was_moved_by_way_of_a_disk_is_there(make, tmp_path: Path) -> None:
    way = dataclasses.replace(Way(), disk=tmp_path)
    with make(SIZE, way) as carried:
        assert carried.move(5) == 5
        spooled = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
        assert spooled >= 5 * SIZE

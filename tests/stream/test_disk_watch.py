"""A disk without room, and one that is slower than declared, are said in words."""

from __future__ import annotations

import math

from operando.stream.disk_watch import JUDGED_BYTES, JUDGED_OVER, DiskWatch


def test_room_is_what_is_left_above_the_reserve(tmp_path):
    free = [100 << 20]
    disk = DiskWatch(tmp_path, reserve_bytes=64 << 20, free=lambda: free[0])
    assert disk.full() == ""
    assert disk.status() == {"disk_free_bytes": 100 << 20}
    free[0] = 12 << 20
    assert disk.full() == f"12 MB free under {tmp_path}, 64 MB are kept free: make room"
    assert disk.status()["held"] == disk.full()


def test_the_system_is_asked_where_nobody_else_is(tmp_path):
    assert DiskWatch(tmp_path).status()["disk_free_bytes"] > 0


def test_a_rate_is_not_believed_before_enough_was_written(tmp_path):
    disk = DiskWatch(tmp_path, min_mb_s=50.0)
    disk.wrote(JUDGED_BYTES - 1, 100.0)
    assert math.isnan(disk.mb_s())
    assert disk.slow() == ""


def test_a_disk_slower_than_declared_is_warned_of_until_it_is_fast_again(tmp_path):
    disk = DiskWatch(tmp_path, min_mb_s=50.0)
    disk.wrote(40_000_000, 2.0)
    assert disk.slow() == "the record's disk takes 20.0 MB/s, 50 MB/s are declared"
    assert disk.status()["warning"] == disk.slow()
    assert disk.status()["record_mb_s"] == 20.0
    for _ in range(JUDGED_OVER):
        disk.wrote(1_000_000, 0.01)
    assert disk.slow() == ""
    assert "warning" not in disk.status()


def test_nothing_declared_is_nothing_warned_of(tmp_path):
    disk = DiskWatch(tmp_path)
    disk.wrote(JUDGED_BYTES, 1e6)
    assert disk.slow() == ""

"""What a run says in the terminal beside its progress: a slow or full disk, and that it is over."""

from __future__ import annotations

from operando.cli.observer import Observer
from operando.cli.progress import Progress
from operando.stream.disk_watch import JUDGED_BYTES, JUDGED_OVER, DiskWatch
from operando.stream.messages import Status


class Terminal:
    """A progress in lines that sees what a recorder with this disk reports."""

    def __init__(self, disk: DiskWatch) -> None:
        self.said: list[str] = []
        self._disk, self._observer, self._reports = disk, Observer(), 0
        self._progress = Progress(self.said.append, 60.0)

    def report(self) -> list[str]:
        """Let the recorder report once; what the terminal then says of it."""
        self._reports += 1
        self._observer.take(
            Status("recorder", "recording", float(self._reports), self._disk.status())
        )
        before = len(self.said)
        self._progress.show(self._observer)
        return [line for line in self.said[before:] if line.startswith("recorder")]


def test_a_slow_record_disk_is_said_once_and_once_when_it_is_over(tmp_path):
    disk = DiskWatch(tmp_path, min_mb_s=50.0)
    terminal = Terminal(disk)
    assert terminal.report() == []
    disk.wrote(40_000_000, 2.0)
    slow = "the record's disk takes 20.0 MB/s, 50 MB/s are declared"
    assert terminal.report() == [f"recorder: {slow}"]
    disk.wrote(10_000_000, 1.0)
    assert disk.slow() != slow  # the number has moved, it is the same slowness
    assert terminal.report() == []
    for _ in range(JUDGED_OVER):
        disk.wrote(1_000_000, 0.01)
    assert terminal.report() == [f"recorder: no longer: {slow}"]
    assert terminal.report() == []
    for _ in range(JUDGED_OVER):
        disk.wrote(JUDGED_BYTES, 10.0)
    assert terminal.report() == [f"recorder: {disk.slow()}"]


def test_a_full_record_disk_is_said_too(tmp_path):
    free = [1 << 20]
    terminal = Terminal(DiskWatch(tmp_path, free=lambda: free[0]))
    (said,) = terminal.report()
    assert said.startswith(f"recorder: 1 MB free under {tmp_path}")
    free[0] = 1 << 40
    assert terminal.report() == [said.replace("recorder: ", "recorder: no longer: ")]

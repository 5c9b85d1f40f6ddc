"""The report of a recorded run: its file, read back and drawn as figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..stream.messages import Message
from ..stream.run_file import RunFile, open_run


def report_of_file(file: Path, out: Path, only: Sequence[str] = (), dpi: int = 300) -> list[Path]:
    """Figures and tables of a run, or only figures by name; the paths written.

    dpi: of the PNG files

    Raises RunFileError, and ValueError where the run has no such figure.
    """
    from ..live_views.report import write_report

    with open_run(file) as run:
        return write_report(messages_of(run), out, only, dpi)


def messages_of(run: RunFile) -> Iterator[Message]:
    """What a window would have heard of a run: scans, the cell's history, results, accounts,
    requests and the words on them."""
    for start in run.scans():
        yield start
        yield from run.stops(start.scan)
    yield from run.histories()
    yield from run.results()
    yield from run.accounts()
    yield from run.requests()

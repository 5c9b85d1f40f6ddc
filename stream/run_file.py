"""Reads a recorded run back into the messages that it was made of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import h5py
import hdf5plugin  # noqa: F401  registers the filters of compressed chunks
import numpy as np

from .compression import checksum
from .frame_table import read_frame
from .history import history_groups, read_documents, read_samples
from .messages import Account, Document, Frame, Positions, Result, Samples, ScanStart, ScanStop
from .nexus import FORMAT, account_of, read_result, read_start, stop_of, text_of
from .redo_file import RedoFile, log_of
from .requests import Request, read_requests

log = logging.getLogger(__name__)

# what h5py and NumPy raise where a file is cut, or something in it is not what we wrote
DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError)

P = ParamSpec("P")
T = TypeVar("T")


class RunFileError(ValueError):
    """A file that is no recorded run, or a damaged one; one line that says which and where."""


def _told_in_one_line(
    read: Callable[Concatenate[RunFile, P], T],
) -> Callable[Concatenate[RunFile, P], T]:
    """Turn whatever a damaged file raises into a RunFileError."""

    @wraps(read)
    def reading(self: RunFile, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(self, *args, **kwargs)
        except RunFileError:
            raise
        except DAMAGE as error:
            what = getattr(read, "__name__", "contents")
            line = " ".join(str(error).split())[:300]
            raise RunFileError(f"{self.path}: {what} cannot be read: {line}") from None

    return reading


class RunFile:
    """A recorded run, finished or the .part that a crash left. See open_run.

    damaged: scan and index -> why, for the frames that frames() had to leave out
    """

    def __init__(self, path: Path, file: h5py.File, redo: RedoFile | None = None) -> None:
        self.path = path
        self._redo = redo
        self.damaged: dict[tuple[str, int], str] = {}
        self._file = file
        self._entry = file["entry"]
        self._starts: dict[str, ScanStart] = {}
        self._groups: dict[str, h5py.Group] = {}
        for name in self._entry:
            group = self._entry[name]
            if group.attrs.get("NX_class") == "NXsubentry":
                start = read_start(group)
                self._starts[start.scan] = start
                self._groups[start.scan] = group

    def __enter__(self) -> RunFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        _close(self._file, self._redo)

    @property
    def experiment_text(self) -> str:
        """The experiment file of the run; "" where none was given."""
        try:
            return text_of(self._entry, "experiment")
        except DAMAGE as error:
            raise RunFileError(f"{self.path}: no experiment text: {error}") from None

    def scans(self) -> list[ScanStart]:
        """The scans in the order they were taken."""
        return sorted(self._starts.values(), key=lambda s: (s.time, s.number))

    def frame_indices(self, scan: str) -> list[int]:
        """Which frames of a scan are in the file."""
        return [int(i) for i in np.flatnonzero(self._written(scan))]

    def frames(self, scan: str) -> Iterator[Frame]:
        """The frames of a scan in order of index, byte for byte as they were received.

        A frame whose bytes do not match its checksum is left out and entered in `damaged`.
        """
        start = self._start(scan)
        for index in self.frame_indices(scan):
            try:
                group = self._groups[scan]["instrument/detector"]
                frame = read_frame(group, scan, start.detector, index)
                if checksum(frame.data) != frame.checksum:
                    raise ValueError("its bytes do not match the checksum taken at its receipt")
            except DAMAGE as error:
                self.damaged[scan, index] = f"damaged in the file: {error}"
                log.error("%s: frame %d of scan %s: %s", self.path, index, scan, error)
                continue
            yield frame

    @_told_in_one_line
    def stops(self, scan: str | None = None) -> list[ScanStop]:
        """The ends of all scans that have one, or of this one."""
        return [stop_of(text) for text in self._texts("stop", scan)]

    @_told_in_one_line
    def accounts(self, scan: str | None = None) -> list[Account]:
        """The closed ledgers of all scans, or of this one."""
        return [account_of(text) for text in self._texts("account", scan)]

    @_told_in_one_line
    def positions(self, scan: str) -> list[Positions]:
        """The measured positions of a scan, one message an axis."""
        self._start(scan)
        found = []
        for axis, dataset in self._groups[scan]["trajectory/measured"].items():
            values = dataset[()].astype(np.float64)
            indices = np.flatnonzero(~np.isnan(values)).astype(np.int64)
            unit = str(dataset.attrs.get("units", ""))
            found.append(Positions(scan, axis, unit, indices, values[indices]))
        return found

    @_told_in_one_line
    def samples(self, run: str | None = None) -> Samples | None:
        """The potentiostat's history of run; None where there is none.

        Without a run, that of the first scan's; where it has none, the longest in the file.
        """
        groups = {str(g.attrs["run"]): g for g in history_groups(self._entry)}
        if run is None and groups:
            starts = self.scans()
            longest = max(groups, key=lambda r: len(groups[r]["time"]))
            run = starts[0].run if starts and starts[0].run in groups else longest
        return read_samples(groups[run]) if run in groups else None

    @_told_in_one_line
    def histories(self) -> list[Samples]:
        """Every history of the potentiostat in the file, the earliest first.

        What was sampled before the run and after it is one of its own, with run "".
        """
        found = [read_samples(group) for group in history_groups(self._entry)]
        return sorted((s for s in found if s.states), key=lambda s: float(s.wall_s[0]))

    @_told_in_one_line
    def documents(self) -> list[Document]:
        """The Bluesky documents, in the order they came in."""
        return read_documents(self._entry["documents"]) if "documents" in self._entry else []

    @_told_in_one_line
    def requests(self) -> list[Request]:
        """Proposals and the decisions on them, in the order of their times."""
        return read_requests(self._entry)

    @_told_in_one_line
    def results(self, scan: str | None = None) -> list[Result]:
        """The final results of all scans, or of this one."""
        return [
            read_result(process[name], start, consumer)
            for start in self._wanted(scan)
            for consumer, process in self._groups[start.scan].items()
            if process.attrs.get("NX_class") == "NXprocess"
            for name in process
            if process[name].attrs.get("NX_class") == "NXdata"
        ]

    def _start(self, scan: str) -> ScanStart:
        if scan not in self._starts:
            raise RunFileError(f"{self.path}: no scan {scan}, it has {list(self._starts)}")
        return self._starts[scan]

    def _wanted(self, scan: str | None) -> list[ScanStart]:
        return self.scans() if scan is None else [self._start(scan)]

    def _texts(self, name: str, scan: str | None) -> list[str]:
        groups = [self._groups[s.scan] for s in self._wanted(scan)]
        return [text_of(group, name) for group in groups if name in group]

    @_told_in_one_line
    def _written(self, scan: str) -> list[bool]:
        self._start(scan)
        return [bool(w) for w in self._groups[scan]["instrument/detector/written"][()]]


def open_run(path: Path | str) -> RunFile:
    """Open a recorded run; of one that is being written, or was cut off, what was committed last.

    Raises RunFileError where path is none, or is damaged.
    """
    path = Path(path)
    file = redo = None
    try:
        if log_of(path).exists():
            redo = RedoFile(path, "r")
        file = h5py.File(redo or path, "r", locking=False)
        version = file.attrs.get("operando_run")
        if version is None:
            raise RunFileError(f"{path}: an HDF5 file, but no recorded run of operando")
        if int(version) != FORMAT:
            raise RunFileError(f"{path}: a run of format {version}, this program reads {FORMAT}")
        return RunFile(path, file, redo)
    except RunFileError:
        _close(file, redo)
        raise
    except DAMAGE as error:
        _close(file, redo)
        line = " ".join(str(error).split())[:300]
        raise RunFileError(f"{path}: cannot be read as a recorded run: {line}") from None


def _close(file: h5py.File | None, redo: RedoFile | None) -> None:
    for each in (file, redo):
        if each is not None:
            each.close()

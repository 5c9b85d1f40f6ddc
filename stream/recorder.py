"""Writes one run into one NeXus/HDF5 file, while it runs.

The file is NAME.part until close(), then it is renamed: what stands under its own name is whole.
Everything acknowledged was committed before (redo_file.py): after kill -9 at any moment the .part,
read with the log beside it, has all of it, and a recorder started again on the same path continues
it. At the end of each scan the file itself is brought up to date and to the disk: that is also
promised against a power failure, and any HDF5 program may read it while the run goes on.

Where the disk is nearly full nothing is taken until there is room: what comes waits in the spool,
and the plan holds. What cannot be written for another reason, or because it makes no sense, is
acknowledged as failed with its reason; the recorder goes on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

import h5py
import numpy as np

from .compression import DecodeError, checksum
from .disk_watch import DiskWatch
from .frame_table import FrameRefused, FrameTable
from .hdf5_cache import forget_bookkeeping, keep_bookkeeping
from .history import append_documents, append_samples, read_documents
from .map_stack import stack_map
from .members import Delivery, Member
from .messages import (
    Account,
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
)
from .nexus import (
    FORMAT,
    account_text,
    iso_time,
    new_group,
    put_dataset,
    read_start,
    scan_group,
    stop_text,
    write_start,
)
from .redo_file import RedoFile
from .requests import Request, append_request, read_requests
from .result_groups import put_result

log = logging.getLogger(__name__)

FLUSH_AFTER_S = 0.1  # the longest that something written waits for its acknowledgement
FLUSH_AFTER = 16  # frames: half of the credit that a recorder is given
FLUSH_IDLE = 4  # deliveries that are worth a flush when nothing else is waiting
DRAIN_S = 2.0
ROOM_S = 0.2  # how often a full disk is looked at
# what h5py, HDF5, NumPy and our own checks raise for one message that cannot be written
_MEANINGLESS = (ValueError, LookupError, TypeError, ArithmeticError)
UNWRITABLE = (*_MEANINGLESS, OSError, RuntimeError, SystemError)


class RecorderError(RuntimeError):
    """The file cannot be begun; the message says which and why."""


class Recorder:
    """The writer of path.

    member: a Member of role "all" that run() serves; None where take() is called instead
    experiment_text: the experiment file, kept in the run's file
    disk: watches the disk of path; None = as it does by default
    Raises RecorderError where path exists, or its .part is not ours.
    """

    def __init__(
        self,
        path: Path,
        member: Member | None = None,
        experiment_text: str = "",
        disk: DiskWatch | None = None,
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.disk = disk or DiskWatch(self.path.parent)
        self._member = member
        self._scans: dict[str, h5py.Group] = {}
        self._tables: dict[str, FrameTable] = {}
        self._frames: dict[str, int] = {}  # announced
        self._closed: set[str] = set()  # scans that have their account
        self.trouble = ""  # why what was taken is not in the file yet; it is tried again
        self._unsynced = False
        self._full = False
        self._documents: set[tuple[str, str, int]] = set()
        self._new_documents: list[Document] = []
        self._requests: set[Request] = set()
        self._redo, self._file = self._open(experiment_text)
        self._entry = self._file["entry"]
        try:
            self._take_over()
            self._flush()
        except UNWRITABLE as error:
            _abandon(self._redo, self._file)
            raise RecorderError(f"{self.part} cannot be written: {error}") from None

    @property
    def frames(self) -> int:
        """Frames in the file."""
        return sum(table.written for table in self._tables.values())

    def run(self, stop: threading.Event) -> None:
        """Record what the member receives until stop is set, and what is still waiting then."""
        if self._member is None:
            raise RecorderError(f"recorder of {self.path}: run() needs a member")
        waiting: list[tuple[Delivery, str]] = []
        oldest = took_s = 0.0
        octets = frames = 0
        end = float("inf")
        while time.monotonic() < end:
            if stop.is_set() and end == float("inf"):
                end = time.monotonic() + DRAIN_S
            if self.trouble:  # nothing more is taken before what was taken is in the file
                time.sleep(ROOM_S)
                waiting = self._settle(waiting)
                continue
            if not waiting and not stop.is_set() and self._waits_for_room(stop):
                continue
            delivery = self._member.receive(0.0 if len(waiting) >= FLUSH_IDLE else 0.05)
            if delivery is not None:
                began = time.monotonic()
                oldest = oldest if waiting else began
                trouble = self.take(delivery.message)
                if not delivery.intact():
                    trouble = "another has been given it, and its memory was overwritten"
                waiting.append((delivery, trouble))
                took_s += time.monotonic() - began
                if isinstance(delivery.message, Frame):
                    octets += len(delivery.message.data)
                    frames += 1
            elif stop.is_set() and not waiting:
                break
            late = bool(waiting) and time.monotonic() - oldest > FLUSH_AFTER_S
            idle = delivery is None and len(waiting) >= FLUSH_IDLE
            if late or idle or frames >= FLUSH_AFTER or self._redo.refused:
                began = time.monotonic()
                waiting = self._settle(waiting)
                if octets:  # without frames it is bookkeeping, which says nothing of a rate
                    self.disk.wrote(octets, took_s + time.monotonic() - began)
                octets, frames, took_s = 0, 0, 0.0
        self._settle(waiting, last=True)

    def take(self, message: Message) -> str:
        """Write one message; "" or why it could not be written. It is safe after flush()."""
        try:
            self._write(message)
        except (*UNWRITABLE, DecodeError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            log.error("recorder: a %s is not in %s: %s", type(message).__name__, self.part, reason)
            return reason
        return ""

    def flush(self) -> str:
        """Bring everything taken to the file; "" or why that failed."""
        try:
            self._flush()
        except UNWRITABLE as error:
            reason = f"not flushed: {error}"
            if reason != self.trouble:
                log.error("recorder: %s could not be flushed: %s", self.part, error)
            return reason
        return ""

    def close(self) -> None:
        """Finish the file and give it its name; on failure the .part stays, and the log says so."""
        if not self._file:
            return
        try:
            with contextlib.suppress(KeyError):
                del self._entry["end_time"]
            put_dataset(self._entry, "end_time", iso_time(time.time()))
            self._flush()
            if self.path.exists():
                raise OSError(f"{self.path} has appeared meanwhile")
            self._redo.finish(self.path)
            # it is whole; HDF5 has been seen to crash in closing after a full disk
            self._file.close()
        except UNWRITABLE as error:
            log.error("recorder: the run stays in %s: %s", self.part, error)
            with contextlib.suppress(*UNWRITABLE):
                self._file.close()
        self._redo.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, experiment_text: str) -> tuple[RedoFile, h5py.File]:
        redo = file = None
        try:
            if self.path.exists():
                raise RecorderError(f"{self.path} exists; a run is never written over another")
            redo = RedoFile(self.part, "w")
            new = redo.empty
            file = h5py.File(redo, "x" if new else "r+")
            keep_bookkeeping(file)
            if not new and int(file.attrs.get("operando_run", 0)) != FORMAT:
                raise ValueError(f"it is no unfinished run of format {FORMAT}")
            if "entry" not in file:
                _begin(file, self.path.stem, experiment_text)
        except UNWRITABLE as error:
            _abandon(redo, file)
            raise RecorderError(f"{self.part} cannot be written: {error}") from None
        return redo, file

    def _take_over(self) -> None:
        """What a former recorder has left in the file."""
        if "documents" in self._entry:
            for document in read_documents(self._entry["documents"]):
                known = (document.run, document.name, checksum(document.text.encode()))
                self._documents.add(known)
        self._requests.update(read_requests(self._entry))
        for group in self._entry.values():
            if isinstance(group, h5py.Group) and group.attrs.get("NX_class") == "NXsubentry":
                try:
                    self._adopt(read_start(group), group)
                except UNWRITABLE as error:
                    log.error("recorder: %s in %s is left alone: %s", group.name, self.part, error)

    def _adopt(self, start: ScanStart, group: h5py.Group) -> None:
        self._scans[start.scan] = group
        self._frames[start.scan] = start.frames
        self._tables[start.scan] = FrameTable(
            group["instrument/detector"], start.scan, start.detector, start.frames
        )

    def _write(self, message: Message) -> None:
        if isinstance(message, Frame):
            table = self._tables.get(message.scan)
            if table is None:
                raise FrameRefused(f"frame {message.index} of scan {message.scan}: not begun here")
            table.write(message)
        elif isinstance(message, ScanStart):
            if message.scan not in self._scans:
                self._begin_scan(message)
        elif isinstance(message, ScanStop):
            self._replace_text(self._scan(message.scan), "stop", stop_text(message))
            self._unsynced = True
        elif isinstance(message, Positions):
            self._place(message)
        elif isinstance(message, Samples):
            append_samples(self._entry, message)
        elif isinstance(message, Document):
            self._document(message)
        elif isinstance(message, Result):
            self._result(message)
        elif isinstance(message, (Proposal, Decision)):
            if message not in self._requests:  # as with documents
                append_request(self._entry, message)
                self._requests.add(message)
        elif isinstance(message, Account):
            self._replace_text(self._scan(message.scan), "account", account_text(message))
            self._closed.add(message.scan)
            self._unsynced = True
        # whatever else a member gets is not for the record

    def _scan(self, scan: str) -> h5py.Group:
        if scan not in self._scans:
            raise KeyError(f"scan {scan} has not begun here")
        return self._scans[scan]

    def _begin_scan(self, start: ScanStart) -> None:
        """All of it or nothing: what cannot be read back would stop whoever is started again."""
        name = self._new_name(start)
        try:
            group = write_start(self._entry, name, start)
            read_start(group)
        except UNWRITABLE:
            if name in self._entry:
                del self._entry[name]
            raise
        self._adopt(start, group)

    def _new_name(self, start: ScanStart) -> str:
        name = base = scan_group(start.number)
        repeat = 1
        while name in self._entry:
            repeat += 1
            name = f"{base}_{repeat}"
        return name

    def _replace_text(self, group: h5py.Group, name: str, text: str) -> None:
        if name in group:
            del group[name]
        put_dataset(group, name, text)

    def _place(self, positions: Positions) -> None:
        measured = self._scan(positions.scan)["trajectory/measured"]
        frames = self._frames[positions.scan]
        if len(positions.indices) == 0:
            return
        measured_there = np.isfinite(positions.values)
        if not measured_there.any():  # nan is "not measured": the planned position stands
            return
        indices, places = positions.indices[measured_there], positions.values[measured_there]
        first, end = int(indices.min()), int(indices.max()) + 1
        if not 0 <= first < end <= frames:
            raise ValueError(f"positions of frames {first} to {end - 1}, the scan has {frames}")
        if positions.axis not in measured:
            put_dataset(measured, positions.axis, np.full(frames, np.nan), positions.unit)
        values = measured[positions.axis][first:end]
        values[indices - first] = places
        measured[positions.axis][first:end] = values

    def _document(self, document: Document) -> None:
        known = (document.run, document.name, checksum(document.text.encode()))
        if known not in self._documents:  # a restarted hub or recorder may be given it again
            self._new_documents.append(document)  # written with the next flush, all in one go
            self._documents.add(known)

    def _result(self, result: Result) -> None:
        put_result(self._scan(result.scan), result)
        stack_map(self._entry, result)

    def _waits_for_room(self, stop: threading.Event) -> bool:
        """Wait a moment where the disk is full; whether it is."""
        full = self.disk.full()
        if bool(full) != self._full:
            log.warning("recorder: %s", full or "there is room again")
            self._full = bool(full)
        return self._full and not stop.wait(ROOM_S)

    def _settle(
        self, waiting: list[tuple[Delivery, str]], last: bool = False
    ) -> list[tuple[Delivery, str]]:
        """Flush and acknowledge; what is left to be tried again where that failed.

        last: it is not tried again, and what is not in the file is said to be that
        """
        if not waiting or self._member is None:
            return []
        trouble = self.flush()
        if trouble and not last:
            self.trouble = trouble
            self._member.acknowledge([])  # it is at work, and not away
            return waiting
        if self.trouble and not trouble:
            log.warning("recorder: %s takes everything again", self.part)
        self.trouble = ""
        self._member.acknowledge([d for d, reason in waiting if not (reason or trouble)])
        for delivery, reason in waiting:
            if reason or trouble:
                self._member.acknowledge(delivery, failed=reason or trouble)
        return []

    def _flush(self) -> None:
        for scan, table in self._tables.items():
            table.sync()
            if scan in self._closed:
                table.let_go()
        if self._new_documents:
            append_documents(self._entry, self._new_documents)
            self._new_documents.clear()
        self._file.flush()
        forget_bookkeeping(self._file)
        self._redo.commit(to_disk=self._unsynced)
        self._unsynced = False


def _abandon(redo: RedoFile | None, file: h5py.File | None) -> None:
    if redo is not None:
        redo.leave()
        with contextlib.suppress(*UNWRITABLE):
            if file is not None:
                file.close()
        redo.abandon()


def _begin(file: h5py.File, title: str, experiment_text: str) -> None:
    entry = new_group(file, "entry", "NXentry")
    put_dataset(entry, "title", f"operando run {title}")
    put_dataset(entry, "start_time", iso_time(time.time()))
    put_dataset(entry, "experiment", experiment_text)
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = "entry"
    file.attrs["creator"] = "operando"
    file.attrs["operando_run"] = FORMAT

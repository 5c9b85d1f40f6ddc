"""The frames of one scan in the run's file: each a chunk, as the detector sent its bytes.

Beside the images stand, one element a frame: written (0 or 1), checksum (xxh3_64 of the chunk),
time. The shape of the image dataset says what was announced, never what came: that is `written`,
which is set after the chunk and reaches the disk with the next flush.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from .compression import checksum, decode
from .messages import Detector, Frame

UNFILTERED = 1  # filter mask of a chunk that the (one) filter has not touched
_TABLES = {"written": np.uint8, "checksum": np.uint64, "time": np.float64}


class FrameRefused(ValueError):
    """A frame that does not belong where it says; the message names it."""


class FrameTable:
    """Writes frames of one scan into its NXdetector group.

    group: the NXdetector, new or as a former recorder left it
    count: frames announced
    """

    def __init__(self, group: h5py.Group, scan: str, detector: Detector, count: int) -> None:
        self._group = group
        self._scan = scan
        self._count = count
        self._shape, self._dtype = detector.shape, np.dtype(detector.dtype)
        self._data: h5py.Dataset | None = group.get("data")
        self._encoding = "" if self._data is None else str(self._data.attrs["encoding"])
        if "written" not in group:
            for name, dtype in _TABLES.items():
                group.create_dataset(name, shape=(count,), dtype=dtype, fillvalue=_fill(name))
            group["time"].attrs["units"] = "s"
        self._tables: dict[str, NDArray[Any]] = {}  # in memory while frames come
        self._dirty: set[int] = set()

    @property
    def written(self) -> int:
        """How many frames are in."""
        return int(self._in_memory()["written"].sum())

    def write(self, frame: Frame) -> None:
        """Write one frame; again the same one replaces it. Raises FrameRefused and OSError."""
        if not 0 <= frame.index < self._count:
            raise FrameRefused(f"frame {frame.index} of scan {self._scan}, which has {self._count}")
        if frame.shape != self._shape or np.dtype(frame.dtype) != self._dtype:
            raise FrameRefused(
                f"frame {frame.index} of scan {self._scan} is {frame.shape} {frame.dtype}, "
                f"announced was {self._shape} {self._dtype}"
            )
        if self._data is None:
            self._data = self._create(frame.encoding)
        if frame.encoding not in ("raw", self._encoding):
            # Damage must not get a checksum of its own
            pixels = np.ascontiguousarray(decode(frame, verify=True)).tobytes()
            frame = dataclasses.replace(
                frame, encoding="raw", data=pixels, checksum=checksum(pixels)
            )
        need = math.prod(self._shape) * self._dtype.itemsize
        if frame.encoding == "raw" and len(frame.data) != need:
            raise FrameRefused(
                f"frame {frame.index} of scan {self._scan} has {len(frame.data)} bytes, "
                f"{self._shape} {self._dtype} is {need}"
            )
        mask = UNFILTERED if frame.encoding == "raw" else 0
        self._data.id.write_direct_chunk((frame.index, 0, 0), frame.data, mask)
        tables = self._in_memory()
        tables["checksum"][frame.index] = frame.checksum
        tables["time"][frame.index] = frame.time_s
        tables["written"][frame.index] = 1
        self._dirty.add(frame.index)

    def sync(self) -> None:
        """Bring the tables up to what was written; the file's flush comes after."""
        if not self._dirty:
            return
        first, end = min(self._dirty), max(self._dirty) + 1
        for name, table in self._tables.items():
            self._group[name][first:end] = table[first:end]
        self._dirty.clear()

    def let_go(self) -> None:
        """Keep nothing in memory until another frame comes; after sync()."""
        if not self._dirty:
            self._tables = {}

    def _in_memory(self) -> dict[str, NDArray[Any]]:
        if not self._tables:
            self._tables = {name: self._group[name][()] for name in _TABLES}
        return self._tables

    def _create(self, encoding: str) -> h5py.Dataset:
        filters = hdf5plugin.LZ4() if encoding == "lz4" else hdf5plugin.Bitshuffle(cname="lz4")
        rows, cols = self._shape
        dataset = self._group.create_dataset(
            "data",
            shape=(self._count, rows, cols),
            dtype=self._dtype,
            chunks=(1, rows, cols),
            fillvalue=0,
            **filters,
        )
        self._encoding = "lz4" if encoding == "lz4" else "bslz4"
        dataset.attrs["encoding"] = self._encoding
        dataset.attrs["interpretation"] = "image"
        dataset.attrs["units"] = "counts"
        return dataset


def read_frame(group: h5py.Group, scan: str, detector: Detector, index: int) -> Frame:
    """Frame index as it was written, its checksum not yet compared. Raises OSError, ValueError."""
    data = group["data"]
    mask, chunk = data.id.read_direct_chunk((index, 0, 0))
    return Frame(
        scan=scan,
        index=index,
        shape=detector.shape,
        dtype=detector.dtype,
        encoding="raw" if mask & UNFILTERED else str(data.attrs["encoding"]),
        data=chunk,
        checksum=int(group["checksum"][index]),
        time_s=float(group["time"][index]),
    )


def _fill(name: str) -> float:
    return float("nan") if name == "time" else 0

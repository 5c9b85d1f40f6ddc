"""One image out of a file: fabio's formats and HDF5, whatever they raise made into one error."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import fabio
import h5py
import hdf5plugin  # registers the detectors' compression filters with HDF5
import numpy as np
from numpy.typing import NDArray

from .cbf_checks import CbfError, check_cbf
from .messages import Array

_HDF5_SUFFIXES = (".h5", ".hdf5", ".nxs", ".nx")
SUFFIXES = (".cbf", ".tif", ".tiff", ".edf", *_HDF5_SUFFIXES)
# Where NXmx and DECTRIS' files keep their images, and the detector's mask
_IMAGES = ("/entry/data/data", "/entry/instrument/detector/data")
_MASKS = (
    "/entry/instrument/detector/pixel_mask",
    "/entry/instrument/detector/detectorSpecific/pixel_mask",
)
_LINKED_IMAGES = re.compile(r"data_\d+")
_BITSHUFFLE, _BITSHUFFLE_LZ4 = hdf5plugin.BSHUF_ID, 2
_LZ4 = hdf5plugin.LZ4_ID
_PILATUS_CUTOFF = re.compile(r"Count_cutoff\s+(\d+)")
_PILATUS_EXPOSURE = re.compile(r"Exposure_time\s+([\d.eE+-]+)")


class UnreadableImage(ValueError):
    """An image that a file should hold and that cannot be had; names the file."""


@dataclass(frozen=True, slots=True)
class FileImage:
    """One image as it lies in its file.

    shape, dtype: (rows, cols) and NumPy name of its pixels
    pixels: (rows, cols); None where the chunk will do
    chunk: encoding and payload where the file holds the image as a Frame may carry it
    mask: (rows, cols) bool, True where the file says not to use a pixel; None where it does not
    time: unix time of the file [s]
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    pixels: Array | None
    chunk: tuple[str, bytes] | None = None
    mask: NDArray[np.bool_] | None = None
    detector: str = ""
    saturation: int | None = None
    exposure_s: float = math.nan
    time: float = math.nan


class ImageSource(Protocol):
    """A place where one image should be."""

    def read(self, pixels: bool, mask: bool) -> FileImage:
        """The image; pixels: also where its chunk will do; mask: too. Raises UnreadableImage."""
        ...


def sources(paths: list[Path], dataset: str) -> list[ImageSource]:
    """A source for each image in paths, in order; an unreadable file counts as one image."""
    found: list[ImageSource] = []
    per_file = 0
    for path in paths:
        if path.suffix.lower() in _HDF5_SUFFIXES:
            found += _hdf5_sources(path, dataset)
            continue
        if not per_file:
            per_file = _images_in(path)
        found += [_FabioSource(path, number) for number in range(max(per_file, 1))]
    return found


def _images_in(path: Path) -> int:
    """How many images fabio finds in path; 0 where it cannot read it."""
    if _is_cbf(path):
        return 1
    try:
        with fabio.open(str(path)) as image:
            return int(image.nframes)
    except Exception:  # told with the file's name when its image is read
        return 0


def _is_cbf(path: Path) -> bool:
    return ".cbf" in (suffix.lower() for suffix in path.suffixes[-2:])


def _reason(error: Exception) -> str:
    """One line of what a library said; it may be nothing, or mean nothing without its type."""
    words = str(error).splitlines()[:1]
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


@dataclass(frozen=True, slots=True)
class _FabioSource:
    path: Path
    number: int

    def read(self, pixels: bool, mask: bool) -> FileImage:
        try:
            if _is_cbf(self.path):
                check_cbf(self.path)
            with fabio.open(str(self.path)) as opened:
                # fabio fills up what is missing of an EDF file with zeros
                if getattr(opened, "incomplete_file", False) and self.number == opened.nframes - 1:
                    raise UnreadableImage("cut: its image is not whole")
                image = opened.get_frame(self.number) if self.number else opened
                data = np.asarray(image.data)
                notes = str(image.header.get("_array_data.header_contents", ""))
                modified = self.path.stat().st_mtime
        except (UnreadableImage, CbfError) as error:
            raise UnreadableImage(f"{self.path.name}: {error}") from None
        except Exception as error:  # fabio raises what its two dozen readers happen to raise
            raise UnreadableImage(f"{self.path.name}: {_reason(error)}") from None
        if data.ndim != 2:
            raise UnreadableImage(f"{self.path.name}: {data.ndim} dimensions, an image has 2")
        cutoff, exposure = _PILATUS_CUTOFF.search(notes), _PILATUS_EXPOSURE.search(notes)
        return FileImage(
            name=self.path.name,
            shape=(data.shape[0], data.shape[1]),
            dtype=data.dtype.name,
            pixels=data,
            saturation=int(cutoff[1]) if cutoff else None,
            exposure_s=float(exposure[1]) if exposure else math.nan,
            time=modified,
        )


@dataclass(frozen=True, slots=True)
class _Broken:
    reason: str

    def read(self, pixels: bool, mask: bool) -> FileImage:
        raise UnreadableImage(self.reason)


@dataclass(frozen=True, slots=True)
class _Hdf5Source:
    path: Path
    dataset: str
    number: int

    def read(self, pixels: bool, mask: bool) -> FileImage:
        where = f"{self.path.name}{self.dataset}[{self.number}]"
        try:
            with h5py.File(self.path, "r") as file:
                return self._read(file, where, pixels, mask)
        except UnreadableImage:
            raise
        except Exception as error:  # h5py passes on whatever HDF5 and its filters say
            raise UnreadableImage(f"{where}: {_reason(error)}") from None

    def _read(self, file: h5py.File, where: str, pixels: bool, mask: bool) -> FileImage:
        data = file[self.dataset]
        shape = (int(data.shape[-2]), int(data.shape[-1]))
        chunk = _chunk(data, self.number, where)
        image = None
        if pixels or chunk is None:
            image = np.asarray(data[self.number] if data.ndim == 3 else data[()])
        flags = None
        if mask:
            flags = next((np.asarray(file[m][()] != 0) for m in _MASKS if m in file), None)
        return FileImage(
            name=where,
            shape=shape,
            dtype=data.dtype.name,
            pixels=image,
            chunk=chunk,
            mask=flags if flags is not None and flags.shape == shape else None,
            time=self.path.stat().st_mtime,
        )


def _chunk(data: h5py.Dataset, number: int, where: str) -> tuple[str, bytes] | None:
    """Encoding and bytes of image number where it lies as one chunk that a Frame may carry."""
    if data.ndim != 3 or data.chunks != (1, *data.shape[1:]):
        return None
    # shape counts images that were never written (a crash between resize and write): fill values
    if data.id.get_chunk_info_by_coord((number, 0, 0)).byte_offset is None:
        raise UnreadableImage(f"{where} was never written")
    plist = data.id.get_create_plist()
    if plist.get_nfilters() != 1 or data.dtype.kind != "u" or data.dtype.byteorder == ">":
        return None
    filter_id, _, options, _ = plist.get_filter(0)
    if filter_id == _BITSHUFFLE and len(options) > 4 and options[4] == _BITSHUFFLE_LZ4:
        encoding = "bslz4"
    elif filter_id == _LZ4:
        encoding = "lz4"
    else:
        return None
    skipped, payload = data.id.read_direct_chunk((number, 0, 0))
    return None if skipped else (encoding, bytes(payload))


def _hdf5_sources(path: Path, dataset: str) -> list[ImageSource]:
    try:
        with h5py.File(path, "r") as file:
            found = [
                _Hdf5Source(path, name, number)
                for name in _datasets(file, dataset)
                for number in range(file[name].shape[0] if file[name].ndim == 3 else 1)
            ]
    except UnreadableImage as error:
        return [_Broken(f"{path.name}: {error}")]
    except Exception as error:  # h5py passes on whatever HDF5 says
        return [_Broken(f"{path.name}: {_reason(error)}")]
    return list(found) if found else [_Broken(f"{path.name} holds no image")]


def _datasets(file: h5py.File, dataset: str) -> list[str]:
    """Paths of the images in file. Raises UnreadableImage where that is not clear."""
    names = [dataset] if dataset else [name for name in _IMAGES if name in file][:1]
    if not names and isinstance(file.get("/entry/data"), h5py.Group):
        group = file["/entry/data"]
        names = [f"/entry/data/{n}" for n in sorted(group) if _LINKED_IMAGES.fullmatch(n)]
    if not names:
        names = _stacks(file)
        if len(names) != 1:
            raise UnreadableImage(f"{len(names)} stacks of images in it, name one: {names[:5]}")
    for name in names:
        if not isinstance(file.get(name), h5py.Dataset) or file[name].ndim not in (2, 3):
            raise UnreadableImage(f"{name} in it is no image and no stack of images")
    return names


def _stacks(file: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3:
            found.append(f"/{name}")

    file.visititems(visit)
    return found

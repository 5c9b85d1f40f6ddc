"""What a DECTRIS detector says about a series of images, whichever version of its stream it speaks.

Both parsers (dectris_v1, dectris_v2) make these, both emitters take them, and scan_start() and
frame() turn them into our own messages.

A detector's `saturation_value` (V2) and `countrate_correction_count_cutoff` (V1) become
Detector.saturation as they are; where neither is sent it is the type's largest value, which an
EIGER writes into masked pixels.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from . import compression
from .consistency import inconsistency
from .description import DescriptionError, ScanDescription, from_json
from .messages import Axis, Detector, Frame, Scalar, ScanStart, Trajectory

MAX_IMAGES = 100_000_000
_UNIQUE = 64  # characters of a series' own name that go into a scan's
IMAGE_TYPES = ("uint8", "uint16", "uint32")


class StreamError(ValueError):
    """A part or message of a detector's stream that cannot be used.

    kind: one word or two for the counter of rejections, from a small fixed set
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class ImageError(StreamError):
    """An image that says which one it is, but cannot be used."""

    def __init__(self, series: int, index: int, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.series = series
        self.index = index


@dataclass(frozen=True, slots=True)
class Start:
    """A series begins.

    series: the detector's number for it
    images: how many are to come; 0 where the detector does not say (V1 header_detail "none")
    shape: (rows, cols); None where the detector does not say
    dtype: NumPy name of the pixel type
    unique: the detector's unique name for the series; "" from V1
    channels: names of the thresholds' images
    exposure_s, frame_time_s: count time and period of a frame [s]
    energy_ev: of the incident photons [eV]
    pixel_m: (height, width) [m]
    beam_center_px: (x, y) [pixel]
    saturation: see the module; None where it is not sent
    mask: (rows, cols) bool, True where the detector's own mask is not zero; None where not sent
    arm_date: RFC 3339 text of the detector's wall clock
    user_data: what header_appendix held, as text (JSON where it was a structure)
    warnings: what was sent but could not be used
    """

    series: int
    images: int
    shape: tuple[int, int] | None
    dtype: str
    unique: str = ""
    channels: tuple[str, ...] = ("threshold_1",)
    exposure_s: float = math.nan
    frame_time_s: float = math.nan
    energy_ev: float = math.nan
    pixel_m: tuple[float, float] = (math.nan, math.nan)
    beam_center_px: tuple[float, float] = (math.nan, math.nan)
    saturation: int | None = None
    mask: NDArray[np.bool_] | None = None
    description: str = ""
    serial_number: str = ""
    sensor_material: str = ""
    sensor_thickness_m: float = math.nan
    arm_date: str = ""
    user_data: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a series, its payload not yet looked at.

    index: the detector's number for it, counted from 0
    dtype: as np.dtype.str, with the order of bytes, e.g. "<u2"
    encoding: "raw", "bslz4", "lz4", or "lz4-block" for V1's one bare LZ4 block
    shuffled_bytes: width of the elements that bslz4 shuffled; it need not be the pixel's
    column_major: pixels run down the columns
    time_s: start of the exposure [s]: V2 since the series began, V1 on the detector's own clock
    """

    series: int
    index: int
    shape: tuple[int, int]
    dtype: str
    encoding: str
    data: bytes | memoryview
    shuffled_bytes: int = 0
    column_major: bool = False
    time_s: float = math.nan
    unique: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The detector has sent, or given up, the last image of a series."""

    series: int
    unique: str = ""


def frame(image: Image, scan: str) -> Frame:
    """image as a Frame of scan, its container walked, its payload uncopied where it can be.

    Rare forms (big-endian or column-major pixels, bslz4 over another width, V1's bare LZ4 block)
    are brought into one that a Frame can name. Raises ImageError where the payload is damaged.
    """
    try:
        dtype, encoding, data = _named_form(image)
        compression.check(data, image.shape, dtype, encoding)
    except compression.ContainerError as error:
        raise ImageError(image.series, image.index, "damaged", str(error)) from None
    return Frame(
        scan=scan,
        index=image.index,
        shape=image.shape,
        dtype=dtype,
        encoding=encoding,
        data=data,
        checksum=compression.checksum(data),
        time_s=image.time_s,
    )


def _named_form(image: Image) -> tuple[str, str, bytes | memoryview]:
    """dtype, encoding and data of image as a Frame may name them."""
    kind = np.dtype(image.dtype)
    size = image.shape[0] * image.shape[1] * kind.itemsize
    encoding, data = image.encoding, image.data
    if encoding == "lz4-block":
        # Some detectors and emulators send the HDF5 framing under the same name
        framed = len(data) >= 12 and int.from_bytes(data[:8], "big") == size
        encoding = "lz4"
        if not framed:
            data = compression.frame_lz4_block(data, size)
    plain = kind.newbyteorder("<") == kind and not image.column_major
    same_width = encoding != "bslz4" or image.shuffled_bytes == kind.itemsize
    if plain and same_width:
        return kind.name, encoding, data
    pixels = _decode_rare(image, kind, encoding, data)
    return kind.name, "raw", np.ascontiguousarray(pixels, kind.newbyteorder("<")).tobytes()


def _decode_rare(
    image: Image, kind: np.dtype[np.generic], encoding: str, data: bytes | memoryview
) -> NDArray[np.generic]:
    if kind.name not in IMAGE_TYPES:
        raise compression.ContainerError(f"pixel type {kind.name} is none of {IMAGE_TYPES}")
    stored = image.shape[::-1] if image.column_major else image.shape
    width = image.shuffled_bytes if encoding == "bslz4" else kind.itemsize
    cells, remainder = divmod(stored[0] * stored[1] * kind.itemsize, width or kind.itemsize)
    if width not in (1, 2, 4) or remainder:
        raise compression.ContainerError(f"bslz4 over elements of {width} bytes")
    flat = compression.decode_bytes(data, (1, cells), f"uint{8 * width}", encoding)
    pixels = flat.reshape(-1).view(kind).reshape(stored)
    return pixels.T if image.column_major else pixels


def scan_start(start: Start, taken: Set[str] = frozenset()) -> ScanStart:
    """The scan that start announces; what it is comes from the description in its user_data.

    taken: scans seen before: a header appendix left over from an earlier scan does not name this
        one too
    Without a usable description the scan is a plain row of frames, and a note says why.
    Raises StreamError where shape or number of images is not known.
    """
    described, notes = _described(start)
    images = start.images or (described.frames() if described else 0)
    if start.shape is None or not 0 < images <= MAX_IMAGES:
        raise StreamError(
            "start incomplete",
            f"series {start.series} announces {images} images of shape {start.shape}; "
            f"header_detail must be basic or all",
        )
    unique = "".join(c for c in start.unique[:_UNIQUE] if c.isalnum() or c in "-_")
    fallback = f"series-{start.series}-{unique or format(time.time_ns(), 'x')}"
    plain = ScanDescription("", fallback, 1, "frames", (images,), ())
    whole = described is not None and described.frames() == images
    if described is not None and not whole:
        notes["description_problem"] = (
            f"description of {described.frames()} frames, the detector announces {images}"
        )
        plain = dataclasses.replace(
            described, technique="frames", grid=(images,), axes=(), snake=False
        )
    scan = described if described is not None and whole else plain
    if scan.scan in taken:
        notes["description_problem"] = f"scan {scan.scan} came before: an old header appendix?"
        scan = dataclasses.replace(scan, scan=f"{scan.scan}-{fallback}")
    detector = _detector(start, start.shape)
    made = _scan_start(start, scan, detector, images, notes)
    if wrong := inconsistency(made):  # nobody would take it, and all its frames would go with it
        notes["description_problem"] = wrong[:200]
        bare = ScanDescription("", fallback, 1, "frames", (images,), ())
        made = _scan_start(start, bare, detector, images, notes)
    return made


def _scan_start(
    start: Start,
    scan: ScanDescription,
    detector: Detector,
    images: int,
    notes: dict[str, Scalar],
) -> ScanStart:
    """The scan that start announces, as scan describes it."""
    return ScanStart(
        run=scan.run,
        scan=scan.scan,
        number=scan.number,
        technique=scan.technique,
        frames=images,
        detector=detector,
        trajectory=scan.trajectory() if scan.axes else frames_trajectory(images),
        poni=scan.poni,
        energy_ev=start.energy_ev,
        exposure_s=start.exposure_s,
        cell=scan.cell,
        time=_unix_time(start.arm_date),
        notes={**scan.notes, **notes},
    )


def frames_trajectory(images: int) -> Trajectory:
    """A trajectory of which nothing is known but the order: one axis, "frame"."""
    axis = Axis("frame", "", np.arange(images, dtype=np.float64))
    return Trajectory((images,), (axis,))


def _described(start: Start) -> tuple[ScanDescription | None, dict[str, Scalar]]:
    notes: dict[str, Scalar] = {
        "detector_series": start.series,
        "detector_serial_number": start.serial_number,
    }
    if start.unique:
        notes["detector_series_unique"] = start.unique
    if start.warnings:
        notes["detector_warnings"] = "; ".join(start.warnings)
    if not start.user_data:
        return None, notes
    try:
        return from_json(start.user_data), notes
    except DescriptionError as error:
        notes["description_problem"] = str(error)[:200]
        return None, notes


def _detector(start: Start, shape: tuple[int, int]) -> Detector:
    limit = int(np.iinfo(start.dtype).max)
    return Detector(
        name=start.description or "DECTRIS",
        shape=shape,
        dtype=start.dtype,
        pixel_m=start.pixel_m,
        saturation=limit if start.saturation is None else min(start.saturation, limit),
        mask=start.mask,
    )


def _unix_time(text: str) -> float:
    """text as unix time [s]; now, where it is no date or has no time zone."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return time.time()
    return date.timestamp() if date.tzinfo else time.time()

"""Detector files in, ScanStart, Frame and ScanStop out: the same path as a live detector's.

CBF, TIFF and EDF (also .gz and .bz2) are read by fabio, HDF5 by h5py. Policy:

- A file that cannot be read costs its own image, by index and name, and no other.
- Orientation is explicit: TIFF writers differ, and a flipped image integrates to nonsense without
  an error. The mask, from a file or from the images, is turned with the images.
- A mask file marks with any value but zero the pixels NOT to be used (pyFAI's convention).
- Pilatus images are signed: -1 is a gap, -2 a dead pixel. A negative pixel becomes the largest
  value of the unsigned type, in every image, which reducers leave out as saturated; the negative
  pixels of the first image are in the mask besides. negatives="zero" counts them as 0 instead:
  wrong between modules, but what programs without a mask do, so that their patterns can be met.
- Every image file of a set holds as many images as the first one; HDF5 files are each looked at.
- HDF5 images stored one a chunk with the bitshuffle/LZ4 or the LZ4 filter are handed on as they
  lie, undecoded, where they need not be turned.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import compression
from .dectris_series import frames_trajectory
from .description import ScanDescription
from .image_readers import SUFFIXES, FileImage, ImageSource, UnreadableImage, sources
from .messages import Array, Detector, Frame, Message, Scalar, ScanStart, ScanStop

NEGATIVES = ("masked", "zero")
ORIENTATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda image: image,
    "flip-ud": np.flipud,
    "flip-lr": np.fliplr,
    "rotate-90": np.rot90,
    "rotate-180": lambda image: np.rot90(image, 2),
    "rotate-270": lambda image: np.rot90(image, 3),
    "transpose": np.transpose,
    "anti-transpose": lambda image: np.rot90(image, 2).T,
}
_HC_EV_M = 1.239841984e-6  # CODATA 2018, exact constants
_DATA_FILE = re.compile(r"_data_\d+\.h5$")


@dataclass(frozen=True, slots=True)
class _FileScan:
    """What the files of a scan do not say themselves; see frames_from_files."""

    scan: ScanDescription
    poni: str
    orientation: str
    mask: NDArray[np.bool_] | None
    negatives: str
    encoding: str
    saturation: int | None
    exposure_s: float


def frames_from_files(
    paths: Path | str | Iterable[Path | str],
    poni_text: str = "",
    orientation: str = "identity",
    run: str = "files",
    *,
    scan: str = "",
    number: int = 1,
    technique: str = "frames",
    description: ScanDescription | None = None,
    mask: Path | None = None,
    negatives: str = "masked",
    dataset: str = "",
    encoding: str = "raw",
    saturation: int | None = None,
    exposure_s: float = math.nan,
    notes: Mapping[str, Scalar] | None = None,
) -> Iterator[Message]:
    """One ScanStart, a Frame for each image that can be read, one ScanStop that names the others.

    paths: image files in the order of the scan, or folders, whose images come in natural order
    poni_text: a pyFAI geometry; its last calibration gives energy and pixel size
    orientation: a name of ORIENTATIONS, applied to every image and to the masks
    scan: identifier of the scan; a new one where ""
    description: trajectory, cell and names of the scan, instead of run, scan, number, technique
    mask: file whose pixels other than zero are not to be used
    negatives: "masked" or "zero", what pixels below 0 mean
    dataset: path of the images inside HDF5 files; found by itself where ""
    encoding: of the frames, where they do not lie in HDF5 as they are to be handed on
    saturation: counts; the files' own cut-off or the type's largest value where None
    Raises ValueError where orientation, encoding or number of images do not fit, FileNotFoundError
    where there is no image, UnreadableImage where the mask or every image cannot be read.
    """
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation {orientation!r} is none of {', '.join(ORIENTATIONS)}")
    if encoding not in compression.ENCODINGS:
        raise ValueError(f"encoding {encoding!r} is none of {', '.join(compression.ENCODINGS)}")
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives {negatives!r} is none of {', '.join(NEGATIVES)}")
    images = sources(image_paths(paths, leave_out=mask), dataset)
    name = scan or f"files-{uuid.uuid4().hex[:12]}"
    described = description or ScanDescription(run, name, number, technique, (len(images),), ())
    if described.frames() != len(images):
        raise ValueError(f"{len(images)} images, the description has {described.frames()} frames")
    if notes:
        described = dataclasses.replace(described, notes={**described.notes, **notes})
    poni = described.poni or poni_text
    flags = None if mask is None else _mask_file(mask)
    files = _FileScan(
        described, poni, orientation, flags, negatives, encoding, saturation, exposure_s
    )
    return _messages(images, files)


def image_paths(
    paths: Path | str | Iterable[Path | str], leave_out: Path | None = None
) -> list[Path]:
    """The files that paths mean, folders opened. Raises FileNotFoundError."""
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: list[Path] = []
    for path in map(Path, given):
        found += _folder(path) if path.is_dir() else [path]
    if leave_out is not None:
        found = [p for p in found if p.resolve() != leave_out.resolve()]
    if not found:
        raise FileNotFoundError(
            f"no image in {', '.join(map(str, given)) or 'an empty list'}: "
            f"looked for {', '.join(SUFFIXES)}, also .gz and .bz2"
        )
    return found


def _folder(folder: Path) -> list[Path]:
    names = [p for p in folder.iterdir() if p.is_file() and _suffix(p) in SUFFIXES]
    # A DECTRIS master file links to its data files: the same images must not come twice
    if any(p.name.endswith("_master.h5") for p in names):
        names = [p for p in names if not _DATA_FILE.search(p.name)]
    return sorted(names, key=_natural)


def _suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2") else path
    return name.suffix.lower()


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_9 before frame_10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in pieces]


def _messages(images: list[ImageSource], files: _FileScan) -> Iterator[Message]:
    lost: dict[int, str] = {}
    start: ScanStart | None = None
    passed = 0
    for index, source in enumerate(images):
        try:
            first = start is None
            image = source.read(pixels=first or files.orientation != "identity", mask=first)
            if start is None:
                start = _start(image, len(images), files)
                yield start
            frame = _frame(image, index, start, files)
        except UnreadableImage as error:
            lost[index] = str(error)
            continue
        yield frame
        passed += 1
    if start is None:
        raise UnreadableImage(f"none of {len(images)} images can be read; first: {lost[0]}")
    yield ScanStop(start.scan, passed, "complete", lost)


def _start(image: FileImage, count: int, files: _FileScan) -> ScanStart:
    if 0 in image.shape:
        raise UnreadableImage(f"{image.name} is {image.shape}, which is no image")
    pixels, negative = unsigned(image, files.negatives)
    mask = np.zeros(image.shape, np.bool_)
    if negative is not None:
        mask |= negative
    if image.mask is not None:
        mask |= image.mask
    if files.mask is not None:
        if files.mask.shape != image.shape:
            raise UnreadableImage(f"{image.name} is {image.shape}, the mask {files.mask.shape}")
        mask |= files.mask
    turned = np.ascontiguousarray(ORIENTATIONS[files.orientation](mask), np.bool_)
    calibration = _last_calibration(files.poni)
    wavelength_m = calibration.get("wavelength", math.nan)
    limit = int(np.iinfo(pixels.dtype.name).max)
    cutoff = image.saturation if files.saturation is None else files.saturation
    scan = files.scan
    return ScanStart(
        run=scan.run,
        scan=scan.scan,
        number=scan.number,
        technique=scan.technique,
        frames=count,
        detector=Detector(
            name=image.detector or "files",
            shape=(turned.shape[0], turned.shape[1]),
            dtype=pixels.dtype.name,
            pixel_m=(calibration.get("pixel1", math.nan), calibration.get("pixel2", math.nan)),
            saturation=limit if cutoff is None else min(cutoff, limit),
            mask=turned if turned.any() else None,
        ),
        trajectory=scan.trajectory() if scan.axes else frames_trajectory(count),
        poni=files.poni,
        energy_ev=_HC_EV_M / wavelength_m if wavelength_m > 0 else math.nan,
        exposure_s=image.exposure_s if math.isnan(files.exposure_s) else files.exposure_s,
        cell=scan.cell,
        time=time.time() if math.isnan(image.time) else image.time,
        notes={"first_file": image.name, "orientation": files.orientation, **scan.notes},
    )


def _frame(image: FileImage, index: int, start: ScanStart, files: _FileScan) -> Frame:
    detector = start.detector
    pixels: Array | None = None
    if image.chunk is not None and files.orientation == "identity":
        encoding, data = image.chunk
        shape, dtype = image.shape, image.dtype
    else:
        pixels = ORIENTATIONS[files.orientation](unsigned(image, files.negatives)[0])
        shape, dtype = (pixels.shape[0], pixels.shape[1]), pixels.dtype.name
        encoding, data = files.encoding, b""
    if shape != detector.shape or dtype != detector.dtype:
        raise UnreadableImage(
            f"{image.name} is {shape} {dtype}, the scan is {detector.shape} {detector.dtype}"
        )
    try:
        data = data if pixels is None else compression.encode(pixels, encoding)
        compression.check(data, shape, dtype, encoding)
    except compression.ContainerError as error:
        raise UnreadableImage(f"{image.name}: {error}") from None
    checksum = compression.checksum(data)
    return Frame(start.scan, index, shape, dtype, encoding, data, checksum)


def unsigned(image: FileImage, negatives: str = "masked") -> tuple[Array, NDArray[np.bool_] | None]:
    """The image's pixels unsigned, and where they are to be masked (None: nowhere).

    Negative pixels become the largest value of the unsigned type, or 0. Raises UnreadableImage for
    pixels that are no counts (floats): rounding them could make nothing of everything.
    """
    pixels = image.pixels
    if pixels is None:
        raise UnreadableImage(f"{image.name}: its pixels were not read")
    if pixels.dtype.kind == "u":
        return pixels, None
    if pixels.dtype.kind != "i":
        raise UnreadableImage(f"{image.name}: {pixels.dtype.name} pixels, counts are needed")
    negative = np.asarray(np.less(pixels, 0), np.bool_)
    kind = np.dtype(f"uint{8 * pixels.dtype.itemsize}")
    if negatives == "zero":
        return np.maximum(pixels, 0).astype(kind), None
    counts = pixels.astype(kind)
    counts[negative] = np.iinfo(kind.name).max
    return counts, negative


def _mask_file(path: Path) -> NDArray[np.bool_]:
    flags = sources([path], "")[0].read(pixels=True, mask=False).pixels
    if flags is None:
        raise UnreadableImage(f"mask {path.name} holds no pixels")
    return np.asarray(flags != 0, np.bool_)


def _last_calibration(poni: str) -> dict[str, float]:
    """Wavelength [m] and pixel1, pixel2 [m] of a .poni text, to whose end each new one is added.

    The pixel stands in lines of its own or, in later versions, in the JSON of Detector_config.
    """
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(Wavelength|PixelSize[12]):\s*(\S+)", poni, re.MULTILINE):
        found[name.lower().replace("pixelsize", "pixel")] = _number(value)
    for name, value in re.findall(r'"(pixel[12])":\s*([-+.\deE]+)', poni):
        found[name] = _number(value)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

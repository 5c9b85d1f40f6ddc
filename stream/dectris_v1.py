"""DECTRIS stream V1 (legacy): JSON parts and blobs, both ways.

A message is told by its parts' `htype`, never by their places: detectors send a header's parts as
one ZeroMQ message, some emulators send each part as a message of its own, appendices may be there
or not. Parts therefore gather in a group until it is known to be whole:
- a message of several parts closes its group when it ends (a header of detail "all" waits for its
  pixel mask);
- parts that come alone close theirs when an image's dconfig or the next opening part comes.

Traps: `shape` is [x, y]; the width in the encoding ("bs16-lz4<") need not be that of `type`; `lz4<`
is one bare LZ4 block or the HDF5 framing; after an abort parts without their opening one follow.

Source: DECTRIS' SIMPLON API manual, chapter on the ZMQ stream, and a captured EIGER2 9M stream.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .bounded_cbor import finite
from .dectris_series import (
    IMAGE_TYPES,
    MAX_IMAGES,
    End,
    Image,
    ImageError,
    Start,
    StreamError,
)

MAX_JSON_BYTES = 16 << 20
_MAX_APPENDICES = 4
_HEADER, _IMAGE, _END = "dheader-1.0", "dimage-1.0", "dseries_end-1.0"
_PIXELS, _TIMES, _MASK = "dimage_d-1.0", "dconfig-1.0", "dpixelmask-1.0"
_BLOB_FOLLOWS = {"dflatfield-1.0", _MASK, "dcountrate_table-1.0", _PIXELS}
_ENCODING = re.compile(r"(?:bs(8|16|32)-?)?(lz4)?([<>]?)")
_MAX_SIDE = 1 << 16

Fields = Mapping[str, object]
Item = Start | Image | End | StreamError


@dataclass(slots=True)
class _Group:
    """The parts of one header or one image, as far as they have come."""

    opening: Fields | None = None
    parts: dict[str, Fields] = field(default_factory=dict)
    blobs: dict[str, memoryview] = field(default_factory=dict)
    plain: list[tuple[Fields, str]] = field(default_factory=list)  # JSON without htype, appendices


class PartsReader:
    """Gathers the parts of a V1 stream; used by one thread."""

    def __init__(self) -> None:
        self._group: _Group | None = None
        self._blob_of: str | None = None  # the next part is this one's blob; "" to drop it

    @property
    def expects_blob(self) -> bool:
        """True where the next part is a blob, whatever its bytes look like."""
        return self._blob_of is not None

    def read(self, parts: Sequence[memoryview]) -> list[Item]:
        """What has become whole with the parts of one more message; errors are among it."""
        items: list[Item] = []
        several = len(parts) > 1
        for part in parts:
            try:
                items += self._part(part, several)
            except StreamError as error:
                items.append(error)
        if several:
            self._blob_of = None
            if not self._waits_for_mask():
                items += self._close()
        return items

    def _part(self, part: memoryview, several: bool) -> list[Item]:
        if self._blob_of is not None:
            if self._group is not None and self._blob_of:
                self._group.blobs[self._blob_of] = part
            self._blob_of = None
            return []
        fields, text = _json(part, appendix=self._group is not None)
        htype = fields.get("htype")
        kind = htype if isinstance(htype, str) else None
        if kind in (_HEADER, _IMAGE):
            joins = several and self._group is not None and self._group.opening is None
            items = [] if joins else self._close()
            self._group = self._group or _Group()
            self._group.opening = fields
            return items
        if kind == _END:
            return [*self._close(), End(_number(fields, "series"))]
        if self._group is None and (several or kind not in _BLOB_FOLLOWS):
            if not several and kind is None:
                return []  # the appendix of an image that was closed by its dconfig
            self._group = _Group() if several else None
        group = self._group
        if kind in _BLOB_FOLLOWS:
            self._blob_of = kind if group is not None else ""
        if group is None:
            raise StreamError("stray part", f"a part {str(kind)[:40]!r} without its opening one")
        if kind is None:
            if len(group.plain) < _MAX_APPENDICES:
                group.plain.append((fields, text))
        elif kind in _BLOB_FOLLOWS or kind == _TIMES:
            group.parts[kind] = fields
            if kind == _TIMES and not several and group.opening is not None:
                return self._close()
        return []

    def _waits_for_mask(self) -> bool:
        group = self._group
        return (
            group is not None
            and group.opening is not None
            and group.opening.get("htype") == _HEADER
            and group.opening.get("header_detail") == "all"
            and _MASK not in group.blobs
        )

    def _close(self) -> list[Item]:
        group, self._group = self._group, None
        if group is None:
            return []
        try:
            if group.opening is None:
                raise StreamError("stray part", f"parts {sorted(group.parts)} without opening one")
            return [_start(group) if group.opening.get("htype") == _HEADER else _image(group)]
        except StreamError as error:
            return [error]


def _json(part: memoryview, appendix: bool) -> tuple[Fields, str]:
    """A JSON part and its text; where an appendix is possible any text will do."""
    if len(part) > MAX_JSON_BYTES:
        raise StreamError("oversize", f"a JSON part of {len(part)} bytes")
    try:
        text = str(part, "utf-8")
        value = json.loads(text) if text.startswith("{") or not appendix else {}
        if isinstance(value, dict):
            return value, text
    except (ValueError, RecursionError):
        pass
    raise StreamError("not JSON", f"a part of {len(part)} bytes that is no JSON object")


def _start(group: _Group) -> Start:
    opening = group.opening or {}
    series = _number(opening, "series")
    config: Fields = {}
    user_data = ""
    for fields, text in group.plain:
        if not config and "nimages" in fields and opening.get("header_detail") != "none":
            config = fields
        else:
            user_data = text
    if not config:
        return Start(series, 0, None, "", user_data="" if user_data == "{}" else user_data)
    images = _images(config)
    shape = (_number(config, "y_pixels_in_detector"), _number(config, "x_pixels_in_detector"))
    dtype = f"uint{_number(config, 'bit_depth_image')}"
    if not all(0 < n <= _MAX_SIDE for n in shape) or dtype not in IMAGE_TYPES:
        raise StreamError("start invalid", f"series {series} of images of {shape} {dtype[:40]}")
    mask, warnings = _mask(group, shape)
    cutoff = config.get("countrate_correction_count_cutoff")
    return Start(
        series=series,
        images=images,
        shape=shape,
        dtype=dtype,
        exposure_s=finite(config.get("count_time")),
        frame_time_s=finite(config.get("frame_time")),
        energy_ev=finite(config.get("photon_energy")),
        pixel_m=(finite(config.get("y_pixel_size")), finite(config.get("x_pixel_size"))),
        beam_center_px=(finite(config.get("beam_center_x")), finite(config.get("beam_center_y"))),
        saturation=cutoff if isinstance(cutoff, int) and cutoff > 0 else None,
        mask=mask,
        description=_text(config, "description"),
        serial_number=_text(config, "detector_number"),
        sensor_material=_text(config, "sensor_material"),
        sensor_thickness_m=finite(config.get("sensor_thickness")),
        arm_date=_text(config, "data_collection_date"),
        user_data="" if user_data == "{}" else user_data,
        warnings=warnings,
    )


def _images(config: Fields) -> int:
    """How many images a series has: an enable trigger (inte, exte) gives one image each."""
    triggers = _number(config, "ntrigger")
    each = 1 if config.get("trigger_mode") in ("inte", "exte") else _number(config, "nimages")
    if not 0 < triggers * each <= MAX_IMAGES:
        raise StreamError("start invalid", f"a series of {triggers} x {each} images")
    return triggers * each


def _mask(
    group: _Group, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    blob = group.blobs.get(_MASK)
    if blob is None:
        return None, ()
    sides = group.parts[_MASK].get("shape")
    if sides != [shape[1], shape[0]]:
        return None, (f"pixel mask ignored: it is {str(sides)[:40]}, the image {shape}",)
    need = shape[0] * shape[1] * 4
    if len(blob) != need:
        return None, (f"pixel mask ignored: {len(blob)} bytes came, {need} are due",)
    return np.frombuffer(blob, "<u4").reshape(shape) != 0, ()


def _image(group: _Group) -> Image:
    opening = group.opening or {}
    series, index = _number(opening, "series"), _number(opening, "frame")
    try:
        return _whole_image(series, index, opening, group)
    except StreamError as error:
        raise ImageError(series, index, error.kind, str(error)) from None


def _whole_image(series: int, index: int, opening: Fields, group: _Group) -> Image:
    described, blob = group.parts.get(_PIXELS), group.blobs.get(_PIXELS)
    if described is None or blob is None:
        raise StreamError("no data", "its description or its pixels did not come")
    size = described.get("size")
    if isinstance(size, int) and size != len(blob):
        raise StreamError("damaged", f"{len(blob)} bytes came, its header says {size}")
    digest = opening.get("hash")
    # Keeps no secret: it is the detector's own checksum, which most other readers never look at
    if digest and hashlib.md5(blob, usedforsecurity=False).hexdigest() != digest:
        raise StreamError("damaged", "its bytes do not match the detector's md5")
    sides = described.get("shape")
    if not isinstance(sides, list) or len(sides) != 2:
        raise StreamError("wrong shape", f"shape {str(sides)[:40]} is not that of an image")
    cols, rows = sides
    if not all(type(n) is int and 0 < n <= _MAX_SIDE for n in sides):
        raise StreamError("wrong shape", f"shape {str(sides)[:40]} is not that of an image")
    dtype, encoding, width = _encoding(described)
    start = finite(group.parts.get(_TIMES, {}).get("start_time")) * 1e-9
    return Image(
        series=series,
        index=index,
        shape=(rows, cols),
        dtype=dtype,
        encoding=encoding,
        data=blob,
        shuffled_bytes=width,
        time_s=start,
    )


def _encoding(described: Fields) -> tuple[str, str, int]:
    """dtype with order of bytes, encoding, and width of the shuffled elements."""
    dtype, text = described.get("type"), described.get("encoding")
    if dtype not in IMAGE_TYPES:
        raise StreamError("wrong dtype", f"pixel type {str(dtype)[:40]!r}")
    match = _ENCODING.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[1] and not match[2]):
        raise StreamError("wrong encoding", f"encoding {str(text)[:40]!r} is not known")
    ordered = np.dtype(str(dtype)).newbyteorder(">" if match[3] == ">" else "<").str
    if match[1]:
        return ordered, "bslz4", int(match[1]) // 8
    return ordered, "lz4-block" if match[2] else "raw", 0


def _number(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise StreamError("field missing", f"{name} is {str(value)[:40]}, a number is needed")
    return value


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    # JSON's escapes can say half a surrogate pair, which no message of ours could carry on
    return value[:200].encode(errors="replace").decode() if isinstance(value, str) else ""


def build_start(start: Start, detail: str = "all") -> list[bytes]:
    """The parts with which a detector announces start; detail: "all", "basic" or "none"."""
    if start.shape is None:
        raise ValueError(f"series {start.series}: a header names the shape of its images")
    opening = {"header_detail": detail, "htype": _HEADER, "series": start.series}
    parts = [_dump(opening)]
    if detail != "none":
        parts.append(_dump(_config(start, start.shape)))
    if detail == "all":
        flat = np.ones(start.shape, "<f4")
        flags = np.zeros(start.shape, "<u4") if start.mask is None else start.mask.astype("<u4")
        table = np.array([[0, 1e6], [0, 1e6]], "<f4")
        for kind, array in (("dflatfield-1.0", flat), (_MASK, flags)):
            sides = [start.shape[1], start.shape[0]]
            parts += [_dump({"htype": kind, "shape": sides, "type": array.dtype.name})]
            parts += [array.tobytes()]
        parts += [_dump({"htype": "dcountrate_table-1.0", "shape": [2, 2], "type": "float32"})]
        parts += [table.tobytes()]
    if start.user_data:
        parts.append(start.user_data.encode())
    return parts


def _config(start: Start, shape: tuple[int, int]) -> dict[str, object]:
    numbers = {
        "beam_center_x": start.beam_center_px[0],
        "beam_center_y": start.beam_center_px[1],
        "count_time": start.exposure_s,
        "frame_time": start.frame_time_s,
        "photon_energy": start.energy_ev,
        "sensor_thickness": start.sensor_thickness_m,
        "x_pixel_size": start.pixel_m[1],
        "y_pixel_size": start.pixel_m[0],
        "countrate_correction_count_cutoff": start.saturation,
    }
    return {
        "bit_depth_image": 8 * np.dtype(start.dtype).itemsize,
        "compression": "bslz4",
        "data_collection_date": start.arm_date,
        "description": start.description,
        "detector_number": start.serial_number,
        "nimages": start.images,
        "ntrigger": 1,
        "sensor_material": start.sensor_material,
        "trigger_mode": "ints",
        "x_pixels_in_detector": shape[1],
        "y_pixels_in_detector": shape[0],
        **{k: v for k, v in numbers.items() if v is not None and math.isfinite(v)},
    }


def build_image(image: Image, exposure_s: float = 0.0) -> list[bytes]:
    """The parts with which a detector sends image."""
    kind = np.dtype(image.dtype)
    width = 8 * (image.shuffled_bytes or kind.itemsize)
    names = {"raw": "", "lz4": "lz4", "lz4-block": "lz4", "bslz4": f"bs{width}-lz4"}
    data = bytes(image.data)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    begin = 0 if math.isnan(image.time_s) else round(image.time_s * 1e9)
    duration = round(exposure_s * 1e9)
    opening = {"frame": image.index, "hash": digest, "htype": _IMAGE, "series": image.series}
    described = {
        "encoding": names[image.encoding] + (">" if kind.str[0] == ">" else "<"),
        "htype": _PIXELS,
        "shape": [image.shape[1], image.shape[0]],
        "size": len(data),
        "type": kind.name,
    }
    times = {
        "htype": _TIMES,
        "real_time": duration,
        "start_time": begin,
        "stop_time": begin + duration,
    }
    return [_dump(opening), _dump(described), data, _dump(times)]


def build_end(end: End) -> list[bytes]:
    """The part with which a detector ends a series."""
    return [_dump({"htype": _END, "series": end.series})]


def _dump(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields).encode()

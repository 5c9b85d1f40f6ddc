"""DECTRIS stream V2: one CBOR map a message, both ways.

parse() makes Start, Image or End of a message without copying the payload; the builders make the
messages that a detector would send, for the simulated one and for tests. Reading is done by
bounded_cbor and writing by cbor2, so that the tests compare two implementations.

Sources: DECTRIS' published stream V2 schema; RFC 8949 (CBOR), RFC 8746 (tags 40, 1040 and 64 to
87: arrays); DECTRIS' registration of tag 56500 (compressed byte string).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeGuard

import cbor2
import numpy as np
from numpy.typing import NDArray

from . import bounded_cbor, compression
from .bounded_cbor import CborError, Tagged, finite
from .dectris_series import (
    IMAGE_TYPES,
    MAX_IMAGES,
    End,
    Image,
    ImageError,
    Start,
    StreamError,
)
from .messages import Array

SELF_DESCRIBED = b"\xd9\xd9\xf7"  # tag 55799, which the detector puts before every message
_ROW_MAJOR, _COLUMN_MAJOR = 40, 1040
_COMPRESSED = 56500
_TYPED_ARRAYS = {
    64: "|u1", 68: "|u1", 69: "<u2", 70: "<u4", 71: "<u8", 65: ">u2", 66: ">u4", 67: ">u8",
    72: "|i1", 77: "<i2", 78: "<i4", 79: "<i8", 73: ">i2", 74: ">i4", 75: ">i8",
    84: "<f2", 85: "<f4", 86: "<f8", 80: ">f2", 81: ">f4", 82: ">f8",
}  # fmt: skip
_TAG_OF = {"|u1": 64, "<u2": 69, "<u4": 70, "<f4": 85}
_HC_EV_ANGSTROM = 12398.41984  # CODATA 2018, exact constants
_MAX_SIDE = 1 << 16  # pixels along one side of a detector
_MAX_NAMES = 64  # channels of a detector

Fields = Mapping[bounded_cbor.Key, object]


def parse(message: memoryview, channel: str = "") -> Start | Image | End:
    """What message says; payloads are views of it.

    channel: which image to take where several thresholds send one each; the first where ""
    Raises ImageError where the message names its image but cannot be used, StreamError otherwise.
    """
    try:
        fields: Fields = bounded_cbor.read_map(message)
        cut = ""
    except CborError as error:
        fields, cut = error.partial, str(error)
    kind = fields.get("type")
    if kind == "image":
        return _image(fields, channel, cut)
    if cut:
        raise StreamError("not CBOR", f"message of {len(message)} bytes: {cut}")
    if kind == "start":
        return _start(fields, channel)
    if kind == "end":
        return End(_count(fields, "series_id"), _text(fields, "series_unique_id"))
    raise StreamError("unknown type", f"a message of type {str(kind)[:40]!r}")


def _start(fields: Fields, channel: str) -> Start:
    shape = (_count(fields, "image_size_y"), _count(fields, "image_size_x"))
    dtype = _text(fields, "image_dtype")
    if not all(0 < n <= _MAX_SIDE for n in shape) or dtype not in IMAGE_TYPES:
        raise StreamError("start invalid", f"start of images of shape {shape} of {dtype[:40]!r}")
    images = _count(fields, "number_of_images")
    if images > MAX_IMAGES:
        raise StreamError("start invalid", f"start of {images} images")
    channels = fields.get("channels")
    names = channels[:_MAX_NAMES] if isinstance(channels, list) else []
    mask, warnings = _mask(fields.get("pixel_mask"), channel, shape)
    beam = (finite(fields.get("beam_center_x")), finite(fields.get("beam_center_y")))
    saturation = fields.get("saturation_value")
    return Start(
        series=_count(fields, "series_id"),
        images=images,
        shape=shape,
        dtype=dtype,
        unique=_text(fields, "series_unique_id"),
        channels=tuple(str(name) for name in names),
        exposure_s=finite(fields.get("count_time")),
        frame_time_s=finite(fields.get("frame_time")),
        energy_ev=finite(fields.get("incident_energy")),
        pixel_m=(finite(fields.get("pixel_size_y")), finite(fields.get("pixel_size_x"))),
        beam_center_px=beam,
        saturation=saturation if _is_count(saturation) else None,
        mask=mask,
        description=_text(fields, "detector_description"),
        serial_number=_text(fields, "detector_serial_number"),
        sensor_material=_text(fields, "sensor_material"),
        sensor_thickness_m=finite(fields.get("sensor_thickness")),
        arm_date=_date(fields.get("arm_date")),
        user_data=user_text(fields.get("user_data")),
        warnings=warnings,
    )


def _image(fields: Fields, channel: str, cut: str) -> Image:
    series, index = _count(fields, "series_id"), _count(fields, "image_id")
    if cut:
        raise ImageError(series, index, "damaged", f"message is damaged: {cut}")
    try:
        array = _channel(fields.get("data"), channel)
        shape, typed, column_major = _dimensions(array)
        dtype, encoding, width, data = _typed_bytes(typed)
    except StreamError as error:
        raise ImageError(series, index, error.kind, str(error)) from None
    return Image(
        series=series,
        index=index,
        shape=shape,
        dtype=dtype,
        encoding=encoding,
        data=data,
        shuffled_bytes=width,
        column_major=column_major,
        time_s=_ratio(fields.get("start_time")),
        unique=_text(fields, "series_unique_id"),
    )


def _channel(data: object, channel: str) -> object:
    """The array of one channel in a map of channels."""
    if not isinstance(data, dict) or not data:
        raise StreamError("no data", "its data are no map of channels")
    if not channel:
        return next(iter(data.values()))
    if channel not in data:
        raise StreamError("no data", f"no channel {channel!r}, it has {[*map(str, data)][:8]}")
    return data[channel]


def _dimensions(array: object) -> tuple[tuple[int, int], Tagged, bool]:
    """(rows, cols), the typed array inside, and whether pixels run down the columns."""
    if not isinstance(array, Tagged) or array.tag not in (_ROW_MAJOR, _COLUMN_MAJOR):
        raise StreamError("wrong array", "an array without the tag of a multi-dimensional one")
    content = array.value
    if not isinstance(content, list) or len(content) != 2 or not isinstance(content[1], Tagged):
        raise StreamError("wrong array", "a multi-dimensional array needs dimensions and content")
    sizes = content[0]
    if not isinstance(sizes, list) or len(sizes) != 2:
        raise StreamError("wrong shape", f"dimensions {str(sizes)[:40]} are not those of an image")
    rows, cols = sizes
    if not (_is_count(rows) and _is_count(cols)) or not 0 < rows * cols <= _MAX_SIDE**2:
        raise StreamError("wrong shape", f"dimensions {str(sizes)[:40]} are not those of an image")
    return (rows, cols), content[1], array.tag == _COLUMN_MAJOR


def _typed_bytes(typed: Tagged) -> tuple[str, str, int, memoryview]:
    """dtype, encoding, width of the shuffled elements and bytes of a typed array."""
    dtype = _TYPED_ARRAYS.get(typed.tag)
    if dtype is None:
        raise StreamError("wrong dtype", f"array tag {typed.tag} is none of a number type")
    content = typed.value
    if isinstance(content, memoryview):
        return dtype, "raw", 0, content
    if not isinstance(content, Tagged) or content.tag != _COMPRESSED:
        raise StreamError("wrong array", "an array's content is neither bytes nor compressed bytes")
    parts = content.value
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[2], memoryview):
        raise StreamError("wrong array", "compressed bytes need algorithm, element size and bytes")
    algorithm, width, data = parts
    if algorithm not in ("bslz4", "lz4") or not _is_count(width):
        raise StreamError("wrong encoding", f"compression {str(algorithm)[:40]!r} is not known")
    return dtype, str(algorithm), width, data


def array_of(array: object) -> Array:
    """A tagged two-dimensional array as NumPy's. Raises StreamError."""
    shape, typed, column_major = _dimensions(array)
    dtype, encoding, width, data = _typed_bytes(typed)
    kind = np.dtype(dtype)
    if encoding == "bslz4" and width != kind.itemsize:
        raise StreamError("wrong encoding", f"bslz4 over {width} bytes for {kind.name}")
    stored = (shape[1], shape[0]) if column_major else shape
    try:
        flat = compression.decode_bytes(data, stored, kind.name, encoding)
    except compression.ContainerError as error:
        raise StreamError("damaged", str(error)) from None
    # decode_bytes knows the type's name only; the order of bytes is applied to what it gives
    ordered = flat.view(kind)
    return ordered.T if column_major else ordered


def _mask(
    masks: object, channel: str, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    if masks is None or masks == {}:
        return None, ()
    try:
        flags = array_of(_channel(masks, channel))
    except StreamError as error:
        return None, (f"pixel mask ignored: {error}",)
    if flags.shape != shape:
        return None, (f"pixel mask ignored: it is {flags.shape}, the image {shape}",)
    return flags != 0, ()


def user_text(value: object) -> str:
    """user_data as text; a structure as JSON, which is how it was given to the detector."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return ""


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _count(fields: Fields, name: str) -> int:
    value = fields.get(name)
    if not _is_count(value):
        raise StreamError("field missing", f"{name} is {str(value)[:40]}, a number is needed")
    return value


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return value[:200] if isinstance(value, str) else ""


def _date(value: object) -> str:
    inner = value.value if isinstance(value, Tagged) and value.tag == 0 else value
    return inner[:64] if isinstance(inner, str) else ""


def _ratio(value: object) -> float:
    """[numerator, denominator] as a number of seconds."""
    if not isinstance(value, list) or len(value) != 2:
        return math.nan
    numerator, denominator = finite(value[0]), finite(value[1])
    return numerator / denominator if denominator else math.nan


def build_start(start: Start) -> bytes:
    """The message with which a detector announces start."""
    if start.shape is None:
        raise ValueError(f"series {start.series}: a V2 start names the shape of its images")
    fields: dict[str, object] = {
        "type": "start",
        "series_id": start.series,
        "series_unique_id": start.unique,
        "arm_date": cbor2.CBORTag(0, start.arm_date),
        "beam_center_x": start.beam_center_px[0],
        "beam_center_y": start.beam_center_px[1],
        "channels": list(start.channels),
        "count_time": start.exposure_s,
        "countrate_correction_enabled": False,
        "detector_description": start.description,
        "detector_serial_number": start.serial_number,
        "detector_translation": [0.0, 0.0, 0.0],
        "flatfield_enabled": False,
        "frame_time": start.frame_time_s,
        "goniometer": {},
        "image_dtype": start.dtype,
        "image_size_x": start.shape[1],
        "image_size_y": start.shape[0],
        "incident_energy": start.energy_ev,
        "incident_wavelength": _HC_EV_ANGSTROM / start.energy_ev if start.energy_ev else math.nan,
        "number_of_images": start.images,
        "pixel_mask_enabled": start.mask is not None,
        "pixel_size_x": start.pixel_m[1],
        "pixel_size_y": start.pixel_m[0],
        "sensor_material": start.sensor_material,
        "sensor_thickness": start.sensor_thickness_m,
        "user_data": start.user_data,
    }
    if start.saturation is not None:
        fields["saturation_value"] = start.saturation
    if start.mask is not None:
        flags = start.mask.astype("<u4")
        fields["pixel_mask"] = {name: _tagged_array(flags) for name in start.channels}
    return SELF_DESCRIBED + bytes(cbor2.dumps(fields))


def _tagged_array(array: NDArray[np.generic]) -> cbor2.CBORTag:
    typed = cbor2.CBORTag(_TAG_OF[array.dtype.str], array.tobytes())
    return cbor2.CBORTag(_ROW_MAJOR, [list(array.shape), typed])


def build_image(image: Image, exposure_s: float = 0.0, channel: str = "threshold_1") -> bytes:
    """The message with which a detector sends image."""
    content: object = bytes(image.data)
    if image.encoding != "raw":
        width = np.dtype(image.dtype).itemsize if image.encoding == "bslz4" else 0
        content = cbor2.CBORTag(
            _COMPRESSED, [image.encoding, image.shuffled_bytes or width, content]
        )
    tag = next(t for t, d in _TYPED_ARRAYS.items() if np.dtype(d) == np.dtype(image.dtype))
    typed = cbor2.CBORTag(tag, content)
    order = _COLUMN_MAJOR if image.column_major else _ROW_MAJOR
    begin = 0.0 if math.isnan(image.time_s) else image.time_s
    fields = {
        "type": "image",
        "series_id": image.series,
        "series_unique_id": image.unique,
        "image_id": image.index,
        "real_time": _nanoseconds(exposure_s),
        "series_date": cbor2.CBORTag(0, "1970-01-01T00:00:00Z"),
        "start_time": _nanoseconds(begin),
        "stop_time": _nanoseconds(begin + exposure_s),
        "user_data": "",
        "data": {channel: cbor2.CBORTag(order, [list(image.shape), typed])},
    }
    return SELF_DESCRIBED + bytes(cbor2.dumps(fields))


def build_end(end: End) -> bytes:
    """The message with which a detector ends a series."""
    fields = {"type": "end", "series_id": end.series, "series_unique_id": end.unique}
    return SELF_DESCRIBED + bytes(cbor2.dumps(fields))


def _nanoseconds(seconds: float) -> list[int]:
    return [round(seconds * 1e9), 1_000_000_000]

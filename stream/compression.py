"""Frames' bytes to pixels and back: raw, bslz4 and lz4, the latter two with HDF5 filter framing.

The containers are, all integers big-endian:
bslz4: u64 bytes of the image, u32 bytes of a block, then for each block u32 length + LZ4 block;
    the last block may be shorter (a multiple of 8 elements), up to 7 elements follow as they are
lz4: u64 bytes of the image, u32 bytes of a block, then for each block u32 length + LZ4 block;
    a block as long as its content is stored as it is

Library decoders trust these lengths: about 400 of 1000 corrupted frames killed the process. So the
container is walked with bounds checks before a decoder sees it. That leaves corruptions which
decode to wrong pixels without any error; only the checksum finds those, see decode(verify=True).
"""

from __future__ import annotations

import struct

import bitshuffle
import lz4.block
import numpy as np
import xxhash
from numpy.typing import NDArray

from .messages import Array, Frame

ENCODINGS = ("raw", "bslz4", "lz4")
# What a pixel may be; a frame that names another type is refused before anything is allocated.
PIXEL_TYPES = (
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float32", "float64"),
)
MAX_IMAGE_BYTES = 1 << 30  # four times an EIGER2 16M in uint64
_PREFIX = struct.Struct(">QI")
_LENGTH = struct.Struct(">I")
_LZ4_MAX_RATIO = 255  # an LZ4 sequence stores at most 255 bytes a byte of input
_SHUFFLE_ELEMENTS = 8  # bitshuffle transposes groups of eight elements
_DEFAULT_BLOCK_BYTES = 8192  # bitshuffle's target where the header says 0 …
_DEFAULT_BLOCK_ELEMENTS = 128  # … and the least number of elements it then takes
_LZ4_BLOCK_BYTES = 1 << 30  # the HDF5 LZ4 filter's default: one block an image


class DecodeError(ValueError):
    """A frame whose bytes are not the image they claim to be; says which frame and why."""


class ContainerError(ValueError):
    """Bytes that are no sound container; says where."""


def checksum(data: bytes | memoryview) -> int:
    """xxh3_64 of data, unsigned."""
    return int(xxhash.xxh3_64_intdigest(data))


def decode(frame: Frame, *, verify: bool = False) -> Array:
    """The pixels of frame, (rows, cols) of frame.dtype; raw frames give a read-only view.

    verify: compare the payload with frame.checksum first
    Raises DecodeError, naming scan and index, where the payload is damaged.
    """
    try:
        if verify and checksum(frame.data) != frame.checksum:
            raise ContainerError("its payload does not match its checksum")
        return decode_bytes(frame.data, frame.shape, frame.dtype, frame.encoding)
    except ContainerError as error:
        raise DecodeError(f"frame {frame.index} of scan {frame.scan}: {error}") from None


def decode_into(frame: Frame, out: Array, *, verify: bool = False) -> None:
    """Decode frame into out, (rows, cols) of the frame's dtype. Raises DecodeError."""
    if out.shape != frame.shape or out.dtype != frame.dtype:
        raise DecodeError(
            f"frame {frame.index} of scan {frame.scan} is {frame.shape} {frame.dtype}, "
            f"the place for it {out.shape} {out.dtype}"
        )
    # bitshuffle decodes into memory of its own only, hence one more copy
    np.copyto(out, decode(frame, verify=verify))


def check(data: bytes | memoryview, shape: tuple[int, int], dtype: str, encoding: str) -> None:
    """Raise ContainerError where data cannot be an image of this shape, type and encoding.

    Costs a look at each block's header (0.1 ms for 2 MB), decompresses nothing.
    """
    view = memoryview(data).cast("B")
    itemsize, size = _image_size(shape, dtype)
    if encoding == "raw":
        if len(view) != size:
            raise ContainerError(f"{shape} {dtype} is {size} bytes, {len(view)} came")
    elif encoding == "bslz4":
        _walk_bslz4(view, size, itemsize)
    elif encoding == "lz4":
        _walk_lz4(view, size)
    else:
        raise ContainerError(f"encoding {encoding!r} is none of {', '.join(ENCODINGS)}")


def bslz4_elements(data: bytes | memoryview, shape: tuple[int, int], dtype: str) -> int:
    """Elements of a block of a bslz4 payload, from a look at its prefix alone.

    Raises ContainerError where that cannot be the one of an image of this shape and type.
    """
    view = memoryview(data).cast("B")
    itemsize, size = _image_size(shape, dtype)
    _prefix(view, size)
    return _walk_bslz4_block(view, itemsize)


def decode_bytes(
    data: bytes | memoryview, shape: tuple[int, int], dtype: str, encoding: str
) -> Array:
    """The pixels in data, (rows, cols) of dtype. Raises ContainerError."""
    check(data, shape, dtype, encoding)
    view = memoryview(data).cast("B")
    kind = np.dtype(dtype)
    if encoding == "raw":
        return np.frombuffer(view, kind).reshape(shape)
    try:
        if encoding == "bslz4":
            elements = _walk_bslz4_block(view, kind.itemsize)
            packed = np.frombuffer(view, np.uint8)[_PREFIX.size :]
            pixels: Array = bitshuffle.decompress_lz4(packed, shape, kind, elements)
            return pixels
        return _decode_lz4(view, shape, kind)
    except (RuntimeError, ValueError, lz4.block.LZ4BlockError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ContainerError(f"{encoding} payload does not decode: {reason}") from None


def encode(pixels: NDArray[np.generic], encoding: str) -> bytes:
    """pixels as the payload of a Frame; the bslz4 and lz4 forms are what HDF5's filters write.

    Raises ContainerError for an unknown encoding or pixel type.
    """
    array = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    if array.ndim != 2:
        raise ContainerError(f"an image has two dimensions, this one {array.shape}")
    itemsize, size = _image_size((array.shape[0], array.shape[1]), array.dtype.name)
    if encoding == "raw":
        return array.tobytes()
    if encoding == "bslz4":
        prefix = _PREFIX.pack(size, _default_elements(itemsize) * itemsize)
        return b"".join((prefix, bitshuffle.compress_lz4(array, _default_elements(itemsize)).data))
    if encoding == "lz4":
        return _encode_lz4(array.data.cast("B"))
    raise ContainerError(f"encoding {encoding!r} is none of {', '.join(ENCODINGS)}")


def frame_lz4_block(block: bytes | memoryview, size: int) -> bytes:
    """One bare LZ4 block that holds size bytes, in the container that the rest of us reads.

    DECTRIS stream V1 sends images so. Raises ContainerError where block is as long as its content,
    which the container would take for stored bytes.
    """
    if len(block) >= size:
        raise ContainerError(f"an LZ4 block of {len(block)} bytes for {size} bytes of image")
    return b"".join((_PREFIX.pack(size, size), _LENGTH.pack(len(block)), block))


def _image_size(shape: tuple[int, int], dtype: str) -> tuple[int, int]:
    """Bytes of a pixel and of an image."""
    if dtype not in PIXEL_TYPES:
        raise ContainerError(f"pixel type {dtype[:40]!r} is none of {', '.join(PIXEL_TYPES)}")
    rows, cols = shape
    itemsize = np.dtype(dtype).itemsize
    if rows < 1 or cols < 1 or rows * cols * itemsize > MAX_IMAGE_BYTES:
        raise ContainerError(f"{shape} {dtype} is no image, or over {MAX_IMAGE_BYTES} bytes")
    return itemsize, rows * cols * itemsize


def _default_elements(itemsize: int) -> int:
    """Elements of a block where the header does not say (bitshuffle's own rule)."""
    elements = _DEFAULT_BLOCK_BYTES // itemsize
    return max(elements - elements % _SHUFFLE_ELEMENTS, _DEFAULT_BLOCK_ELEMENTS)


def _prefix(view: memoryview, size: int) -> int:
    """Bytes of a block as the container's first twelve bytes say. Raises ContainerError."""
    if len(view) < _PREFIX.size:
        raise ContainerError(f"a container of {len(view)} bytes is cut in its prefix")
    total, block = _PREFIX.unpack_from(view)
    # Some emulators leave the prefix zero: then shape and type say what it should
    if total != size and (total or block):
        raise ContainerError(f"the container says {total} bytes of image, {size} are due")
    if size > _LZ4_MAX_RATIO * len(view):
        raise ContainerError(f"{len(view)} bytes cannot hold an image of {size}")
    return int(block)


def _walk_bslz4_block(view: memoryview, itemsize: int) -> int:
    """Elements of a block of this bslz4 container. Raises ContainerError."""
    block = int(_PREFIX.unpack_from(view)[1])
    if block == 0:
        return _default_elements(itemsize)
    if block % (itemsize * _SHUFFLE_ELEMENTS):
        raise ContainerError(
            f"blocks of {block} bytes do not hold groups of 8 elements of {itemsize} bytes"
        )
    return block // itemsize


def _walk_bslz4(view: memoryview, size: int, itemsize: int) -> None:
    _prefix(view, size)
    elements = size // itemsize
    per_block = _walk_bslz4_block(view, itemsize)
    full, rest = divmod(elements, per_block)
    blocks = full + (rest >= _SHUFFLE_ELEMENTS)
    tail = (elements % _SHUFFLE_ELEMENTS) * itemsize
    _walk_blocks(view, blocks, tail)


def _walk_lz4(view: memoryview, size: int) -> None:
    block = _prefix(view, size) or size
    _walk_blocks(view, -(-size // block), 0)


def _walk_blocks(view: memoryview, blocks: int, tail: int) -> None:
    """Go from block length to block length; what is left must be the tail, exactly."""
    end = len(view) - tail
    place = _PREFIX.size
    if blocks * (_LENGTH.size + 1) > end - place:  # also bounds the loop below
        raise ContainerError(f"{len(view)} bytes are too few for {blocks} blocks")
    read = _LENGTH.unpack_from
    for number in range(blocks):
        if place + 4 > end:
            raise ContainerError(f"cut before block {number} of {blocks}, {len(view)} bytes came")
        (length,) = read(view, place)
        place += 4 + length
        if not length or place > end:
            raise ContainerError(
                f"block {number} of {blocks} claims {length} bytes and would end at byte {place}, "
                f"{len(view)} came"
            )
    if place != end:
        raise ContainerError(f"{end - place} bytes follow the last of {blocks} blocks")


def _decode_lz4(view: memoryview, shape: tuple[int, int], kind: np.dtype[np.generic]) -> Array:
    size = shape[0] * shape[1] * kind.itemsize
    block = int(_PREFIX.unpack_from(view)[1]) or size
    out = np.empty(shape, kind)
    target = out.data.cast("B")
    place, done = _PREFIX.size, 0
    while done < size:
        (length,) = _LENGTH.unpack_from(view, place)
        place += _LENGTH.size
        want = min(block, size - done)
        source = view[place : place + length]
        # The size given here is a limit: the decoder writes no further, whatever the bytes say
        piece = source if length == want else lz4.block.decompress(source, want)
        if len(piece) != want:
            raise ContainerError(f"a block decodes to {len(piece)} bytes, {want} are due")
        target[done : done + want] = piece
        place, done = place + length, done + want
    return out


def _encode_lz4(view: memoryview) -> bytes:
    size = len(view)
    block = min(size, _LZ4_BLOCK_BYTES)
    parts: list[bytes | memoryview] = [_PREFIX.pack(size, block)]
    for start in range(0, size, block):
        content = view[start : start + block]
        packed = lz4.block.compress(content, store_size=False)
        stored = packed if len(packed) < len(content) else content
        parts += [_LENGTH.pack(len(stored)), stored]
    return b"".join(parts)

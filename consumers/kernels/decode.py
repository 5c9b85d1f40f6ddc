"""bslz4 payloads to pixels, block by block in the first cache, bit planes in vector registers.

A block (8 KiB as a rule) is an LZ4 block of bit planes: first bit 0 of all its elements, then bit 1
and so on. LZ4's own decoder, which never writes beyond the size it is given, unpacks it into a
buffer that stays in the cache. Then 64 elements at a time are put together: 64 bits of a plane are
a mask, under which the plane's bit is set in 64 bytes at once. Planes above the highest one in use
are not looked at: frames of few photons use 4 of 32. The frame is written once, to memory that the
caller keeps; a fresh 10 MB each frame would cost more in page faults than the decoding.

LZ4 comes from the library that bitshuffle is linked with; where that does not export it, there is
no decoder here, and stream/compression.py does it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import bitshuffle.ext
import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .lanes import LANES
from .options import kernel

_SYMBOL = "operando_LZ4_decompress_safe"
_lz4_decompress_safe = types.ExternalFunction(
    _SYMBOL, types.int32(types.uintp, types.uintp, types.int32, types.int32)
)
LONGEST_BLOCK = 1 << 20  # bytes; a larger one would not stay in the cache
SHORT, WRONG_BLOCK = -1, -2  # answers of decode_bslz4 other than the bytes it has read


@functools.cache
def available() -> bool:
    """Whether LZ4 is there; must have been asked before decode_bslz4 is called."""
    try:
        # its own handle, not a global one: other libraries carry LZ4 as well
        function = ctypes.CDLL(bitshuffle.ext.__file__).LZ4_decompress_safe
    except (OSError, AttributeError):
        return False
    llvm.add_symbol(_SYMBOL, ctypes.cast(function, ctypes.c_void_p).value)
    return True


def _joiner(planes: int) -> Callable[..., Any]:
    """An instruction that puts LANES elements together from so many planes."""

    @intrinsic
    def join(typing: Any, source: Any, offset: Any, stride: Any, out: Any, start: Any) -> Any:
        """out[start:start + LANES] from bits that begin at source[offset], a plane each stride."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            from_kind, _, _, to_kind, _ = signature.args
            buffer, offset, stride, target, start = arguments
            buffer = context.make_array(from_kind)(context, builder, buffer).data
            target = context.make_array(to_kind)(context, builder, target).data
            element = context.get_data_type(to_kind.dtype)
            octets = ir.VectorType(ir.IntType(8), LANES)
            elements = ir.VectorType(element, LANES)
            bits = ir.VectorType(ir.IntType(1), LANES)
            word = ir.IntType(LANES)
            total = ir.Constant(elements, None)
            for byte in range(min(-(-planes // 8), element.width // 8)):
                part = ir.Constant(octets, None)
                for bit in range(min(8, planes - 8 * byte)):
                    plane = ir.Constant(stride.type, 8 * byte + bit)
                    place = builder.add(offset, builder.mul(stride, plane))
                    pointer = builder.bitcast(builder.gep(buffer, [place]), word.as_pointer())
                    loaded = builder.load(pointer)
                    loaded.align = 1
                    added = builder.or_(part, ir.Constant(octets, [1 << bit] * LANES))
                    part = builder.select(builder.bitcast(loaded, bits), added, part)
                wide = builder.zext(part, elements) if element.width > 8 else part
                if byte:
                    wide = builder.shl(wide, ir.Constant(elements, [8 * byte] * LANES))
                total = builder.or_(total, wide)
            place = builder.bitcast(builder.gep(target, [start]), elements.as_pointer())
            builder.store(total, place).align = element.width // 8
            return context.get_dummy_value()

        return types.void(source, types.int64, types.int64, out, types.int64), generate

    instruction: Callable[..., Any] = join
    return instruction


_join4, _join8, _join12, _join16, _join32 = (_joiner(planes) for planes in (4, 8, 12, 16, 32))


@kernel
def _used_planes(words: NDArray[np.uint64], per_plane: int, planes: int) -> int:
    """How many planes there are up to the last one that has a bit set."""
    while planes > 0:
        together = np.uint64(0)
        for k in range((planes - 1) * per_plane, planes * per_plane):
            together |= words[k]
        if together != np.uint64(0):
            break
        planes -= 1
    return planes


@kernel
def _join_by_bits(
    buffer: NDArray[np.uint8], elements: int, planes: int, out: NDArray[Any], start: int
) -> None:
    """Put a block together whose elements are no multiple of LANES: the frame's last one."""
    stride = elements // 8
    for i in range(elements):
        value = np.uint64(0)
        for plane in range(planes):
            bit = (np.uint64(buffer[plane * stride + i // 8]) >> np.uint64(i % 8)) & np.uint64(1)
            value |= bit << np.uint64(plane)
        out[start + i] = value


@kernel
def decode_bslz4(
    data: NDArray[np.uint8], per_block: int, buffer: NDArray[np.uint64], out: NDArray[Any]
) -> int:
    """Decode a container whose first twelve bytes have been checked; safe on any other bytes.

    data: (bytes,) the container; per_block: elements of a block, a multiple of 8
    buffer: at least a block, in 64-bit words
    out: (pixels,) unsigned of at most 32 bits
    Returns the bytes read, or SHORT where data ends too soon, or WRONG_BLOCK where a block does not
    decode to what it has to hold.
    """
    octets = buffer.view(np.uint8)
    place, done = 12, 0
    itemsize = out.itemsize
    while out.size - done >= 8:
        if place + 4 > data.size:
            return SHORT
        length = 0
        for k in range(4):
            length = (length << 8) | int(data[place + k])
        place += 4
        if length > data.size - place:
            return SHORT
        elements = min(per_block, out.size - done)
        elements -= elements % 8
        size = elements * itemsize
        got = _lz4_decompress_safe(
            data.ctypes.data + place, octets.ctypes.data, np.int32(length), np.int32(size)
        )
        if got != size:
            return WRONG_BLOCK
        place += length
        stride = elements // 8
        if elements % LANES:
            _join_by_bits(octets, elements, 8 * itemsize, out, done)
            done += elements
            continue
        planes = _used_planes(buffer, elements // LANES, 8 * itemsize)
        for group in range(elements // LANES):
            start = done + group * LANES
            if planes <= 4:
                _join4(octets, 8 * group, stride, out, start)
            elif planes <= 8:
                _join8(octets, 8 * group, stride, out, start)
            elif planes <= 12:
                _join12(octets, 8 * group, stride, out, start)
            elif planes <= 16:
                _join16(octets, 8 * group, stride, out, start)
            else:
                _join32(octets, 8 * group, stride, out, start)
        done += elements
    for i in range(done, out.size):  # up to seven elements follow as they are
        if place + itemsize > data.size:
            return SHORT
        value = np.uint64(0)
        for k in range(itemsize):
            value |= np.uint64(data[place + k]) << np.uint64(8 * k)
        out[i] = value
        place += itemsize
    return place

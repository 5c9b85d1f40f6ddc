"""Frames to pixels for those who reduce them: bslz4 by our own kernel, the rest by the stream's.

The same pixels and the same errors as stream/compression.py's decode, faster: see
kernels/decode.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.compression import (
    ContainerError,
    DecodeError,
    bslz4_elements,
    check,
    checksum,
    decode,
)
from ..stream.messages import Array, Frame
from .kernels.decode import LONGEST_BLOCK, available, decode_bslz4

_TYPES = ("uint8", "uint16", "uint32")


class FrameDecoder:
    """Decodes one frame after another into the same memory. Used by one thread."""

    def __init__(self) -> None:
        self._out: NDArray[np.unsignedinteger] = np.empty(0, np.uint8)  # type: ignore[type-arg]
        self._buffer = np.empty(0, np.uint64)

    def __call__(self, frame: Frame, *, verify: bool = False) -> Array:
        """The pixels of frame, (rows, cols) of frame.dtype; they stand until the next call.

        verify: compare the payload with frame.checksum first
        Raises DecodeError, naming scan and index, where the payload is damaged.
        """
        if frame.encoding != "bslz4" or frame.dtype not in _TYPES or not available():
            return decode(frame, verify=verify)
        try:
            if verify and checksum(frame.data) != frame.checksum:
                raise ContainerError("its payload does not match its checksum")
            return self._decode(frame)
        except ContainerError as error:
            raise DecodeError(f"frame {frame.index} of scan {frame.scan}: {error}") from None

    def _decode(self, frame: Frame) -> Array:
        elements = bslz4_elements(frame.data, frame.shape, frame.dtype)
        kind = np.dtype(frame.dtype)
        words = -(-elements * kind.itemsize // 8)
        if words * 8 > LONGEST_BLOCK:
            return decode(frame)
        if self._buffer.size < words:
            self._buffer = np.empty(words, np.uint64)
        if self._out.shape != frame.shape or self._out.dtype != kind:
            self._out = np.empty(frame.shape, kind)
        data = np.frombuffer(frame.data, np.uint8)
        data.flags.writeable = False  # one type for the compiler, whatever holds the bytes
        read = decode_bslz4(data, elements, self._buffer, self._out.reshape(-1))
        if read != data.size:
            check(frame.data, frame.shape, frame.dtype, frame.encoding)  # says where, mostly
            raise ContainerError("bslz4 payload does not decode: a block is not what it has to be")
        return self._out

"""The pixels of the cells that are cut: the second pass of the exact trimmed mean.

What the two cells of a ring look like is one 64-bit number (span_of); LANES pixels are compared
with theirs in vector registers. Those that may belong to a cell are looked at exactly, many at a
time, and their keys put behind those of their cell: what a key is says selection.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import DENSE, I64, Counts, cell_of, intensity_of, key_of
from .lanes import LANES, bits_set, lowest_bit, nonzero_lanes
from .options import inlined, kernel
from .selection import DEV_BITS

_BITS_OF_ONE = np.uint32(0x3F800000)  # of 1.0 as a float32


@kernel
def span_of(cell: int, class_count: int, cells: int, first: int, spread: float) -> Any:
    """How to tell most pixels that are not in a cell without a division.

    Looked at is counts (1 + unit dev), which is less than the corrected intensity by up to
    spread**2, as _signature() has it. It begins here, and goes on for so many: packed into 32 bits,
    length above.
    """
    if cell < class_count:
        begin, end = float(cell), float(cell) * (1.0 + spread)
    else:
        begin = intensity_of(cell - class_count, first) * (1.0 - spread * spread)
        end = np.inf
        if cell < class_count + cells - 1:
            end = intensity_of(cell - class_count + 1, first)
    low = _signature(max(begin * 0.999999, 1.0))
    high = _signature(end * 1.000001)
    length = np.uint64(min(high - low + np.uint32(1), 0xFFFF))
    return np.uint64(low) | length << np.uint64(16)


@inlined
def _signature(near: Any) -> Any:
    """A number from 1 on to 11 digits, in its order, from 0 on; below 1 very large."""
    bits = np.float32(near).view(np.uint32)
    return np.uint32(bits - _BITS_OF_ONE) >> np.uint32(12)


@kernel
def collect(
    counts: Counts, limit: int, words: NDArray[np.uint32], open: NDArray[np.uint64], bits: int,
    unit: float, class_count: int, first: int, cells: int, cut_cell: I64, end: I64,
    spans: NDArray[np.uint64], span: NDArray[np.uint64], hit: NDArray[np.uint8],
    chosen: NDArray[np.uint32], keys: I64,
) -> None:  # fmt: skip
    """Collect the pixels of the cells that are cut, for whole LANES. Arrays one by one: cells.py.

    key: for a class dev, else the corrected intensity, above; dev below
    """
    low_bits = np.uint32((1 << bits) - 1)
    shift = np.uint32(bits)
    half = np.uint32(16)
    mask = np.uint32(0xFFFF)
    step = np.float32(unit)
    lanes = np.uint64(LANES)
    one = np.uint64(1)
    found = np.uint64(0)
    for start in range(0, counts.size, LANES):
        at = np.uint64(start)
        bright = open[start // LANES]
        if bright != np.uint64(0):
            bright &= nonzero_lanes(counts, start)
        if bits_set(bright) >= DENSE:
            for k in range(lanes):
                span[k] = spans[words[at + k] >> shift]
            for k in range(lanes):  # in vector registers
                v = np.float32(counts[at + k])
                more = step * np.float32(np.int32(words[at + k] & low_bits))
                near = _signature(v + v * more)
                low, high = np.uint32(span[k]), np.uint32(span[k] >> np.uint64(32))
                hit[k] = (np.uint32(near - (low & mask)) < low >> half) | (
                    np.uint32(near - (high & mask)) < high >> half
                )
            bright &= nonzero_lanes(hit, 0)
        while bright != np.uint64(0):
            chosen[found] = np.uint32(at + np.uint64(lowest_bit(bright)))
            bright &= bright - one
            found += one
        if found + lanes < chosen.size and start + LANES < counts.size:
            continue  # one after another they are taken faster
        for j in range(found):
            i = np.uint64(chosen[j])
            if counts[i] >= limit:
                continue
            ring = words[i] >> shift
            dev = np.int64(words[i] & low_bits)
            order = dev
            cell = np.int64(counts[i])
            if cell >= class_count:
                key = key_of(counts[i], dev, unit)
                order = np.int64(key)
                cell = class_count + np.int64(cell_of(key, first, cells))
            side = np.uint32(cell != cut_cell[ring, 0])
            if cell == cut_cell[ring, side]:
                keys[np.uint64(end[ring, side])] = order << DEV_BITS | dev
                end[ring, side] += 1
        found = np.uint64(0)

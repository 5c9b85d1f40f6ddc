"""Counting the pixels of every ring by their corrected intensity: the pass that trimming rests on.

A pixel is one 32-bit word: its ring above, below by how much its width is less than the widest of
its ring, as a fixed-point share of that. So 8 bytes are read for a pixel of 32 bits, and

    n_i = widest[ring] (1 - unit dev_i),    v_i / n_i  ~  v_i / (1 - unit dev_i) >= v_i.

Within a ring solid angle and polarisation differ by some per cent (spread). Below 1 / spread counts
the pixels of v counts therefore all come before those of v + 1, and among equals dev is the order:
counts themselves are the cells (classes), 30 of them for a detector of 30 degrees. Above, a cell is
the upper bits of the corrected intensity as a float32, 64 an octave.

Each cell is one 64-bit number, pixels above and their dev below: one addition counts both, and sums
are exact integers. Pixels without a count are not touched: they are what remains of the ring.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lanes import LANES, lowest_bit, nonzero_lanes
from .options import inlined, kernel

Counts = NDArray[np.unsignedinteger[Any]]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

PIXEL_SHIFT = 42
ONE_PIXEL = 1 << PIXEL_SHIFT
DEV_MASK = ONE_PIXEL - 1
MAX_RING_PIXELS = 1 << 18  # of them the sum of dev, below 2**24 each, stays below PIXEL_SHIFT
MAX_CLASSES = 64
_TOP_OCTAVE = 24  # corrected intensities from here on share the last cell: exact, but slower
PER_OCTAVE = 64
_SHIFT = 23 - 6  # of a float32's bits, for 64 cells an octave
_MAX_DEV_BITS = 24


class RingPixels(NamedTuple):
    """Every pixel's ring and width, as the kernels want them.

    word: (pixels,) uint32, ring << bits | dev; the number of rings for a masked pixel
    open: (pixels / LANES,) uint64, a bit for each pixel that is not masked
    unit: of dev; classes: number of counts that are cells of their own
    first: shifted float32 bits of the intensity `classes`, where the other cells begin
    cells: number of other cells
    total: (rings,) int64, pixels and dev of every ring, packed; widest: (rings,) its largest n
    """

    word: NDArray[np.uint32]
    open: NDArray[np.uint64]
    bits: int
    unit: float
    classes: int
    first: int
    cells: int
    total: I64
    widest: F64


class Tally(NamedTuple):
    """What is counted of a frame; all zero between frames. Belongs to one thread.

    classes: (rings + 1, MAX_CLASSES) packed pixels and dev of each count
    cells: (rings + 1, cells, 2) the same of every cell, and the sum of its counts
    octaves: (rings + 1, cells / PER_OCTAVE) uint8, 1 where one of PER_OCTAVE cells is in use
    lost: (rings + 1,) saturated pixels, packed
    """

    classes: I64
    cells: I64
    octaves: NDArray[np.uint8]
    lost: I64


def ring_pixels(ring: NDArray[np.integer[Any]], width: F64, rings: int) -> RingPixels:
    """The table for pixels of these rings and widths.

    ring: (pixels,), the number of rings for masked pixels; width: (pixels,) n_i
    """
    widest = np.zeros(rings + 1)
    np.maximum.at(widest, ring, width)
    widest[widest == 0.0] = 1.0
    missing = 1.0 - width / widest[ring]
    missing[ring == rings] = 0.0
    bits = min(32 - int(rings).bit_length(), _MAX_DEV_BITS)
    unit = max(float(missing.max(initial=0.0)), 1e-9) / ((1 << bits) - 1)
    dev = np.round(missing / unit).astype(np.int64)
    spread = unit * ((1 << bits) - 1)
    classes = max(1, min(MAX_CLASSES, int(0.999 / spread)))
    first = int(np.float32(classes).view(np.int32)) >> _SHIFT
    dev_sum = np.bincount(ring, dev, rings + 1)[:rings].astype(np.int64)
    pixels = np.bincount(ring, minlength=rings + 1)[:rings].astype(np.int64)
    in_ring = np.zeros(-(-ring.size // LANES) * LANES, np.bool_)
    in_ring[: ring.size] = ring < rings
    return RingPixels(
        word=(ring.astype(np.int64) << bits | dev).astype(np.uint32),
        open=np.packbits(in_ring, bitorder="little").view(np.uint64),
        bits=bits,
        unit=unit,
        classes=classes,
        first=first,
        cells=((127 + _TOP_OCTAVE) * PER_OCTAVE - first) // PER_OCTAVE * PER_OCTAVE,
        total=(pixels << PIXEL_SHIFT) + dev_sum,
        widest=widest[:rings],
    )


def tally_for(pixels: RingPixels) -> Tally:
    """Room to count one frame at a time in."""
    rings = pixels.total.size
    return Tally(
        np.zeros((rings + 1, MAX_CLASSES), np.int64),
        np.zeros((rings + 1, pixels.cells, 2), np.int64),
        np.zeros((rings + 1, pixels.cells // PER_OCTAVE), np.uint8),
        np.zeros(rings + 1, np.int64),
    )


@inlined
def width_of(packed: int, unit: float) -> float:
    """Width of packed pixels, in that of the widest of their ring."""
    return np.float64(packed >> PIXEL_SHIFT) - unit * np.float64(packed & DEV_MASK)


@inlined
def key_of(v: Any, dev: int, unit: float) -> Any:
    """Bits of the corrected intensity as a float32, which are in its order."""
    one = np.float32(1.0)
    key = np.float32(np.float32(v) / (one - np.float32(unit) * np.float32(np.int32(dev))))
    return key.view(np.uint32)


@inlined
def cell_of(key: Any, first: int, cells: int) -> Any:
    """Number of the cell of a corrected intensity, from the classes' end on."""
    return min(np.uint32(key >> np.uint32(_SHIFT)) - np.uint32(first), np.uint32(cells - 1))


@kernel
def intensity_of(cell: int, first: int) -> float:
    """Smallest corrected intensity of a cell."""
    return np.float64(np.uint32((cell + first) << _SHIFT).view(np.float32))


@kernel
def _count(
    counts: Counts, limit: Any, words: NDArray[np.uint32], open: NDArray[np.uint64], bits: int,
    unit: float, class_count: Any, first: int, classes: I64, cells: I64,
    octaves: NDArray[np.uint8], lost: I64,
) -> None:  # fmt: skip
    """As count(). Arrays come one by one: those in a tuple Numba counts as in use at every turn."""
    low_bits = np.uint32((1 << bits) - 1)
    for start in range(0, counts.size, LANES):
        if start + LANES <= counts.size:
            bright = nonzero_lanes(counts, start)
        else:
            bright = np.uint64(0)
            for i in range(start, counts.size):
                bright |= np.uint64(counts[i] != 0) << np.uint64(i - start)
        bright &= open[start // LANES]
        while bright != np.uint64(0):
            i = start + lowest_bit(bright)
            bright &= bright - np.uint64(1)
            v = counts[i]
            ring = words[i] >> np.uint32(bits)
            dev = np.int64(words[i] & low_bits)
            packed = dev + ONE_PIXEL
            if v >= limit:
                lost[ring] += packed
            elif v < class_count:
                classes[ring, v] += packed
            else:
                cell = cell_of(key_of(v, dev, unit), first, cells.shape[1])
                cells[ring, cell, 0] += packed
                cells[ring, cell, 1] += np.int64(v)
                octaves[ring, cell // np.uint32(PER_OCTAVE)] = 1


@kernel
def count(counts: Counts, limit: int, pixels: RingPixels, tally: Tally) -> None:
    """Count the pixels of a frame; class 0 is not complete: see complete().

    counts: (pixels,) unsigned, photons
    limit: counts at or above which a pixel is left out of this frame
    """
    _count(
        counts, limit, pixels.word, pixels.open, pixels.bits, pixels.unit,
        np.uint64(pixels.classes), pixels.first,
        tally.classes, tally.cells, tally.octaves, tally.lost,
    )  # fmt: skip


@kernel
def complete(
    b: int,
    total: I64,
    class_count: int,
    classes: I64,
    cells: I64,
    octaves: NDArray[np.uint8],
    lost: I64,
) -> tuple[int, int]:
    """Pixels of ring b, packed, and its counts; completes class 0."""
    others = np.int64(0)
    counted = np.int64(0)
    for v in range(1, class_count):
        packed = classes[b, v]
        others += packed
        counted += v * (packed >> PIXEL_SHIFT)
    for octave in range(octaves.shape[1]):
        if octaves[b, octave] == 0:
            continue
        for cell in range(octave * PER_OCTAVE, (octave + 1) * PER_OCTAVE):
            others += cells[b, cell, 0]
            counted += cells[b, cell, 1]
    valid = total[b] - lost[b]
    classes[b, 0] = valid - others
    return int(valid), int(counted)


@kernel
def clear(
    b: int, class_count: int, classes: I64, cells: I64, octaves: NDArray[np.uint8], lost: I64
) -> None:
    """Forget what was counted in ring b."""
    for v in range(class_count):
        classes[b, v] = 0
    for octave in range(octaves.shape[1]):
        if octaves[b, octave] == 0:
            continue
        for cell in range(octave * PER_OCTAVE, (octave + 1) * PER_OCTAVE):
            cells[b, cell, 0] = 0
            cells[b, cell, 1] = 0
        octaves[b, octave] = 0
    lost[b] = 0

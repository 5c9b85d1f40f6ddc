"""Counting the pixels of every ring by their corrected intensity: the pass that trimming rests on.

A pixel is one 32-bit word: its ring above, below by how much its width is less than the widest of
its ring, as a fixed-point share of that. So 8 bytes are read for a pixel of 32 bits, and

    n_i = widest[ring] (1 - unit dev_i),    v_i / n_i  ~  v_i / (1 - unit dev_i) >= v_i.

Within a ring solid angle and polarisation differ by some per cent (spread). Below 1 / spread counts
the pixels of v counts therefore all come before those of v + 1, and among equals dev is the order:
counts themselves are the cells (classes), 30 of them for a detector of 30 degrees. Above, a cell is
the upper bits of the corrected intensity as a float32, 64 an octave. Cells are numbered in the
order of corrected intensity, classes first.

Each cell is one 64-bit number, pixels above and their dev below: one addition counts both, and sums
are exact integers. Pixels without a count need not be touched: they are what remains of the ring.

LANES pixels are looked at together. Where nearly all are in classes, or all are above, they are
taken one after another without a question; else those of either kind by their bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lanes import LANES, bits_set, lanes_from, lowest_bit, nonzero_lanes
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
GROUP = 32  # cells that share the bit that says they are in use
_MAX_DEV_BITS = 24
DENSE = 40  # pixels of LANES that are worth taking all of them


class RingPixels(NamedTuple):
    """Every pixel's ring and width, as the kernels want them.

    word: (pixels,) uint32, ring << bits | dev; the number of rings for a masked pixel
    open: (pixels / LANES,) uint64, a bit for each pixel that is not masked
    unit: of dev; classes: number of counts that are classes
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

    classes: (rings + 1, classes) packed pixels and dev of each count
    cells: (rings + 1, cells, 2) the same of every cell, and the sum of its counts
    used: (rings + 1,) uint64, a bit for each GROUP of cells that is in use
    lost: (rings + 1,) saturated pixels, packed
    """

    classes: I64
    cells: I64
    used: NDArray[np.uint64]
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
    rows = pixels.total.size + 1
    return Tally(
        np.zeros((rows, pixels.classes), np.int64),
        np.zeros((rows, pixels.cells, 2), np.int64),
        np.zeros(rows, np.uint64),
        np.zeros(rows, np.int64),
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
    cell = np.uint32(np.uint32(key >> np.uint32(_SHIFT)) - np.uint32(first))
    return np.uint32(min(cell, np.uint32(cells - 1)))


@kernel
def intensity_of(cell: int, first: int) -> float:
    """Smallest corrected intensity of a cell."""
    return np.float64(np.uint32((cell + first) << _SHIFT).view(np.float32))


@kernel
def _count(
    counts: Counts, limit: Any, words: NDArray[np.uint32], open: NDArray[np.uint64], bits: int,
    unit: float, class_count: Any, first: int, across: Any, classes: I64, cells: I64,
    used: NDArray[np.uint64], lost: I64, place: NDArray[np.uint32],
) -> None:  # fmt: skip
    """As count(), for whole LANES. Arrays one by one: those in a tuple count as in use each turn.

    across: cells of a ring, uint32; cells: flat; place: LANES
    """
    low_bits = np.uint32((1 << bits) - 1)
    shift = np.uint32(bits)
    lanes = np.uint64(LANES)
    none = np.uint64(0)
    one = np.uint64(1)
    for start in range(0, counts.size, LANES):
        at = np.uint64(start)  # a signed index would be looked at twice: it may count from the end
        unmasked = open[start // LANES]
        if unmasked == none:
            continue
        bright = nonzero_lanes(counts, start) & unmasked
        high = lanes_from(counts, start, class_count)
        if high == none and bits_set(bright) >= DENSE:
            for k in range(lanes):  # masked pixels have a ring of their own, class 0 is not kept
                word = words[at + k]
                packed = np.int64(word & low_bits) + ONE_PIXEL
                classes[word >> shift, counts[at + k]] += packed
            continue
        low = bright & ~high
        high &= bright
        while low != none:
            i = at + np.uint64(lowest_bit(low))
            low &= low - one
            word = words[i]
            classes[word >> shift, counts[i]] += np.int64(word & low_bits) + ONE_PIXEL
        if high == none:
            continue
        over = lanes_from(counts, start, limit) & high
        high &= ~over
        while over != none:
            i = at + np.uint64(lowest_bit(over))
            over &= over - one
            lost[words[i] >> shift] += np.int64(words[i] & low_bits) + ONE_PIXEL
        for k in range(lanes):  # in vector registers
            word = words[at + k]
            key = key_of(counts[at + k], word & low_bits, unit)
            row = np.uint32(np.uint32(word >> shift) * across)
            place[k] = np.uint32(np.uint32(row + cell_of(key, first, across)) << np.uint32(1))
        if high == ~none:
            for k in range(lanes):  # no question, no bits
                cell = np.uint64(place[k])
                before = cells[cell]
                cells[cell] = before + (np.int64(words[at + k] & low_bits) + ONE_PIXEL)
                cells[cell + one] += np.int64(counts[at + k])
                if before == 0:  # mostly it is not
                    ring = np.uint32(words[at + k] >> shift)
                    group = (np.uint32(cell >> one) - ring * across) // np.uint32(GROUP)
                    used[ring] |= one << np.uint64(group)
            continue
        while high != none:
            j = np.uint64(lowest_bit(high))
            high &= high - one
            cell = np.uint64(place[j])
            before = cells[cell]
            cells[cell] = before + (np.int64(words[at + j] & low_bits) + ONE_PIXEL)
            cells[cell + one] += np.int64(counts[at + j])
            if before == 0:  # mostly it is not
                ring = np.uint32(words[at + j] >> shift)
                group = (np.uint32(cell >> one) - ring * across) // np.uint32(GROUP)
                used[ring] |= one << np.uint64(group)


@kernel
def count(counts: Counts, limit: int, pixels: RingPixels, tally: Tally) -> None:
    """Count the pixels of a frame; class 0 is not complete: see complete().

    counts: (pixels,) unsigned, photons
    limit: counts at or above which a pixel is left out of this frame
    """
    whole = counts.size // LANES * LANES
    place = np.empty(LANES, np.uint32)
    _count(
        counts[:whole], limit, pixels.word, pixels.open, pixels.bits, pixels.unit,
        min(np.uint64(pixels.classes), limit), pixels.first, np.uint32(pixels.cells),
        tally.classes, tally.cells.reshape(-1), tally.used, tally.lost, place,
    )  # fmt: skip
    if whole < counts.size:
        some, words = last_lanes(counts, pixels.word)
        _count(
            some, limit, words, pixels.open[whole // LANES :], pixels.bits, pixels.unit,
            min(np.uint64(pixels.classes), limit), pixels.first, np.uint32(pixels.cells),
            tally.classes, tally.cells.reshape(-1), tally.used, tally.lost, place,
        )  # fmt: skip


@kernel
def last_lanes(counts: Counts, words: NDArray[np.uint32]) -> tuple[Counts, NDArray[np.uint32]]:
    """What is left after whole LANES, filled up with pixels of no counts, which are not open."""
    whole = counts.size // LANES * LANES
    some, theirs = np.zeros(LANES, counts.dtype), np.zeros(LANES, np.uint32)
    some[: counts.size - whole] = counts[whole:]
    theirs[: counts.size - whole] = words[whole:]
    return some, theirs


@kernel
def next_used(groups: int, cell: int) -> int:
    """The first cell from this one on whose group is in use; there is one."""
    group = np.uint64(cell // GROUP)
    ahead = groups >> group
    if ahead & np.uint64(1):
        return int(cell)
    return int((np.int64(group) + lowest_bit(ahead)) * GROUP)


@kernel
def complete(
    b: int, total: I64, classes: I64, cells: I64, used: NDArray[np.uint64], lost: I64
) -> tuple[int, int]:
    """Pixels of ring b, packed, and its counts; completes class 0."""
    others = np.int64(0)
    counted = np.int64(0)
    for v in range(1, classes.shape[1]):
        packed = classes[b, v]
        others += packed
        counted += v * (packed >> PIXEL_SHIFT)
    groups = used[b]
    while groups != np.uint64(0):
        begin = lowest_bit(groups) * GROUP
        groups &= groups - np.uint64(1)
        for cell in range(begin, begin + GROUP):
            others += cells[b, cell, 0]
            counted += cells[b, cell, 1]
    valid = total[b] - lost[b]
    classes[b, 0] = valid - others
    return int(valid), int(counted)


@kernel
def clear(b: int, classes: I64, cells: I64, used: NDArray[np.uint64], lost: I64) -> None:
    """Forget what was counted in ring b."""
    classes[b, :] = 0
    groups = used[b]
    while groups != np.uint64(0):
        begin = lowest_bit(groups) * GROUP
        groups &= groups - np.uint64(1)
        cells[b, begin : begin + GROUP] = 0
    used[b] = np.uint64(0)
    lost[b] = 0

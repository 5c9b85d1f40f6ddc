"""One detector frame to one pattern: the mean and the trimmed mean of every ring.

Definitions. Pixel i of a ring holds v_i counts and sees n_i, its solid angle times polarisation
relative to the best pixel. Its corrected intensity is c_i = v_i / n_i, and it stands for the share
n_i of the ring. Then, over the pixels that are neither masked nor saturated,

- mean = sum v_i / sum n_i;
- trimmed mean: order the pixels by c_i, lay them side by side, each as wide as its n_i, cut trim/2
  of the whole width off either end (a pixel on the cut stays with the part of its width that is
  inside), and take sum w_i c_i / sum w_i of what is left. Equal c_i may stand in any order;
- sigma: counting statistics, sqrt(counts kept) / (width kept), at least one count. For the trimmed
  mean this is 4 % too large for Poisson counts at trim 0.1 (the sum of the kept counts varies
  less than sqrt of it); it never errs to the small side.

Method. The frame is read twice in pixel order. The first pass sorts every pixel into a cell of
its ring: the upper bits of c_i + 1 as a float, 128 cells an octave, so no scale depends on the
frame. A cell is one 64-bit number: pixels in the upper bits, their widths in units of 2**-22 below,
so one addition counts both and the sums are exact integers. The cuts then fall into one cell at
each end; the second pass adds up the counts between these cells and collects the pixels inside
them, and a quickselect finishes those.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .options import KERNEL

WIDTH_UNIT = 2.0**-22  # of the fixed-point widths; 1.2e-7 of a pixel that sees everything
MAX_WIDTH = 4.0
MAX_RING_PIXELS = 1 << 18  # their widths, 2**18 * 4 / WIDTH_UNIT, stay below PIXEL_SHIFT
ROWS = 5  # of a pattern: mean, trimmed mean, sigma of each, pixels

_PIXEL_SHIFT = 42
_WIDTHS = (1 << _PIXEL_SHIFT) - 1
_SHIFT = 23 - 7  # of a float32's bits: 128 cells an octave
_OFFSET = np.float32(1.0)  # cells are even up to c = 1 and grow with c beyond
_BASE = 127 << 7
CELLS = (24 << 7) + 2  # up to 2**24; what lies higher shares the last cell: exact, but slower
_LEFT_OUT = CELLS  # cell of a saturated pixel
_PIXEL_BITS = 32
_PIXEL = (1 << _PIXEL_BITS) - 1
_SHORT = 32  # as many are sorted by insertion


Counts = NDArray[np.unsignedinteger[Any]]
I64 = NDArray[np.int64]
Scratch = tuple[NDArray[Any], ...]


def scratch_for(pixels: int, rings: int) -> Scratch:
    """The arrays that one thread needs to reduce frames of this size: 14 bytes a pixel and more."""
    return (
        np.zeros((rings + 1, CELLS), np.int64),  # cells; zero between frames
        np.empty(pixels, np.uint16),  # cell of each pixel
        np.empty(pixels + 1, np.int32),  # pixels in the cells that are cut
        np.empty(pixels, np.int64),  # the same, ring by ring, to be ordered
        np.empty((6, rings + 1), np.int64),
        np.empty((rings + 1, 6), np.int64),
    )


@njit(**KERNEL)
def _sort(
    counts: Counts,
    limit: int,
    ring: NDArray[np.uint16],
    width: NDArray[np.uint32],
    per_width: NDArray[np.float32],
    cells: I64,
    cell_of: NDArray[np.uint16],
    counted: I64,
    lost_width: I64,
    lost_pixels: I64,
) -> None:
    """First pass: pixels and widths of every cell, counts of every ring."""
    one = np.int64(1) << _PIXEL_SHIFT
    for i in range(counts.size):
        v = counts[i]
        b = ring[i]
        if v >= limit:
            cell_of[i] = _LEFT_OUT
            lost_width[b] += np.int64(width[i])
            lost_pixels[b] += 1
            continue
        # the offset puts 0 into cell 0 without a branch: at low counts it would be a coin's throw
        shifted = np.float32(np.float32(v) * per_width[i] + _OFFSET)
        above = (np.int64(shifted.view(np.int32)) >> _SHIFT) - np.int64(_BASE)
        cell: np.int64 = min(above, np.int64(CELLS - 1))
        cell_of[i] = cell
        cells[b, cell] += one + np.int64(width[i])
        counted[b] += np.int64(v)


@njit(**KERNEL)
def _cut(cells: I64, total: int, trim: float, cut: I64) -> None:
    """Find the two cells that are cut, and empty the ring's cells.

    cut: (6,) first and last cell, width below each of them, pixels in each of them; if it is one
        and the same cell, its pixels stand with the first
    """
    low = 0.5 * trim * total
    high = total - low
    below = np.int64(0)
    cut[:] = -1
    cut[4:] = 0
    cell = 0
    while below < total:
        here = cells[cell]
        if here != 0:
            cells[cell] = 0
            wide = here & _WIDTHS
            if cut[0] < 0 and below + wide > low:
                cut[0], cut[2] = cell, below
                if cell > 0:  # pixels without a count add nothing: they are not collected
                    cut[4] = here >> _PIXEL_SHIFT
            if cut[1] < 0 and below + wide >= high:
                cut[1], cut[3] = cell, below
                if cut[0] != cell:
                    cut[5] = here >> _PIXEL_SHIFT
            below += wide
        cell += 1


@njit(**KERNEL)
def _keep(
    counts: Counts,
    ring: NDArray[np.uint16],
    cell_of: NDArray[np.uint16],
    cut: I64,
    kept: I64,
    border: NDArray[np.int32],
) -> int:
    """Second pass: counts between the cut cells, and the pixels inside them."""
    found = 0
    for i in range(counts.size):
        b = ring[i]
        cell = np.int64(cell_of[i])
        first = cut[b, 0]
        last = cut[b, 1]
        kept[b] += np.int64(counts[i]) * ((cell > first) & (cell < last))
        border[found] = i
        found += ((cell == first) | (cell == last)) & (cell > 0)
    return found


@njit(**KERNEL)
def _lowest(
    keys: I64, start: int, stop: int, target: float, width: NDArray[np.uint32], counts: Counts
) -> float:
    """Counts in the lowest target of width of the pixels keys[start:stop], which are reordered.

    keys: bits of the corrected intensity above, pixel number below; so all are different
    """
    total: float = 0.0
    while stop - start > _SHORT:
        a, b, c = keys[start], keys[(start + stop) >> 1], keys[stop - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        low = start
        wide = below = 0.0
        for i in range(start, stop):
            key = keys[i]
            if key <= pivot:
                keys[i], keys[low] = keys[low], key
                low += 1
                wide += width[key & _PIXEL]
                below += counts[key & _PIXEL]
        if target < wide:
            stop = low
        else:
            total += below
            target -= wide
            start = low
    for i in range(start + 1, stop):  # few are left: sort them
        key = keys[i]
        k = i
        while k > start and keys[k - 1] > key:
            keys[k] = keys[k - 1]
            k -= 1
        keys[k] = key
    for i in range(start, stop):
        pixel = keys[i] & _PIXEL
        wide = np.float64(width[pixel])
        if target < wide:
            total += counts[pixel] * max(target, 0.0) / wide
            return total
        total += counts[pixel]
        target -= wide
    return total


@njit(**KERNEL)
def patterns(
    counts: Counts,
    limit: int,
    ring: NDArray[np.uint16],
    width: NDArray[np.uint32],
    per_width: NDArray[np.float32],
    ring_width: I64,
    ring_pixels: I64,
    trim: float,
    scratch: Scratch,
    out: NDArray[np.float32],
) -> None:
    """Fill out with the pattern of one frame.

    counts: (pixels,) unsigned, photons
    limit: counts at or above which a pixel is left out of this frame
    ring: (pixels,) uint16, ring of each pixel; the number of rings for masked ones
    width: (pixels,) uint32, n_i in WIDTH_UNIT
    per_width: (pixels,) float32, 1 / n_i
    ring_width: (rings,) int64, sum of width; ring_pixels: (rings,) int64
    trim: share cut off in total, half at each end, 0 <= trim < 1
    scratch: from scratch_for(); belongs to one thread
    out: (ROWS, rings) float32; nan where a ring has no pixel left
    """
    cells, cell_of, border, keys, sums, cut = scratch
    rings = out.shape[1]
    counted, kept, left_width, left_pixels, next_first, next_last = sums
    sums[:] = 0
    _sort(counts, limit, ring, width, per_width, cells, cell_of, counted, left_width, left_pixels)
    cells[rings, :] = 0

    cut[rings, :2] = -1
    start = 0
    for b in range(rings):
        left_width[b] = ring_width[b] - left_width[b]
        left_pixels[b] = ring_pixels[b] - left_pixels[b]
        _cut(cells[b], left_width[b], trim, cut[b])
        next_first[b] = start
        next_last[b] = start + cut[b, 4]
        start += cut[b, 4] + cut[b, 5]

    for j in range(_keep(counts, ring, cell_of, cut, kept, border)):
        i = np.int64(border[j])
        b = ring[i]
        corrected = np.float32(np.float32(counts[i]) * per_width[i])
        key = (np.int64(corrected.view(np.int32)) << _PIXEL_BITS) | i
        if cell_of[i] == cut[b, 0]:
            keys[next_first[b]] = key
            next_first[b] += 1
        else:
            keys[next_last[b]] = key
            next_last[b] += 1

    for b in range(rings):
        total = np.float64(left_width[b])
        if left_pixels[b] == 0 or total <= 0.0:
            out[:4, b] = np.nan
            out[4, b] = 0.0
            continue
        low = 0.5 * trim * total
        high = total - low
        inside = np.float64(kept[b])
        first, last, below_first, below_last, in_first, in_last = cut[b]
        stop = next_first[b]
        begin = stop - in_first
        if first == last:
            if first > 0:
                inside += _lowest(keys, begin, stop, high - below_first, width, counts)
                inside -= _lowest(keys, begin, stop, low - below_first, width, counts)
        else:
            if first > 0:
                for k in range(begin, stop):
                    inside += counts[keys[k] & _PIXEL]
                inside -= _lowest(keys, begin, stop, low - below_first, width, counts)
            stop = next_last[b]
            inside += _lowest(keys, stop - in_last, stop, high - below_last, width, counts)
        wide = total * WIDTH_UNIT
        wide_inside = (high - low) * WIDTH_UNIT
        out[0, b] = counted[b] / wide
        out[1, b] = inside / wide_inside
        out[2, b] = np.sqrt(max(np.float64(counted[b]), 1.0)) / wide
        out[3, b] = np.sqrt(max(inside, 1.0)) / wide_inside
        out[4, b] = left_pixels[b]

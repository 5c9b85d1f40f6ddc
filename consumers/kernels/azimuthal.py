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
its ring: the upper bits of c_i as a float, 128 cells an octave, so no scale depends on the frame.
A cell is one 64-bit number: pixels in the upper bits, their widths in units of 2**-22 below, so one
addition counts both and the sums are exact integers. The cuts then fall into one cell at each end;
the second pass adds up the counts between these cells and collects the pixels inside them, and a
quickselect finishes those. All sums are of integers: no order of pixels changes the result.
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
_OFFSET = np.float32(2.0**-3)  # less than the smallest c, one count over MAX_WIDTH
_BASE = (127 - 3) << 7
CELLS = (27 << 7) + 2  # up to 2**24; what lies higher shares the last cell: exact, but slower
_LEFT_OUT = CELLS  # cell of a saturated pixel


Counts = NDArray[np.unsignedinteger[Any]]
I64 = NDArray[np.int64]
Scratch = tuple[NDArray[Any], ...]


def scratch_for(pixels: int, rings: int) -> Scratch:
    """The arrays that one thread needs to reduce frames of this size: 13 bytes a pixel and more."""
    return (
        np.zeros((rings + 1, CELLS), np.int64),  # cells; zero between frames
        np.empty(pixels, np.uint16),  # cell of each pixel
        np.empty(pixels + 1, np.int32),  # pixels in the cells that are cut
        np.empty(pixels, np.float32),  # c, n and v of those, ring by ring
        np.empty(pixels, np.float64),
        np.empty(pixels, np.float64),
        np.empty((6, rings + 1), np.int64),
        np.empty((4, rings + 1), np.int64),
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
def _cut(cells: I64, total: int, trim: float, cut: I64) -> int:
    """Find the two cells that are cut, empty the ring's cells, return how many pixels to collect.

    cut: (4,) first and last cell; width below the pixels collected from the first cell; width
        below the last cell less what was collected from the first
    """
    low = 0.5 * trim * total
    high = total - low
    below = np.int64(0)
    collect = 0
    first = -1
    last = -1
    cell = 0
    while below < total:
        here = cells[cell]
        if here != 0:
            cells[cell] = 0
            pixels = int(here >> _PIXEL_SHIFT)
            wide = here & _WIDTHS
            if first < 0 and below + wide > low:
                first = cell
                cut[2] = below
                if cell > 0:  # cell 0 holds pixels without a count: they add nothing
                    collect += pixels
                    cut[3] = -wide
                else:
                    cut[3] = 0
            if last < 0 and below + wide >= high:
                last = cell
                if last == first:
                    cut[3] = below
                else:
                    cut[3] += below
                    collect += pixels
            below += wide
        cell += 1
    cut[0] = first
    cut[1] = last
    return collect


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
        first = cut[0, b]
        last = cut[1, b]
        kept[b] += np.int64(counts[i]) * ((cell > first) & (cell < last))
        border[found] = i
        found += ((cell == first) | (cell == last)) & (cell > 0)
    return found


@njit(**KERNEL)
def _lowest(
    corrected: NDArray[np.float32],
    width: NDArray[np.float64],
    counts: NDArray[np.float64],
    start: int,
    stop: int,
    target: float,
) -> float:
    """Counts in the lowest target of width of pixels start to stop; the rest is reordered."""
    total = 0.0
    while stop > start:
        a, b, c = corrected[start], corrected[(start + stop) >> 1], corrected[stop - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        low, i, high = start, start, stop
        low_width = low_counts = same_width = same_counts = 0.0
        while i < high:
            x = corrected[i]
            if x > pivot:
                high -= 1
                corrected[i], corrected[high] = corrected[high], x
                width[i], width[high] = width[high], width[i]
                counts[i], counts[high] = counts[high], counts[i]
                continue
            if x < pivot:
                low_width += width[i]
                low_counts += counts[i]
                corrected[i], corrected[low] = corrected[low], x
                width[i], width[low] = width[low], width[i]
                counts[i], counts[low] = counts[low], counts[i]
                low += 1
            else:
                same_width += width[i]
                same_counts += counts[i]
            i += 1
        if target < low_width:
            stop = low
            continue
        total += low_counts
        target -= low_width
        if target <= same_width:
            return total + same_counts * (target / same_width)
        total += same_counts
        target -= same_width
        start = high
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
    cells, cell_of, border, corrected, border_width, border_counts, sums, cut = scratch
    rings = out.shape[1]
    counted, kept, left_width, left_pixels, starts, stops = sums
    sums[:] = 0
    _sort(counts, limit, ring, width, per_width, cells, cell_of, counted, left_width, left_pixels)
    cells[rings, :] = 0

    cut[:] = -1
    start = 0
    for b in range(rings):
        left_width[b] = ring_width[b] - left_width[b]
        left_pixels[b] = ring_pixels[b] - left_pixels[b]
        starts[b] = stops[b] = start
        start += _cut(cells[b], left_width[b], trim, cut[:, b])

    found = _keep(counts, ring, cell_of, cut, kept, border)
    for j in range(found):
        i = border[j]
        b = ring[i]
        k = stops[b]
        stops[b] += 1
        corrected[k] = np.float32(counts[i]) * per_width[i]
        border_width[k] = width[i]
        border_counts[k] = counts[i]

    for b in range(rings):
        total = np.float64(left_width[b])
        if left_pixels[b] == 0 or total <= 0.0:
            out[:4, b] = np.nan
            out[4, b] = 0.0
            continue
        low = 0.5 * trim * total
        high = total - low
        inside = np.float64(kept[b]) + _lowest(
            corrected, border_width, border_counts, starts[b], stops[b], high - cut[3, b]
        )
        if cut[0, b] > 0:
            inside -= _lowest(
                corrected, border_width, border_counts, starts[b], stops[b], low - cut[2, b]
            )
        wide = total * WIDTH_UNIT
        wide_inside = (high - low) * WIDTH_UNIT
        out[0, b] = counted[b] / wide
        out[1, b] = inside / wide_inside
        out[2, b] = np.sqrt(max(np.float64(counted[b]), 1.0)) / wide
        out[3, b] = np.sqrt(max(inside, 1.0)) / wide_inside
        out[4, b] = left_pixels[b]

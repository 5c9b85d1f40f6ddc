"""The mean of every ring without the pixels that Poisson statistics do not allow.

A trimmed mean cuts the same share off either end. At few counts the ends are not alike (most pixels
have none), and the mean comes out wrong: 0.73 of the true one at 0.5 counts a pixel. Here only what
cannot be scatter is left out: spots of large grains, cosmic rays, hot pixels.

Criterion. With m the mean of the pixels kept, a pixel of v counts is kept while

    m - z sqrt(m) + z**2 / 6 - 1  <=  v  <=  m + z sqrt(m) + z**2 / 6 + 1,    z = 4.

These are the quantiles of a Poisson distribution where the normal one has z sigma, in Cornish and
Fisher's expansion (the skewness 1 / sqrt(m) moves them by (z**2 - 1) / 6), rounded outward. Less
than one pixel in 10,000 is outside by chance at any m, and so less than 0.1 % of the counts.
m is found in turns: the ring's median first, which half of the pixels may be wrong without moving
far, then the mean of what the upper bound allows, until it lets nothing more in. The lower bound is
applied once, at the end; it is above 0 from 10 counts on and finds dead pixels and shadows. Above
the class counts (see cells.py) bounds are those of the cells they fall into.

What the criterion cannot see: spots that hold as many counts as the scatter allows, and rings on
which the mean itself varies, by texture, more than the scatter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .cells import (
    F64,
    I64,
    PIXEL_SHIFT,
    Counts,
    RingPixels,
    Tally,
    cell_of,
    clear,
    complete,
    count,
    intensity_of,
    key_of,
    width_of,
)
from .options import kernel

_Z = 4.0
_MOST_TURNS = 100


@kernel
def bounds(mean: float) -> tuple[float, float]:
    """Least and most counts of a pixel that is kept in a ring of this mean."""
    half, skew = _Z * np.sqrt(mean), _Z * _Z / 6.0
    return mean - half + skew - 1.0, mean + half + skew + 1.0


@kernel
def _cell_at(counts: float, class_count: int, first: int, cells: int) -> int:
    """The cell, numbered on from the classes, of a corrected intensity."""
    if counts < class_count:
        return int(max(counts, 0.0))
    key = key_of(np.float32(counts), np.int64(0), 0.0)
    return class_count + int(cell_of(key, first, cells))


@kernel
def _content(b: int, cell: int, classes: I64, cells: I64) -> tuple[int, int]:
    """Pixels of a cell, packed, and their counts."""
    class_count = classes.shape[1]
    if cell < class_count:
        packed = classes[b, cell]
        return int(packed), int(cell * (packed >> PIXEL_SHIFT))
    return int(cells[b, cell - class_count, 0]), int(cells[b, cell - class_count, 1])


@kernel
def _median(b: int, valid: int, first: int, classes: I64, cells: I64) -> float:
    """Intensity of the cell in which half of a ring's pixels are reached."""
    below = np.int64(0)
    cell = 0
    while True:
        below += _content(b, cell, classes, cells)[0]
        if 2 * (below >> PIXEL_SHIFT) >= valid >> PIXEL_SHIFT:
            break
        cell += 1
    class_count = classes.shape[1]
    return float(cell) if cell < class_count else float(intensity_of(cell - class_count, first))


@kernel
def _clip(
    total: I64, widest: F64, unit: float, class_count: int, first: int, classes: I64, cells: I64,
    used: NDArray[np.uint64], lost: I64, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Patterns from the tally, which is left empty."""
    for b in range(out.shape[1]):
        valid, counted = complete(b, total, classes, cells, used, lost)
        number = valid >> PIXEL_SHIFT
        out[4, b] = number
        if number == 0:
            out[:4, b] = np.nan
            clear(b, classes, cells, used, lost)
            continue
        kept = np.int64(0)
        inside = np.int64(0)
        done = 0  # cells below this one are kept
        mean = _median(b, valid, first, classes, cells)
        for _ in range(_MOST_TURNS):
            stop = _cell_at(bounds(mean)[1], class_count, first, cells.shape[1]) + 1
            if stop <= done:
                break
            for cell in range(done, stop):
                packed, counts = _content(b, cell, classes, cells)
                kept += packed
                inside += counts
            done = stop
            mean = inside / width_of(kept, unit)
        start = _cell_at(bounds(mean)[0], class_count, first, cells.shape[1])
        for cell in range(min(start, done - 1)):
            packed, counts = _content(b, cell, classes, cells)
            kept -= packed
            inside -= counts
        clear(b, classes, cells, used, lost)
        wide = width_of(valid, unit) * widest[b]
        wide_inside = width_of(kept, unit) * widest[b]
        out[0, b] = counted / wide
        out[2, b] = np.sqrt(max(np.float64(counted), 1.0)) / wide
        out[1, b] = inside / wide_inside
        out[3, b] = np.sqrt(max(np.float64(inside), 1.0)) / wide_inside
    clear(out.shape[1], classes, cells, used, lost)


def clipped_patterns(
    counts: Counts,
    limit: int | np.uint64,
    pixels: RingPixels,
    tally: Tally,
    out: NDArray[np.float32],
) -> None:
    """Fill out with the pattern of one frame.

    counts: (pixels,) unsigned, photons
    limit: counts at or above which a pixel is left out of this frame
    tally: from tally_for(); belongs to one thread
    out: (ROWS, rings) float32; nan where a ring has no pixel left
    """
    count(counts, np.uint64(limit), pixels, tally)
    _clip(
        pixels.total, pixels.widest, pixels.unit, pixels.classes, pixels.first, *tally, out
    )  # fmt: skip

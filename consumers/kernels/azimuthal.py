"""One detector frame to one pattern: what is meant, and the plain mean of every ring.

Definitions. Pixel i of a ring holds v_i counts and sees n_i, its solid angle times polarisation
relative to the best pixel. Its corrected intensity is c_i = v_i / n_i, and it stands for the share
n_i of the ring. Then, over the pixels that are neither masked nor saturated,

- mean = sum v_i / sum n_i;
- trimmed mean: order the pixels by c_i, lay them side by side, each as wide as its n_i, cut trim/2
  of the whole width off either end (a pixel on the cut stays with the part of its width that is
  inside), and take sum w_i c_i / sum w_i of what is left. Equal c_i may stand in any order. For
  rings of few pixels see trimmed.py;
- clipped mean: the mean of the pixels that Poisson statistics allow, see clipped.py;
- sigma: counting statistics, sqrt(counts kept) / (width kept), at least one count; of the trimmed
  mean 0.961 of that at trim 0.1, see trimmed.kept_scatter().

The mean reads a frame once, in pixel order: a pixel costs a look at its ring, two bytes, and one
addition. A gather in the order of rings would touch memory everywhere. What the pixels see is
added up once for the geometry; saturated pixels are rare and are taken off one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lanes import LANES, lanes_from, lowest_bit
from .options import kernel

WIDTH_UNIT = 2.0**-22  # of the fixed-point widths; 1.2e-7 of a pixel that sees everything
MAX_WIDTH = 4.0
_CHUNK = 4096  # pixels that are added up before their saturated ones are taken off again
ROWS = 5  # of a pattern: mean, robust mean, sigma of each, pixels

Counts = NDArray[np.unsignedinteger[Any]]
I64 = NDArray[np.int64]


@kernel
def _add(
    counts: Counts, limit: Any, ring: NDArray[np.uint16], open: NDArray[np.uint64],
    width: NDArray[np.uint32], counted: I64, lost_width: I64, lost_pixels: I64,
) -> None:  # fmt: skip
    """Add up the counts of every ring, and what its saturated pixels would have seen."""
    for chunk in range(-(-counts.size // _CHUNK)):
        begin = chunk * _CHUNK
        # views, that indices are seen to be positive: it halves the time
        some, rings = counts[begin : begin + _CHUNK], ring[begin : begin + _CHUNK]
        for i in range(some.size):
            counted[rings[i]] += np.int64(some[i])
        for start in range(0, some.size, LANES):
            if start + LANES <= some.size:
                hot = lanes_from(some, start, limit)
            else:
                hot = (np.uint64(1) << np.uint64(some.size - start)) - np.uint64(1)
            hot &= open[(begin + start) // LANES]
            while hot != np.uint64(0):
                i = start + lowest_bit(hot)
                hot &= hot - np.uint64(1)
                if some[i] >= limit:
                    counted[rings[i]] -= np.int64(some[i])
                    lost_width[rings[i]] += np.int64(width[begin + i])
                    lost_pixels[rings[i]] += 1


@kernel
def mean_patterns(
    counts: Counts,
    limit: int,
    ring: NDArray[np.uint16],
    open: NDArray[np.uint64],
    width: NDArray[np.uint32],
    ring_width: I64,
    ring_pixels: I64,
    sums: I64,
    out: NDArray[np.float32],
) -> None:
    """Fill out with the pattern of one frame.

    counts: (pixels,) unsigned, photons
    limit: counts at or above which a pixel is left out of this frame
    ring: (pixels,) uint16, ring of each pixel; the number of rings for masked ones
    open: (pixels / LANES,) uint64, a bit for each pixel that is not masked
    width: (pixels,) uint32, n_i in WIDTH_UNIT
    ring_width: (rings,) int64, sum of width; ring_pixels: (rings,) int64
    sums: (3, rings + 1) int64 scratch
    out: (ROWS, rings) float32; the robust mean is the mean, trimmed by nothing; nan where a ring
        has no pixel left
    """
    counted, lost_width, lost_pixels = sums
    sums[:] = 0
    _add(counts, limit, ring, open, width, counted, lost_width, lost_pixels)
    for b in range(out.shape[1]):
        wide = np.float64(ring_width[b] - lost_width[b]) * WIDTH_UNIT
        pixels = ring_pixels[b] - lost_pixels[b]
        out[4, b] = pixels
        if pixels == 0 or wide <= 0.0:
            out[:4, b] = np.nan
            continue
        out[0, b] = out[1, b] = counted[b] / wide
        out[2, b] = out[3, b] = np.sqrt(max(np.float64(counted[b]), 1.0)) / wide

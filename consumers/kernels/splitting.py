"""Integration with pixels shared out over rings, for rings narrower than a pixel.

A pixel's counts are spread evenly over the interval of the axis that its corners reach (pyFAI calls
this bounding-box splitting). The pattern is smooth where whole pixels would leave rings with few
pixels or none; in return neighbouring rings are correlated, and there is no trimmed mean.

Where no pixel reaches over more than three rings, its first ring and two shares are looked up, the
third is what remains, and nothing is decided pixel by pixel; the rings have two more on either side
for shares that fall outside. Narrower rings take a loop over those that a pixel reaches. Both leave
out pixels without a count; what pixels see is added up once for the geometry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lanes import LANES, lanes_from, lowest_bit, nonzero_lanes
from .options import kernel

Counts = NDArray[np.unsignedinteger[Any]]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MARGIN = 2  # rings on either side that catch what falls outside
_FEW = 3  # rings


class Shares(NamedTuple):
    """How pixels are shared out.

    lower, upper: (pixels,) float32, ends of each pixel in rings, so that ring b is from b to b + 1
    width: (pixels,) float32, solid angle times polarisation
    open: (pixels / LANES,) uint64, a bit for each pixel that takes part
    few: whether no pixel reaches over more than three rings
    first: (pixels,) uint16, its first ring + MARGIN; shares: (pixels, 2) float32, of its first two
    seen, area: (rings + 2 MARGIN,) float64, sums of shares times width, and of shares
    """

    lower: F32
    upper: F32
    width: F32
    open: NDArray[np.uint64]
    few: bool
    first: NDArray[np.uint16]
    shares: F32
    seen: F64
    area: F64


def share_out(lower: F64, upper: F64, width: F64, hidden: NDArray[np.bool_], rings: int) -> Shares:
    """The table for pixels between these places, (pixels,) each, in rings."""
    away = hidden | ~(lower < rings) | ~(upper > 0.0)
    begin, end = lower.astype(np.float32), upper.astype(np.float32)
    # at least a thousandth of a ring: a pixel of no extent would be divided by zero
    end = np.maximum(end, begin + np.float32(1e-3))
    span = end.astype(np.float64) - begin
    first = np.floor(begin).astype(np.int64)
    most = (np.floor(end) - first)[~away].max(initial=0)
    few = bool(most < _FEW and first[~away].min(initial=0) >= -MARGIN)
    shares = np.empty((lower.size, 2), np.float32)
    shares[:, 0] = np.minimum(first + 1.0 - begin, span) / span
    shares[:, 1] = np.clip(np.minimum(1.0, end - (first + 1.0)), 0.0, None) / span
    is_open = np.zeros(-(-lower.size // LANES) * LANES, np.bool_)
    is_open[: lower.size] = ~away
    table = Shares(
        begin, end, width.astype(np.float32),
        np.packbits(is_open, bitorder="little").view(np.uint64), few,
        (np.clip(first, -MARGIN, rings) + MARGIN).astype(np.uint16), shares,
        np.zeros(rings + 2 * MARGIN), np.zeros(rings + 2 * MARGIN),
    )  # fmt: skip
    _add_up(table.lower, table.upper, table.width, ~away, rings, table.seen, table.area)
    return table


@kernel
def _reach(lower: float, upper: float, rings: int) -> tuple[int, int]:
    """First ring that a pixel reaches, and the one after the last."""
    return max(int(np.floor(lower)), 0), min(int(np.ceil(upper)), rings)


@kernel
def _add_up(
    lower: F32, upper: F32, width: F32, chosen: NDArray[np.bool_], rings: int, seen: F64, area: F64
) -> None:
    """Add what pixels see, and their shares, to the rings."""
    for i in range(lower.size):
        if not chosen[i]:
            continue
        a, b = np.float64(lower[i]), np.float64(upper[i])
        first, stop = _reach(a, b, rings)
        for ring in range(first, stop):
            share = (min(b, ring + 1.0) - max(a, np.float64(ring))) / (b - a)
            seen[ring + MARGIN] += share * width[i]
            area[ring + MARGIN] += share


@kernel
def _lost(counts: Counts, limit: Any, open: NDArray[np.uint64], chosen: NDArray[np.bool_]) -> int:
    """Choose the pixels that are open and saturated; returns how many there are."""
    found = 0
    for start in range(0, counts.size, LANES):
        if start + LANES <= counts.size:
            hot = lanes_from(counts, start, limit)
        else:
            hot = (np.uint64(1) << np.uint64(counts.size - start)) - np.uint64(1)
        hot &= open[start // LANES]
        while hot != np.uint64(0):
            i = start + lowest_bit(hot)
            hot &= hot - np.uint64(1)
            if counts[i] >= limit:
                chosen[i] = True
                found += 1
    return found


@kernel
def _share_few(
    counts: Counts, limit: Any, open: NDArray[np.uint64], first: NDArray[np.uint16], shares: F32,
    sums: F64,
) -> None:  # fmt: skip
    """Add every pixel's counts to three rings: counts times share, and times share squared."""
    for start in range(0, counts.size, LANES):
        if start + LANES <= counts.size:
            bright = nonzero_lanes(counts, start)
        else:
            bright = (np.uint64(1) << np.uint64(counts.size - start)) - np.uint64(1)
        bright &= open[start // LANES]
        while bright != np.uint64(0):
            i = start + lowest_bit(bright)
            bright &= bright - np.uint64(1)
            if counts[i] >= limit:
                continue
            v = np.float64(counts[i])
            ring = np.uint64(first[i])
            a, b = np.float64(shares[i, 0]), np.float64(shares[i, 1])
            c = 1.0 - a - b
            sums[ring, 0] += a * v
            sums[ring, 1] += a * a * v
            sums[ring + np.uint64(1), 0] += b * v
            sums[ring + np.uint64(1), 1] += b * b * v
            sums[ring + np.uint64(2), 0] += c * v
            sums[ring + np.uint64(2), 1] += c * c * v


@kernel
def _share_many(
    counts: Counts, limit: Any, open: NDArray[np.uint64], lower: F32, upper: F32, rings: int,
    sums: F64,
) -> None:  # fmt: skip
    """The same for any number of rings."""
    for i in range(counts.size):
        is_open = (open[i // LANES] >> np.uint64(i % LANES)) & np.uint64(1)
        if is_open == np.uint64(0) or counts[i] == 0 or counts[i] >= limit:
            continue
        v = np.float64(counts[i])
        a, b = np.float64(lower[i]), np.float64(upper[i])
        per_span = 1.0 / (b - a)
        first, stop = _reach(a, b, rings)
        for ring in range(first, stop):
            share = (min(b, ring + 1.0) - max(a, np.float64(ring))) * per_span
            sums[ring + MARGIN, 0] += share * v
            sums[ring + MARGIN, 1] += share * share * v


def split_patterns(
    counts: Counts, limit: np.uint64, table: Shares, out: NDArray[np.float32]
) -> None:
    """Fill out with the pattern of one frame.

    counts: (pixels,); limit: counts at or above which a pixel is left out
    out: (5, rings) mean, nan, sigma of the mean, nan, pixels; nan where a ring has none; sigma is
        from counting statistics with squared shares, at least one count, of each ring by itself
    """
    rings = out.shape[1]
    sums = np.zeros((rings + 2 * MARGIN, 2))
    if table.few:
        _share_few(counts, limit, table.open, table.first, table.shares, sums)
    else:
        _share_many(counts, limit, table.open, table.lower, table.upper, rings, sums)
    seen, area = table.seen, table.area
    chosen = np.zeros(counts.size, np.bool_)
    if _lost(counts, limit, table.open, chosen):
        less, fewer = np.zeros_like(seen), np.zeros_like(area)
        _add_up(table.lower, table.upper, table.width, chosen, rings, less, fewer)
        seen, area = seen - less, area - fewer
    inside = slice(MARGIN, MARGIN + rings)
    sums, seen, area = sums[inside], seen[inside], area[inside]
    # what is left of differences of equal sums is no pixel
    empty = area < 1e-9
    out[:] = np.nan
    out[4] = np.where(empty, 0.0, area)
    divisor = np.where(empty, np.nan, seen)
    out[0] = sums[:, 0] / divisor
    out[2] = np.sqrt(np.maximum(sums[:, 1], 1.0)) / divisor

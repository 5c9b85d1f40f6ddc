"""The lowest part of a heap of pixels, by a quickselect over their widths.

A pixel is one 64-bit key, what orders it above, by how much its width is less than the widest of
its ring (dev, see cells.py) below; so nothing has to be looked up. The order is the corrected
intensity's bits, or, for pixels of equal counts, dev itself.
"""

from __future__ import annotations

import numpy as np

from .cells import I64
from .options import inlined, kernel

DEV_BITS = 24  # of a key, for dev
_DEV_MASK = (1 << DEV_BITS) - 1
_SHORT = 24  # as many are sorted by insertion


@inlined
def _value(key: int, count_of_class: int, unit: float) -> float:
    """Counts of the pixel behind a key."""
    if count_of_class >= 0:
        return np.float64(count_of_class)
    corrected = np.float64(np.uint32(key >> DEV_BITS).view(np.float32))
    return float(np.rint(corrected * (1.0 - unit * np.float64(key & _DEV_MASK))))


@kernel
def lowest(keys: I64, start: int, stop: int, target: float, of_class: int, unit: float) -> float:
    """Counts in the lowest target of width of the pixels keys[start:stop], which are reordered.

    of_class: their counts if all have the same, else -1
    """
    total = 0.0
    while stop - start > _SHORT:
        a, b, c = keys[start], keys[(start + stop) >> 1], keys[stop - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        low = start
        missing = np.int64(0)
        for i in range(start, stop):
            key = keys[i]
            keys[i] = keys[low]
            keys[low] = key
            inside = key <= pivot
            low += inside
            missing += (key & _DEV_MASK) * inside
        if low == stop:  # all are equal, or the pivot is the largest
            low = start
            for i in range(start, stop):
                key = keys[i]
                keys[i] = keys[low]
                keys[low] = key
                low += key < pivot
            missing = np.int64(0)
            for i in range(start, low):
                missing += keys[i] & _DEV_MASK
            if low == start:
                break  # all are equal
        below = low - start
        wide = np.float64(below) - unit * np.float64(missing)
        if target < wide:
            stop = low
        else:
            if of_class >= 0:
                total += np.float64(of_class * below)
            else:
                for i in range(start, low):
                    total += _value(keys[i], of_class, unit)
            target -= wide
            start = low
    if stop - start <= _SHORT:
        for i in range(start + 1, stop):
            key = keys[i]
            k = i
            while k > start and keys[k - 1] > key:
                keys[k] = keys[k - 1]
                k -= 1
            keys[k] = key
    for i in range(start, stop):
        wide = 1.0 - unit * np.float64(keys[i] & _DEV_MASK)
        value = _value(keys[i], of_class, unit)
        if target < wide:
            return float(total + value * max(target, 0.0) / wide)
        total += value
        target -= wide
    return total

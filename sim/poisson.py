"""Exact Poisson numbers at a few nanoseconds each.

A Poisson number of mean m is the sum of two independent ones, of mean r and m - r. r is the largest
multiple of 1/16 below m, and its number comes from an alias table (Walker 1977; Vose 1991): one
lookup, one comparison, no loop. The rest is at most 1/16 and found by counting up the distribution,
mostly in one comparison. Means beyond the tables are drawn in pieces, those beyond 4096 as
normal numbers. One 64-bit random word
serves both: 7 bits choose the table's column, 24 decide for the alias, 32 are the rest's, so
probabilities are exact to 2^-31.

The random words are splitmix64 (Steele, Lea, Flood 2014): the stream starts at a hash of what
identifies the frame, so that a frame is the same whoever asks for it, and when.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.stats import poisson

STEP = 1 / 16  # of the means that have a table
ROWS = 1024  # tables; the largest mean is (ROWS - 1) * STEP
NORMAL = 4096  # means above it get a normal number (Box and Muller 1958), skewness 1/64 missed
FULL = (1 << 24) - 1  # of 24 bits
COLUMNS = 128  # outcomes a table; beyond them the largest mean has 1e-12 of its probability


def poisson_tables() -> NDArray[np.uint32]:
    """Alias tables, (ROWS * COLUMNS,) uint32, row r for mean r * STEP; 0.1 s, once a process.

    Upper 24 bits: probability of keeping the column; lower 8 bits: what to take instead. One word
    a look-up, which is a quarter of the time of two.
    """
    tables = np.empty((ROWS, COLUMNS), np.uint32)
    outcomes = np.arange(COLUMNS)
    for row in range(ROWS):
        probability = poisson.pmf(outcomes, row * STEP)
        threshold, alias = _alias_table(probability / probability.sum())
        tables[row] = (threshold << np.uint32(8)) | alias
    return tables.ravel()


def _alias_table(
    probability: NDArray[np.float64],
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Vose's construction: every column gets filled up by one other outcome.

    A full column needs no alias: it is its own, so that FULL may be a little below 1.
    """
    size = len(probability)
    level = (probability * size).tolist()
    threshold = np.full(size, FULL, np.uint32)
    alias = np.arange(size, dtype=np.uint8)
    small = [i for i in range(size) if level[i] < 1]
    large = [i for i in range(size) if level[i] >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        threshold[low] = min(round(level[low] * (1 << 24)), FULL)
        alias[low] = high
        level[high] -= 1 - level[low]
        if level[high] < 1:
            small.append(large.pop())
    return threshold, alias


@njit(cache=True, nogil=True, inline="always")
def _word(state):  # type: ignore[no-untyped-def]
    """The random word that belongs to a state of splitmix64."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def _tabulated(row, word, tables):  # type: ignore[no-untyped-def]
    """The Poisson number of mean row * STEP that the lower 31 bits of word stand for."""
    column = np.int32(word & np.uint64(COLUMNS - 1))
    entry = tables[row * COLUMNS + column]
    keep = np.uint32((word >> np.uint64(7)) & np.uint64(0xFFFFFF)) < (entry >> np.uint32(8))
    return column if keep else np.int32(entry & np.uint32(0xFF))


@njit(cache=True, nogil=True, inline="always")
def poisson_number(mean, state, tables):  # type: ignore[no-untyped-def]
    """A Poisson number of mean (float32 >= 0), and the generator's state after it."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    largest = np.float32((ROWS - 1) * STEP)
    number = np.int32(0)
    if mean > np.float32(NORMAL):
        state += golden
        word = _word(state)
        first = (np.float64(np.int64(word >> np.uint64(32))) + 0.5) * (1.0 / 4294967296.0)
        second = np.float64(np.int64(word & np.uint64(0xFFFFFFFF))) * (1.0 / 4294967296.0)
        normal = np.sqrt(-2.0 * np.log(first)) * np.cos(2 * np.pi * second)
        beyond = np.float64(mean) + np.sqrt(np.float64(mean)) * normal
        return np.int32(min(beyond + 0.5, 2e9)), state
    while mean > largest:
        state += golden
        number += _tabulated(ROWS - 1, _word(state), tables)
        mean -= largest
    state += golden
    word = _word(state)
    row = np.int32(mean * np.float32(1 / STEP))
    number += _tabulated(row, word, tables)
    rest = mean - np.float32(row) * np.float32(STEP)
    share = np.float64(np.int64(word >> np.uint64(32))) * (1.0 / 4294967296.0)
    if share >= 1.0 - rest:  # exp(-rest) is at least that: most pixels stop here
        term = np.exp(-np.float64(rest))
        reached = term
        more = 0
        while share >= reached and more < 20:
            more += 1
            term *= np.float64(rest) / more
            reached += term
        number += np.int32(more)
    return number, state


@njit(cache=True, nogil=True)
def poisson_numbers(means, state, tables, out):  # type: ignore[no-untyped-def]
    """Fill out with Poisson numbers of means (float32); both (n,)."""
    for i in range(len(means)):
        number, state = poisson_number(means[i], state, tables)
        out[i] = number


@njit(cache=True, nogil=True)
def poisson_frame(  # type: ignore[no-untyped-def]
    place, correction, pattern, tables, state, masked_value, saturation, out
):
    """Count the photons of every pixel; place, correction and out are (pixels,).

    It stands here and not with the frames because numba looks at one file only to see whether a
    cached kernel is out of date.

    place: float32, where the pixel stands between the points of pattern
    correction: float32, share of the pattern the pixel gets; negative where it is masked
    pattern: (n,) float32, mean counts
    """
    for i in range(len(out)):
        factor = correction[i]
        if factor < 0:
            out[i] = masked_value
            continue
        k = np.int32(place[i])
        low = pattern[k]
        mean = factor * (low + (place[i] - np.float32(k)) * (pattern[k + 1] - low))
        number, state = poisson_number(mean, state, tables)
        out[i] = min(number, saturation)

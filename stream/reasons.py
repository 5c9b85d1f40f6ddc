"""Why frames are lost or failed: a reason for each index, as few different reasons and as ranges.

Where a detector falls silent one reason holds for hundreds of thousands of frames. It then takes
the room of one, in a message and in a file: index -> reason becomes a list of different reasons and
a table of ranges, (n, 3) int64: the first frame, the last one, and the place of their reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

MAX_SCAN_FRAMES = 2_000_000  # the ledger holds some 100 bytes a frame
MAX_REASONS = 1000  # different ones of a scan
MAX_REASON = 500  # characters of each
TOO_MANY = f"for a reason of its own, like more than {MAX_REASONS} others: the logs have them"


class FewReasons:
    """The different reasons of one scan, bounded: what is beyond is said in words that say so."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def said(self, reason: str, prefix: str = "") -> str:
        """reason in the words to keep, one object for all that are equal.

        prefix: what is known of it anyhow, e.g. "frame 7 of scan s: "
        """
        words = reason.removeprefix(prefix)[:MAX_REASON]
        if words not in self._known and len(self._known) >= MAX_REASONS:
            return TOO_MANY
        return self._known.setdefault(words, words)


def to_ranges(reasons: Mapping[int, str]) -> tuple[list[str], NDArray[np.int64]]:
    """The different reasons and the table of their ranges, ascending.

    Raises ValueError where an index is none of a scan.
    """
    outside = [i for i in reasons if not 0 <= i < MAX_SCAN_FRAMES]
    if outside:
        raise ValueError(f"a reason for frame {outside[0]}, there are 0 to {MAX_SCAN_FRAMES - 1}")
    indices = np.array(sorted(reasons), np.int64)
    places: dict[str, int] = {}
    which = np.array([places.setdefault(reasons[i], len(places)) for i in indices.tolist()], int)
    begins = np.ones(len(indices), bool)
    begins[1:] = (np.diff(indices) != 1) | (np.diff(which) != 0)
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(indices))[: len(firsts)] - 1
    return list(places), np.column_stack([indices[firsts], indices[lasts], which[firsts]])


def from_ranges(words: Sequence[str], table: NDArray[np.int64]) -> dict[int, str]:
    """Index -> reason, ascending. Raises ValueError where the table makes no sense."""
    if table.ndim != 2 or table.shape[1] != 3:
        raise ValueError(f"ranges of shape {table.shape}, (n, 3) is needed")
    firsts, lasts, which = table.T
    if ((which < 0) | (which >= len(words))).any():
        raise ValueError(f"a range names a reason that is none of the {len(words)}")
    ends = np.concatenate([[-1], lasts])
    if (firsts <= ends[:-1]).any() or (lasts < firsts).any() or ends[-1] >= MAX_SCAN_FRAMES:
        raise ValueError(f"ranges that do not ascend, or go beyond frame {MAX_SCAN_FRAMES - 1}")
    found: dict[int, str] = {}
    for first, last, place in table.tolist():
        found.update(dict.fromkeys(range(first, last + 1), words[place]))
    return found

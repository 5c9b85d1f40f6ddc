"""The contract of a consumer: three verbs, a question, and what passes from scan to scan.

The whole system scales by this contract:

- reduce(frame) is pure: it may run in any process, in any order, more than once;
- absorb(index, array) is idempotent and takes frames in any order, in one place;
- results() is the best answer from what has been absorbed so far, and says how complete it is.

At-least-once delivery plus idempotent absorb is exactly-once in the results.
A consumer knows no socket, thread, clock, file or window: the same class runs live, in a replay,
on a cluster and in a test. One object serves one scan; what it found may serve later ones of the
same run (findings, follow).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Positions, Result
from .findings import Findings


class FrameError(ValueError):
    """A frame that cannot be reduced; its message names scan, index and what was expected."""


class ScanNotForThis(ValueError):
    """A scan that a consumer cannot use; the message says in one line what it lacks."""


class Consumer(Protocol):
    """One live analysis of one scan.

    Setting one up checks everything that can be checked before the first frame and raises
    ScanNotForThis; reduce, absorb and results then trust it.
    """

    name: str

    def reduce(self, index: int, pixels: NDArray[np.generic]) -> Array:
        """Make kilobytes of one frame's pixels, (rows, cols) unsigned. Pure. Raises FrameError.

        May be called by several threads at once. The array belongs to the caller.
        """
        ...

    def absorb(self, index: int, array: Array) -> None:
        """Take the reduction of frame index; the same one again changes nothing.

        A different one for the same index replaces the first.
        """
        ...

    def place(self, positions: Positions) -> None:
        """Replace planned by measured positions; axes that the technique does not use pass by."""
        ...

    def results(self, final: bool = False) -> Iterable[Result]:
        """The best answers so far; final=True: in the canonical order of frames, for the record.

        Final results depend on what was absorbed only, not on the order it came in, bit for bit.
        Live ones take a fraction of a second: what takes longer is done a share at a time, and the
        attribute "unfinished" of a result above 0 asks to be called again, frames or none.
        """
        ...

    def details(self, focus: Focus) -> Iterable[Result]:
        """What somebody who looks at one place wants besides, never final; may be nothing.

        A question, not a fourth verb: the answer rests on what results() knows already.
        """
        ...

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Know what this consumer found in earlier scans of the run, oldest first.

        Called before the first frame, and again with all there is when an earlier scan is finished
        later than that. Quick; what was followed before no longer counts. Final results rest on
        the last call, and are made after those of the earlier scans.
        """
        ...

    def findings(self) -> Findings | None:
        """What later scans may build on, asked for after final results; None for nothing.

        What it holds belongs to the asker and does not change any more.
        """
        ...

"""Where the voxels of different particles meet, as paths along the voxels' edges.

Edges are joined as far as they go: a dash pattern runs on along a whole outline, a corner has one
corner, and a figure has a few paths and not thousands of strokes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array

Floats = NDArray[np.float64]
Node = tuple[int, int]  # (row, column) of a corner of voxels


def borders(labels: Array, extent: tuple[float, float, float, float]) -> tuple[Floats, Floats]:
    """The borders between voxels of different labels, x and y; nan stands between two paths.

    labels: (rows, cols); extent: (x, y, width, height) of the map
    """
    rows, cols = labels.shape
    left, low, width, height = extent
    places: list[tuple[float, float]] = []
    for path in paths_of(labels):
        places += [(float(r), float(c)) for r, c in path]
        places.append((np.nan, np.nan))
    if not places:
        return np.empty(0), np.empty(0)
    row, column = np.array(places[:-1]).T
    return left + column * (width / cols), low + row * (height / rows)


def paths_of(labels: Array) -> list[list[Node]]:
    """The same as corners of paths; every edge is in one of them, once; a loop ends as it began."""
    open_ = _edges(labels)
    paths = []
    # ends and crossings first: what is left then are loops
    for begin in sorted(open_, key=lambda node: (len(open_[node]) % 2 == 0, node)):
        while open_[begin]:
            paths.append(_walk(open_, begin))
    return paths


def _edges(labels: Array) -> dict[Node, set[Node]]:
    """Each corner's neighbours along an edge between two labels."""
    framed = np.pad(labels, 1)
    found: dict[Node, set[Node]] = {}
    for differs, (down, across) in (
        (framed[1:-1, 1:] != framed[1:-1, :-1], (1, 0)),  # edges that stand
        (framed[1:, 1:-1] != framed[:-1, 1:-1], (0, 1)),  # edges that lie
    ):
        for r, c in np.argwhere(differs).tolist():
            a, b = (r, c), (r + down, c + across)
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def _walk(open_: dict[Node, set[Node]], begin: Node) -> list[Node]:
    """The corners from begin on, straight on where that is possible; its edges are taken out."""
    path, here, step = [begin], begin, (0, 0)
    while ways := open_[here]:
        ahead = (here[0] + step[0], here[1] + step[1])
        there = ahead if ahead in ways else min(ways)
        open_[here].discard(there)
        open_[there].discard(here)
        if there == ahead and len(path) > 1:
            path.pop()  # no corner
        step, here = (there[0] - here[0], there[1] - here[1]), there
        path.append(here)
    return path

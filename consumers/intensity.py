"""Total counts, maximum and saturated pixels of every frame, over the scan's axes.

The smallest consumer there is: it suits any technique, and shows at a glance whether the beam, the
sample and the detector are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Positions, Result, ScanStart
from .findings import Findings
from .geometry import saturation_of
from .integration import check_frame
from .kernels.statistics import frame_statistics
from .labels import Labels

_NAMES = {"total_counts": "photons", "maximum": "photons", "saturated_pixels": "pixels"}


@dataclass(frozen=True, slots=True)
class IntensityConfig:
    """Nothing to choose: masked pixels are left out, saturated ones are counted apart."""


class Intensity:
    """The frames of one scan, each by three numbers."""

    name = "intensity"

    def __init__(self, config: IntensityConfig, start: ScanStart) -> None:
        self._start = start
        mask = start.detector.mask
        shape = start.detector.shape
        self._open = np.ones(shape, np.bool_) if mask is None else ~mask
        self._limit = saturation_of(start.detector)
        self._values = np.full((len(_NAMES), start.frames), np.nan)
        self._seen = np.zeros(start.frames, np.bool_)
        self._labels = Labels(start, self.name)
        self._grid = _grid_of(start)

    def reduce(self, index: int, pixels: NDArray[np.generic]) -> Array:
        """(3,) float64: counts, largest count, saturated pixels.

        Saturated pixels, and masked ones, count neither for the total nor for the maximum; the
        maximum of a frame without any other pixel is nan.
        """
        check_frame(self._start.scan, index, pixels, self._start.detector.shape)
        out = np.empty(3)
        frame_statistics(
            np.ascontiguousarray(pixels).reshape(-1), self._open.reshape(-1),
            np.uint64(self._limit), out,
        )  # fmt: skip
        return out

    def absorb(self, index: int, array: Array) -> None:
        """Keep a frame's numbers."""
        if array.shape != (len(_NAMES),) or not 0 <= index < self._start.frames:
            raise ValueError(
                f"reduction {index} of scan {self._start.scan} is {array.shape}, "
                f"({len(_NAMES)},) and index below {self._start.frames} were expected"
            )
        self._values[:, index] = array
        self._seen[index] = True

    def place(self, positions: Positions) -> None:
        """Maps stand on the planned grid: measured positions change nothing."""

    def details(self, focus: Focus) -> Iterable[Result]:
        """The maps show all there is: nothing."""
        return ()

    def follow(self, earlier: Sequence[Findings]) -> None:
        """Every scan stands for itself: nothing changes."""

    def findings(self) -> None:
        """Nothing that a later scan builds on."""

    def results(self, final: bool = False) -> Iterable[Result]:
        """The three maps; nan where no frame has been absorbed."""
        self._labels.next_revision(int(self._seen.sum()), final)
        grid = self._grid
        for values, (name, unit) in zip(self._values, _NAMES.items(), strict=True):
            shown = np.full([c.size for c in grid.coords.values()], np.nan)
            shown[grid.slots] = values
            yield self._labels.result(
                name, unit, tuple(grid.coords), grid.coords, grid.units, shown
            )


@dataclass(frozen=True, slots=True)
class _Grid:
    """Axes of a scan's maps, slowest first, and where each frame belongs: an index of (frames,)
    for each axis."""

    coords: dict[str, Array]
    units: dict[str, str]
    slots: tuple[NDArray[np.intp], ...]


def _grid_of(start: ScanStart) -> _Grid:
    """The grid's axes in ascending order of their values, whatever the order of frames.

    The frame number where the trajectory is no grid, or an axis does not repeat its values.
    """
    grid, axes = start.trajectory.grid, start.trajectory.axes
    plain = _Grid({"frame": np.arange(start.frames)}, {"frame": ""}, (np.arange(start.frames),))
    if not grid or len(axes) < len(grid) or int(np.prod(grid)) != start.frames:
        return plain
    coords: dict[str, Array] = {}
    units: dict[str, str] = {}
    slots: list[NDArray[np.intp]] = []
    for points, axis in zip(grid, axes, strict=False):
        values, slot = np.unique(np.round(axis.values, 6), return_inverse=True)
        if values.size != points:
            return plain
        coords[axis.name], units[axis.name] = values, axis.unit
        slots.append(slot)
    if len(coords) < len(grid) or np.unique(np.ravel_multi_index(slots, grid)).size < start.frames:
        return plain
    return _Grid(coords, units, tuple(slots))

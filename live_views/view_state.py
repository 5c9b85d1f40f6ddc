"""What the person at the window has chosen to look at."""

from __future__ import annotations

from dataclasses import dataclass

from .model import RunModel, ScanRecord
from .quantities import QUANTITIES, Quantity
from .ranges import Ranges


@dataclass(slots=True)
class ViewState:
    """Shared by all panels of one window.

    number: the pause that is shown; None follows the newest
    picked: (row, column) of the voxel looked at
    particle: identity of the particle looked at, 0 for none; it stays the same in every pause
    outlined: draw the outlines of particles
    brush: (low, high) of a [Å]: voxels inside are highlighted in the map
    compared: up to two pauses, in the order they were clicked
    scale: "all pauses", "this pause" or "locked"
    """

    ranges: Ranges
    quantity: Quantity = QUANTITIES[0]
    number: int | None = None
    picked: tuple[int, int] | None = None
    particle: int = 0
    outlined: bool = True
    brush: tuple[float, float] | None = None
    compared: tuple[int, ...] = ()
    scale: str = "all pauses"
    paused: bool = False

    def scan(self, model: RunModel) -> ScanRecord | None:
        """The scan that is shown."""
        return model.scan(self.number)

    def step(self, model: RunModel, by: int) -> None:
        """Go to an earlier or a later pause; beyond the last one, follow the newest again."""
        numbers = [s.number for s in model.scans()]
        if not numbers:
            return
        at = numbers.index(self.number) if self.number in numbers else len(numbers) - 1
        at = max(0, at + by)
        self.number = None if at >= len(numbers) - 1 else numbers[at]

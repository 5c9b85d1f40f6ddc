"""Scans of what surrounds the slice, taken once before the discharge: the holder, the electrode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .angles import Order, scan_angles
from .tomogram import Tomogram

ROLES = ("broad", "coarse")


@dataclass(frozen=True, slots=True)
class WideScan:
    """One of them.

    role: "broad", the whole cell with what holds the sample, or "coarse", the whole sample
    angles, order: see scan_angles(); over half a turn
    points, step_um, centre_um: of a line [um]
    exposure_s: [s] a frame; dwell_s: time at a point, 0 for exposure plus readout [s]
    beam_um: width of the beam; 0 leaves it as it is
    """

    role: str
    angles: int
    points: int
    step_um: float
    centre_um: float = 0.0
    order: Order = "bit_reversed"
    exposure_s: float = 0.01
    dwell_s: float = 0.0
    beam_um: float = 0.0

    def __post_init__(self) -> None:
        if self.role not in ROLES or self.angles < 2 or self.points < 4 or not self.step_um > 0:
            raise ValueError(
                f"wide scan {self.role!r} of {self.angles} angles x {self.points} points, "
                f"{self.step_um} um apart: {' or '.join(ROLES)} with at least 2 x 4 is needed"
            )

    def tomogram(self, scan: Tomogram) -> Tomogram:
        """As it is taken: all that it does not say is as in the run's own tomograms."""
        half_um = 0.5 * self.step_um * (self.points - 1)
        return replace(
            scan,
            angles_deg=scan_angles(self.angles, self.order),
            start_um=self.centre_um - half_um,
            stop_um=self.centre_um + half_um,
            points=self.points,
            exposure_s=self.exposure_s,
            dwell_s=self.dwell_s or self.exposure_s + 1e-3,
            beam_um=self.beam_um or scan.beam_um,
            notes={**scan.notes, "role": self.role, "angle_order": self.order},
        )


def in_order(wide: Sequence[WideScan]) -> list[WideScan]:
    """Broad before coarse, so that the coarse scan can be freed of what the broad one saw."""
    return sorted(wide, key=lambda each: ROLES.index(each.role))

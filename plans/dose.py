"""How much beam every voxel of the slice has had; plain accounting over the scans of a run.

A scan line with a beam of height h that steps by d puts flux * t / (d * h) photons on every um2 of
a voxel that it passes: t at a point, and points lie so close that each photon falls on the line
once. A voxel gets that at every angle at which it lies within the line. In Gray: the fluence times
photon energy times the mass energy-absorption coefficient of the sample (kerma; Attix, Introduction
to Radiological Physics and Radiation Dosimetry, 1986, eq. 2.5a). Absorption on the way to the voxel
is left out, so this is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Result

F64 = NDArray[np.float64]
JOULE_PER_EV = 1.602176634e-19
GY_PER_J_G = 1e3
UM2_PER_CM2 = 1e8


@dataclass(frozen=True, slots=True)
class Beam:
    """flux_per_s: photons a second on the sample; height_um: of the beam along the rotation axis
    energy_ev: [eV]; absorption_cm2_g: mass energy-absorption coefficient; 0 = count photons
    """

    flux_per_s: float
    height_um: float
    energy_ev: float = math.nan
    absorption_cm2_g: float = 0.0

    @property
    def unit(self) -> str:
        """Of the dose: "MGy", or "photons/um2" where nobody said how the sample absorbs."""
        return "MGy" if self.absorption_cm2_g > 0 else "photons/um2"

    def per_line(self, exposure_s: float, step_um: float) -> float:
        """What a voxel gets of one line across it [unit]."""
        fluence = self.flux_per_s * exposure_s / (step_um * self.height_um)
        if self.unit != "MGy":
            return fluence
        energy_j = self.energy_ev * JOULE_PER_EV
        return fluence * UM2_PER_CM2 * energy_j * self.absorption_cm2_g * GY_PER_J_G * 1e-6


@dataclass(frozen=True, slots=True)
class Lines:
    """What of a scan was taken: one line an angle.

    angles_deg: of the lines; half_um: of their length; step_um: between points; centre_um: (x, y)
        of the slice that lay on the rotation axis; exposure_s: at a point
    middle_um: of a line, against the axis
    """

    angles_deg: Sequence[float]
    half_um: float
    step_um: float
    exposure_s: float
    centre_um: tuple[float, float] = (0.0, 0.0)
    middle_um: float = 0.0


def dose_of(beam: Beam, lines: Lines, x_um: F64, y_um: F64) -> F64:
    """What each voxel gets of a scan, (y, x) [beam.unit]; x_um, y_um: of columns and rows."""
    beside_x = x_um[None, :] - lines.centre_um[0]
    beside_y = y_um[:, None] - lines.centre_um[1]
    passed = np.zeros((y_um.size, x_um.size))
    for angle in np.radians(lines.angles_deg):
        place = beside_x * math.cos(angle) + beside_y * math.sin(angle) - lines.middle_um
        passed += np.abs(place) <= lines.half_um + 0.5 * lines.step_um
    return passed * beam.per_line(lines.exposure_s, lines.step_um)


class DoseBook:
    """The dose of a run so far; values: (y, x) [beam.unit] on the slice's own grid."""

    def __init__(self, beam: Beam, points: int, step_um: float) -> None:
        self.beam = beam
        self.x_um = (np.arange(points) - 0.5 * (points - 1)) * step_um
        self.values = np.zeros((points, points))

    def after(self, lines: Lines) -> float:
        """Of the voxel that would have most after such a scan."""
        return float((self.values + dose_of(self.beam, lines, self.x_um, self.x_um)).max())

    def add(self, lines: Lines) -> None:
        """Such a scan was taken."""
        self.values += dose_of(self.beam, lines, self.x_um, self.x_um)

    @property
    def highest(self) -> float:
        """Of the voxel that has most."""
        return float(self.values.max())

    def result(self, run: str, scan: str, number: int) -> Result:
        """The map as it stands after a scan."""
        return Result(
            run=run,
            scan=scan,
            number=number,
            consumer="plan",
            name="dose",
            dims=("y", "x"),
            coords={"y": self.x_um, "x": self.x_um},
            units={"y": "um", "x": "um"},
            unit=self.beam.unit,
            values=self.values.astype(np.float32),
            uncertainty=None,
            completeness=1.0,
            revision=number,
            final=True,
        )

"""Where the detector's pixels are and what each of them sees.

Conventions are pyFAI's, so that the geometry can be handed on as a .poni: axis 1 runs along rows,
axis 2 along columns, axis 3 along the beam; the detector stands at `distance` from the sample,
perpendicular to the beam, and is then turned about axis 1, 2 and 3 by rot1, rot2 and rot3 (rot1 and
rot2 left-handed). PONI is the foot of the sample's perpendicular on the detector. The
code is the twin's own: pyFAI is only asked in the tests.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .powder import HC_EV_ANGSTROM


@dataclass(frozen=True, slots=True)
class Geometry:
    """A flat detector behind the sample.

    shape: (rows, cols)
    pixel_m: (height, width) [m]
    distance_m: from the sample to the PONI [m]
    beam_pixel: (row, col) where the direct beam meets the detector, in pixels from the outer edge
        of the first pixel, so that the first pixel's centre is at 0.5
    rot1, rot2, rot3: [rad]
    polarisation: degree of horizontal (along axis 2) linear polarisation, -1 to 1
    """

    shape: tuple[int, int]
    pixel_m: tuple[float, float]
    distance_m: float
    beam_pixel: tuple[float, float]
    energy_ev: float
    rot1: float = 0.0
    rot2: float = 0.0
    rot3: float = 0.0
    polarisation: float = 0.99

    def poni_m(self) -> tuple[float, float]:
        """Where the PONI lies on the detector, along axis 1 and 2 [m].

        In the detector's own frame the direct beam leaves the PONI along the unit vector of the
        beam; following it back by the stretched distance gives the PONI from the beam's pixel.
        """
        beam = _rotation(self.rot1, self.rot2, self.rot3).T @ np.array([0.0, 0.0, 1.0])
        along = self.distance_m / beam[2]
        return (
            self.beam_pixel[0] * self.pixel_m[0] - along * beam[0],
            self.beam_pixel[1] * self.pixel_m[1] - along * beam[1],
        )

    def positions_m(self) -> NDArray[np.float64]:
        """Centres of the pixels in the laboratory, (rows, cols, 3) along axis 1, 2, 3 [m]."""
        poni1, poni2 = self.poni_m()
        rows, cols = self.shape
        place = np.empty((rows, cols, 3))
        place[..., 0] = ((np.arange(rows) + 0.5) * self.pixel_m[0] - poni1)[:, None]
        place[..., 1] = ((np.arange(cols) + 0.5) * self.pixel_m[1] - poni2)[None, :]
        place[..., 2] = self.distance_m
        turned: NDArray[np.float64] = place @ _rotation(self.rot1, self.rot2, self.rot3).T
        return turned

    def two_theta(self) -> NDArray[np.float64]:
        """Scattering angle of each pixel, (rows, cols) [rad]."""
        place = self.positions_m()
        return np.arctan2(np.hypot(place[..., 0], place[..., 1]), place[..., 2])

    def q(self) -> NDArray[np.float64]:
        """Length of the scattering vector at each pixel, (rows, cols) [1/Å]."""
        return 4 * math.pi * self.energy_ev / HC_EV_ANGSTROM * np.sin(self.two_theta() / 2)

    def azimuth(self) -> NDArray[np.float64]:
        """Angle around the beam, from axis 2 towards axis 1, (rows, cols) [rad]."""
        place = self.positions_m()
        return np.arctan2(place[..., 0], place[..., 1])

    def solid_angle(self) -> NDArray[np.float64]:
        """Solid angle of each pixel relative to one at the PONI, (rows, cols): cosine cubed."""
        place = self.positions_m()
        away: NDArray[np.float64] = np.linalg.norm(place, axis=2)
        return (self.distance_m / away) ** 3

    def polarised(self) -> NDArray[np.float64]:
        """Share of the scattering that polarisation leaves each pixel, (rows, cols).

        The electric field's part along the way out is lost: mean of 1 - (horizontal direction
        cosine)^2 and 1 - (vertical one)^2, weighted with the two polarisations' shares.
        """
        place = self.positions_m()
        place /= np.linalg.norm(place, axis=2)[..., None]
        share = (1 + self.polarisation) / 2
        return share * (1 - place[..., 1] ** 2) + (1 - share) * (1 - place[..., 0] ** 2)

    def poni(self) -> str:
        """This geometry as the text of a pyFAI .poni file (version 2)."""
        detector = {
            "pixel1": self.pixel_m[0],
            "pixel2": self.pixel_m[1],
            "max_shape": list(self.shape),
        }
        poni1, poni2 = self.poni_m()
        entries = (
            ("poni_version", "2"),
            ("Detector", "Detector"),
            ("Detector_config", json.dumps(detector)),
            ("Distance", repr(self.distance_m)),
            ("Poni1", repr(float(poni1))),
            ("Poni2", repr(float(poni2))),
            ("Rot1", repr(self.rot1)),
            ("Rot2", repr(self.rot2)),
            ("Rot3", repr(self.rot3)),
            ("Wavelength", repr(HC_EV_ANGSTROM / self.energy_ev * 1e-10)),
        )
        return "".join(f"{name}: {value}\n" for name, value in entries)


def _rotation(rot1: float, rot2: float, rot3: float) -> NDArray[np.float64]:
    c1, c2, c3 = math.cos(rot1), math.cos(rot2), math.cos(rot3)
    s1, s2, s3 = math.sin(rot1), math.sin(rot2), math.sin(rot3)
    about1 = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    about2 = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    about3 = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    turn: NDArray[np.float64] = about3 @ about2 @ about1
    return turn

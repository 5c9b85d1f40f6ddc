"""Where a reflection lies on the detector: its ring, for any geometry of a .poni; no Qt.

Conventions are pyFAI's. In its own frame the detector lies at z = distance; the rotations turn it
about axis 1, then 2, then 3, with the signs that pyFAI gives them. A ring is found the other way
round: the way out of the sample at 2 theta and each azimuth is turned back into the detector's
frame and followed to its plane. That holds for tilts of any size, where the ring is an ellipse,
and for those that open it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import ScanStart

HC_EV_ANGSTROM = 12398.419843320026  # h c, exact in the SI of 2019
AZIMUTHS = 720  # half a degree: a chord stays within 0.1 pixel of a ring of 10 000 pixels
MARGIN = 0.02  # of the frame's size: points further out are not drawn

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Geometry:
    """A detector as one scan has it.

    distance, poni1, poni2: [m]; rot1, rot2, rot3: [rad]; wavelength: [Å]
    pixel_m: (height, width); shape: (rows, cols)
    orientation: pyFAI's number: 1 both axes run backwards, 2 the rows do, 4 the columns, else none
    """

    distance: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    wavelength: float
    pixel_m: tuple[float, float]
    shape: tuple[int, int]
    orientation: int = 3


def geometry_of(start: ScanStart) -> Geometry | None:
    """The geometry a scan was announced with; None where it has none that is complete."""
    numbers, orientation = _entries(start.poni)
    try:
        distance, poni1, poni2 = (numbers[k] for k in ("distance", "poni1", "poni2"))
    except KeyError:
        return None
    wavelength = numbers.get("wavelength", math.nan) * 1e10
    if not wavelength > 0:
        wavelength = HC_EV_ANGSTROM / start.energy_ev if start.energy_ev > 0 else math.nan
    if not (distance > 0 and math.isfinite(wavelength) and min(start.detector.pixel_m) > 0):
        return None
    rot1, rot2, rot3 = (numbers.get(k, 0.0) for k in ("rot1", "rot2", "rot3"))
    return Geometry(
        distance, poni1, poni2, rot1, rot2, rot3, wavelength,
        start.detector.pixel_m, start.detector.shape, orientation,
    )  # fmt: skip


def ring(geometry: Geometry, q: float) -> Floats:
    """(AZIMUTHS + 1, 2) row and column of the points with that q [1/Å]; a pixel's middle is at 0.5.

    sin(theta) = q lambda / 4 pi. nan where the ring does not meet the detector or its margin.
    """
    sine = q * geometry.wavelength / (4 * math.pi)
    points = np.full((AZIMUTHS + 1, 2), np.nan)
    if not 0 < sine < 1:
        return points
    two_theta = 2 * math.asin(sine)
    azimuth = np.linspace(0, 2 * math.pi, AZIMUTHS + 1)
    out = np.stack([
        math.sin(two_theta) * np.sin(azimuth),
        math.sin(two_theta) * np.cos(azimuth),
        np.full(azimuth.size, math.cos(two_theta)),
    ])  # fmt: skip
    own = _rotation(geometry.rot1, geometry.rot2, geometry.rot3).T @ out
    meets = own[2] > 1e-6
    along = geometry.distance / np.where(meets, own[2], np.nan)
    rows, cols = geometry.shape
    row = (own[0] * along + geometry.poni1) / geometry.pixel_m[0]
    col = (own[1] * along + geometry.poni2) / geometry.pixel_m[1]
    if geometry.orientation in (1, 2):
        row = rows - row
    if geometry.orientation in (1, 4):
        col = cols - col
    with np.errstate(invalid="ignore"):
        near = (np.abs(row - rows / 2) < (0.5 + MARGIN) * rows) & (
            np.abs(col - cols / 2) < (0.5 + MARGIN) * cols
        )
    points[near, 0], points[near, 1] = row[near], col[near]
    return points


def rings(geometry: Geometry, q: Floats) -> Floats:
    """(n, 2) the rings of all q [1/Å], one after the other, with nan between them."""
    gap = np.full((1, 2), np.nan)
    parts = [part for one in q if math.isfinite(one) for part in (ring(geometry, float(one)), gap)]
    return np.concatenate(parts) if parts else np.empty((0, 2))


def _rotation(rot1: float, rot2: float, rot3: float) -> Floats:
    c1, c2, c3 = math.cos(rot1), math.cos(rot2), math.cos(rot3)
    s1, s2, s3 = math.sin(rot1), math.sin(rot2), math.sin(rot3)
    about1 = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    about2 = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    about3 = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    turn: Floats = about3 @ about2 @ about1
    return turn


def _entries(poni: str) -> tuple[dict[str, float], int]:
    """The numbers of a .poni, keys in lower case, and its orientation; later lines apply."""
    found: dict[str, float] = {}
    orientation = 3
    for line in poni.splitlines():
        key, colon, value = line.partition(":")
        name = key.strip().lower()
        if not colon or name.startswith("#"):
            continue
        try:
            if name == "detector_config":
                orientation = int(json.loads(value).get("orientation", 3))
            else:
                number = float(value)
                if math.isfinite(number):
                    found[name] = number
        except (ValueError, TypeError, AttributeError):
            continue
    return found, orientation

"""Scans made by the tests' own formulas: analytic discs, Gaussian lines, flat detectors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from operando.stream.messages import Axis, Detector, ScanStart, Trajectory

PONI = """\
Detector: Detector
Detector_config: {"pixel1": 2e-4, "pixel2": 2e-4, "max_shape": null, "orientation": 3}
Distance: 0.1
Poni1: 0.0128
Poni2: 0.002
Rot1: 0.01
Rot2: -0.005
Rot3: 0.0
Wavelength: 2.5e-11
"""
HKL = ((1, 1, 1), (3, 1, 1), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0), (5, 3, 1))
STRENGTHS = (100.0, 40.0, 38.0, 10.0, 14.0, 19.0, 9.0)


@pytest.fixture
def make_start() -> Callable[..., ScanStart]:
    """A factory of ScanStarts: make_start(trajectory, technique=..., poni=..., ...)."""

    def make(
        trajectory: Trajectory | None = None,
        technique: str = "frames",
        poni: str = PONI,
        shape: tuple[int, int] = (128, 160),
        dtype: str = "uint16",
        saturation: int = 60_000,
        mask: np.ndarray | None = None,
        frames: int | None = None,
    ) -> ScanStart:
        if trajectory is None:
            trajectory = Trajectory((), ())
        if frames is None:
            frames = trajectory.axes[0].values.size if trajectory.axes else 1
        detector = Detector("flat", shape, dtype, (2e-4, 2e-4), saturation, mask)
        return ScanStart(
            "run", "scan-1", 1, technique, frames, detector, trajectory, poni, math.nan, 0.01,
            None, 0.0,
        )  # fmt: skip

    return make


@pytest.fixture
def scan(make_start) -> Callable[..., ScanStart]:
    """A factory of ScanStarts: scan(number, run=..., **notes)."""

    def make(number: int, run: str = "run", **notes: object) -> ScanStart:
        return dataclasses.replace(
            make_start(), run=run, scan=f"{run}-{number}", number=number, notes=notes
        )

    return make


@pytest.fixture
def make_trajectory() -> Callable[..., Trajectory]:
    """A factory of tomogram trajectories: plain, bit-reversed or snake."""

    def make(rotations: int, translations: int, order: str = "plain") -> Trajectory:
        numbers = np.arange(rotations)
        if order == "bit-reversed":
            bits = max(1, (rotations - 1).bit_length())
            numbers = np.array(
                [r for r in (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
                 if r < rotations]
            )  # fmt: skip
        angle = np.repeat(180.0 * numbers / rotations, translations)
        line = np.arange(translations) - 0.5 * (translations - 1)
        lines = [line[::-1] if order == "snake" and n % 2 else line for n in range(rotations)]
        return Trajectory(
            (rotations, translations),
            (Axis("rotation", "deg", angle), Axis("translation", "um", np.concatenate(lines))),
        )

    return make


class Discs:
    """A sample of discs: (x, y, radius, lattice parameter), lengths in um and Å.

    The ray of rotation theta and translation s is x cos(theta) + y sin(theta) = s; a disc's chord
    is 2 sqrt(r^2 - (s - x cos - y sin)^2). Lines are Gaussians of 0.015 1/Å full width.
    """

    def __init__(self, *discs: tuple[float, float, float, float]) -> None:
        self.discs = discs

    def line_pattern(self, q: np.ndarray, a: float) -> np.ndarray:
        total = np.zeros_like(q)
        for hkl, strength in zip(HKL, STRENGTHS, strict=True):
            centre = 2 * math.pi * math.sqrt(sum(i * i for i in hkl)) / a
            total += strength * np.exp(-4 * math.log(2) * ((q - centre) / 0.015) ** 2)
        return total

    def ray(self, q: np.ndarray, rotation_deg: float, translation_um: float) -> np.ndarray:
        """Pattern of one ray: chord times lines, and an even background."""
        total = np.full_like(q, 20.0) - q
        for chord, (*_, a) in zip(
            self.chords(rotation_deg, translation_um), self.discs, strict=True
        ):
            if chord > 0:
                total += chord * self.line_pattern(q, a)
        return total

    def chords(self, rotation_deg: float, translation_um: float) -> list[float]:
        """Path of one ray in each disc [um]."""
        theta, found = math.radians(rotation_deg), []
        for x, y, radius, _ in self.discs:
            away = translation_um - x * math.cos(theta) - y * math.sin(theta)
            found.append(2 * math.sqrt(max(radius**2 - away**2, 0.0)))
        return found

    def truth(self, points: int, margin: float) -> np.ndarray:
        """Lattice parameter of voxels at least margin inside a disc, else nan; (points, points)."""
        place = np.arange(points) - 0.5 * (points - 1)
        known = np.full((points, points), np.nan)
        for x, y, radius, a in self.discs:
            inside = np.hypot(place[None, :] - x, place[:, None] - y) < radius - margin
            known[inside] = a
        return known


@pytest.fixture
def discs() -> Discs:
    """Three discs, none symmetric to the axis, one in the window a pure spinel cannot have."""
    return Discs((-5.0, -4.0, 4.5, 8.06), (5.5, -1.0, 4.0, 8.11), (-1.0, 6.5, 3.5, 8.20))

"""A slice of the paper's size: sixty round grains, each with a lattice parameter of its own."""

from __future__ import annotations

import math

import numpy as np

ROTATIONS, TRANSLATIONS = 350, 351


class Grains:
    """Discs that do not overlap, thrown one after another into a circle.

    radii: smallest and largest; within: of their middles; gap: least between two [um]
    """

    def __init__(
        self,
        number: int,
        radii: tuple[float, float] = (7.0, 18.0),
        within: float = 145.0,
        gap: float = 1.0,
    ) -> None:
        random = np.random.default_rng(11)
        placed: list[tuple[float, float, float]] = []
        while len(placed) < number:
            radius = random.uniform(*radii)
            away, turn = within * math.sqrt(random.random()), random.uniform(0, 2 * math.pi)
            x, y = away * math.cos(turn), away * math.sin(turn)
            if all(math.hypot(x - u, y - v) > radius + r + gap for u, v, r in placed):
                placed.append((x, y, radius))
        self.x, self.y, self.radius = np.array(placed).T
        self.a = random.uniform(8.03, 8.25, number)

    def chords(self, rotation_deg: float, places: np.ndarray) -> np.ndarray:
        """Path of each ray in each grain, (places, grains) [um]."""
        t = math.radians(rotation_deg)
        away = places[:, None] - self.x * math.cos(t) - self.y * math.sin(t)
        return 2 * np.sqrt(np.maximum(self.radius**2 - away**2, 0.0))

    def truth(self, margin: float) -> np.ndarray:
        """Lattice parameter of voxels at least margin inside a grain, else nan."""
        place = np.arange(TRANSLATIONS) - 0.5 * (TRANSLATIONS - 1)
        known = np.full((TRANSLATIONS, TRANSLATIONS), np.nan)
        for x, y, radius, a in zip(self.x, self.y, self.radius, self.a, strict=True):
            known[np.hypot(place[None, :] - x, place[:, None] - y) < radius - margin] = a
        return known

"""The rotation axis by the centre of mass: where it tells, and where it must not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operando.consumers.rotation_centre import centre_of_rotation

POINTS, CENTRE = 81, 41.37
DISCS = ((9.0, -14.0, 7.0), (-12.0, 3.0, 9.0), (2.0, 16.0, 5.0))


def mass(angles: np.ndarray, discs: tuple[tuple[float, float, float], ...] = DISCS) -> np.ndarray:
    place = np.arange(POINTS) - CENTRE
    total = np.zeros((angles.size, POINTS))
    for x, y, r in discs:
        away = place - (x * np.cos(angles) + y * np.sin(angles))[:, None]
        total += 2 * np.sqrt(np.maximum(r * r - away**2, 0.0))
    return total


def bit_reversed(bits: int) -> np.ndarray:
    return np.array([int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)])


def test_ten_projections_in_bit_reversed_order_give_it_to_a_tenth_of_a_voxel() -> None:
    angles = math.pi * bit_reversed(6)[:10] / 64
    noise = np.random.default_rng(1).normal(0, 0.1, (10, POINTS))
    assert centre_of_rotation(angles, mass(angles) + noise) == pytest.approx(CENTRE, abs=0.1)
    assert centre_of_rotation(angles, mass(angles)) == pytest.approx(CENTRE, abs=0.03)


@pytest.mark.parametrize(
    ("angles", "discs"),
    [
        (np.linspace(0, 3, 4), DISCS),  # too few
        (np.linspace(0, 1, 30), DISCS),  # too short an arc
        (np.linspace(0, 3, 30), (*DISCS, (20.0, 20.0, 18.0))),  # leaves the field
        (np.linspace(0, 3, 30), ((0.0, 0.0, 200.0),)),  # larger than the field
        (np.linspace(0, 3, 30), ()),  # nothing there
    ],
)
def test_where_nothing_tells_nothing_is_said(angles, discs) -> None:
    assert centre_of_rotation(angles, mass(angles, discs)) is None

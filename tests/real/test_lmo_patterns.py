"""Measured LiMn2O4 electrode patterns at two states of charge, Cu K alpha."""

from __future__ import annotations

import numpy as np
import pytest
from measured import DATA
from operando.consumers.pattern_fit import Radiation, fit_phases

FOLDER = DATA / "operando_xrd"
REFLECTIONS = ((5, 1, 1), (4, 4, 0), (5, 3, 1))  # between 55 and 75 deg
SOURCE = Radiation((1.54056, 1.54439), (1.0, 0.5))  # as the files' headers say

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"{FOLDER} is not there")


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    lines = (FOLDER / name).read_text(encoding="latin-1").splitlines()
    table = np.array([line.split() for line in lines if not line.startswith("!")], float)
    return table[:, 0], table[:, 1]


@pytest.mark.parametrize("start", [8.13, 8.16, 8.20])
def test_the_solid_solution_has_the_published_lattice_parameter(start: float) -> None:
    fit = fit_phases(*read("LMO-solid-solution.plt"), SOURCE, REFLECTIONS, (start,))
    assert fit.a[0] == pytest.approx(8.168, abs=0.003)


@pytest.mark.parametrize("starts", [(8.15, 8.06), (8.16, 8.05)])
def test_the_two_phases_have_the_published_lattice_parameters(starts) -> None:
    fit = fit_phases(*read("LMO-two-phase.plt"), SOURCE, REFLECTIONS, starts)
    np.testing.assert_allclose(fit.a, [8.146, 8.065], atol=0.003)
    np.testing.assert_allclose(fit.shares(), [0.555, 0.445], atol=0.02)

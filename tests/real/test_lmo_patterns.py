"""Measured LiMn2O4 electrode patterns at two states of charge, Cu K alpha."""

from __future__ import annotations

import numpy as np
import pytest
from measured import DATA
from operando.consumers.coexistence import Coexistence
from operando.consumers.pattern_fit import Radiation, fit_phases, q_of
from operando.consumers.phases import PhaseConfig, read_phases
from operando.consumers.profile_fit import fit_profile
from operando.consumers.refinement import Refinement
from operando.consumers.templates import Profile, Templates

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


def whole_pattern(name: str, profile: Profile) -> tuple[Templates, np.ndarray]:
    """Templates of the spinel alone for one file, and its pattern."""
    two_theta, intensity = read(name)
    # a tube's beam is not polarised, and its patterns are not corrected for that
    polarisation = (1 + np.cos(np.radians(two_theta)) ** 2) / 2
    q = q_of(two_theta, SOURCE.wavelengths[0])
    phases = read_phases({"limn2o4": PhaseConfig(working=True)}, q[-1], (7.95, 8.30))
    templates = Templates(q, intensity / polarisation**2, phases, profile, 5, SOURCE)
    return templates, (intensity / polarisation)[None].astype(np.float32)


def test_whole_pattern_refinement_finds_what_was_published() -> None:
    """With the structure's own intensities; the profile from the pattern of one phase."""
    templates, pattern = whole_pattern("LMO-solid-solution.plt", Profile(0.015, 0.002, 0.5))
    one = Refinement(templates).refine(pattern)
    assert one.a[0] == pytest.approx(8.168, abs=0.003)
    profile = fit_profile(templates, pattern.astype(float), one.a, one.c)
    templates, pattern = whole_pattern("LMO-solid-solution.plt", profile)
    one = Refinement(templates).refine(pattern)
    assert one.a[0] == pytest.approx(8.168, abs=0.003)
    assert not Coexistence(Refinement(templates)).find(pattern, one).found()[0]

    templates, pattern = whole_pattern("LMO-two-phase.plt", profile)
    one = Refinement(templates).refine(pattern)
    two = Coexistence(Refinement(templates)).find(pattern, one)
    assert two.high[0] == pytest.approx(8.146, abs=0.003)
    assert two.low[0] == pytest.approx(8.065, abs=0.003)
    assert two.high_share[0] == pytest.approx(0.555, abs=0.03)

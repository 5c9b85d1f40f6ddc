"""Whole-pattern refinement: against the simulation's truth, SciPy, and its own uncertainties."""

from __future__ import annotations

import numpy as np
import pytest
from operando.consumers.coexistence import Coexistence
from operando.consumers.kernels.nonnegative import nonnegative
from operando.consumers.phases import PhaseConfig, read_phases
from operando.consumers.profile_fit import fit_profile, settled
from operando.consumers.refinement import Refinement
from operando.consumers.regions import Region, refine_regions
from operando.consumers.templates import Profile, Templates, draw
from scipy.optimize import least_squares, nnls
from whole_patterns import (
    LAYERED,
    PROFILE,
    SPINEL,
    Q,
    lattice_parameters,
    noisy,
    of_phase,
    phases,
    spinels,
    templates,
)


def everywhere(variance: np.ndarray, number: int) -> np.ndarray:
    """The variances of so many patterns that scatter alike."""
    return np.tile(variance.astype(np.float32), (number, 1))


def test_non_negative_coefficients_are_scipys() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        columns = random.standard_normal((12, 5)) + 0.7
        target = columns @ random.uniform(-1, 1, 5) + 0.1 * random.standard_normal(12)
        s, trial, factor = np.zeros(5), np.zeros(5), np.zeros((5, 5))
        chosen = random.random(5) < 0.5  # whatever set it begins with
        nonnegative(columns.T @ columns, columns.T @ target, chosen, s, trial, factor)
        np.testing.assert_allclose(s, nnls(columns, target)[0], atol=1e-9)


@pytest.mark.parametrize("peak", [1000.0, 10_000.0])
def test_every_pattern_of_a_thousand_counts_has_its_lattice_parameter(peak: float) -> None:
    a = lattice_parameters(1500, 2)
    patterns, variance = noisy(spinels(a, peak), seed=3)
    found = Refinement(templates(variance, "limno2_rock_salt", "li2mno3")).refine(patterns)
    assert np.abs(found.a - a).max() < 0.0015
    assert np.sqrt(np.mean((found.a - a) ** 2)) < {1000.0: 3.3e-4, 10_000.0: 1.1e-4}[peak]


@pytest.mark.parametrize("known", [True, False])
def test_uncertainties_are_those_of_repetition(known: bool) -> None:
    a = lattice_parameters(2000, 4)
    patterns, variance = noisy(spinels(a, 1000.0), seed=5)
    refinement = Refinement(templates(variance / 4 if known else variance, "limno2_rock_salt"))
    found = refinement.refine(patterns, everywhere(variance, a.size) if known else None)
    assert np.std((found.a - a) / found.a_sigma) == pytest.approx(1.0, abs=0.06)
    # a phase that is not there: half of its scales are 0, the other half scatter like half a normal
    absent = found.scale[:, 0] / found.scale_sigma[:, 0]
    assert np.mean(absent > 0) == pytest.approx(0.5, abs=0.05)
    assert np.sqrt(np.mean(absent[absent > 0] ** 2)) == pytest.approx(1.0, abs=0.08)
    assert found.chi2.mean() == pytest.approx(1.0, abs=0.02)


def test_noise_under_a_patterns_own_lines_is_in_its_uncertainty() -> None:
    """Each pattern scatters as it counts; weights only know the mean over all of them."""
    a = lattice_parameters(2000, 22)
    clean = spinels(a, 1000.0)
    noise = np.sqrt(clean) * np.random.default_rng(23).standard_normal(clean.shape)
    refinement = Refinement(templates(clean.mean(axis=0), "limno2_rock_salt"))
    patterns, variances = (x.astype(np.float32) for x in (clean + noise, clean))
    blind, found = refinement.refine(patterns), refinement.refine(patterns, variances)
    np.testing.assert_array_equal(found.a, blind.a)
    scale = refinement.refine(clean.astype(np.float32)).scale[:, -1]
    assert np.std((blind.a - a) / blind.a_sigma) > 1.3
    pulls = (found.a - a) / found.a_sigma, (found.scale[:, -1] - scale) / found.scale_sigma[:, -1]
    assert np.std(pulls, axis=1) == pytest.approx(1, abs=0.06)


def test_lines_of_another_width_are_in_the_uncertainty() -> None:
    """The model's slopes are not the data's: what a scatters by is not the curvature alone."""
    clean = spinels(lattice_parameters(2000, 24), 1000.0)
    patterns, variance = noisy(clean, seed=25)
    for width, blind in ((0.009, 1.08), (0.016, 0.92)):
        made = templates(variance, profile=Profile(width, PROFILE.strain, PROFILE.mixing))
        refinement = Refinement(made)
        without = refinement.refine(clean.astype(np.float32)).a
        found = refinement.refine(patterns, everywhere(variance, len(clean)))
        assert np.std((found.a - without) / found.a_sigma) == pytest.approx(1, abs=0.06)
        plain = refinement.refine(patterns)
        ratio = np.std((plain.a - without) / plain.a_sigma * np.sqrt(plain.chi2))
        assert (ratio > blind) == (blind > 1), ratio


def test_the_minimum_is_scipys() -> None:
    """Variable projection with exact templates, nnls and least_squares, in double precision."""
    random = np.random.default_rng(6)
    a = random.uniform(8.03, 8.25, 12)
    other = of_phase("li2mno3") / of_phase("li2mno3").max()
    clean = spinels(a, 2000.0) + 150 * random.random((12, 1)) * other
    patterns, variance = noisy(clean, seed=7)
    made = templates(variance, "limno2_rock_salt", "li2mno3")
    found = Refinement(made).refine(patterns, everywhere(variance, 12), tolerance=1e-5)
    basis, root = made.background, made.root_weight

    def solve(value: float, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = made.curve(value, 0.0, np.ones(3)).T * root[:, None]
        columns -= basis @ (basis.T @ columns)
        scales = nnls(columns, target)[0]
        return scales, columns @ scales - target

    for n in range(12):
        weighted = patterns[n].astype(float) * root
        target = weighted - basis @ (basis.T @ weighted)
        best = least_squares(
            lambda p, target=target: solve(p[0], target)[1], [a[n]], xtol=1e-14, ftol=1e-14
        )
        scales, residual = solve(best.x[0], target)
        assert abs(found.a[n] - best.x[0]) < 0.02 * found.a_sigma[n]
        np.testing.assert_allclose(found.scale[n], scales, rtol=2e-3, atol=0.02 * scales.max())
        chi2 = found.chi2[n] * Refinement(made).free_points
        assert chi2 == pytest.approx(residual @ residual, rel=2e-3)  # single precision's


def test_mass_fractions_are_those_that_were_mixed() -> None:
    """Volumes of 0.8, 0.15 and 0.05, weighed with densities from mass and volume of the cells."""
    shares = {SPINEL: 0.8, "limno2_rock_salt": 0.15, "li2mno3": 0.05}
    unit = of_phase(SPINEL, 8.12).max()
    clean = sum(s * of_phase(n, 8.12 if n == SPINEL else None) for n, s in shares.items()) / unit
    patterns, variance = noisy(np.tile(3000 * clean + 100, (400, 1)), seed=8)
    made = templates(variance, "limno2_rock_salt", "li2mno3")
    found = Refinement(made).refine(patterns, everywhere(variance, 400))
    # u / Å3: Li 6.94, Mn 54.938, O 15.999
    density = {
        SPINEL: 8 * (6.94 + 2 * 54.938 + 4 * 15.999) / 8.12**3,
        "limno2_rock_salt": 2 * (6.94 + 54.938 + 2 * 15.999) / 4.13**3,
        "li2mno3": 4 * (2 * 6.94 + 54.938 + 3 * 15.999)
        / (4.937 * 8.532 * 5.030 * np.sin(np.radians(109.46))),
    }  # fmt: skip
    mass = {name: shares[name] * density[name] for name in shares}
    for n, phase in enumerate(made.phases):
        expected = mass[phase.key] / sum(mass.values())
        assert found.fraction[:, n].mean() == pytest.approx(expected, abs=6e-4)
        pull = (found.fraction[:, n] - expected) / found.fraction_sigma[:, n]
        assert np.std(pull) == pytest.approx(1.0, abs=0.12)
    np.testing.assert_allclose(found.fraction.sum(axis=1), 1.0, atol=1e-9)


def test_two_cell_edges_are_found_together() -> None:
    config = PhaseConfig(cif=LAYERED, working=True, a_min=2.80, a_max=2.86, c_min=14.0, c_max=14.3)
    known = read_phases({"layered": config}, Q[-1], (7.95, 8.3))
    random = np.random.default_rng(9)
    a, c = random.uniform(2.805, 2.855, 60), random.uniform(14.02, 14.28, 60)
    crystal = known[0].crystal
    clean = np.array([draw(Q, crystal.lines(*cell), PROFILE) for cell in zip(a, c, strict=True)])
    patterns, variance = noisy(3000 * clean / clean.max() + 100, seed=10)
    found = Refinement(Templates(Q, variance, known, PROFILE)).refine(patterns)
    assert np.abs(found.a - a).max() < 0.0005
    assert np.abs(found.c - c).max() < 0.005
    assert np.std((found.a - a) / found.a_sigma) == pytest.approx(1.0, abs=0.3)
    assert np.std((found.c - c) / found.c_sigma) == pytest.approx(1.0, abs=0.3)


def test_phases_that_cannot_be_told_apart_are_named() -> None:
    """Half-lithiated spinel, 8.1529 Å: like a spinel within 0.012 Å of that, and no further."""
    a = 8.1529 + np.array([-0.02, -0.011, 0.0, 0.011, 0.02])
    patterns, variance = spinels(a, 1e5).astype(np.float32), np.ones(Q.size)
    found = Refinement(templates(variance, "li05mn2o4")).refine(patterns)
    np.testing.assert_array_equal(found.alike(), [False, True, True, True, False])
    without = Refinement(templates(variance, "limno2_rock_salt")).refine(patterns)
    assert not without.alike().any()


def test_a_pattern_without_the_phase_has_no_lattice_parameter() -> None:
    variance = np.full(Q.size, 50.0)
    random = np.random.default_rng(12)
    noise = (50 + np.sqrt(variance) * random.standard_normal((50, Q.size))).astype(np.float32)
    noise[0], noise[1] = np.nan, 0.0
    found = Refinement(templates(variance, "limno2_rock_salt")).refine(noise)
    assert not found.seen()[:2].any()
    assert found.seen().mean() < 0.2  # the best of all cells may reach three sigma by chance


def test_channels_left_out_change_nothing() -> None:
    a = np.array([8.07, 8.19])
    patterns, variance = noisy(spinels(a, 3000.0), seed=13)
    variance[300:340] = np.nan
    patterns[:, 300:340] = 1e6
    found = Refinement(templates(variance)).refine(patterns)
    assert np.abs(found.a - a).max() < 0.001


def test_the_profile_is_fitted_to_the_voxels_themselves() -> None:
    a = np.repeat(np.random.default_rng(14).uniform(8.05, 8.24, 12), 60)
    patterns, variance = noisy(spinels(a, 2000.0), seed=15)
    wrong = Profile(0.015, 0.001, 0.6)

    def make(profile: Profile) -> Templates:
        return templates(variance, profile=profile)

    right = settled(make(wrong), make, patterns).profile
    assert right.width == pytest.approx(PROFILE.width, rel=0.03)
    assert right.strain == pytest.approx(PROFILE.strain, rel=0.05)
    assert right.mixing == pytest.approx(PROFILE.mixing, abs=0.05)
    nothing = np.zeros_like(patterns[:20])
    assert settled(make(wrong), make, nothing).profile == wrong


def test_a_calibrant_gives_the_profile() -> None:
    clean = spinels(np.array([8.2]), 1e5)
    made = templates(clean[0], profile=Profile(0.015, 0.001, 0.6))
    found = fit_profile(made, clean, np.array([8.2]), np.zeros(1))
    assert found.widths(Q) == pytest.approx(PROFILE.widths(Q), rel=0.01)


def test_a_region_of_many_lattice_parameters_has_its_fractions() -> None:
    """Without the spread, what the sharp template leaves over goes to the other phases."""
    a = lattice_parameters(900, 16)
    clean = spinels(a, 1000.0) + 20.0 * of_phase("limno2_rock_salt") / of_phase(SPINEL, 8.15).max()
    patterns, variance = noisy(clean, seed=17)
    refinement = Refinement(templates(variance, "limno2_rock_salt", "li2mno3"))
    voxels = refinement.refine(patterns)
    mean = patterns.mean(axis=0, dtype=np.float64)
    region = Region("bulk", 900, mean, variance / 900, voxels.a, voxels.scale[:, -1])
    table = refine_regions([region], refinement)
    assert table.regions == ("bulk",)
    assert table.column("a_angstrom")[0] == pytest.approx(a.mean(), abs=2e-4)
    assert table.column("a_spread_angstrom")[0] == pytest.approx(a.std(), rel=0.02)
    # 2 per cent of the volume, a little denser
    expected = 0.0204
    sigma = table.column("mass_fraction_limno2_rock_salt_sigma")[0]
    assert sigma < 0.001
    assert table.column("mass_fraction_limno2_rock_salt")[0] == pytest.approx(expected, abs=0.002)
    assert table.column("mass_fraction_li2mno3")[0] < 0.002
    assert table.column("rwp_percent")[0] < 1.0
    sharp = refinement.refine(mean[None].astype(np.float32))
    assert sharp.rwp[0] > 5 * table.column("rwp_percent")[0]


def test_two_spinels_in_a_pattern_are_told_from_one() -> None:
    random = np.random.default_rng(18)
    share = random.choice([0.0, 0.2, 0.35, 0.5, 0.8], 600)
    low, high = spinels(np.array([8.076, 8.145]), 1000.0)
    clean = (1 - share[:, None]) * low + share[:, None] * high
    patterns, variance = noisy(clean, seed=19)
    refinement = Refinement(templates(variance, "limno2_rock_salt"))
    found = Coexistence(refinement).find(patterns, refinement.refine(patterns))
    two = share > 0
    np.testing.assert_array_equal(found.found(), two)
    for values, sigma, truth in (
        (found.low, found.low_sigma, np.full(600, 8.076)),
        (found.high, found.high_sigma, np.full(600, 8.145)),
        (found.high_share, found.high_share_sigma, share),
    ):
        assert np.std(((values - truth) / sigma)[two]) == pytest.approx(1.0, abs=0.12)


def test_noise_is_no_second_spinel() -> None:
    a = lattice_parameters(4000, 20)
    for peak in (100.0, 3000.0):
        patterns, variance = noisy(spinels(a, peak), seed=21)
        refinement = Refinement(templates(variance, "limno2_rock_salt"))
        found = Coexistence(refinement).find(patterns, refinement.refine(patterns))
        assert not found.found().any()


def test_two_free_edges_have_no_pairs() -> None:
    config = PhaseConfig(cif=LAYERED, working=True, a_min=2.81, a_max=2.83, c_min=14.0, c_max=14.1)
    known = read_phases({"layered": config}, Q[-1], (7.95, 8.3))
    refinement = Refinement(Templates(Q, np.ones(Q.size), known, PROFILE))
    with pytest.raises(ValueError, match="layered has two free edges"):
        Coexistence(refinement)


@pytest.mark.parametrize(
    ("configs", "says"),
    [
        ({"limn2o4": PhaseConfig()}, "exactly one"),
        ({"limn2o4": PhaseConfig(working=True), "b": PhaseConfig("aluminium", True)}, "2 of 2"),
        ({"unknown": PhaseConfig(working=True)}, "neither a CIF nor one of"),
        ({"li2mno3": PhaseConfig(working=True)}, "working phase is cubic"),
        ({"limn2o4": PhaseConfig(working=True, a_min=8.3, a_max=8.0)}, "no range"),
        ({"two words": PhaseConfig("limn2o4", True)}, "letters"),
        ({"aluminium": PhaseConfig(a_min=4.0), SPINEL: PhaseConfig(working=True)}, "only the work"),
        ({"li2mno3": PhaseConfig(a=4.9), SPINEL: PhaseConfig(working=True)}, "not given by a and"),
    ],
)
def test_phases_that_make_no_sense_are_refused(configs: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_phases(configs, 4.7, (7.95, 8.3))


def test_a_range_without_end_is_refused() -> None:
    config = PhaseConfig(cif=LAYERED, working=True, a_min=2.0, a_max=3.9, c_min=10.0, c_max=19.0)
    with pytest.raises(ValueError, match="narrow a_min"):
        Templates(Q, np.ones(Q.size), read_phases({"x": config}, Q[-1], (7.9, 8.3)), PROFILE)


def test_templates_between_nodes_are_the_pattern_itself() -> None:
    made = templates(np.ones(Q.size), "limno2_rock_salt")
    middle = 8.05 + np.arange(5) * 0.037
    exact = np.array([draw(Q, phases()[-1].crystal.lines(a), PROFILE) * made.unit for a in middle])
    found = Refinement(made).refine(
        (1000 * exact).astype(np.float32), np.ones((5, Q.size), np.float32), 1e-6
    )
    np.testing.assert_allclose(found.a, middle, atol=2e-6)
    np.testing.assert_allclose(found.scale[:, -1], 1000.0, rtol=1e-4)

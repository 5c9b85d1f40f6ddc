"""Whole patterns of known phases, drawn from the simulation's own structures and lines."""

from __future__ import annotations

import numpy as np
from operando.consumers.phases import Phase, PhaseConfig, read_phases
from operando.consumers.templates import Profile, Templates
from operando.materials.structures import structure
from operando.sim.powder import Crystal, LineShape, pattern

Q = np.linspace(1.1, 4.7, 720)
SHAPE = LineShape(0.012, 0.002, 0.4)
# the same lines in the consumers' terms: there the Lorentzian's share is of the height, not of the
# area: 0.4 of the area is 1 / (1 + 1.5 * (pi / 2) / sqrt(pi / (4 ln 2))) of the height
PROFILE = Profile(0.012, 0.002, 1 / (1 + 1.5 * (np.pi / 2) / np.sqrt(np.pi / (4 * np.log(2)))))
ENERGY_EV = 50_000.0
SPINEL = "limn2o4"

# LiCoO2 as Orman and Wiseman describe it, Acta Cryst. C 1984, 40, 12; on hexagonal axes
LAYERED = """data_LiCoO2
_chemical_formula_sum 'Li Co O2'
_cell_length_a 2.8166
_cell_length_b 2.8166
_cell_length_c 14.052
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_cell_formula_units_Z 3
_space_group_name_H-M_alt 'R -3 m :H'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Li1 Li 0 0 0.5 1 0.01
Co1 Co 0 0 0 1 0.005
O1 O 0 0 0.2395 1 0.008
"""


def phases(*fixed: str, **working: float) -> tuple[Phase, ...]:
    configs = {name: PhaseConfig() for name in fixed}
    return read_phases(configs | {SPINEL: PhaseConfig(working=True, **working)}, Q[-1], (7.95, 8.3))


def of_phase(name: str, a: float | None = None) -> np.ndarray:
    """The pattern of a volume of one phase; the same unit for all of them."""
    return pattern(Crystal(structure(name)).lines(5.2, a), SHAPE, Q, ENERGY_EV)


def lattice_parameters(number: int, seed: int) -> np.ndarray:
    """Of so many spinels; a hundred different ones."""
    return np.resize(np.random.default_rng(seed).uniform(8.03, 8.25, 100), number)


def spinels(a: np.ndarray, peak: float) -> np.ndarray:
    """Patterns of spinels whose strongest line is peak high on average, on a smooth background."""
    different, places = np.unique(a, return_inverse=True)
    drawn = np.array([of_phase(SPINEL, float(each)) for each in different])[places]
    return peak * drawn / drawn.max(axis=1).mean() + 0.05 * peak * (1 + np.exp(-Q / 1.2)) + 5.0


def noisy(clean: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patterns with the noise of their mean, as a volume's voxels share it, and its variance."""
    variance = clean.mean(axis=0)
    random = np.random.default_rng(seed)
    noise = np.sqrt(variance) * random.standard_normal(clean.shape)
    return (clean + noise).astype(np.float32), variance


def templates(variance: np.ndarray, *fixed: str, profile: Profile = PROFILE) -> Templates:
    return Templates(Q, variance, phases(*fixed), profile)

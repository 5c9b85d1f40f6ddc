"""How XRD-CT scans are analysed: what a user may choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .integration import ESTIMATORS
from .lattice import ALUMINIUM_A, ALUMINIUM_HKL, Hkl, LatticeModel, roots_of
from .particle_config import ParticlesConfig
from .phases import Phase, PhaseConfig, ProfileConfig, read_phases
from .soc import CalibrationConfig


@dataclass(frozen=True, slots=True)
class XrdctConfig:
    """How XRD-CT scans are analysed.

    q_min, q_max [1/Å], bins: the pattern's axis
    estimator: of every ring, what makes the volume: "trimmed", "trimmed_fast" (within 0.05 standard
        errors of it up to 3000 counts a pixel), "clipped" (without what Poisson statistics do not
        allow; not biased at few counts) or "mean"
    trim: share of a ring's width cut off in total; 0.1 is 5 % at either end
    trim_pixels: cut off either end at least: one cosmic ray outshines a ring of fewer than
        2 / trim pixels; 0 = the share alone, as other programs do
    polarisation: degree of horizontal polarisation of the beam, -1 to 1
    rotation, translation: names of the trajectory's axes, in deg and um
    rotation_centre_um: translation at which the rotation axis is in the beam, or "track": by the
        sample's centre of mass, where the whole sample is inside the field of view
    edge_padding: continue projections beyond the field by their last values instead of zeros
    reflections: of the cubic phase; strong ones of LiMn2O4, (5,1,1) standing for (3,3,3) as well
    a_min, a_max [Å]: lattice parameters that are looked for; spinel LixMn2O4 has 8.03 to 8.25
    forbidden_low, forbidden_high [Å]: what a pure spinel cannot have (Finegan et al., Nat. Commun.
        2020, 11, 631)
    peak_width [1/Å]: start of the full width at half maximum; width_min, width_max: its limits
    mixing: Lorentzian share of the peaks
    half_window [1/Å]: of the window around a reflection
    foreign_lines: further lines to fit where they fall into a window [1/Å]; aluminium: add its own
    threshold: voxels with less than this share of the strong ones' intensity are pores
    histogram_bins: of the lattice parameter, from a_min to a_max
    volume: put the q-resolved volume into the final results
    particles: how particles are found, followed and judged
    calibration: how lattice parameters become states of charge
    phases: of the sample, by name, for a whole-pattern refinement of every voxel; none: only the
        reflections above are fitted
    profile: shape of the lines of all phases
    background_terms: of the whole pattern's Chebyshev polynomial
    """

    q_min: float = 1.1
    q_max: float = 4.7
    bins: int = 720
    estimator: str = "trimmed"
    trim: float = 0.1
    trim_pixels: int = 1
    polarisation: float = 0.99
    rotation: str = "rotation"
    translation: str = "translation"
    rotation_centre_um: float | Literal["track"] = 0.0
    edge_padding: bool = True
    reflections: tuple[Hkl, ...] = (
        (1, 1, 1),
        (3, 1, 1),
        (4, 0, 0),
        (3, 3, 1),
        (5, 1, 1),
        (4, 4, 0),
        (5, 3, 1),
    )
    a_min: float = 7.95
    a_max: float = 8.30
    forbidden_low: float = 8.076
    forbidden_high: float = 8.145
    peak_width: float = 0.015
    width_min: float = 0.006
    width_max: float = 0.06
    mixing: float = 0.4
    half_window: float = 0.045
    foreign_lines: tuple[float, ...] = ()
    aluminium: bool = True
    threshold: float = 0.2
    histogram_bins: int = 70
    volume: bool = True
    particles: ParticlesConfig = field(default_factory=ParticlesConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    phases: dict[str, PhaseConfig] = field(default_factory=dict)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    background_terms: int = 6

    def __post_init__(self) -> None:
        problems = {
            f"estimator is one of {', '.join(ESTIMATORS)}": self.estimator in ESTIMATORS,
            "0 <= trim < 1": 0 <= self.trim < 1,
            "trim_pixels >= 0": self.trim_pixels >= 0,
            "0 < a_min < a_max": 0 < self.a_min < self.a_max,
            "0 < width_min <= peak_width <= width_max": 0
            < self.width_min
            <= self.peak_width
            <= self.width_max,
            "0 <= mixing <= 1": 0 <= self.mixing <= 1,
            "at least one reflection": len(self.reflections) > 0,
            "0 <= threshold < 1": 0 <= self.threshold < 1,
            "histogram_bins >= 1": self.histogram_bins >= 1,
            "1 <= background_terms <= 20": 1 <= self.background_terms <= 20,
        }
        broken = [rule for rule, holds in problems.items() if not holds]
        if broken:
            raise ValueError(f"xrdct: {'; '.join(broken)} does not hold")
        self.read_phases()

    def read_phases(self) -> tuple[Phase, ...]:
        """The phases, the working one last; none where none are configured.

        Raises ValueError naming the phase and what is wrong with it.
        """
        if not self.phases:
            return ()
        return read_phases(self.phases, self.q_max, (self.a_min, self.a_max))

    def lattice_model(self) -> LatticeModel:
        """What the fits are to look for."""
        lines = [*self.foreign_lines]
        if self.aluminium:
            lines += (roots_of(ALUMINIUM_HKL) / ALUMINIUM_A).tolist()
        return LatticeModel(
            reflections=tuple(sorted(self.reflections, key=lambda hkl: sum(i * i for i in hkl))),
            lines=np.sort(np.array(lines, np.float64)),
            a_limits=(self.a_min, self.a_max),
            width_limits=(self.width_min, self.width_max),
            width=self.peak_width,
            mixing=self.mixing,
            half_window=self.half_window,
        )

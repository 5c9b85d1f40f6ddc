"""The specimen: an electrode slice, its phases, and how they stand at any charge of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ageing import age
from .content import Content, MinorPhases, fill, mass_fractions, masses, minor_shares
from .electrode import ElectrodeConfig, grow_electrode
from .lithiation import RESTED_Y, Hindrance, LatticeState, Lithiation, LithiationConfig
from .truth import PHASES, STRUCTURES, Truth


@dataclass(frozen=True, slots=True)
class SpecimenConfig:
    """What the slice is; TwinConfig says what each means."""

    field_um: float = 41.0
    voxel_um: float = 1.0
    particle_radius_um: tuple[float, float] = (2.2, 4.8)
    lithium_rich: int = 3
    particle_spread: float = 0.06
    gradient: float = 0.05
    rock_salt: float = 0.04
    li05mn2o4: float = 0.04
    li2mno3: float = 0.05
    cycles: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The specimen as it stands still for one scan.

    mean_lithiation: y of its spinel
    fluence: photons that each voxel has seen before, (rows, cols) [1/um2]
    """

    mean_lithiation: float
    state: LatticeState
    content: Content
    fluence: NDArray[np.float64]


class Specimen:
    """One slice; the same for the same seed.

    electrode: its voxels and particles
    capacity_share: how much of a fresh electrode's charge it takes
    """

    def __init__(self, config: SpecimenConfig, seed: int) -> None:
        self.electrode = grow_electrode(
            ElectrodeConfig(
                field_um=config.field_um,
                voxel_um=config.voxel_um,
                particle_radius_um=config.particle_radius_um,
                lithium_rich=config.lithium_rich,
            ),
            seed,
        )
        ageing = age(self.electrode, config.cycles, seed)
        self._region = ageing.region[self.electrode.label]
        minor = MinorPhases(config.rock_salt, config.li05mn2o4, config.li2mno3)
        self._minor = minor_shares(self.electrode, minor, ageing)
        self._lithiation = Lithiation(
            self.electrode,
            LithiationConfig(particle_spread=config.particle_spread, gradient=config.gradient),
            seed,
            spinel=1.0 - self._minor.sum(axis=0),
            follows=ageing.follows,
        )
        self.capacity_share = self._lithiation.capacity_share()

    def at(
        self,
        lithiation: float,
        hindrance: Hindrance | None = None,
        fluence: NDArray[np.float64] | None = None,
    ) -> Moment:
        """How it stands at a cell's lithiation y, which is that of a fresh electrode.

        An aged electrode goes capacity_share of the way: its cell has so much less capacity.
        """
        mean = RESTED_Y + self.capacity_share * (lithiation - RESTED_Y)
        state = self._lithiation.at(mean, hindrance)
        seen = np.zeros_like(self.electrode.filling) if fluence is None else fluence
        return Moment(mean, state, fill(self.electrode, state, self._minor), seen)

    def truth(
        self,
        moment: Moment,
        number: int = 0,
        time_s: float = 0.0,
        charge_ah: float = 0.0,
        beam_um: float = float("nan"),
    ) -> Truth:
        """What a perfect instrument would have found at that moment."""
        electrode, state = self.electrode, moment.state
        upper = np.where(state.upper_share > 0, state.upper_a, 0.0)
        inside = electrode.owner > 0
        return Truth(
            number=number,
            time_s=time_s,
            charge_ah=charge_ah,
            mean_lithiation=moment.mean_lithiation,
            beam_um=beam_um,
            x_um=electrode.x_um,
            y_um=electrode.y_um,
            phases=PHASES,
            structures=STRUCTURES,
            filling=electrode.filling,
            particle=electrode.label,
            depth_um=electrode.depth_um,
            region=self._region,
            lithium_rich=electrode.lithium_rich[electrode.label],
            two_phase=inside & (state.upper_share > 0.02) & (state.upper_share < 0.98),
            lithiation=state.lithiation,
            lattice_parameter_a=state.lower_a * (1 - state.upper_share) + upper * state.upper_share,
            phase_a=moment.content.a,
            phase_share=moment.content.share,
            mass_fraction=mass_fractions(masses(moment.content)),
            fluence=moment.fluence,
            beam_lag=state.beam_lag,
        )

"""The parts of the experiment file about adaptive rescans and the beam that they cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .section import Section


class Beam(Section):
    """The beam on the sample, for the dose."""

    flux_per_s: float = Field(gt=0, description="photons a second on the sample")
    height_um: float = Field(1.0, gt=0, description="of the beam along the rotation axis [um]")
    energy_eV: float = Field(0.0, ge=0, description="photon energy [eV]; needed for MGy")
    absorption_cm2_g: float = Field(
        0.0,
        ge=0,
        description="mass energy-absorption coefficient of the sample; 0: photons/um2, not MGy",
    )

    @model_validator(mode="after")
    def _whole(self) -> Beam:
        if self.absorption_cm2_g > 0 and not self.energy_eV > 0:
            raise ValueError("absorption_cm2_g needs energy_eV: a dose in MGy rests on both")
        return self


class Budgets(Section):
    """What rescans may cost."""

    pause_s: float = Field(
        300.0, ge=0, description="from a pause's first frame to the end of its last rescan [s]"
    )
    rescans: int = Field(3, ge=0, le=1000, description="in a pause")
    dose: float | None = Field(
        None, ge=0, description="of any voxel over the run, in the unit of the dose map"
    )


class FinerScan(Section):
    """A rescan of a region: its field is points x step_um wide, its middle the region's."""

    points: int = Field(15, ge=4, le=4096)
    step_um: float = Field(0.5, gt=0)
    angles: int = Field(24, ge=2, le=4096)
    exposure_s: float = Field(0.01, gt=0, description="time a point [s]")
    beam_um: float = Field(
        0.0,
        ge=0,
        description="width of the beam [um]; 0: step_um where scan.beam_um is set, else as it is",
    )


class Adaptive(Section):
    """What a recommender may have done in the pauses; without this section nothing."""

    kinds: tuple[Literal["stop", "roi", "exposure"], ...] = Field(
        ("stop", "roi", "exposure"),
        description="stop a tomogram early, a finer scan of a region, a longer exposure",
    )
    target_sigma_A: float = Field(
        0.001,
        gt=0,
        description="wanted median uncertainty of a voxel's lattice parameter, misfit included [Å]",
    )
    settled_A: float = Field(
        0.001,
        gt=0,
        description="how far the map may move, in the median, when its angles double [Å]",
    )
    least_angles: int = Field(8, ge=4, description="no tomogram ends before these")
    deviation_sigmas: float = Field(
        4.0, gt=0, description="by which a voxel lies in the window that the material cannot have"
    )
    approval: Literal["automatic", "by_hand"] = Field(
        "automatic", description="taken unless vetoed in time, or only if approved in time"
    )
    approval_timeout_s: float = Field(3.0, ge=0, description="that time [s]")
    wait_s: float = Field(20.0, ge=0, description="longest wait for the recommender's word [s]")
    budgets: Budgets = Field(default_factory=lambda: Budgets())
    roi: FinerScan = Field(default_factory=lambda: FinerScan())

"""Everything about the twin that an experiment file may say."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .ageing import MOST_CYCLES
from .cell import CellConfig
from .specimen import SpecimenConfig
from .surroundings import Foil, Surroundings


@dataclass(frozen=True, slots=True)
class TwinConfig:
    """Everything about the twin; a section of the experiment file maps onto it.

    seed: fixes the sample, the mask and all noise
    field_um, voxel_um: edge of the slice and of a voxel [um]
    particle_radius_um: smallest and largest mean radius [um]
    lithium_rich: number of lithium-rich particles
    particle_spread, gradient: see LithiationConfig
    rock_salt: share at the surface of graded particles, by volume
    li05mn2o4: share of the ordered phase in the centre of graded particles, by volume
    li2mno3: share in the centre of lithium-rich particles, by volume
    cycles: that the electrode has behind it, 0 to 300; from 1 on it has sound, slowed and worn
        regions, and its capacity falls (sim/ageing.py)
    holder_um: inner and outer radius of a PEEK ring around the axis [um]; (0, 0): peek for all rays
    foil_um: a piece of aluminium: x, y of its middle, length, thickness [um], angle of its length
        to x [deg]; empty: aluminium for all rays
    capacity_ah: of the cell with a fresh electrode [A h]
    beam_um: width of the beam [um] until the stage sets another; the flux stays the same
    beam_height_um: [um]; flux_per_s: photons a second in the beam
    hindering_fluence: photons/um2 after which a voxel reacts e times more slowly; 0: never
    centre_um: where the rotation axis crosses the translation [um]
    energy_ev: [eV]
    shape, pixel_m, distance_m: the detector: (rows, cols), (height, width) [m], [m]
    beam_pixel: (row, col) of the direct beam, see Geometry
    rot1, rot2: tilt of the detector [rad]
    polarisation: degree of horizontal polarisation
    dtype, saturation: "uint16" or "uint32"; largest count
    counts: height of the strongest ring of path_um of spinel in exposure_s [counts a pixel]
    air, peek, aluminium: what rays see besides, see sim/background.py [counts a pixel]; with a
        holder peek is that of a ray through the axis, with a foil aluminium one straight through it
    zingers: expected number a frame
    spots: large grains whose Bragg spots turn up in some frames
    spot_brightness: smallest and largest height of a spot relative to its full ring
    chip_px, gap_px, dead_modules, dead_pixels, beamstop_px: see detector_mask()
    """

    seed: int = 1
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
    holder_um: tuple[float, float] = (0.0, 0.0)
    foil_um: tuple[float, ...] = ()
    capacity_ah: float = 1.43e-5
    temperature_c: float = 25.0
    beam_um: float = 1.0
    beam_height_um: float = 1.0
    flux_per_s: float = 1e10
    hindering_fluence: float = 0.0
    centre_um: float = 0.0
    energy_ev: float = 50_000.0
    detector_name: str = "twin EIGER2 500K"
    shape: tuple[int, int] = (512, 1028)
    pixel_m: tuple[float, float] = (75e-6, 75e-6)
    distance_m: float = 0.41
    beam_pixel: tuple[float, float] = (256.0, 40.0)
    rot1: float = 0.004
    rot2: float = -0.003
    polarisation: float = 0.99
    dtype: str = "uint16"
    saturation: int = 60_000
    counts: float = 60.0
    path_um: float = 25.0
    exposure_s: float = 0.01
    air: float = 6.0
    peek: float = 1.5
    aluminium: float = 3.0
    zingers: float = 5.0
    spots: int = 300
    spot_brightness: tuple[float, float] = (50.0, 1000.0)
    chip_px: tuple[int, int] = (256, 257)
    gap_px: int = 2
    dead_modules: tuple[tuple[int, int, int, int], ...] = ((320, 352, 771, 899),)
    dead_pixels: int = 150
    beamstop_px: float = 14.0

    def __post_init__(self) -> None:
        rules = {
            "shape is 16 to 8192 pixels each way": all(16 <= n <= 8192 for n in self.shape),
            "dtype is uint16 or uint32": self.dtype in ("uint16", "uint32"),
            "energy_ev, distance_m, pixel_m, voxel_um, capacity_ah, beam_um, beam_height_um, "
            "exposure_s, path_um > 0": min(
                self.energy_ev,
                self.distance_m,
                *self.pixel_m,
                self.voxel_um,
                self.capacity_ah,
                self.beam_um,
                self.beam_height_um,
                self.exposure_s,
                self.path_um,
            )
            > 0,
            "field_um is 4 to 1000 voxels": 4 <= self.field_um / self.voxel_um <= 1000,
            "counts, air, peek, aluminium, zingers, spots, lithium_rich >= 0": min(
                self.counts,
                self.air,
                self.peek,
                self.aluminium,
                self.zingers,
                self.spots,
                self.lithium_rich,
            )
            >= 0,
            "rock_salt, li05mn2o4, li2mno3 >= 0 and together below 0.9": min(
                self.rock_salt, self.li05mn2o4, self.li2mno3
            )
            >= 0
            and self.rock_salt + self.li05mn2o4 + self.li2mno3 < 0.9,
            f"cycles is 0 to {MOST_CYCLES}": 0 <= self.cycles <= MOST_CYCLES,
            "foil_um is empty or x, y, length, thickness, angle": len(self.foil_um) in (0, 5),
            "flux_per_s, hindering_fluence >= 0": min(self.flux_per_s, self.hindering_fluence) >= 0,
            "0 < saturation": self.saturation > 0,
            "-1 <= polarisation <= 1": -1 <= self.polarisation <= 1,
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise ValueError(f"{'; '.join(broken)} does not hold")
        self.surroundings()

    def specimen(self) -> SpecimenConfig:
        """What of it makes the slice."""
        names = {f.name for f in dataclasses.fields(SpecimenConfig)}
        return SpecimenConfig(**{name: getattr(self, name) for name in names})

    def cell(self, capacity_share: float) -> CellConfig:
        """The cell of an electrode that takes this share of a fresh one's charge."""
        return CellConfig(
            capacity_ah=self.capacity_ah * capacity_share, temperature_c=self.temperature_c
        )

    def surroundings(self) -> Surroundings:
        """What of it stands around. Raises ValueError."""
        foil = Foil(*self.foil_um) if self.foil_um else None
        return Surroundings(self.peek, self.aluminium, self.holder_um, foil)

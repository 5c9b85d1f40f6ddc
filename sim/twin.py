"""The digital twin: one cell, one electrode slice, one beam, one detector.

The servers that speak the real protocols stand in front of it; nothing here knows a wire. A frame
is the same for the same seed, scan number, key and position, whoever asks, in whatever order.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Detector
from .background import background
from .cell import CellConfig, LmoCell
from .electrode import Electrode, ElectrodeConfig, grow_electrode
from .forward import ray_weights
from .frames import FramePainter, Pixels, detector_mask
from .geometry import Geometry
from .grains import grow_grains
from .lithiation import LatticeState, Lithiation, LithiationConfig
from .powder import LineShape
from .sample import Content, PatternTable, fill
from .truth import PHASES, Truth

Q_STEP = 0.001  # of the patterns: a twelfth of a line's width [1/Å]


@dataclass(frozen=True, slots=True)
class TwinConfig:
    """Everything about the twin; a section of the experiment file maps onto it.

    seed: fixes the sample, the mask and all noise
    field_um, voxel_um: edge of the slice and of a voxel [um]
    particle_radius_um: smallest and largest mean radius [um]
    lithium_rich: number of lithium-rich particles
    particle_spread, gradient: see LithiationConfig
    rock_salt, li2mno3: shares of the minor phases where they occur, see sample.fill()
    capacity_ah: of the cell [A h]
    beam_um: width of the beam [um]; centre_um: where the rotation axis crosses the translation [um]
    energy_ev: [eV]
    shape, pixel_m, distance_m: the detector: (rows, cols), (height, width) [m], [m]
    beam_pixel: (row, col) of the direct beam, see Geometry
    rot1, rot2: tilt of the detector [rad]
    polarisation: degree of horizontal polarisation
    dtype, saturation: "uint16" or "uint32"; largest count
    counts: height of the strongest ring of path_um of spinel in exposure_s [counts a pixel]
    air, peek, aluminium: what every ray sees besides, see background() [counts a pixel]
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
    rock_salt: float = 0.02
    li2mno3: float = 0.0
    capacity_ah: float = 1.43e-5
    temperature_c: float = 25.0
    beam_um: float = 1.0
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
            "energy_ev, distance_m, pixel_m, voxel_um, capacity_ah, exposure_s, path_um > 0": min(
                self.energy_ev,
                self.distance_m,
                *self.pixel_m,
                self.voxel_um,
                self.capacity_ah,
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
            "0 < saturation": self.saturation > 0,
            "-1 <= polarisation <= 1": -1 <= self.polarisation <= 1,
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise ValueError(f"{'; '.join(broken)} does not hold")


@dataclass(frozen=True, slots=True)
class _Scan:
    """The sample as it stands still for one scan; amounts and places as in PatternTable."""

    number: int
    time_s: float
    charge_ah: float
    mean_lithiation: float
    state: LatticeState
    content: Content
    place: NDArray[np.float32]
    amount: NDArray[np.float32]


class Twin:
    """The twin of one experiment; expose() may be called from several threads at once.

    cell: the electrochemical cell; whoever runs the potentiostat steps it
    detector: as the messages describe it
    poni: the detector's geometry as text that pyFAI loads
    """

    def __init__(self, config: TwinConfig | None = None) -> None:
        self.config = config = config or TwinConfig()
        self.cell = LmoCell(
            CellConfig(capacity_ah=config.capacity_ah, temperature_c=config.temperature_c)
        )
        self.electrode: Electrode = grow_electrode(
            ElectrodeConfig(
                field_um=config.field_um,
                voxel_um=config.voxel_um,
                particle_radius_um=config.particle_radius_um,
                lithium_rich=config.lithium_rich,
            ),
            config.seed,
        )
        self._lithiation = Lithiation(
            self.electrode,
            LithiationConfig(particle_spread=config.particle_spread, gradient=config.gradient),
            config.seed,
        )
        geometry = Geometry(
            shape=config.shape,
            pixel_m=config.pixel_m,
            distance_m=config.distance_m,
            beam_pixel=config.beam_pixel,
            energy_ev=config.energy_ev,
            rot1=config.rot1,
            rot2=config.rot2,
            polarisation=config.polarisation,
        )
        mask = detector_mask(
            config.shape,
            config.chip_px,
            config.gap_px,
            config.dead_modules,
            config.dead_pixels,
            (*config.beam_pixel, config.beamstop_px),
            config.seed,
        )
        self.detector = Detector(
            config.detector_name,
            config.shape,
            config.dtype,
            config.pixel_m,
            config.saturation,
            mask,
        )
        self.poni = geometry.poni()
        q_grid = np.arange(0.0, geometry.q().max() + 3 * Q_STEP, Q_STEP)
        self._painter = FramePainter(geometry, q_grid, mask, config.dtype, config.saturation)
        self._table = PatternTable(
            q_grid, config.energy_ev, LineShape(), config.counts, config.path_um
        )
        self._background = background(
            q_grid, config.energy_ev, config.air, config.peek, config.aluminium
        ).astype(np.float32)
        self._grains = grow_grains(
            config.spots,
            self.electrode,
            self._painter.q,
            self._ring_height,
            config.spot_brightness,
            config.seed,
        )
        self._lock = threading.Lock()
        self._scan: _Scan | None = None

    @property
    def energy_ev(self) -> float:
        """Photon energy [eV]."""
        return self.config.energy_ev

    @property
    def q_grid(self) -> NDArray[np.float64]:
        """Where the patterns stand, (n,) [1/Å]."""
        return self._table.q_grid

    def begin_scan(self, number: int) -> None:
        """Freeze the sample as the cell has it now; all frames until the next call see it so."""
        cell, electrode, config = self.cell, self.electrode, self.config
        mean = cell.lithiation
        state = self._lithiation.at(mean)
        content = fill(electrode, state, config.rock_salt, config.li2mno3)
        amount = np.nan_to_num(content.share) * electrode.filling
        scan = _Scan(
            number=number,
            time_s=cell.time_s,
            charge_ah=cell.charge_ah,
            mean_lithiation=mean,
            state=state,
            content=content,
            place=self._table.place(content),
            amount=amount.reshape(len(PHASES), -1).astype(np.float32),
        )
        with self._lock:
            self._scan = scan

    def expose(
        self, rotation_deg: float, translation_um: float, exposure_s: float, key: int
    ) -> Pixels:
        """One frame, (rows, cols) of the detector's dtype.

        key: names the frame within its scan; the noise depends on seed, scan number and key only
        Raises ValueError for an exposure that is none, RuntimeError before the first begin_scan().
        """
        if not exposure_s > 0:
            raise ValueError(f"exposure of {exposure_s} s, more than 0 is needed")
        scan = self._current()
        mean = self._pattern(scan, rotation_deg, translation_um, exposure_s)
        seed = np.random.SeedSequence([self.config.seed, scan.number, key]).generate_state(
            1, np.uint64
        )[0]
        shift = translation_um - self.config.centre_um
        scale = exposure_s / self.config.exposure_s
        seen = [grain.seen(rotation_deg, shift, scale) for grain in self._grains]
        spots = [spot for spot in seen if spot is not None]
        return self._painter.paint(mean, int(seed), self.config.zingers, spots)

    def pattern(
        self, rotation_deg: float, translation_um: float, exposure_s: float
    ) -> NDArray[np.float32]:
        """Mean counts of one ray on q_grid, (n,), before solid angle and polarisation."""
        return self._pattern(self._current(), rotation_deg, translation_um, exposure_s)

    def _pattern(
        self, scan: _Scan, rotation_deg: float, translation_um: float, exposure_s: float
    ) -> NDArray[np.float32]:
        electrode, config = self.electrode, self.config
        voxels, paths = ray_weights(
            electrode.x_um,
            electrode.y_um,
            electrode.voxel_um,
            rotation_deg,
            translation_um - config.centre_um,
            config.beam_um,
        )
        sample = self._table.collect(scan.place, scan.amount, voxels, paths)
        return (sample + self._background) * np.float32(exposure_s / config.exposure_s)

    def truth(self) -> Truth:
        """The truth of the current scan. Raises RuntimeError before the first begin_scan()."""
        scan, electrode = self._current(), self.electrode
        state = scan.state
        lower, upper = state.lower_a, np.where(state.upper_share > 0, state.upper_a, 0.0)
        inside = electrode.owner > 0
        return Truth(
            number=scan.number,
            time_s=scan.time_s,
            charge_ah=scan.charge_ah,
            mean_lithiation=scan.mean_lithiation,
            x_um=electrode.x_um,
            y_um=electrode.y_um,
            phases=PHASES,
            filling=electrode.filling,
            particle=electrode.label,
            lithium_rich=electrode.lithium_rich[electrode.label],
            two_phase=inside & (state.upper_share > 0.02) & (state.upper_share < 0.98),
            lithiation=state.lithiation,
            lattice_parameter_a=lower * (1 - state.upper_share) + upper * state.upper_share,
            phase_a=scan.content.a,
            phase_share=scan.content.share,
        )

    def _current(self) -> _Scan:
        with self._lock:
            if self._scan is None:
                raise RuntimeError("the twin has no scan yet: begin_scan() comes before expose()")
            return self._scan

    def _ring_height(self, q: float) -> float:
        """Counts at a spinel line's top after path_um of spinel."""
        near = np.abs(self._table.q_grid - q) < 0.02
        middle = len(self._table.rows) // 2
        return float(self._table.rows[middle, near].max()) * self.config.path_um

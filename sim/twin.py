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
from .background import air_pattern
from .beam import Beam, beam_width
from .cell import CellMoment, LmoCell
from .forward import ray_weights
from .frames import FramePainter, Pixels, detector_mask
from .geometry import Geometry
from .grains import grow_grains
from .powder import LineShape
from .sample import PatternTable
from .specimen import Moment, Specimen
from .truth import PHASES, Truth
from .twin_config import TwinConfig as TwinConfig

Ray = tuple[NDArray[np.int64], NDArray[np.float64]]  # from forward.ray_weights()
Q_STEP = 0.001  # of the patterns: a twelfth of a line's width [1/Å]


@dataclass(frozen=True, slots=True)
class _Scan:
    """The sample as it stands still for one scan; amounts and places as in PatternTable."""

    number: int
    time_s: float
    charge_ah: float
    beam_um: float
    moment: Moment
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
        self._specimen = Specimen(config.specimen(), config.seed)
        self.electrode = self._specimen.electrode
        self.cell = LmoCell(config.cell(self._specimen.capacity_share))
        self._beam = Beam(
            self.electrode.filling.shape,
            config.voxel_um,
            config.flux_per_s,
            config.beam_height_um,
            config.hindering_fluence,
        )
        self._beam_um = config.beam_um
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
        self._surroundings = config.surroundings()
        self._air = (config.air * air_pattern(q_grid)).astype(np.float32)
        self._around = self._surroundings.patterns(q_grid, config.energy_ev)
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

    def set_beam(self, width_um: float) -> None:
        """Give the beam another width from the next scan on; its photons stay as many.

        Raises ValueError for a width that is none.
        """
        self._beam_um = beam_width(width_um)

    def begin_scan(
        self, number: int, cell: CellMoment | None = None, beam_um: float | None = None
    ) -> None:
        """Freeze the sample as the cell has it now; all frames until the next call see it so.

        cell: where another cell than the twin's own stands in the beam, that one
        beam_um: another width of the beam, from now on. Raises ValueError where it is none.
        """
        cell = cell or self.cell.moment()
        if beam_um is not None:
            self.set_beam(beam_um)
        fluence = self._beam.fluence()
        moment = self._specimen.at(cell.lithiation, self._beam.hindrance(), fluence)
        self._beam.settle(moment.state.progress)
        amount = np.nan_to_num(moment.content.share) * self.electrode.filling
        scan = _Scan(
            number=number,
            time_s=cell.time_s,
            charge_ah=cell.charge_ah,
            beam_um=self._beam_um,
            moment=moment,
            place=self._table.place(moment.content),
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
        ray = self._ray(scan, rotation_deg, translation_um)
        self._beam.shine(*ray, exposure_s)
        mean = self._pattern(scan, ray, rotation_deg, translation_um, exposure_s)
        seed = np.random.SeedSequence([self.config.seed, scan.number, key]).generate_state(
            1, np.uint64
        )[0]
        shift = translation_um - self.config.centre_um
        scale = exposure_s / self.config.exposure_s
        seen = [grain.seen(rotation_deg, shift, scale, scan.beam_um) for grain in self._grains]
        spots = [spot for spot in seen if spot is not None]
        return self._painter.paint(mean, int(seed), self.config.zingers, spots)

    def pattern(
        self, rotation_deg: float, translation_um: float, exposure_s: float
    ) -> NDArray[np.float32]:
        """Mean counts of one ray on q_grid, (n,), before solid angle and polarisation."""
        scan = self._current()
        ray = self._ray(scan, rotation_deg, translation_um)
        return self._pattern(scan, ray, rotation_deg, translation_um, exposure_s)

    def _ray(self, scan: _Scan, rotation_deg: float, translation_um: float) -> Ray:
        electrode = self.electrode
        return ray_weights(
            electrode.x_um,
            electrode.y_um,
            electrode.voxel_um,
            rotation_deg,
            translation_um - self.config.centre_um,
            scan.beam_um,
        )

    def _pattern(
        self, scan: _Scan, ray: Ray, rotation_deg: float, translation_um: float, exposure_s: float
    ) -> NDArray[np.float32]:
        config, (voxels, paths) = self.config, ray
        sample = self._table.collect(scan.place, scan.amount, voxels, paths)
        shift = translation_um - config.centre_um
        peek, aluminium = self._surroundings.shares(rotation_deg, shift, scan.beam_um)
        around = self._around[0] * np.float32(peek) + self._around[1] * np.float32(aluminium)
        seen: NDArray[np.float32] = sample + (self._air + around)
        return seen * np.float32(exposure_s / config.exposure_s)

    def fluence(self) -> NDArray[np.float64]:
        """Photons that each voxel has seen up to now, (rows, cols) [1/um2]."""
        return self._beam.fluence()

    def truth(self) -> Truth:
        """The truth of the current scan. Raises RuntimeError before the first begin_scan()."""
        scan = self._current()
        return self._specimen.truth(
            scan.moment, scan.number, scan.time_s, scan.charge_ah, scan.beam_um
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

"""The truth of one scan: what the twin's sample was while its frames were taken."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# what a voxel may hold, and the structure (materials/) that each has
PHASES = ("spinel_lower", "spinel_upper", "rock_salt", "li2mno3", "li05mn2o4")
STRUCTURE_OF_PHASE = ("limn2o4", "limn2o4", "limno2_rock_salt", "li2mno3", "li05mn2o4")
STRUCTURES = ("limn2o4", "li05mn2o4", "limno2_rock_salt", "li2mno3")
SPINELS = 2  # the first phases: those that take lithium up and give it back


@dataclass(frozen=True, slots=True)
class Truth:
    """What a perfect instrument would have found; maps are (rows, cols), nan outside particles.

    number: of the scan, from begin_scan()
    time_s: the cell's clock [s]
    charge_ah: [A h], discharge negative
    mean_lithiation: y of the whole electrode's spinel, from the charge
    beam_um: width of the beam during the scan
    x_um, y_um: (cols,) and (rows,) centres of the voxels, the rotation axis at 0
    phases: names along the first dimension of phase_a and phase_share
    structures: names along the first dimension of mass_fraction
    filling: share of a voxel that is particle
    particle: int, 1, 2, ...; 0 where most of the voxel is pore
    depth_um: distance from the surface of the voxel's particle
    region: int, 0 sound, 1 slowed, 2 worn; see ageing.py
    lithium_rich: True in particles of lithium-rich stoichiometry
    two_phase: True where two spinels share a voxel
    lithiation: y of each voxel's spinel
    lattice_parameter_a: mean of the voxel's spinels, weighted with their shares [Å]
    phase_a: (phases, rows, cols) lattice parameter a [Å], nan where the phase is not
    phase_share: (phases, rows, cols) by volume of the particle's part; they add to 1
    mass_fraction: (structures, rows, cols) of the particle's part; they add to 1
    fluence: photons/um2 that each voxel, pores too, had seen when the scan began
    beam_lag: by how much more y the voxel would have without what the beam did to it
    """

    number: int
    time_s: float
    charge_ah: float
    mean_lithiation: float
    beam_um: float
    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    phases: tuple[str, ...]
    structures: tuple[str, ...]
    filling: NDArray[np.float64]
    particle: NDArray[np.int32]
    depth_um: NDArray[np.float64]
    region: NDArray[np.int32]
    lithium_rich: NDArray[np.bool_]
    two_phase: NDArray[np.bool_]
    lithiation: NDArray[np.float64]
    lattice_parameter_a: NDArray[np.float64]
    phase_a: NDArray[np.float64]
    phase_share: NDArray[np.float64]
    mass_fraction: NDArray[np.float64]
    fluence: NDArray[np.float64]
    beam_lag: NDArray[np.float64]

    @property
    def solid_solution(self) -> NDArray[np.bool_]:
        """True in voxels that are mostly particle and hold one spinel."""
        return (self.particle > 0) & ~self.two_phase

    def save(self, path: Path) -> None:
        """Write to an .npz file without Python objects in it."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)


def load_truth(path: Path) -> Truth:
    """Read what Truth.save() wrote. Raises KeyError naming what is missing."""
    with np.load(path, allow_pickle=False) as file:
        missing = [f.name for f in dataclasses.fields(Truth) if f.name not in file]
        if missing:
            raise KeyError(f"{path} holds no truth: {missing} missing")
        values = {f.name: file[f.name] for f in dataclasses.fields(Truth)}
    for name, value in values.items():
        if value.ndim == 0:
            values[name] = value.item()
        elif value.dtype.kind == "U":
            values[name] = tuple(str(word) for word in value)
    return Truth(**values)

"""Maps of a dry run against what the twin knows, on the maps' own grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Result

if TYPE_CHECKING:
    from ..sim.truth import Truth


def lattice_errors(truth: Path, finals: list[Result]) -> dict[int, float]:
    """Scan number -> median |a - a_true| in the solid-solution voxels of particles [Å].

    Empty where there is no truth to compare with. A voxel counts where it holds one spinel and is
    mostly particle; voxels in which two spinels coexist have no single lattice parameter.
    """
    from ..sim.truth import load_truth

    found = {}
    for result in finals:
        if (result.consumer, result.name) != ("xrdct", "lattice_parameter"):
            continue
        path = truth / f"truth_{result.number:03d}.npz"
        if path.is_file():
            true, whole = lattice_on(load_truth(path), result.coords["x"], result.coords["y"])
            error = np.abs(result.values - true)[whole]
            if np.isfinite(error).any():
                found[result.number] = float(np.nanmedian(error))
    return found


def lattice_on(
    truth: Truth, x_um: Array, y_um: Array
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The true lattice parameter on another grid [Å], and which voxels have a single one.

    x_um, y_um: centres of the columns and rows of the other grid. Its voxels hold the mean of the
    truth's, weighted with their filling; True where all of these are particle and hold one spinel.
    """
    rows, columns = _within(truth.y_um, np.asarray(y_um)), _within(truth.x_um, np.asarray(x_um))
    inside = np.isfinite(truth.lattice_parameter_a)
    weight = np.where(inside, truth.filling, 0.0)
    total = rows @ weight @ columns.T
    a = rows @ (weight * np.nan_to_num(truth.lattice_parameter_a)) @ columns.T
    there = rows @ np.ones_like(weight) @ columns.T
    whole = (rows @ truth.solid_solution.astype(float) @ columns.T >= there) & (there > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, a / total, np.nan), whole


def _within(fine_um: NDArray[np.float64], coarse_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """(coarse, fine) 1 where a fine voxel's centre lies in a coarse one, or is next to it."""
    step = float(np.diff(coarse_um).mean())
    apart = np.abs(fine_um[None, :] - coarse_um[:, None])
    share = (apart < 0.5 * step * (1 - 1e-9)).astype(float)
    empty = ~share.any(axis=1) & (apart.min(axis=1) <= 0.5 * step)
    share[empty, apart[empty].argmin(axis=1)] = 1.0
    return share

"""Where a map deviates so much that a finer look is worth it; pure functions.

Two sources. Where particles are known, those that their classification accuses, as it stands in
the particle table. Where there are none, and within particles of which the table cannot tell,
connected voxels that lie inside the window of values which the material cannot have, by more than
`sigmas` standard uncertainties from either end. A voxel that two phases share averages into the
window, too: its peaks are broad and its fit is bad. Where widths and the fits' reduced chi2 are
given, voxels with much more than usual of either accuse nobody. Uncertainties are those of
counting; they are widened by the root of chi2, the usual way of letting a fit that does not
describe its data say less (Birge, Phys. Rev. 1932, 40, 207).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

F64 = NDArray[np.float64]
ACCUSED = (1, 2, 3)  # codes of particle_table: breaks the rule, stands out, both
CANNOT_TELL = -1
BROAD = 1.5  # times the usual width: two phases
MISFIT = 4.0  # times the usual chi2, that of the better half: two phases
LEAST_VOXELS = 2  # a single one is what 1 in 10^4 does by chance


@dataclass(frozen=True, slots=True)
class Deviation:
    """A region that deviates.

    x_um, y_um: its middle; width_um: of the square around it
    evidence: what is worth looking at first has most
    reason: in words
    """

    x_um: float
    y_um: float
    width_um: float
    evidence: float
    reason: str


def deviating_voxels(
    values: F64,
    sigma: F64,
    window: tuple[float, float],
    x_um: F64,
    y_um: F64,
    sigmas: float,
    width: F64 | None = None,
    chi2: F64 | None = None,
    unit: str = "Å",
) -> list[Deviation]:
    """Connected regions inside window, the one with most evidence first.

    values, sigma, width: (y, x), nan where nothing is known; window: lowest and highest value
    chi2: (y, x) reduced, of the fits; 1 where the model holds
    x_um, y_um: coordinates of columns and rows
    """
    low, high = window
    if chi2 is not None:
        sigma = sigma * np.sqrt(np.fmax(chi2, 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.minimum(values - low, high - values) / sigma
    accused = np.isfinite(inside) & (inside > sigmas)
    if width is not None and np.isfinite(width).any():
        accused &= ~(width > BROAD * np.nanmedian(width))
    if chi2 is not None and np.isfinite(chi2).any():
        usual = float(np.nanpercentile(chi2, 25.0))
        accused &= ~(chi2 > MISFIT * max(usual, 1.0))
    labels, count = ndimage.label(accused, structure=np.ones((3, 3)))
    step_um = float(abs(x_um[1] - x_um[0])) if x_um.size > 1 else 1.0
    found = []
    for label, box in enumerate(ndimage.find_objects(labels, count), 1):
        mine = labels[box] == label
        if mine.sum() < LEAST_VOXELS:
            continue
        rows, columns = box
        mean = float(np.mean(values[box][mine]))
        found.append(
            Deviation(
                x_um=float(x_um[columns].mean()),
                y_um=float(y_um[rows].mean()),
                width_um=step_um * max(mine.shape),
                evidence=float(inside[box][mine].sum()),
                reason=f"{mine.sum()} voxels at {mean:.4f} {unit}, between {low:g} and {high:g} "
                f"{unit} by {float(inside[box][mine].max()):.1f} sigma at most",
            )
        )
    return sorted(found, key=lambda d: -d.evidence)


def untold_voxels(
    particles: F64, table: F64, columns: Sequence[str], identities: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Voxels of particles of which the table cannot tell, (y, x); particles: their names there."""
    code_of = next((n for n, name in enumerate(columns) if name.startswith("class")), None)
    if code_of is None:
        return np.zeros(particles.shape, bool)
    return np.isin(particles, identities[table[:, code_of] == CANNOT_TELL])


def deviating_particles(
    table: F64, columns: Sequence[str], identities: NDArray[np.generic]
) -> list[Deviation]:
    """The particles that the table accuses, those with the larger statistic first.

    table: (particle, column); columns: their names, x_um, y_um, area_um2, one that begins with
        "class" and, where there is one, one that begins with "outlier"
    Raises ValueError where a column is missing.
    """
    place = {name: number for number, name in enumerate(columns)}
    code_of = next((n for name, n in place.items() if name.startswith("class")), None)
    evidence_of = next((n for name, n in place.items() if name.startswith("outlier")), None)
    missing = [name for name in ("x_um", "y_um", "area_um2") if name not in place]
    if code_of is None or missing:
        raise ValueError(f"particle table with columns {list(columns)}: cannot be judged")
    found = []
    for row, identity in zip(table, identities.tolist(), strict=True):
        x_um, y_um, area_um2 = (float(row[place[n]]) for n in ("x_um", "y_um", "area_um2"))
        if row[code_of] not in ACCUSED or not np.isfinite([x_um, y_um, area_um2]).all():
            continue
        evidence = abs(float(row[evidence_of])) if evidence_of is not None else area_um2
        what = {1: "breaks the material's rule", 2: "stands out of the others"}.get(
            int(row[code_of]), "breaks the material's rule and stands out of the others"
        )
        width_um = 2.0 * float(np.sqrt(area_um2 / np.pi))
        found.append(Deviation(x_um, y_um, width_um, evidence, f"particle {int(identity)} {what}"))
    return sorted(found, key=lambda d: -d.evidence if np.isfinite(d.evidence) else 0.0)

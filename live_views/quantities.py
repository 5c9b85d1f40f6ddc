"""What a map can show: each quantity's title, its unit, and where its values come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Result
from .model import ScanRecord
from .words import number

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A map's quantity.

    key: its name where colours and ranges are concerned
    result: name of the result; of_uncertainty: show the result's uncertainty
    short: for a button; title: for a heading
    digits: decimals of a value; None for four significant figures
    """

    key: str
    result: str
    short: str
    title: str
    digits: int | None
    of_uncertainty: bool = False

    def text(self, value: float, sign: str = "") -> str:
        """value as people read it; sign "+" writes the sign of a difference."""
        form = f"{sign}.4g" if self.digits is None else f"{sign}.{self.digits}f"
        return format(value, form).replace("-", "−")


QUANTITIES = (
    Quantity("lattice_parameter", "lattice_parameter", "a", "Lattice parameter a", 4),
    Quantity(
        "lattice_parameter sigma", "lattice_parameter", "σ(a)", "Uncertainty of a", 5, True
    ),
    Quantity("peak_intensity", "peak_intensity", "intensity", "Peak intensity", None),
    Quantity("peak_width", "peak_width", "width", "Peak width", 4),
    Quantity("fit_status", "fit_status", "fit", "Reflections fitted", 0),
)  # fmt: skip

# shown where a scan has them, in this order, before maps that nobody foresaw
MORE = (
    Quantity("soc", "soc", "SOC", "State of charge", 3),
    Quantity("soc sigma", "soc", "σ(SOC)", "Uncertainty of the state of charge", 4, True),
    Quantity("soc_ambiguous", "soc_ambiguous", "SOC unclear", "State of charge ambiguous", 0),
    Quantity("rwp", "rwp", "Rwp", "Weighted profile residual Rwp", 1),
    Quantity("ambiguous", "ambiguous", "unclear", "Phases that cannot be told apart", 0),
    Quantity("second_share", "second_share", "2nd share", "Share of the second spinel", 3),
    Quantity(
        "lattice_parameter", "lattice_parameter_second", "2nd a", "a of the second spinel", 4
    ),
    Quantity("lattice_parameter_c", "lattice_parameter_c", "c", "Lattice parameter c", 4),
    Quantity("phase_scale", "phase_scale", "scale", "Scale of the working phase", None),
    Quantity("fit_chi2", "fit_chi2", "χ²", "Reduced χ² of the fit", 2),
    Quantity("dose", "dose", "dose", "Dose so far", None),
    Quantity("segments", "segments", "segments", "Segments by lattice parameter", 0),
)  # fmt: skip
FRACTION = "mass_fraction_"  # by phase: the rest of the name
NO_QUANTITIES = {"sinogram", "particles", "soc_low", "soc_high"}  # shown in other ways, or not
TABLES = {"particle", "region", "segment"}  # first dimension of results that are tables
MOST = 32


@dataclass(frozen=True, slots=True)
class MapOf:
    """One scan's map of one quantity.

    values: (rows, cols) float, nan where there is no number
    answered: (rows, cols), True where the voxel has been looked at
    extent: (x, y, width, height) of the map with its outer voxels whole [um, or the axes' units]
    axes: (x, y) labels with units
    """

    quantity: Quantity
    result: Result
    values: Floats
    answered: NDArray[np.bool_]
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]

    @property
    def unit(self) -> str:
        return self.result.unit

    @property
    def spatial(self) -> bool:
        """True where both axes are lengths of one unit: the map has an aspect and a scale bar."""
        y, x = self.result.dims
        units = self.result.units
        return units.get(x, "") == units.get(y, "") and units.get(x, "px") not in ("deg", "eV", "")

    @property
    def label(self) -> str:
        """The quantity with its unit, for a colour bar."""
        unit = "" if self.unit in ("", "1") else f" ({self.unit})"
        return self.quantity.title + unit


def quantities_of(scans: list[ScanRecord]) -> list[Quantity]:
    """What can be shown: what every tomogram has, then whatever else has arrived."""
    maps = {
        r.name: r
        for s in scans
        for r in s.results.values()
        if r.values.ndim == 2 and r.dims[0] not in TABLES
    }
    fractions = [_fraction(maps[name]) for name in sorted(maps) if name.startswith(FRACTION)]
    more = [quantity for quantity in MORE if quantity.result in maps]
    at = sum(quantity.result == "soc" for quantity in more)
    found = [*QUANTITIES, *more[:at], *fractions, *more[at:]]
    known = {quantity.result for quantity in found} | NO_QUANTITIES
    for name in maps:
        if name not in known:
            words = name.replace("_", " ")
            found.append(Quantity(name, name, words, words.capitalize(), None))
    return found[:MOST]


def _fraction(result: Result) -> Quantity:
    """The mass fraction of one phase; all phases have one scale of colours."""
    phase = str(result.attrs.get("formula") or result.attrs.get("phase") or result.name)
    return Quantity(
        "mass_fraction", result.name, phase, f"Mass fraction of {phase} (a hint)", 3
    )  # fmt: skip


def map_of(scan: ScanRecord | None, quantity: Quantity) -> MapOf | None:
    """The newest map of quantity in scan; None where there is none."""
    result = scan.result(quantity.result) if scan else None
    if scan is None or result is None or result.values.ndim != 2:
        return None
    values = result.uncertainty if quantity.of_uncertainty else result.values
    if values is None or values.shape != result.values.shape:
        return None
    y, x = result.dims
    return MapOf(
        quantity, result, np.asarray(values, np.float64), _answered(scan, result),
        extent_of(result), (_label(result, x), _label(result, y)),
    )  # fmt: skip


def extent_of(result: Result) -> tuple[float, float, float, float]:
    """(x, y, width, height) of a map with its outer voxels whole, in the units of its axes."""
    y, x = result.dims
    (x0, width), (y0, height) = _reach(result, x, 1), _reach(result, y, 0)
    return x0, y0, width, height


def known(values: Array) -> Floats:
    """(n,) float64, the values that are numbers."""
    flat = np.asarray(values, np.float64).ravel()
    return flat[np.isfinite(flat)]


def unit_text(unit: str) -> str:
    """A unit as people write it: um is µm, deg is °."""
    known = {"deg": "°", "degC": "°C", "1/Å": "Å⁻¹", "1/A": "Å⁻¹"}
    return known.get(unit) or re.sub(r"\bum2\b", "µm²", re.sub(r"\bum\b", "µm", unit))


def _answered(scan: ScanRecord, result: Result) -> NDArray[np.bool_]:
    # A complete scan has looked everywhere, and so has one whole projection of a tomogram, which
    # passes every voxel. Else fit_status is a number wherever a fit was tried.
    if result.completeness >= 1 or number(result.attrs.get("projections")) > 0:
        return np.ones(result.values.shape, bool)
    status = scan.result("fit_status", result.consumer)
    if status is None or status.values.shape != result.values.shape:
        return np.zeros(result.values.shape, bool)
    return np.isfinite(status.values)


def _reach(result: Result, dim: str, axis: int) -> tuple[float, float]:
    n = result.values.shape[axis]
    coords = np.asarray(result.coords.get(dim, np.arange(n)), np.float64)
    if coords.shape != (n,) or not np.all(np.isfinite(coords)):
        coords = np.arange(n, dtype=np.float64)
    step = (coords[-1] - coords[0]) / (n - 1) if n > 1 else 1.0
    step = step or 1.0
    return float(coords[0] - step / 2), float(step * n)


def _label(result: Result, dim: str) -> str:
    unit = unit_text(result.units.get(dim, ""))
    return f"{dim} ({unit})" if unit else dim

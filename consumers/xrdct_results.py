"""The answers of an XRD-CT scan as labelled arrays: maps, patterns, volume.

Units: a pattern is in photons per pixel of full solid angle, a voxel's pattern in that per um, and
a peak's area in the latter per Å.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Focus, Result, Scalar
from .geometry import RingTable
from .labels import Labels
from .lattice import LatticeFits, roots_of
from .sinogram_grid import SinogramGrid
from .xrdct_config import XrdctConfig

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class XrdctResults:
    """Puts names, units and coordinates on what one scan's arrays hold."""

    def __init__(
        self, labels: Labels, config: XrdctConfig, grid: SinogramGrid, table: RingTable
    ) -> None:
        self._labels = labels
        self._config = config
        self._grid = grid
        self._table = table

    def maps(
        self, fits: LatticeFits, inside: NDArray[np.bool_], counted: Mapping[str, Scalar]
    ) -> Iterable[Result]:
        """Maps of what was fitted in the voxels inside the circle, and the histogram of a.

        counted: what the maps rest on, with "projections"
        """
        config = self._config
        window = {"forbidden_low": config.forbidden_low, "forbidden_high": config.forbidden_high}
        maps: list[tuple[str, str, F64, F64 | None, Mapping[str, Scalar]]] = [
            ("lattice_parameter", "Å", fits.a, fits.a_sigma, {**window, **counted}),
            ("peak_intensity", "photons/(pixel um Å)", fits.area, fits.area_sigma, counted),
            ("peak_width", "1/Å", fits.width, fits.width_sigma, counted),
            ("fit_status", "", fits.fitted, None, counted),
            ("fit_chi2", "", fits.chi2, None, counted),
        ]
        for name, unit, values, sigma, attrs in maps:
            yield self.map_of(name, unit, inside, values, sigma, attrs)
        edges = np.linspace(config.a_min, config.a_max, config.histogram_bins + 1)
        voxels, _ = np.histogram(fits.a[np.isfinite(fits.a)], edges)
        yield self._labels.result(
            "lattice_histogram", "voxels", ("a",), {"a": 0.5 * (edges[1:] + edges[:-1])},
            {"a": "Å"}, voxels if counted["projections"] else np.full(voxels.size, np.nan),
            attrs=window,
        )  # fmt: skip

    def map_of(
        self,
        name: str,
        unit: str,
        inside: NDArray[np.bool_],
        values: NDArray[np.floating],
        sigma: NDArray[np.floating] | None,
        attrs: Mapping[str, Scalar],
    ) -> Result:
        """One map: values (n,) of the voxels inside the circle, nan elsewhere; sigma likewise."""

        def spread(known: NDArray[np.floating]) -> F32:
            shown = np.full(inside.shape, np.nan, np.float32)
            shown[inside] = known
            return shown

        return self._labels.result(
            name, unit, ("y", "x"), self.map_coords(), {"y": "um", "x": "um"}, spread(values),
            attrs=attrs, uncertainty=None if sigma is None else spread(sigma),
        )  # fmt: skip

    def pattern(
        self, mean: F64, fits: LatticeFits, curve: F64, about: Mapping[str, Scalar]
    ) -> Iterable[Result]:
        """The mean pattern, its fit and where its reflections are."""
        attrs = {**_found(fits), **about}
        shown = np.where(self._table.ring_pixels > 0, mean, np.nan)
        for name, values in (("pattern", shown), ("pattern_fit", curve)):
            yield self._on_q(name, "photons/pixel", values, attrs)
        reflections = self._config.lattice_model().reflections
        indices = np.array(reflections, np.int64)
        yield self._labels.result(
            "reflections", "1/Å", ("reflection",),
            {name: indices[:, i] for i, name in enumerate("hkl")}, {"h": "", "k": "", "l": ""},
            roots_of(reflections) / fits.a[0], attrs=attrs,
        )  # fmt: skip

    def sinogram(self, mass: F32) -> Result:
        """The summed reflections of every frame, (rotations, translations)."""
        return self._labels.result(
            "sinogram", "photons/(pixel Å)", ("rotation", "translation"),
            {"rotation": self._grid.rotations_deg, "translation": self._grid.translations_um},
            {"rotation": "deg", "translation": "um"}, mass,
        )  # fmt: skip

    def voxel(
        self, pattern: F32, sigma: F64, fits: LatticeFits, curve: F64, focus: Focus
    ) -> Iterable[Result]:
        """The pattern of one voxel, where known with its standard uncertainty, and its fit."""
        attrs: dict[str, Scalar] = {"row": focus.row, "column": focus.column, **_found(fits)}
        shown = np.where(self._table.ring_pixels > 0, pattern, np.nan)
        unit = "photons/(pixel um)"
        yield self._on_q("voxel_pattern", unit, shown, attrs, sigma)
        yield self._on_q("voxel_fit", unit, curve, attrs)

    def volume(self, volume: F32, inside: NDArray[np.bool_]) -> Result:
        """The whole volume; it is given away: voxels outside the circle become nan in place."""
        volume[~inside] = np.nan  # at the paper's size a copy is another 355 MB
        coords = {**self.map_coords(), "q": self._table.centres}
        units = {"y": "um", "x": "um", "q": "1/Å"}
        return self._labels.result(
            "volume", "photons/(pixel um)", ("y", "x", "q"), coords, units, volume, live=False
        )

    def map_coords(self) -> dict[str, Array]:
        """Where the voxels stand in the slice [um], from the place on the rotation axis."""
        points = self._grid.translations_um.size
        beside = (np.arange(points) - 0.5 * (points - 1)) * self._grid.step_um()
        x_um, y_um = self._labels.region_um()
        return {"y": y_um + beside, "x": x_um + beside}

    def _on_q(
        self,
        name: str,
        unit: str,
        values: Array,
        attrs: Mapping[str, Scalar],
        sigma: F64 | None = None,
    ) -> Result:
        coords, units = {"q": self._table.centres}, {"q": "1/Å"}
        return self._labels.result(
            name, unit, ("q",), coords, units, values, uncertainty=sigma, attrs=attrs
        )


def _found(fits: LatticeFits) -> dict[str, Scalar]:
    return {"a": float(fits.a[0]), "a_sigma": float(fits.a_sigma[0])}

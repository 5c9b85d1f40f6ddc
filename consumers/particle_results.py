"""Particles and states of charge as results: from a scan's maps, and the scans before it.

Everything here rests on maps that the scan has already: the lattice parameter with its uncertainty,
the peaks' width, and what each voxel scatters into the working phase's reflections whatever its
lattice parameter. So it is the same for whoever made those maps, and a particle that is half way
through a two-phase step is still found whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Array, Result, Scalar
from .classification import (
    CODES,
    NORMAL,
    Rule,
    Verdicts,
    classify,
    misfit_voxels,
    mixed_voxels,
)
from .labels import Labels
from .particle_config import ParticlesConfig
from .particle_statistics import ParticleTable, Profiles, particle_table, profiles_of
from .particles import I32, Segmentation, find_particles
from .tracking import (
    ParticleFindings,
    Place,
    Tracks,
    begin_atlas,
    drift_um,
    follow_atlas,
    names_at,
)

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slice:
    """The particles of one scan.

    shell: (rows, cols) which shell a voxel is in, -1 outside
    identity: (particles + 1,) by label
    """

    found: Segmentation
    shell: I32
    identity: I32
    verdicts: Verdicts
    table: ParticleTable
    findings: ParticleFindings

    def order(self) -> list[int]:
        """Labels, those accused first, then by area."""
        accused = self.verdicts.code > NORMAL
        return [int(n) + 1 for n in np.lexsort((-self.table.area_um2, ~accused))]


@dataclass(frozen=True, slots=True)
class _Maps:
    place: Place
    a: F64
    a_sigma: F64
    mixed: NDArray[np.bool_]


def mixed_of(found: Mapping[str, Result]) -> NDArray[np.bool_]:
    """Voxels that hold two phases by a scan's results, (rows, cols)."""
    a, width = found.get("lattice_parameter"), found.get("peak_width")
    flagged = np.zeros(a.values.shape if a is not None else (0, 0), np.bool_)
    if "second_share" in found:  # of a whole-pattern refinement
        flagged |= np.asarray(found["second_share"].values, np.float64) > 0
    elif "fit_chi2" in found:
        flagged |= misfit_voxels(np.asarray(found["fit_chi2"].values, np.float64))
    if width is None or width.uncertainty is None:
        return flagged
    measured = np.asarray(width.values, np.float64), np.asarray(width.uncertainty, np.float64)
    return mixed_voxels(*measured, flagged)


def particle_results(
    config: ParticlesConfig,
    rule: Rule,
    labels: Labels,
    found: Mapping[str, Result],
    strength: F64,
    earlier: ParticleFindings | None = None,
) -> tuple[list[Result], Slice | None]:
    """The particles of a scan as results, and as they are.

    found: the scan's results by name; without lattice parameters there is nothing
    strength: (rows, cols) what each voxel scatters into the reflections, nan where not known
    earlier: of the scan before
    """
    maps = _maps_of(found)
    if maps is None or not config.find:
        return [], None
    slice_, tracks = _found_and_followed(config, strength, maps.place, earlier)
    profiles = profiles_of(slice_, maps.a, maps.a_sigma, config.shells)
    table = particle_table(slice_, maps.a, maps.a_sigma, maps.place.x_um, maps.place.y_um, profiles)
    verdicts = classify(
        slice_.label.ravel(), slice_.count, maps.a.ravel(), maps.a_sigma.ravel(),
        maps.mixed.ravel(), rule,
    )  # fmt: skip
    findings = _findings(earlier, tracks, table, found["lattice_parameter"].number)
    made = [
        _map(labels, found["lattice_parameter"], slice_, tracks),
        _table(labels, table, verdicts, tracks, rule),
        *_profiles(labels, profiles, config.shells, tracks),
        _history(labels, findings),
    ]
    return made, Slice(slice_, profiles.shell_voxels, tracks.identity, verdicts, table, findings)


def shell_fraction_results(
    labels: Labels, fractions: Mapping[str, tuple[F64, F64]], names: I32
) -> Iterable[Result]:
    """Mass fractions in shells by phase, (particles, shells) and their uncertainties."""
    for phase, (fraction, sigma) in fractions.items():
        yield labels.result(
            f"particle_shell_fraction_{phase}", "", ("particle", "shell"),
            {"particle": names, "shell": np.arange(fraction.shape[1])},
            {"particle": "", "shell": ""}, fraction, uncertainty=sigma, attrs={"phase": phase},
        )  # fmt: skip


def _found_and_followed(
    config: ParticlesConfig, strength: F64, place: Place, earlier: ParticleFindings | None
) -> tuple[Segmentation, Tracks]:
    """Particles and names; with earlier ones the particles are found anew, knowing these."""
    how = config.threshold, config.waist, config.least_um2
    found = find_particles(strength, place.step_um, *how)
    if earlier is None:
        return found, begin_atlas(found, place)
    shift_um = drift_um(earlier.atlas, found, place, config.reach_um)
    known = names_at(earlier.atlas, place, shift_um)
    found = find_particles(strength, place.step_um, *how, known)
    return found, follow_atlas(earlier.atlas, found, place, shift_um)


def _maps_of(found: Mapping[str, Result]) -> _Maps | None:
    a = found.get("lattice_parameter")
    if a is None or a.uncertainty is None or min(a.values.shape) < 4:
        return None
    place = Place(*(np.asarray(a.coords[axis], np.float64) for axis in ("x", "y")))
    return _Maps(
        place,
        np.asarray(a.values, np.float64),
        np.asarray(a.uncertainty, np.float64),
        mixed_of(found),
    )


def _findings(
    earlier: ParticleFindings | None, tracks: Tracks, table: ParticleTable, number: int
) -> ParticleFindings:
    names = tracks.atlas.names
    row = {name: n for n, name in enumerate(names)}
    scans = (*(earlier.scans if earlier else ()), number)
    a, sigma = np.full((2, len(names), len(scans)), np.nan)
    if earlier is not None:
        rows = [row[name] for name in earlier.atlas.names]
        a[rows, :-1], sigma[rows, :-1] = earlier.a, earlier.a_sigma
    mine = [row[int(name)] for name in tracks.identity[1:]]
    a[mine, -1], sigma[mine, -1] = table.a.mean, table.a.sigma
    return ParticleFindings(tracks.atlas, scans, a, sigma)


def _map(labels: Labels, like: Result, slice_: Segmentation, tracks: Tracks) -> Result:
    identity = np.where(np.isfinite(slice_.filling), tracks.identity[slice_.label], np.nan)
    attrs: dict[str, Scalar] = {
        "particles": slice_.count,
        "new": len(tracks.new),
        "lost": len(tracks.lost),
        "shift_x_um": tracks.shift_um[0],
        "shift_y_um": tracks.shift_um[1],
        "full_scale": slice_.full,
    }
    return labels.result(
        "particles", "", ("y", "x"), like.coords, like.units, identity, attrs=attrs
    )


def _table(
    labels: Labels, table: ParticleTable, verdicts: Verdicts, tracks: Tracks, rule: Rule
) -> Result:
    columns: dict[str, NDArray[np.generic]] = {
        "x_um": table.x_um,
        "y_um": table.y_um,
        "area_um2": table.area_um2,
        "a": table.a.mean,
        "a_sigma": table.a.sigma,
        "a_spread": table.a.spread,
        "voxels": table.a.voxels,
        "depth_um": table.depth_um,
        "core_minus_surface": table.core_minus_surface,
        "core_minus_surface_sigma": table.core_minus_surface_sigma,
        "classification": verdicts.code,
        "inside_share": verdicts.inside_share,
        "mixed_share": verdicts.mixed_share,
        "rule_p": verdicts.rule_p,
        "outlier_z": verdicts.outlier_z,
        "outlier_p": verdicts.outlier_p,
        "cut": table.cut,
    }
    attrs: dict[str, Scalar] = {
        "columns": ",".join(columns),
        "classification_codes": CODES,
        "alarm": rule.alarm,
        "systematic": rule.systematic,
        "forbidden_low": rule.window[0],
        "forbidden_high": rule.window[1],
    }
    values = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
    return labels.result(
        "particle_table", "", ("particle", "column"),
        {"particle": tracks.identity[1:], "column": np.arange(len(columns))},
        {"particle": "", "column": ""}, values, attrs=attrs,
    )  # fmt: skip


def _profiles(labels: Labels, profiles: Profiles, shells: int, tracks: Tracks) -> Iterable[Result]:
    particle: dict[str, Array] = {"particle": tracks.identity[1:]}
    for name, axis, unit, middles, means in (
        ("particle_shells", "shell", "", np.arange(shells), profiles.shells),
        ("particle_profile", "depth", "um", profiles.depth_um, profiles.profile),
    ):
        yield labels.result(
            name, "Å", ("particle", axis), {**particle, axis: middles},
            {"particle": "", axis: unit}, means.mean,
            uncertainty=means.sigma,
        )  # fmt: skip


def _history(labels: Labels, findings: ParticleFindings) -> Result:
    return labels.result(
        "particle_history", "Å", ("particle", "scan"),
        {"particle": np.array(findings.atlas.names, np.int64),
         "scan": np.array(findings.scans, np.int64)},
        {"particle": "", "scan": ""}, findings.a, uncertainty=findings.a_sigma,
    )  # fmt: skip

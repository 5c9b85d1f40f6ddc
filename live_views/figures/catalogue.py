"""Which figures a run has, each with its name, its caption and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..cell_series import charge_balance
from ..model import RunModel, ScanRecord
from ..quantities import FRACTION, Quantity, known, map_of, quantities_of
from ..ranges import Ranges
from ..scan_words import WIDE, is_slice, role_of
from . import cell, histograms, maps, particles, rescans, segments, spectra
from .sheet import Sheet

GREY = "Grey: no sample or no answer; hatched: not measured."
ROWS = 5  # of maps on a sheet
QUALITY = ("lattice_parameter", "rwp", "fit_chi2")


@dataclass(frozen=True, slots=True)
class Named:
    """A figure of a run.

    name: of its files; title: a line; caption: what one sees, in sentences
    always: part of every report; else drawn where it is asked for by name
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Sheet]
    always: bool = True


def figures_of(model: RunModel) -> list[Named]:
    """All figures that the run's results can give, in the order of a paper."""
    return list(_figures(model, Ranges()))


def _figures(model: RunModel, ranges: Ranges) -> Iterator[Named]:
    scans = model.scans()
    slices = [s for s in scans if is_slice(s)] or scans
    quantities = [q for q in quantities_of(scans) if any(map_of(s, q) for s in slices)]
    lattice = next((q for q in quantities if q.result == "lattice_parameter"), None)
    if lattice is not None:
        if len(model.history):
            yield Named(
                "evolution", "Lattice parameter along the discharge",
                "Cell voltage with the scans shaded; lattice parameter of every voxel at each "
                "pause in one range of colours, particles outlined (dashed: deviates from the "
                "others); histograms of the voxels, purple: where pure spinel cannot be. " + GREY,
                lambda: cell.evolution(model, ranges),
            )  # fmt: skip
        if any(histograms.counts_of(s) for s in slices):
            yield Named(
                "histograms", "Histograms of the lattice parameter",
                "Voxels by lattice parameter at each pause, in the colours of the maps; purple: "
                "where pure spinel cannot be.",
                lambda: histograms.histograms(model, slices, ranges),
            )  # fmt: skip
    yield from _of_particles(model, ranges)
    fractions = sorted(
        (q for q in quantities if q.result.startswith(FRACTION)), key=lambda q: -_middle(slices, q)
    )
    if fractions:
        yield Named(
            "phases", "Mass fractions of the phases",
            "A row a phase, each with a range of its own, a column a pause. Fractions of single "
            f"voxels are a hint; those of particles and shells carry uncertainties. {GREY}",
            lambda: maps.quantity_rows(model, cell.spread(slices), ranges, fractions),
        )  # fmt: skip
    sorted_ = [s for s in slices if segments.segment_rows(s)]
    if sorted_:
        yield Named(
            "segments", "Segments by lattice parameter",
            "The last scan's voxels, sorted into segments by lattice parameter; mass fractions of "
            f"each segment, refined from the mean pattern of its voxels. {GREY}",
            lambda: segments.segments(model, sorted_[-1], ranges),
        )  # fmt: skip
    balance, soc = charge_balance(model), next((q for q in quantities if q.key == "soc"), None)
    if soc is not None and balance is not None and np.isfinite(balance.charge_ah).any():
        yield Named(
            "charge", "State of charge and coulomb count",
            "State of charge of every voxel; the mean of each map against the charge that has "
            f"passed, and their difference. {GREY}",
            lambda: cell.charge(model, balance, soc, ranges),
        )  # fmt: skip
    quality = [q for q in quantities if _tells_quality(q)]
    if quality:
        yield Named(
            "quality", "Uncertainty and residuals",
            "Standard uncertainty of the lattice parameter, weighted profile residual Rwp of the "
            f"refinement and reduced χ² of the line fits, as far as there are any. {GREY}",
            lambda: maps.quantity_rows(model, cell.spread(slices), ranges, quality),
        )  # fmt: skip
    if rescans.finer(model):
        yield Named(
            "rescans", "Regions scanned again",
            "The map that asked for it, framed where it was scanned again; the finer map; the "
            f"dose of every voxel after it. {GREY}",
            lambda: rescans.rescans(model, ranges),
        )  # fmt: skip
    if any(role_of(s) in WIDE for s in scans):
        yield Named(
            "wide", "What surrounds the slice",
            "Wide scans before the discharge and the slice, which is freed of what they saw "
            f"outside of it; framed: where the next one looks. {GREY}",
            lambda: rescans.wide(model, ranges),
        )  # fmt: skip
    if len(model.history) or lattice is not None:
        yield Named(
            "cell", "The cell", "Voltage, current and charge with the scans shaded; median and "
            "10 to 90 % of the voxels' lattice parameters.", lambda: cell.cell(model),
        )  # fmt: skip
    if any((p := s.result("pattern")) is not None and "q" in p.coords for s in slices):
        yield Named(
            "patterns", "Mean patterns and fits", "Mean powder pattern of each scan, the fit of "
            "its lines, their difference, and the reflections.", lambda: spectra.patterns(slices),
        )  # fmt: skip
    if any((r := s.result("sinogram")) is not None and r.values.ndim == 2 for s in slices):
        yield Named(
            "sinograms", "Sinograms", "Peak intensity by rotation and translation; hatched: not "
            "measured.", lambda: spectra.sinograms(slices, ranges),
        )  # fmt: skip
    told = {lattice, soc, *fractions, *quality}
    rest = [q for q in quantities if q not in told and _varies(slices, q)]
    for number, part in enumerate(_sheets(slices, rest), start=1):
        yield Named(
            f"maps-{number}", "Further maps", "A row a quantity, each with a range of its own, a "
            f"column a pause. {GREY}",
            lambda p=part: maps.quantity_rows(model, cell.spread(slices), ranges, p),
        )  # fmt: skip
    for quantity in quantities:
        key = quantity.key if quantity.of_uncertainty else quantity.result
        yield Named(
            f"map-{key.replace(' ', '-')}", quantity.title,
            f"{quantity.title} at every pause in one range of colours. {GREY}",
            lambda q=quantity: maps.quantity_maps(model, slices, ranges, q), always=False,
        )  # fmt: skip


def _of_particles(model: RunModel, ranges: Ranges) -> Iterator[Named]:
    if not particles.with_particles(model):
        return
    yield Named(
        "particles", "Particles and their histories",
        "Particles with their identities (dashed, !: deviates); mean lattice parameter of every "
        "particle under the voltage curve, those that deviate in colours; purple: where pure "
        f"spinel cannot be. {GREY}",
        lambda: particles.all_particles(model, ranges),
    )  # fmt: skip
    for name in particles.cards_of(model):
        yield Named(
            f"particle-{name}", f"Particle {name}",
            "Its outline; its mean lattice parameter at every pause; its voxels against those of "
            "all other particles; lattice parameter by depth; mass fractions by depth shell; "
            "numbers with standard uncertainties.",
            lambda n=name: particles.card(model, ranges, n),
        )  # fmt: skip


def _sheets(scans: Sequence[ScanRecord], quantities: Sequence[Quantity]) -> list[list[Quantity]]:
    """The quantities of each sheet: all maps on it have the same axes."""
    by_axes: dict[tuple[str, str], list[Quantity]] = {}
    for quantity in quantities:
        axes = maps.maps_of(scans, quantity)[0][1].axes
        by_axes.setdefault(axes, []).append(quantity)
    return [
        alike[begin : begin + ROWS]
        for alike in by_axes.values()
        for begin in range(0, len(alike), ROWS)
    ]


def _varies(scans: Sequence[ScanRecord], quantity: Quantity) -> bool:
    """False where every voxel of every scan has the same value: there is nothing to see."""
    found = [values for _, m in maps.maps_of(scans, quantity) if (values := known(m.values)).size]
    return bool(found) and min(v.min() for v in found) < max(v.max() for v in found)


def _middle(scans: Sequence[ScanRecord], quantity: Quantity) -> float:
    """The median of a quantity over all voxels of all scans."""
    values = [known(m.values) for s in scans if (m := map_of(s, quantity)) is not None]
    every = np.concatenate(values)
    return float(np.median(every)) if every.size else 0.0


def _tells_quality(quantity: Quantity) -> bool:
    return quantity.result in QUALITY and (
        quantity.of_uncertainty or quantity.result != "lattice_parameter"
    )

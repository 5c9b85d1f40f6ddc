"""Which figures a run has, each with its name, its caption and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..cell_series import charge_balance
from ..model import RunModel, ScanRecord
from ..quantities import FRACTION, Quantity, known, quantities_of
from ..ranges import Ranges
from ..scan_words import WIDE, called, ended_early, is_slice, role_of
from . import card, cell, histograms, maps, particles, rescans, segments, spectra
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


@dataclass(frozen=True, slots=True)
class _Run:
    """What the figures are chosen from; quantities: those that a slice has a map of."""

    model: RunModel
    slices: list[ScanRecord]
    quantities: list[Quantity]
    ranges: Ranges

    @property
    def grey(self) -> str:
        """What is to be said below any map: what grey is, and which scans ended early, and why."""
        early = [f"{called(s)} {said}." for s in self.model.scans() if (said := ended_early(s))]
        return " ".join([GREY, *early])

    def quantity(self, result: str) -> Quantity | None:
        """The first one that rests on this result."""
        return next((q for q in self.quantities if q.result == result), None)


def figures_of(model: RunModel) -> list[Named]:
    """All figures that the run's results can give, in the order of a paper."""
    scans = model.scans()
    slices = [scan for scan in scans if is_slice(scan)] or scans
    quantities = [q for q in quantities_of(scans) if maps.maps_of(slices, q)]
    run = _Run(model, slices, quantities, Ranges())
    chapters = (
        _lattice, _particles, _phases, _charge, _quality, _other_scans, _measured, _other_maps
    )  # fmt: skip
    return [figure for chapter in chapters for figure in chapter(run)]


def _lattice(run: _Run) -> Iterator[Named]:
    if run.quantity("lattice_parameter") is None:
        return
    if len(run.model.history):
        yield Named(
            "evolution", "Lattice parameter along the discharge",
            "Cell voltage with the scans shaded; lattice parameter of every voxel at each pause "
            "in one range of colours, particles outlined (dashed: deviates from the others); "
            f"histograms of the voxels, purple: where pure spinel cannot be. {run.grey}",
            lambda: cell.evolution(run.model, run.ranges),
        )  # fmt: skip
    if any(histograms.counts_of(scan) for scan in run.slices):
        yield Named(
            "histograms", "Histograms of the lattice parameter",
            "Voxels by lattice parameter at each pause, in the colours of the maps; purple: where "
            "pure spinel cannot be.",
            lambda: histograms.histograms(run.model, cell.spread(run.slices, 10), run.ranges),
        )  # fmt: skip


def _particles(run: _Run) -> Iterator[Named]:
    if not particles.with_particles(run.model):
        return
    yield Named(
        "particles", "Particles and their histories",
        "Particles with their identities (dashed, !: deviates); mean lattice parameter of every "
        "particle under the voltage curve, those that deviate in colours; purple: where pure "
        f"spinel cannot be. {run.grey}",
        lambda: particles.all_particles(run.model, run.ranges),
    )  # fmt: skip
    for name in particles.cards_of(run.model):
        yield Named(
            f"particle-{name}", f"Particle {name}",
            "Its outline; its mean lattice parameter at every pause; its voxels against those of "
            "all other particles; lattice parameter by depth; mass fractions by depth shell; "
            "numbers with standard uncertainties.",
            lambda n=name: card.card(run.model, run.ranges, n),
        )  # fmt: skip


def _fractions(run: _Run) -> list[Quantity]:
    """The phases' mass fractions, the main phase first."""
    found = [q for q in run.quantities if q.result.startswith(FRACTION)]
    return sorted(found, key=lambda q: -_middle(run.slices, q))


def _phases(run: _Run) -> Iterator[Named]:
    fractions, sorted_ = _fractions(run), [s for s in run.slices if segments.segment_rows(s)]
    if fractions:
        yield Named(
            "phases", "Mass fractions of the phases",
            "A row a phase, each with a range of its own, a column a pause. Fractions of single "
            f"voxels are a hint; those of particles and shells carry uncertainties. {run.grey}",
            lambda: _rows(run, fractions),
        )  # fmt: skip
    if sorted_:
        yield Named(
            "segments", "Segments by lattice parameter",
            "The last scan's voxels, sorted into segments by lattice parameter; mass fractions of "
            f"each segment, refined from the mean pattern of its voxels. {run.grey}",
            lambda: segments.segments(run.model, sorted_[-1], run.ranges),
        )  # fmt: skip


def _charge(run: _Run) -> Iterator[Named]:
    balance, soc = charge_balance(run.model), run.quantity("soc")
    if soc is not None and balance is not None and np.isfinite(balance.charge_ah).any():
        yield Named(
            "charge", "State of charge and coulomb count",
            "State of charge of every voxel; the mean of each map against the charge that has "
            f"passed, and their difference. {run.grey}",
            lambda: cell.charge(run.model, balance, soc, run.ranges),
        )  # fmt: skip


def _quality(run: _Run) -> Iterator[Named]:
    shown = [q for q in run.quantities if _tells_quality(q)]
    if shown:
        yield Named(
            "quality", "Uncertainty and residuals",
            "Standard uncertainty of the lattice parameter, weighted profile residual Rwp of the "
            f"refinement and reduced χ² of the line fits, as far as there are any. {run.grey}",
            lambda: _rows(run, shown),
        )  # fmt: skip


def _other_scans(run: _Run) -> Iterator[Named]:
    if rescans.finer(run.model):
        yield Named(
            "rescans", "Regions scanned again",
            "The map that asked for it, framed where it was scanned again; the finer map; the "
            f"dose of every voxel after it. {run.grey}",
            lambda: rescans.rescans(run.model, run.ranges),
        )  # fmt: skip
    if any(role_of(scan) in WIDE for scan in run.model.scans()):
        yield Named(
            "wide", "What surrounds the slice",
            "Wide scans before the discharge and the slice, which is freed of what they saw "
            f"outside of it; framed: where the next one looks. {run.grey}",
            lambda: rescans.wide(run.model, run.ranges),
        )  # fmt: skip


def _measured(run: _Run) -> Iterator[Named]:
    patterned = [s for s in run.slices if (p := s.result("pattern")) and "q" in p.coords]
    turned = [s for s in run.slices if (r := s.result("sinogram")) and r.values.ndim == 2]
    if len(run.model.history) or run.quantity("lattice_parameter") is not None:
        yield Named(
            "cell", "The cell",
            "Voltage, current and charge with the scans shaded; median and 10 to 90 % of the "
            "voxels' lattice parameters.",
            lambda: cell.cell(run.model),
        )  # fmt: skip
    if patterned:
        yield Named(
            "patterns", "Mean patterns and fits",
            "Mean powder pattern of each scan, the fit of its lines, their difference, and the "
            "reflections.",
            lambda: spectra.patterns(cell.spread(patterned, 8)),
        )  # fmt: skip
    if turned:
        yield Named(
            "sinograms", "Sinograms",
            "Peak intensity by rotation and translation; hatched: not measured.",
            lambda: spectra.sinograms(cell.spread(turned, 20), run.ranges),
        )  # fmt: skip


def _other_maps(run: _Run) -> Iterator[Named]:
    """What no other figure shows, in sheets; each quantity alone where it is asked for."""
    shown = {run.quantity("lattice_parameter"), run.quantity("soc"), *_fractions(run)}
    rest = [
        q for q in run.quantities
        if q not in shown and not _tells_quality(q) and _varies(run.slices, q)
    ]  # fmt: skip
    for number, part in enumerate(_sheets(run.slices, rest), start=1):
        yield Named(
            f"maps-{number}", "Further maps",
            f"A row a quantity, each with a range of its own, a column a pause. {run.grey}",
            lambda p=part: _rows(run, p),
        )  # fmt: skip
    for quantity in run.quantities:
        key = quantity.key if quantity.of_uncertainty else quantity.result
        yield Named(
            f"map-{key.replace(' ', '-')}", quantity.title,
            f"{quantity.title} at every pause in one range of colours. {run.grey}",
            lambda q=quantity: maps.quantity_maps(run.model, run.slices, run.ranges, q),
            always=False,
        )  # fmt: skip


def _rows(run: _Run, quantities: Sequence[Quantity]) -> Sheet:
    return maps.quantity_rows(cell.spread(run.slices), run.ranges, quantities)


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
    every = np.concatenate([known(m.values) for _, m in maps.maps_of(scans, quantity)])
    return float(np.median(every)) if every.size else 0.0


def _tells_quality(quantity: Quantity) -> bool:
    return quantity.result in QUALITY and (
        quantity.of_uncertainty or quantity.result != "lattice_parameter"
    )

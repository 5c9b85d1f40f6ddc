"""Which phases a whole-pattern refinement knows: what a user may choose, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..materials.structures import Structure, names, structure
from .crystal import Crystal

REACH = 0.02  # of a cell edge, either way, where no range is given


@dataclass(frozen=True, slots=True)
class PhaseConfig:
    """One phase of the sample.

    cif: name of a structure that comes with operando, or the CIF's text; in an experiment file also
        the name of a CIF file. "": the phase's own name
    working: the phase whose cell is refined in every voxel; exactly one is
    a_min, a_max, c_min, c_max [Å]: where the working phase's cell edges are looked for; 2 % about
        the file's where not given. c: of tetragonal phases and those on hexagonal axes
    a, c [Å]: of a phase whose cell stays, instead of the file's
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    cif: str = ""
    working: bool = False
    a_min: float | None = None
    a_max: float | None = None
    c_min: float | None = None
    c_max: float | None = None
    a: float | None = None
    c: float | None = None


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """The lines' shape: full width^2 = width^2 + (strain q)^2.

    width [1/Å], strain, mixing (Lorentzian share): what to begin with; from a calibrant, say
    fitted: fit them to the strong voxels' own patterns as the map grows; False: keep them
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    width: float = 0.012
    strain: float = 0.002
    mixing: float = 0.4
    fitted: bool = True

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.strain >= 0 and 0 <= self.mixing <= 1):
            raise ValueError("width > 0, strain >= 0 and 0 <= mixing <= 1 is needed")


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase ready to make templates of.

    key: what the experiment calls it
    a_limits, c_limits [Å]: of the working phase's free edges, else None
    a, c [Å]: of a fixed phase; None: the file's
    """

    key: str
    crystal: Crystal
    a_limits: tuple[float, float] | None = None
    c_limits: tuple[float, float] | None = None
    a: float | None = None
    c: float | None = None

    @property
    def working(self) -> bool:
        """Whether this is the phase whose cell is refined."""
        return self.a_limits is not None


def read_phases(
    configs: Mapping[str, PhaseConfig], q_max: float, usual: tuple[float, float]
) -> tuple[Phase, ...]:
    """The phases, the working one last.

    q_max: end of the patterns [1/Å]
    usual: lattice parameters looked for in a cubic working phase without limits of its own, where
        they hold the file's [Å]
    Raises ValueError naming the phase and what is wrong with it.
    """
    fixed, working = [], []
    for key, config in configs.items():
        if not key.isidentifier():
            raise ValueError(f"phases.{key}: a name of letters, digits and _ is needed")
        crystal = Crystal(_structure(key, config), q_max)
        if config.working:
            working.append(_working(key, config, crystal, usual))
        else:
            given = [n for n in ("a_min", "a_max", "c_min", "c_max") if getattr(config, n)]
            if given:
                raise ValueError(f"phases.{key}.{given[0]}: only the working phase's cell is free")
            if crystal.family == "fixed" and (config.a or config.c):
                raise ValueError(f"phases.{key}.a: this cell is not given by a and c alone")
            fixed.append(Phase(key, crystal, a=config.a, c=config.c))
    if len(working) != 1:
        raise ValueError(
            f"phases: {len(working)} of {len(configs)} are `working: true`, exactly one is needed"
        )
    return (*fixed, *working)


def _structure(key: str, config: PhaseConfig) -> Structure:
    source = config.cif or key
    if source in names():
        return structure(source)
    if "_cell_length_a" not in source:
        raise ValueError(
            f"phases.{key}.cif: {source[:60]!r} is neither a CIF nor one of {', '.join(names())}"
        )
    return Structure(key, key, source)


def _working(key: str, config: PhaseConfig, crystal: Crystal, usual: tuple[float, float]) -> Phase:
    if crystal.family == "fixed":
        raise ValueError(
            f"phases.{key}: a working phase is cubic, tetragonal or on hexagonal axes; this cell "
            f"has edges {crystal.a:g}, {crystal.b:g}, {crystal.c:g} Å"
        )
    whole = config.a_min is None and config.a_max is None and crystal.family == "cubic"
    if whole and usual[0] <= crystal.a <= usual[1]:
        a_limits = usual
    else:
        a_limits = _limits(key, "a", config.a_min, config.a_max, crystal.a)
    if crystal.family == "cubic":
        return Phase(key, crystal, a_limits)
    return Phase(key, crystal, a_limits, _limits(key, "c", config.c_min, config.c_max, crystal.c))


def _limits(
    key: str, edge: str, low: float | None, high: float | None, own: float
) -> tuple[float, float]:
    low = own * (1 - REACH) if low is None else low
    high = own * (1 + REACH) if high is None else high
    if not 0 < low < high < 2 * low:
        raise ValueError(f"phases.{key}.{edge}_min: from {low:g} to {high:g} Å is no range")
    return low, high

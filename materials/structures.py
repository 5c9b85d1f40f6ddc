"""Crystal structures as CIF text; who reads them decides with what.

Each file names its sources. `gemmi` users: call change_occupancies_to_crystallographic() on the
SmallStructure first, or atoms on special positions count as often as there are symmetry operations
that leave them in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

# Edges of the two-phase steps of LiyMn2O4 and ends of its solid solution [Å], and the range of the
# solid solution of lithium-rich spinel: Finegan et al., Nat. Commun. 2020, 11, 631.
SPINEL_DELITHIATED_A = 8.03
SPINEL_FIRST_STEP_A = (8.076, 8.145)
SPINEL_SECOND_STEP_A = (8.183, 8.205)
SPINEL_LITHIATED_A = 8.25
LITHIUM_RICH_SPINEL_A = (8.080, 8.223)


@dataclass(frozen=True, slots=True)
class Structure:
    """One crystal structure.

    name: how the project calls it
    formula: for people
    cif: CIF text
    """

    name: str
    formula: str
    cif: str


_FILES = {
    "limn2o4": "LiMn2O4",
    "li05mn2o4": "Li0.5Mn2O4",
    "limno2_rock_salt": "LiMnO2 (rock salt)",
    "li2mno3": "Li2MnO3",
    "aluminium": "Al",
}


def names() -> tuple[str, ...]:
    """The structures there are."""
    return tuple(_FILES)


def structure(name: str) -> Structure:
    """The structure called name. Raises KeyError naming those there are."""
    if name not in _FILES:
        raise KeyError(f"no structure {name!r}, there are {list(_FILES)}")
    text = resources.files(__package__).joinpath(f"{name}.cif").read_text(encoding="utf-8")
    return Structure(name, _FILES[name], text)

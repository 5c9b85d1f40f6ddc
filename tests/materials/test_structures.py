"""The structures, against independent descriptions of the same crystals."""

import gemmi
import pytest
from measured import DATA
from operando.materials.structures import names, structure

CIFS = DATA / "cif"
REFERENCES = {
    "limn2o4": "LiMn2O4_227.cif",
    "li05mn2o4": "LiMn4O8_198.cif",
    "li2mno3": "Li2MnO3_12.cif",
    "aluminium": "Al-Aluminum.cif",
}
ATOMS = {"limn2o4": 56, "li05mn2o4": 52, "limno2_rock_salt": 12, "li2mno3": 24, "aluminium": 4}
ELECTRONS = {  # of the unit cell, from the formula and the number of formula units
    "limn2o4": 8 * (3 + 2 * 25 + 4 * 8),
    "li05mn2o4": 4 * (3 + 4 * 25 + 8 * 8),
    "limno2_rock_salt": 2 * (3 + 25 + 2 * 8),
    "li2mno3": 4 * (2 * 3 + 25 + 3 * 8),
    "aluminium": 4 * 13,
}


def read(text):
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    for site in small.sites:
        site.u_iso = 0.0
        site.aniso.u11 = site.aniso.u22 = site.aniso.u33 = 0.0
    return small


def factors(small, indices):
    small.change_occupancies_to_crystallographic()
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    return [abs(calculator.calculate_sf_from_small_structure(small, hkl)) for hkl in indices]


@pytest.mark.parametrize("name", names())
def test_unit_cell_holds_the_atoms_and_electrons_of_its_formula(name):
    small = read(structure(name).cif)
    assert len(small.get_all_unit_cell_sites()) == ATOMS[name]
    (forward,) = factors(small, [(0, 0, 0)])
    assert forward == pytest.approx(ELECTRONS[name], rel=1e-3)


@pytest.mark.parametrize("name", REFERENCES)
def test_structure_factors_agree_with_an_independent_file(name):
    if not CIFS.is_dir():
        pytest.skip(f"no reference structures in {CIFS}; set OPERANDO_DATA")
    ours, theirs = read(structure(name).cif), read((CIFS / REFERENCES[name]).read_text())
    for mine, reference in zip(ours.cell.parameters, theirs.cell.parameters, strict=True):
        assert mine == pytest.approx(reference, rel=1e-4)
    indices = [(0, 0, 0), (1, 1, 1), (2, 0, 0), (3, 1, 1), (4, 0, 0), (1, 2, 3), (4, 4, 0)]
    expected = factors(theirs, indices)
    for mine, reference in zip(factors(ours, indices), expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-4, abs=1e-3)


def test_an_unknown_structure_is_named_with_those_there_are():
    with pytest.raises(KeyError, match="no structure 'lfp'"):
        structure("lfp")

"""Ordinary CIFs give pymatgen's sites in pymatgen's order, to the last bit."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

PROTOTYPES = {
    "perovskite": ("Pm-3m", Lattice.cubic(3.9), "Sr Ti O", ([0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0])),
    "rock salt": ("Fm-3m", Lattice.cubic(5.6), "Na Cl", ([0, 0, 0], [0.5, 0.5, 0.5])),
    "spinel": ("Fd-3m", Lattice.cubic(8.1), "Mg Al O", ([0, 0, 0], [5 / 8] * 3, [0.3862] * 3)),
    "wurtzite": ("P6_3mc", Lattice.hexagonal(3.25, 5.2), "Zn O", ([1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38])),
    "rutile": ("P4_2/mnm", Lattice.tetragonal(4.6, 2.96), "Ti O", ([0, 0, 0], [0.305, 0.305, 0])),
    "corundum": ("R-3c", Lattice.hexagonal(4.76, 12.99), "Al O", ([0, 0, 0.352], [0.306, 0, 0.25])),
    "fluorite of equals": ("Fm-3m", Lattice.cubic(5.4), "Ce O", ([0, 0, 0], [0.25] * 3)),
    "without electronegativity": ("Fm-3m", Lattice.cubic(6.2), "Ar Cs Ne", ([0, 0, 0], [0.5] * 3, [0.25] * 3)),
    "olivine": ("Pnma", Lattice.orthorhombic(10.3, 6.0, 4.7), "Fe Li P O O",
                ([0.282, 0.25, 0.975], [0, 0, 0], [0.095, 0.25, 0.418], [0.097, 0.25, 0.743], [0.166, 0.046, 0.285])),
    "monoclinic": ("P2_1/c", Lattice.monoclinic(5.1, 5.2, 5.3, 99), "Zr O O",
                   ([0.276, 0.04, 0.208], [0.07, 0.33, 0.345], [0.45, 0.757, 0.479])),
    "triclinic": ("P-1", Lattice.from_parameters(5, 6, 7, 80, 95, 107), "Cu S O O",
                  ([0, 0, 0], [0.01, 0.28, 0.62], [0.9, 0.15, 0.67], [0.24, 0.31, 0.79])),
}  # fmt: skip


def crystal(name: str) -> Structure:
    group, lattice, elements, places = PROTOTYPES[name]
    return Structure.from_spacegroup(group, lattice, elements.split(), places)


def written(structure: Structure, **options: object) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(CifWriter(structure, **options))


def theirs(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CifParser.from_str(text).parse_structures(primitive=False)[0]


def check(structure, text: str) -> None:
    expected = theirs(text)
    assert structure.numbers.tolist() == list(expected.atomic_numbers)
    assert np.array_equal(structure.fractional, expected.frac_coords)
    assert np.array_equal(structure.lattice, expected.lattice.matrix)


@pytest.mark.parametrize("symprec", [None, 0.01])
@pytest.mark.parametrize("name", PROTOTYPES)
def test_prototypes_as_pymatgen_writes_them(one, name, symprec):
    text = written(crystal(name), symprec=symprec, refine_struct=False)
    check(one(text), text)


@pytest.mark.parametrize("seed", range(12))
def test_cells_without_symmetry(one, seed):
    random = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*random.uniform(8, 12, 3), *random.uniform(70, 110, 3))
    grid = np.array(list(np.ndindex(3, 3, 3))) / 3 + random.uniform(0, 0.05, (27, 3)) - 0.2
    elements = [int(z) for z in random.integers(3, 90, 5)]
    text = written(Structure(lattice, random.choice(elements, 27), grid))
    check(one(text), text)


@pytest.mark.parametrize("digits", [3, 4, 5, 6])
@pytest.mark.parametrize("name", ["wurtzite", "corundum"])
def test_rounded_coordinates(one, name, digits):
    text = written(crystal(name), symprec=0.01, significant_figures=digits)
    structure = one(text)
    assert len(structure.numbers) == len(crystal(name))


def test_charges_decide_the_order_among_one_element(one):
    structure = crystal("spinel")
    structure.add_oxidation_state_by_site([2 if i % 3 else 3 for i in range(len(structure))])
    text = written(structure)
    check(one(text), text)


@pytest.mark.parametrize("charges", [{}, {"Mg": 2, "Al": 3, "O": -2}])
def test_spins_are_left_out_and_it_is_said(one, charges):
    structure = crystal("spinel")
    if charges:
        structure.add_oxidation_state_by_element(charges)
    structure.add_spin_by_site([(5, -5, 0)[i % 3] for i in range(len(structure))])
    text = written(structure)
    assert ",spin=-5" in text
    check(one(text), text)
    assert "spin was left out" in one(text).warnings[0]


def test_the_primitive_cell_on_request(one):
    text = written(crystal("rock salt"), symprec=0.01)
    structure = one(text, primitive=True)
    assert len(structure.numbers) == 2
    assert "8" in structure.warnings[-1]
    assert np.isclose(abs(np.linalg.det(structure.lattice)), 5.6**3 / 4)
    assert len(one(text).numbers) == 8

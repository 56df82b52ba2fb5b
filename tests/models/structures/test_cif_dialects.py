import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.io.cif import CifParser

from models.structures.composition import formula

FILES = Path(__file__).parents[2] / "data" / "structures" / "cif"
EXPECTED = {
    "aflow_perovskite.cif": ("SrTiO3", 5),
    "cod_rutile.cif": ("TiO2", 6),
    "crystalmaker_fluorite.cif": ("CaF2", 12),
    "findsym_calcite_rhombohedral.cif": ("CaCO3", 10),
    "gsas_labels.cif": ("Mg(HO)2", 5),
    "icsd_corundum.cif": ("Al2O3", 30),
    "magcif_mno.cif": ("MnO", 8),
    "materials_studio_cscl.cif": ("CsCl", 2),
    "mmcif_quartz.cif": ("SiO2", 9),
    "oqmd_p1.cif": ("CsCl", 2),
    "shelx_urea.cif": ("H4CN2O", 16),
    "spinel_symbol_only.cif": ("MgAl2O4", 56),
    "vesta_wurtzite.cif": ("ZnO", 4),
}
# Where pymatgen loses sites, takes the wrong setting or finds none.
WRONG_IN_PYMATGEN = {
    "crystalmaker_fluorite.cif",
    "findsym_calcite_rhombohedral.cif",
    "mmcif_quartz.cif",
    "spinel_symbol_only.cif",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_dialect_gives_the_crystal_that_it_describes(one, name):
    structure = one((FILES / name).read_bytes(), name)
    assert (formula(structure.numbers.tolist()), len(structure.numbers)) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - WRONG_IN_PYMATGEN))
def test_sites_come_in_pymatgens_order_and_to_its_last_bit(one, name):
    data = (FILES / name).read_bytes()
    structure = one(data, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (theirs,) = CifParser.from_str(data.decode()).parse_structures(primitive=False)
    assert structure.numbers.tolist() == list(theirs.atomic_numbers)
    assert np.array_equal(structure.fractional, theirs.frac_coords)
    assert np.array_equal(structure.lattice, theirs.lattice.matrix)


def distances(structure, kind: int, other: int) -> np.ndarray:
    """Sorted distances from the first site of one kind to sites of another, images included."""
    centre = structure.fractional[structure.numbers == kind][0]
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    apart = structure.fractional[structure.numbers == other][:, None] + images - centre
    return np.sort(np.linalg.norm(apart.reshape(-1, 3) @ structure.lattice, axis=1))


@pytest.mark.parametrize(
    ("name", "pair", "bonds", "length"),
    [
        ("cod_rutile.cif", (22, 8), 6, 1.96),
        ("crystalmaker_fluorite.cif", (20, 9), 8, 2.37),
        ("findsym_calcite_rhombohedral.cif", (6, 8), 3, 1.28),
        ("mmcif_quartz.cif", (14, 8), 4, 1.61),
        ("spinel_symbol_only.cif", (13, 8), 6, 1.93),
        ("spinel_symbol_only.cif", (12, 8), 4, 1.92),
        ("vesta_wurtzite.cif", (30, 8), 4, 1.98),
    ],
)
def test_bonds_have_the_lengths_of_the_real_crystals(one, name, pair, bonds, length):
    kind, other = pair
    found = distances(one((FILES / name).read_bytes(), name), kind, other)
    assert found[:bonds] == pytest.approx(length, abs=0.03)
    assert found[bonds] > found[bonds - 1] + 0.2


def test_a_setting_that_was_not_given_is_found_by_the_formula_and_told(one):
    name = "spinel_symbol_only.cif"
    (told,) = one((FILES / name).read_bytes(), name).warnings
    assert "F d -3 m:2" in told


def test_magnetic_moments_are_left_out_and_it_is_said(one):
    name = "magcif_mno.cif"
    assert one((FILES / name).read_bytes(), name).warnings == ("Magnetic moments were left out.",)


@pytest.mark.parametrize(
    "change",
    [
        ("'x, y, z'", "x,y,z"),
        ("'x, y, z'", "x, y, z"),
        ("'x, y, z'", '"+x,+y,+z"'),
        ("'x, y, z'", "'X, Y, Z'"),
        ("loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n", "_symmetry_equiv_pos_as_xyz 'x,y,z'\n"),
        (
            "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n",
            "loop_\n_symmetry_equiv_pos_site_id\n_symmetry_equiv_pos_as_xyz\n1 x, y, z\n",
        ),
        ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"),
        ("_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz"),
        ("data_x\n", "data_\n"),
        ("data_x\n", ""),
        ("data_x\n", "DATA_X\n"),
        ("data_x\n", "# comment\n\n\ndata_x # comment\n_symmetry_space_group_name_H-M P 21/c\n"),
        ("data_x\n", "data_x\n_publ_author 'unclosed quote\n"),
        ("data_x\n", "data_x\n_text\n;\nloop_\n_cell_length_a 99\n;\n"),
        ("data_x\n", "data_x\nloop_\n_a\n_b\n1 2 3\n"),
        ("data_x\n", "data_x\nloop_\n_a\n_b\n"),
        ("_atom_site_", "_ATOM_SITE_"),
        ("_atom_site_", "_atom_site."),
        ("_cell_length_a 4", "_Cell_Length_A 4.000(12)"),
        ("_cell_length_a 4", "_cell_length_a\n   4.0"),
        ("_cell_length_a 4", "_cell_length_a '4.0'"),
        ("0.5 0.5 0.5", "0.5(1) .5 1/2"),
        ("0.5 0.5 0.5", "-0.5 1.5 5.0E-01"),
        ("0.5 0.5 0.5", "\t0.5\t0.5\n0.5"),
        ("Cs1 Cs", "Cs1 Cs1+"),
        ("Cs1 Cs", "Cs1 'Cs'"),
        ("Cs1 Cs", "Cs1 CS"),
        ("Cl1 Cl", "Cl1 Cl1-"),
        ("Cl1 Cl", "Cl1 Cl-1"),
        ("Cl1 Cl", "Cl1A ?"),
        ("Cl1 Cl", "CL1 ."),
        ("Cl1 Cl 0.5 0.5 0.5\n", "Cl1 Cl 0.5 0.5 0.5"),
        ("Cl1 Cl 0.5 0.5 0.5\n", "Cl1 Cl 0.5 0.5 0.5 # last\n#END\n"),
    ],
)
def test_ways_of_writing_the_same_crystal_change_nothing(one, cif, change):
    plain = one(cif())
    text = cif()
    assert change[0] in text
    other = one(text.replace(*change))
    assert np.array_equal(other.numbers, plain.numbers)
    assert np.allclose(other.fractional, plain.fractional)
    assert np.allclose(other.lattice, plain.lattice)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode() + b"\x1a",
        lambda text: text.encode() + b"\x00" * 100,
        lambda text: "# Universit\xe9, 3 \xc5\n".encode("latin-1") + text.encode(),
        lambda text: text.replace(" 0.5", "\xa00.5").encode(),
        lambda text: b"\n" * 50 + text.encode(),
    ],
)
def test_any_usual_encoding_and_line_end_reads_the_same(one, cif, encode):
    assert one(encode(cif())).digest() == one(cif()).digest()


def test_several_blocks_are_several_structures_and_none_hides_another(read, cif):
    text = "global_\n_publ_x y\n" + cif() + cif(edge=5) + "data_pub\n_publ_section_title 'x'\n"
    found = read(text)
    assert [item.name for item in found] == ["a.cif#x", "a.cif#x-2"]
    assert [round(item.lattice[2, 2]) for item in found] == [4, 5]


def test_one_bad_block_leaves_the_others(read, cif):
    bad, good = read(cif("Q1 Q 0 0 0") + cif(head="data_y\n"))
    assert (bad.code, bad.file, good.name) == ("unknown_element", "a.cif#x", "a.cif#y")


def test_rounded_thirds_close_on_special_positions(one, cif):
    ops = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-y,x-y,z\n-x+y,-x,z\n"
    text = cif("Zn1 Zn 0.3333 0.6667 0", symmetry=ops).replace("gamma 90", "gamma 120")
    assert len(one(text).numbers) == 1


def test_images_that_miss_each_other_by_rounding_are_one_site(one, cif):
    ops = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\ny,x,z\n"
    structure = one(cif("Zn1 Zn 0.1667 0.1671 0", symmetry=ops))
    assert len(structure.numbers) == 1
    assert "rounded" in structure.warnings[0]


def test_a_formula_with_hydrogen_that_has_no_site_is_told(one, cif):
    text = cif(head="data_x\n_chemical_formula_sum 'Cs Cl H2 O'\n")
    assert "holds H" in one(text).warnings[0]


def test_a_formula_that_disagrees_with_the_sites_is_told(one, cif):
    text = cif(head="data_x\n_chemical_formula_sum 'Cs Cl2'\n")
    assert "Cs Cl2" in one(text).warnings[0]


def test_hydrogen_without_a_position_is_missing_and_told(one, cif):
    structure = one(cif("Cs1 Cs 0 0 0", "H1 H ? ? ?"))
    assert structure.numbers.tolist() == [55]
    assert "H1" in structure.warnings[0]


def test_attached_hydrogens_are_told(one, cif):
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "attached_hydrogens")
    structure = one(cif("Cs1 Cs 0 0 0 0", "O1 O .5 .5 .5 2", columns=columns))
    assert "hydrogens attached" in structure.warnings[0]


def test_dummies_are_left_out(one, cif):
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "calc_flag")
    structure = one(cif("Cs1 Cs 0 0 0 d", "X1 O .5 .5 .5 dum", columns=columns))
    assert structure.numbers.tolist() == [55]


@pytest.mark.parametrize(
    ("label", "symbol"),
    [("OW1", "O"), ("O1W", "O"), ("HW", "H"), ("FE1", "Fe"), ("fe2", "Fe"), ("Ca(1)", "Ca"),
     ("H1A", "H"), ("C1'", "C"), ("Wat1", "O"), ("N2B", "N"), ("U1", "U"), ("W", "W")],
)  # fmt: skip
def test_labels_alone_name_the_element(one, cif, label, symbol):
    columns = ("label", "fract_x", "fract_y", "fract_z")
    structure = one(cif(f"{label} 0 0 0", columns=columns))
    assert formula(structure.numbers.tolist()).rstrip("2") == symbol


def test_the_formula_decides_what_an_upper_case_label_is(one, cif):
    columns = ("label", "fract_x", "fract_y", "fract_z")
    head = "data_x\n_chemical_formula_sum 'C2 O4'\n"
    assert one(cif("CO1 0 0 0", columns=columns)).numbers.tolist() == [27]
    assert one(cif("CO1 0 0 0", columns=columns, head=head)).numbers.tolist() == [6]


def test_an_incommensurate_structure_is_refused(fault, cif):
    text = cif(head="data_x\n_cell_modulation_dimension 1\n")
    assert "modulated" in fault(text).detail


def test_a_file_of_sites_without_coordinates_is_refused_clearly(fault, cif):
    columns = ("label", "Wyckoff_symbol")
    error = fault(cif("Cs1 a", "Cl1 b", columns=columns))
    assert error.code == "unreadable_structure"
    assert "coordinates" in error.detail


@pytest.mark.parametrize(
    ("formula_sum", "units", "told"),
    [("Cs Cl", "1", False), ("Cs2 Cl2", "4", True), ("Cs2 Cl2", "?", False), ("Cs Cl", "9", True)],
)
def test_a_cell_that_is_not_z_formula_units_is_told(one, cif, formula_sum, units, told):
    head = f"data_x\n_chemical_formula_sum '{formula_sum}'\n_cell_formula_units_Z {units}\n"
    assert any("Z = " in warning for warning in one(cif(head=head)).warnings) == told


@pytest.mark.parametrize(
    "listed",
    [
        "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n",
        "loop_\n_space_group_symop_magn_operation.xyz\n'x,y,z,+1'\n",
    ],
)
def test_magnetic_moments_are_left_out_and_it_is_told_once(one, cif, listed):
    moments = "loop_\n_atom_site_moment_label\n_atom_site_moment_crystalaxis_x\nCs1 5.0\n"
    assert one(cif(symmetry=listed) + moments).warnings == ("Magnetic moments were left out.",)


@pytest.mark.parametrize(
    ("label", "formula", "told"),
    [("HO1", "", "Ho, though it may mean H"), ("CA2", "", "Ca, though it may mean C"), ("CA2", "'Ca O'", ""),
     ("Ho1", "", ""), ("AL1", "", ""), ("O1", "", "")],
)  # fmt: skip
def test_a_label_that_may_name_two_elements_is_told(one, cif, label, formula, told):
    head = f"data_x\n_chemical_formula_sum {formula}\n" if formula else "data_x\n"
    columns = ("label", "fract_x", "fract_y", "fract_z")
    warnings = one(cif(f"{label} 0 0 0", columns=columns, head=head)).warnings
    assert any("may mean" in text for text in warnings) == bool(told)
    assert told in " ".join(warnings)

"""Files that well-known readers answer wrongly without a word."""

import numpy as np
import pytest


def test_tags_in_another_case_keep_their_symmetry(one, cif):
    ops = "loop_\n_SYMMETRY_EQUIV_POS_AS_XYZ\n'x,y,z'\n'-x,-y,-z'\n"
    assert len(one(cif("Cs1 Cs 0.1 0.2 0.3", symmetry=ops)).numbers) == 2


def test_a_unicode_minus_is_a_minus_and_told(one, cif):
    structure = one(cif("Cs1 Cs \u22120.25 0 0"))
    assert structure.fractional[0, 0] == 0.75
    assert "minus" in structure.warnings[0]


def test_vac_is_no_vanadium(one, cif):
    structure = one(cif("Vac1 Vac 0 0 0", "Cl1 Cl .5 .5 .5"))
    assert structure.numbers.tolist() == [17]
    assert "vacancy" in structure.warnings[0]


def test_a_negative_occupancy_is_refused(fault, cif):
    error = fault(cif("Cs1 Cs 0 0 0 -1", "Cl1 Cl .5 .5 .5 1"))
    assert (error.code, error.place) == ("unreadable_structure", "site Cs1")


@pytest.mark.parametrize("occupancy", ["1.0001", "0.9999", "1.000(3)", "1.", ".", "?"])
def test_an_occupancy_of_nearly_one_is_one(one, cif, occupancy):
    assert len(one(cif(f"Cs1 Cs 0 0 0 {occupancy}", "Cl1 Cl .5 .5 .5 1")).numbers) == 2


def test_three_rounded_thirds_of_one_element_fill_a_site(one, cif):
    rows = [f"Cs{i} Cs 0 0 0 0.333" for i in range(3)]
    assert one(cif(*rows)).numbers.tolist() == [55]


def test_an_overfull_site_is_refused(fault, cif):
    assert "sum to 1.4" in fault(cif("Cs1 Cs 0 0 0 0.7", "Rb1 Rb 0 0 0 0.7")).detail


def test_an_unknown_space_group_is_no_p1(fault, cif):
    error = fault(cif(symmetry="_symmetry_space_group_name_H-M 'Q 4 x'\n"))
    assert (error.code, error.got) == ("unreadable_structure", "Q 4 x")


def test_a_space_group_by_name_or_number_is_applied_and_told(one, cif):
    for tag in ("_symmetry_space_group_name_H-M 'F m -3 m'", "_space_group_IT_number 225",
                "_space_group_name_Hall '-F 4 2 3'"):  # fmt: skip
        structure = one(cif(symmetry=f"{tag}\n", edge=5.6))
        assert len(structure.numbers) == 8
        assert "No symmetry operations" in structure.warnings[0]


@pytest.mark.parametrize(
    ("dressed", "plain", "taken"),
    [("P2(1)/n", "P 1 21/n 1", "P 1 21/n 1"), ("P 2~1~/n (#14)", "P 1 21/n 1", "P 1 21/n 1"),
     ("P 2<sub>1</sub>/n", "P 1 21/n 1", "P 1 21/n 1"), ("Fm-3m (225)", "F m -3 m", "F m -3 m"),
     ("F m -3 m (No. 225)", "F m -3 m", "F m -3 m"), ("P2(1)3", "P 21 3", "P 21 3")],
)  # fmt: skip
def test_a_space_group_in_print_is_the_plain_one(one, cif, dressed, plain, taken):
    first, second = (
        one(
            cif("Cs1 Cs 0.1 0.2 0.3", edge=9, symmetry=f"_symmetry_space_group_name_H-M '{name}'\n")
        )
        for name in (dressed, plain)
    )
    assert first.digest() == second.digest()
    assert f"those of {taken} were taken" in first.warnings[0]


def test_a_file_without_any_symmetry_says_what_was_assumed(one, cif):
    assert "no symmetry" in one(cif(symmetry="")).warnings[0]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("Cl1 Cl nan 0.5 0.5", "impossible_geometry"),
        ("Cl1 Cl 0.5 inf 0.5", "impossible_geometry"),
        ("Cl1 Cl 0.5 0.5 1e300", "impossible_geometry"),
        ("Cl1 Cl 0.5 0.5 1_0", "unreadable_structure"),
        ("Cl1 Cl 0.5 0.5 0,5", "unreadable_structure"),
        ("Cl1 Cl ? 0.5 0.5", "unreadable_structure"),
        ("Xx1 Xx 0.5 0.5 0.5", "unknown_element"),
        ("T1 T 0.5 0.5 0.5", "unknown_element"),
        ("Si/Al Si/Al 0.5 0.5 0.5", "unknown_element"),
    ],
)
def test_a_site_that_is_none_is_refused(fault, cif, row, code):
    assert fault(cif("Cs1 Cs 0 0 0", row)).code == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_cell_length_a 4", "_cell_length_a 0"),
        ("_cell_length_a 4", "_cell_length_a -4"),
        ("_cell_length_a 4", "_cell_length_a nan"),
        ("_cell_length_a 4", "_cell_length_a 0.02"),
        ("_cell_length_a 4", "_cell_length_a 1e6"),
        ("gamma 90", "gamma 0"),
        ("gamma 90", "gamma 179.9"),
        ("alpha 90\n_cell_angle_beta 90", "alpha 30\n_cell_angle_beta 30"),
    ],
)
def test_a_cell_that_is_none_is_refused(fault, cif, old, new):
    text = cif()
    assert old in text
    assert fault(text.replace(old, new)).code == "impossible_geometry"


def test_an_incomplete_cell_names_what_is_missing(fault, cif):
    assert "_cell_angle_beta" in fault(cif().replace("_cell_angle_beta 90\n", "")).detail


def test_overlapping_sites_are_refused_with_their_distance(fault, cif):
    error = fault(cif("Cs1 Cs 0 0 0", "Cl1 Cl 0.05 0 0"))
    assert (error.code, error.got) == ("impossible_geometry", "0.200 Å")


def test_sites_that_overlap_across_the_cells_edge_are_refused(fault, cif):
    assert fault(cif("Cs1 Cs 0.99 0 0", "Cl1 Cl 0.01 0 0")).code == "impossible_geometry"


def test_two_full_elements_at_one_place_are_refused(fault, cif):
    assert "both full" in fault(cif("Cs1 Cs 0 0 0", "Cl1 Cl 1 0 0")).detail


def test_a_site_listed_twice_counts_once_and_it_is_told(one, cif):
    structure = one(cif("Cs1 Cs 0 0 0", "Cs2 Cs 0 0 1", "Cl1 Cl .5 .5 .5"))
    assert len(structure.numbers) == 2
    assert "Cs2" in structure.warnings[0]


def test_deuterium_reads_as_hydrogen_and_says_so(one, cif):
    structure = one(cif("D1 D 0 0 0", "O1 O .5 .5 .5"))
    assert structure.numbers.tolist() == [1, 8]
    assert "deuterium" in structure.warnings[0]


def test_an_unknown_charge_does_not_change_the_element(one, cif):
    assert np.array_equal(one(cif("Fe1 Fe3+ 0 0 0")).numbers, [26])


def test_a_short_loop_of_sites_is_refused_with_its_line(fault, cif):
    error = fault(cif("Cs1 Cs 0 0 0", "Cl1 Cl 0.5 0.5"))
    assert "5 columns" in error.detail

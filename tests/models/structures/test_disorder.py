import pytest

ALLOY = ("Fe1 Fe 0 0 0 0.7", "Co1 Co 0 0 0 0.3", "O1 O .5 .5 .5 1")


def test_disorder_is_refused_naming_the_sites_and_the_way_out(fault, cif):
    error = fault(cif(*ALLOY))
    assert error.code == "disordered_structure"
    assert "Fe1/Co1: Fe 0.7, Co 0.3" in error.detail
    assert "disorder=majority" in error.hint


def test_majority_takes_the_most_abundant_species_and_says_so(one, cif):
    structure = one(cif(*ALLOY), disorder="majority")
    assert structure.numbers.tolist() == [26, 8]
    assert "Fe1/Co1" in structure.warnings[0]


def test_a_tie_goes_to_the_lightest_and_says_so(one, cif):
    structure = one(cif("Co1 Co 0 0 0 0.5", "Fe1 Fe 0 0 0 0.5"), disorder="majority")
    assert structure.numbers.tolist() == [26]
    assert "lightest of equals" in structure.warnings[0]


def test_a_mostly_empty_site_is_dropped_and_says_so(one, cif):
    structure = one(cif("Fe1 Fe 0 0 0 1", "O1 O .5 .5 .5 0.3"), disorder="majority")
    assert structure.numbers.tolist() == [26]
    assert "mostly empty" in structure.warnings[0]


def test_a_partly_empty_site_is_disorder(fault, cif):
    assert "empty 0.1" in fault(cif("Fe1 Fe 0 0 0 0.9", "O1 O .5 .5 .5 1")).detail


def test_alternatives_too_near_to_each_other_are_not_both_taken(one, cif):
    rows = ("Cs1 Cs 0 0 0 1", "O1 O .5 .5 .45 0.5", "O2 O .5 .5 .55 0.5")
    assert len(one(cif(*rows), disorder="majority").numbers) == 2


def test_of_disorder_groups_the_most_populated_is_taken_whole(one, cif):
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy",
               "disorder_assembly", "disorder_group")  # fmt: skip
    rows = ("Cs1 Cs 0 0 0 1 . .", "N1 N .5 .5 .4 .4 A 1", "O1 O .5 .5 .6 .6 A 2")
    structure = one(cif(*rows, columns=columns), disorder="majority")
    assert sorted(structure.numbers.tolist()) == [8, 55]


def test_disorder_groups_are_refused_without_majority(fault, cif):
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "disorder_group")
    rows = ("Cs1 Cs 0 0 0 .", "N1 N .5 .5 .4 1", "O1 O .5 .5 .6 2")
    assert fault(cif(*rows, columns=columns)).code == "disordered_structure"


@pytest.mark.parametrize("word", ["'0.8Nb + 0.2Zr'", "'0.2Zr + 0.8Nb'"])
def test_mixed_symbols_of_the_pauling_file_are_read(one, fault, cif, word):
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
    text = cif(f"Nb,Zr {word} 0 0 0", columns=columns)
    assert fault(text).code == "disordered_structure"
    assert one(text, disorder="majority").numbers.tolist() == [41]

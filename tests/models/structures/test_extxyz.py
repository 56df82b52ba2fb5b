import numpy as np
import pytest

FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nCs 0 0 0\nCl 2 2 2\n'


def test_a_frame_is_a_structure(one):
    structure = one(FRAME, "a.xyz")
    assert structure.numbers.tolist() == [55, 17]
    assert np.allclose(structure.fractional[1], 0.5)


def test_frames_are_numbered(read):
    found = read(FRAME * 3, "a.extxyz")
    assert [item.name for item in found] == ["a.extxyz#1", "a.extxyz#2", "a.extxyz#3"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Properties=species:S:1:pos:R:3 ", ""),
        ("Lattice=", "lattice="),
        ('"4 0 0 0 4 0 0 0 4"', '"[[4,0,0],[0,4,0],[0,0,4]]"'),
        ('"4 0 0 0 4 0 0 0 4"', "[[4, 0, 0], [0, 4, 0], [0, 0, 4]]"),
        (
            '"4 0 0 0 4 0 0 0 4"',
            '"4.0 0.0 0.0 0.0 4.0 0.0 0.0 0.0 4.0" energy=-1.5 config_type="a b"',
        ),
        (' pbc="T T T"', ""),
        ("Cs 0 0 0", "55 0 0 0"),
        ("Cs 0 0 0", "Cs 0 0 0.0E+00 extra"),
        ("Cl 2 2 2\n", "Cl 2 2 2\n\n\n"),
        ("Cl 2 2 2", "Cl -2 6 2"),
    ],
)
def test_ways_of_writing_the_same_frame_change_nothing(one, old, new):
    plain, other = one(FRAME, "a.xyz"), one(FRAME.replace(old, new), "a.xyz")
    assert np.array_equal(other.numbers, plain.numbers)
    assert np.allclose(other.fractional, plain.fractional)


def test_columns_are_found_by_their_properties(one):
    text = FRAME.replace("species:S:1:pos:R:3", "forces:R:3:pos:R:3:Z:I:1")
    text = text.replace("Cs 0 0 0", "9 9 9 0 0 0 55").replace("Cl 2 2 2", "9 9 9 2 2 2 17")
    assert one(text, "a.xyz").numbers.tolist() == [55, 17]


def test_a_slab_is_read_as_a_crystal_and_told(one):
    assert "Not periodic" in one(FRAME.replace("T T T", "T T F"), "a.xyz").warnings[0]


def test_a_molecule_in_a_box_is_read_as_repeated_and_told(one):
    plain, boxed = one(FRAME, "a.xyz"), one(FRAME.replace("T T T", "F F F"), "a.xyz")
    assert np.array_equal(boxed.lattice, plain.lattice)
    assert np.array_equal(boxed.fractional, plain.fractional)
    assert boxed.warnings == (
        *plain.warnings,
        "Not periodic in any direction; read as repeated by the given cell.",
    )


def test_a_molecule_without_a_box_is_refused(fault):
    assert "no lattice" in fault("1\ncomment\nH 0 0 0\n", "a.xyz").detail
    bare = FRAME.replace("T T T", "F F F").replace("4 0 0 0 4 0 0 0 4", "0.0 " * 8 + "0.0")
    assert (fault(bare, "a.xyz").code, fault(bare, "a.xyz").place) == (
        "unreadable_structure",
        "line 2",
    )
    assert "no cell" in fault(bare, "a.xyz").detail


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("Cl 2 2 2", "Cl 2 2", "line 4"),
        ("Cl 2 2 2", "Cl 2 2 nan", "line 4"),
        ("Cl 2 2 2", "Qq 2 2 2", "line 4"),
        ("4 0 0 0 4 0 0 0 4", "4 0 0 0 4 0 0 0", "line 2"),
        ("4 0 0 0 4 0 0 0 4", "4 0 0 0 4 0 0 0 x", "line 2"),
        ("2\n", "4\n", "line 1"),
        ("2\n", "two\n", "line 1"),
        ("pos:R:3", "velo:R:3", "line 2"),
    ],
)
def test_a_broken_line_of_a_frame_is_named(fault, old, new, place):
    assert fault(FRAME.replace(old, new), "a.xyz", "extxyz").place == place


def test_one_bad_frame_leaves_the_others(read):
    found = read(FRAME + FRAME.replace("Cl", "Qq") + FRAME, "a.xyz")
    assert [getattr(item, "code", "read") for item in found] == ["read", "unknown_element", "read"]


def test_a_frame_that_was_cut_off_leaves_those_before_it(read):
    found = read(FRAME * 2 + "5\nx\n", "a.xyz")
    assert [getattr(item, "code", "read") for item in found] == [
        "read",
        "read",
        "unreadable_structure",
    ]
    assert found[2].file == "a.xyz#3"


def test_a_trajectory_of_too_many_frames_is_refused(fault):
    assert fault(FRAME * 1001, "a.xyz").code == "too_large"

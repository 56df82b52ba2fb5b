"""Texts that make other readers hang or take gigabytes: each gets its own answer at once."""

import random
from itertools import permutations, product

import pytest

CENTRING = ("", "+1/2")


def cubic_face_centred() -> list[str]:
    """The 192 operations of F m -3 m."""
    shifts = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    return [
        ",".join(
            sign + axis + CENTRING[s] for sign, axis, s in zip(signs, axes, shift, strict=True)
        )
        for shift in shifts
        for axes in permutations("xyz")
        for signs in product(("", "-"), repeat=3)
    ]


def rows(count: int, spread: float = 1.0) -> list[str]:
    """Carbon sites at random places."""
    at = random.Random(0).random
    return [f"C{i} C {at() * spread:.5f} {at():.5f} {at():.5f}" for i in range(count)]


def listed(operations: list[str]) -> str:
    """A loop of operations."""
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{text}'\n" for text in operations)


def test_a_poscar_of_67_bytes_that_asks_for_a_hundred_million_sites(fault):
    text = "x\n1\n1 0 0\n0 1 0\n0 0 1\nH\n99999999\nDirect\n0 0 0\n"
    assert fault(text, "POSCAR").code == "too_large"


@pytest.mark.parametrize("operation", ["x" + "+x" * 2500 + ",y,z", "x+" + "9" * 3000 + ",y,z"])
def test_a_symmetry_operation_of_five_kilobytes(fault, cif, operation):
    code = fault(cif(symmetry=listed([operation]))).code
    assert code in ("unreadable_structure", "too_large")


@pytest.mark.parametrize(
    "operation",
    [
        "2x,y,z",
        "x,x,z",
        "x,y",
        "x,y,z,t",
        "x,y,w",
        "x/0,y,z",
        "import os",
        "1/2,1/2,1/2",
        "x y,z,z",
    ],
)
def test_an_operation_that_is_none_is_named(fault, cif, operation):
    error = fault(cif(symmetry=listed([operation])))
    assert (error.code, error.place) == ("unreadable_structure", "symmetry operations")


def test_more_operations_than_any_group_has(fault, cif):
    operations = [f"x+{i}/401,y,z" for i in range(401)]
    assert fault(cif(symmetry=listed(operations))).code == "too_large"


@pytest.mark.parametrize(
    "quotes", ["'\n" * 50_000, ("' " * 2000 + "\n") * 25, ("\"'" * 2000 + "\n") * 25]
)
def test_a_hundred_kilobytes_of_quotes(read, cif, quotes):
    assert len(read(cif() + "_x " + quotes)) == 1


def test_a_space_group_of_a_hundred_kilobytes_of_blanks(fault, cif):
    name = f"_symmetry_space_group_name_H-M\n;P{(' ' * 4000 + chr(10)) * 25}x\n;\n"
    assert fault(cif(symmetry=name)).place == "space group"


def test_a_megabyte_of_blank_lines(one, fault, cif):
    assert len(one("\n" * 1_000_000 + cif()).numbers) == 2
    assert fault("data_x\n" + "\n" * 1_000_000).code == "unreadable_structure"
    assert fault("\n" * 1_000_000).code == "empty_input"


def test_twenty_thousand_sites(fault, cif):
    assert fault(cif(*rows(20_000), edge=200)).code == "too_large"


def test_ten_thousand_sites_on_one_heap(fault, cif):
    assert fault(cif(*rows(9_999, 0.001), edge=100)).code == "impossible_geometry"


def test_ten_thousand_sites_well_apart_are_read(one, cif):
    grid = [
        f"C{i} C {i % 21 / 21:.5f} {i // 21 % 21 / 21:.5f} {i // 441 / 23:.5f}"
        for i in range(10_000)
    ]
    assert len(one(cif(*grid, edge=60)).numbers) == 10_000


def test_twenty_thousand_blocks(fault):
    assert fault("".join(f"data_{i}\n_a 1\n" for i in range(20_000))).code == "too_large"


def test_few_sites_and_many_operations_that_make_too_many_sites(fault, cif):
    error = fault(cif(*rows(60), edge=60, symmetry=listed(cubic_face_centred())))
    assert error.code == "too_large"


def test_the_same_by_the_groups_name(fault, cif):
    name = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
    assert fault(cif(*rows(60), edge=60, symmetry=name)).code == "too_large"


def test_many_sites_in_a_small_cell(fault, cif):
    error = fault(cif(*rows(500)))
    assert (error.code, error.place) == ("impossible_geometry", "cell")


def test_a_line_of_five_thousand_characters(fault, cif):
    assert fault(cif() + "#" + "x" * 5000).place == "line 19"


def test_a_file_of_six_megabytes(fault, cif):
    assert fault(cif() + "# x\n" * 1_500_000).code == "too_large"


@pytest.mark.parametrize("depth", [40, 100_000])
def test_json_nested_without_end(fault, depth):
    assert "nested" in fault("[" * depth + "]" * depth, "a.json").detail


def test_json_numbers_of_endless_digits(fault):
    assert (
        fault('{"lattice": ' + "9" * 5000 + ', "sites": []}', "a.json").code
        == "unreadable_structure"
    )


def test_an_extxyz_that_promises_more_than_it_holds(fault):
    assert fault('999999999\nLattice="1 0 0 0 1 0 0 0 1"\nH 0 0 0\n', "a.xyz").code == "too_large"
    assert (
        fault('9999\nLattice="1 0 0 0 1 0 0 0 1"\nH 0 0 0\n', "a.xyz").code
        == "unreadable_structure"
    )


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_gives_an_answer_never_an_exception(read, cif, seed):
    change = random.Random(seed)
    data = bytearray(cif(symmetry=listed(cubic_face_centred()[:48])).encode())
    for _ in range(change.randrange(1, 30)):
        at = change.randrange(len(data))
        data[at : at + change.randrange(3)] = change.randbytes(change.randrange(4))
    assert len(read(bytes(data))) >= 1

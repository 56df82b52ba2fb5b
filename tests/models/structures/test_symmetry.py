import numpy as np
import pytest
from pymatgen.core.operations import SymmOp

from models.errors import InputError
from models.structures.cif import regrouped
from models.structures.cif_values import idealised, number, stated_formula
from models.structures.symmetry import first_of_each, operation, operations

TEXTS = (
    "x,y,z", "-y,x-y,z", "-x+y,-x,z", "y,x,-z", "x-y,-y,-z", "-x,-x+y,-z",
    "-x,-y,-z", "y,-x+y,-z", "x-y,x,-z", "-y,-x,z", "-x+y,y,z", "x,x-y,z",
)  # fmt: skip


@pytest.mark.parametrize(
    "text", [*TEXTS, "x+1/2, y+1/4, -z+3/4", "1/2+x,.5-y,0.25+z", "+X,+Y,+Z", "x,2x-y,z"]
)
def test_an_operation_is_the_one_that_pymatgen_reads(text):
    rotation, translation = operation(text)
    theirs = SymmOp.from_xyz_str(text)
    assert np.array_equal(rotation, theirs.rotation_matrix)
    assert np.array_equal(translation, theirs.translation_vector)


def test_rounded_translations_are_what_they_mean():
    assert operation("x+0.3333,y+0.66667,z+.1667")[1].tolist() == [1 / 3, 2 / 3, 1 / 6]
    assert operation("x+0.2,y,z")[1][0] == 0.2


@pytest.mark.parametrize("seed", range(20))
def test_expanding_is_applying_each_operation_and_leaving_out_repeats(seed):
    random = np.random.default_rng(seed)
    ops = operations(TEXTS)
    special = [[0, 0, 0], [1 / 3, 2 / 3, 0.25], [0.2, 0.4, 0.1], [0.5, 0, 0.5], [0.3, 0, 0]]
    coordinates = np.array([*special, *random.random((4, 3))])
    fractional, source = ops.expand(coordinates)
    expected = []
    for site, place in enumerate(coordinates):
        images = np.array([SymmOp.from_xyz_str(text).operate(place) for text in TEXTS])
        kept = images[first_of_each(images)]
        expected.extend((site, *row) for row in kept - np.floor(kept))
    assert np.array_equal(np.column_stack([source, fractional]), np.array(expected))


def test_a_list_that_is_no_group_is_expanded_one_by_one():
    ops = operations(("x,y,z", "x+1/2,y,z", "x+1/4,y,z", "-x,-y,-z", "-x+1/4,y,z"))
    assert ops.table() is None
    assert len(ops.expand(np.array([[0.1, 0.2, 0.3], [0, 0, 0]]))[0]) == 5 + 3


def test_a_list_with_repeats_is_the_list_without_them():
    assert len(operations(("x,y,z", "x,y,z", "x+1,y,z"))) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["x,", "y,", "z", "-x,", "-y,", "z"], ["x, y, z", "-x, -y, z"]),
        (["1", "x,", "y,", "z", "2", "-x,", "-y,", "z+1/2"], ["x, y, z", "-x, -y, z+1/2"]),
        (["x,y,", "z", "x,y,z"], ["x,y, z", "x,y,z"]),
    ],
)
def test_operations_in_pieces_are_put_together(values, expected):
    assert regrouped(values) == expected


@pytest.mark.parametrize(
    ("raw", "value"),
    [("0.1234(5)", 0.1234), ("-1.5(12)", -1.5), (".5", 0.5), ("5.", 5.0), ("1.2E-3", 0.0012),
     ("+3", 3.0), ("1/3", 1 / 3), ("'0.25'", 0.25), ("0.5(", 0.5), ("1.5d+1", 15.0)],
)  # fmt: skip
def test_numbers_of_cifs(raw, value):
    assert number(raw, "here") == value


@pytest.mark.parametrize(
    "raw", ["", "?", ".", "abc", "1,5", "1e999x", "nan", "inf", "1_0", "0x10", "1/0", "--1"]
)
def test_what_is_no_number_is_refused(raw):
    with pytest.raises(InputError):
        number(raw, "here")


def test_thirds_are_made_exact_and_nothing_else():
    values = np.array([[0.3333, 0.6667, 0.33333], [0.333, 0.667, 0.1667], [1.3333, 0.5, 0.66666]])
    exact = idealised(values.copy())
    assert exact[0].tolist() == [1 / 3, 2 / 3, 1 / 3]
    assert exact[1].tolist() == [0.333, 0.667, 0.1667]
    assert exact[2].tolist() == [1.3333, 0.5, 2 / 3]


@pytest.mark.parametrize(
    ("text", "amounts"),
    [("'Fe2 O3'", {26: 2, 8: 3}), ("C4 H4 D2", {6: 4, 1: 6}), ("Al0.5Ga0.5As", {13: 0.5, 31: 0.5, 33: 1}),
     ("'Ca (C O3)'", None), ("?", None), ("'Xx2'", None)],
)  # fmt: skip
def test_formulas_of_cifs(text, amounts):
    assert stated_formula(text) == amounts

"""CIFs that say a thing twice, and not the same."""

import pytest

ALONE = "x,y,z"
ROWS = ("Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5")
CENTRES = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
ALL = tuple(
    f"{symbol}{at} {symbol} {x} {y} {z}"
    for symbol, shift in (("Na", 0), ("Cl", 0.5))
    for at, (x, y, z) in enumerate([[(one + shift) % 1 for one in place] for place in CENTRES], 1)
)


def said(symbol: str | None = None, number: int | None = None, *ops: str) -> str:
    named = f"_symmetry_space_group_name_H-M '{symbol}'\n" if symbol else ""
    named += f"_symmetry_Int_Tables_number {number}\n" if number else ""
    listed = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{op}'\n" for op in ops)
    return named + (listed if ops else "")


@pytest.mark.parametrize("named", [("F m -3 m", None), (None, 225), ("Fm-3m", 225)])
def test_sites_that_are_not_symmetric_by_the_named_group_are_told(one, cif, named):
    (warning,) = one(cif(*ROWS, edge=5.64, symmetry=said(*named, ALONE))).warnings
    assert "names the space group F m -3 m but lists other" in warning


def test_a_named_group_with_all_sites_and_no_operations_is_quiet(one, cif):
    structure = one(cif(*ALL, edge=5.64, symmetry=said("F m -3 m", 225, ALONE)))
    assert (len(structure.numbers), structure.warnings) == (8, ())


def test_a_group_named_for_its_conventional_cell_is_quiet_of_a_primitive_one(one, cif):
    text = cif(*ROWS, edge=3.99, symmetry=said("F m -3 m", 225, ALONE)).replace(" 90\n", " 60\n")
    assert one(text).warnings == ()


def test_more_operations_than_the_named_group_has_are_told(one, cif):
    (warning,) = one(cif(*ROWS, symmetry=said("P 1", 1, ALONE, "-x,-y,-z"))).warnings
    assert "P 1 but lists more symmetry" in warning


@pytest.mark.parametrize(
    ("symbol", "number", "ops"),
    [("P 1", 225, (ALONE,)), ("F m -3 m", 221, ()), ("P 1", 225, ())],
)
def test_a_symbol_and_a_number_of_two_groups_are_told(one, cif, symbol, number, ops):
    structure = one(cif(*ROWS, edge=5.64, symmetry=said(symbol, number, *ops)))
    assert any(f"and number {number}" in warning for warning in structure.warnings)


@pytest.mark.parametrize(
    ("symbol", "number"),
    [("P 1", 1), ("P 1 21 1", 4), ("P2_12_12_1", 19), ("P 62 2 2", 180), ("F d -3 m S", 227),
     ("R -3 m H", 166), ("F d -3 m :2", 227), ("P 1 21/n 1", 14), ("F m 3 m", 225), ("?", 225),
     ("P2(1)/n", 14), ("P 21/n (14)", 14), ("I4(1)/amd", 141), ("P6(3)", 173)],
)  # fmt: skip
def test_a_symbol_in_any_dialect_agrees_with_its_number(one, cif, symbol, number):
    assert not any(
        "and number" in w for w in one(cif(symmetry=said(symbol, number, ALONE))).warnings
    )


@pytest.mark.parametrize(
    "ops",
    [
        ("x,y,z", "-x,y+1/3,z"),
        ("x+1/2,y+1/2,z",),
        ("-x,-y,-z",),
        ("x,y,z", "-x,-y,z", "-x,y,-z"),
        ("x,y,z", "x+1/5,y,z"),
        ("x,y,z", "x+y,y,z"),
    ],
)
def test_operations_that_are_no_group_are_refused(fault, cif, ops):
    error = fault(cif(*ROWS, edge=5.64, symmetry=said(None, None, *ops)))
    assert (error.code, error.place) == ("unreadable_structure", "symmetry operations")
    assert "no group" in error.detail
    assert "which makes one that is not listed" in error.got


@pytest.mark.parametrize(
    "ops",
    [
        ("x,y,z", "x+1/5,y,z", "x+2/5,y,z", "x+3/5,y,z", "x+4/5,y,z"),
        ("x,y,z", "x+0.333,y,z", "x+0.667,y,z"),
        ("x,y,z", "x+.14,y,z", "x+.29,y,z", "x+.43,y,z", "x+.57,y,z", "x+.71,y,z", "x+.86,y,z"),
        ("x,y,z", "-x,-y,-z", "x,y,z"),
    ],
)
def test_groups_of_unusual_or_rounded_translations_are_read(one, cif, ops):
    assert len(one(cif("Na1 Na 0.02 0 0", edge=15, symmetry=said(None, None, *ops))).numbers) > 1


def test_operations_that_do_not_fit_the_cell_are_refused(fault, cif):
    cycle = ("x,y,z", "y,z,x", "z,x,y")
    text = cif(*ROWS, edge=5.64, symmetry=said(None, None, *cycle))
    error = fault(text.replace("_length_a 5.64", "_length_a 6.64"))
    assert (error.code, error.place) == ("unreadable_structure", "cell")
    assert "6.64, 5.64, 5.64" in error.got


@pytest.mark.parametrize("named", [("F m -3 m", None), (None, 225)])
def test_a_group_by_name_that_does_not_fit_the_cell_is_refused(fault, cif, named):
    text = cif(*ROWS, edge=5.64, symmetry=said(*named))
    error = fault(text.replace("_length_a 5.64", "_length_a 6.64"))
    assert (error.code, "F m -3 m does not fit" in error.detail) == ("unreadable_structure", True)


@pytest.mark.parametrize("edge", ["5.65", "5.7"])
@pytest.mark.parametrize("ops", [(), ("x,y,z", "y,z,x", "z,x,y")])
def test_a_cell_a_little_off_its_group_is_read(one, cif, edge, ops):
    text = cif(*ROWS, edge=5.64, symmetry=said(None if ops else "F m -3 m", None, *ops))
    assert len(one(text.replace("_length_a 5.64", f"_length_a {edge}")).numbers) in (2, 8)


@pytest.mark.parametrize(
    ("volume", "told"),
    [("999", True), ("64", False), ("64.9(3)", False), ("16.0", True), ("?", False), ("0", False)],
)
def test_a_volume_that_is_not_the_cells_is_told(one, cif, volume, told):
    warnings = one(cif(head=f"data_x\n_cell_volume {volume}\n")).warnings
    assert any("64.0 Å³, but the file says" in warning for warning in warnings) == told


def test_a_second_loop_of_sites_is_told(one, cif):
    more = cif("K1 K 0.5 0 0").partition("loop_\n_atom_site")[2]
    structure = one(cif() + "loop_\n_atom_site" + more)
    assert structure.numbers.tolist() == [55, 17]
    assert "_atom_site_fract_x stands twice" in structure.warnings[0]


@pytest.mark.parametrize(("again", "told"), [("5", True), ("4", False)])
def test_a_second_edge_of_the_cell_is_told(one, cif, again, told):
    structure = one(cif(head=f"data_x\n_cell_length_a {again}\n"))
    assert any("_cell_length_a stands twice" in text for text in structure.warnings) == told


@pytest.mark.parametrize(("formula", "units", "told"), [("Na Cl", 4, True), ("Na4 Cl4", 4, False)])
def test_sites_of_one_formula_are_not_taken_for_a_whole_cell(one, cif, formula, units, told):
    head = f"data_x\n_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {units}\n"
    rows = ROWS if told else ALL
    assert any("Z = 4" in text for text in one(cif(*rows, edge=5.64, head=head)).warnings) == told

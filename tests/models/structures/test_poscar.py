import numpy as np
import pytest

LINES = [
    "rock salt", "1.0", "5.6 0 0", "0 5.6 0", "0 0 5.6", "Na Cl", "1 1", "Direct", "0 0 0", "0.5 0.5 0.5",
]  # fmt: skip


def poscar(**changes: str) -> str:
    """The file with lines replaced: `l6="Fe Fe"` is its sixth."""
    lines = list(LINES)
    for key, text in changes.items():
        lines[int(key[1:]) - 1] = text
    return "\n".join(lines) + "\n"


def test_a_plain_poscar_is_read_in_its_order(one):
    structure = one(poscar(), "POSCAR")
    assert structure.numbers.tolist() == [11, 17]
    assert np.array_equal(structure.lattice, np.eye(3) * 5.6)
    assert structure.warnings == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"l8": "Cartesian", "l10": "2.8 2.8 2.8"},
        {"l8": "kartesisch", "l10": "2.8 2.8 2.8"},
        {"l8": "Selective dynamics\nDirect", "l9": "0 0 0 T T F", "l10": "0.5 0.5 0.5 F F F"},
        {"l8": "Selective\nC", "l9": "0 0 0 T T F", "l10": "2.8 2.8 2.8 F F F"},
        {"l2": "5.6", "l3": "1 0 0", "l4": "0 1 0", "l5": "0 0 1"},
        {"l2": "-175.616", "l3": "1 0 0", "l4": "0 1 0", "l5": "0 0 1"},
        {"l2": "5.6 5.6 5.6", "l3": "1 0 0", "l4": "0 1 0", "l5": "0 0 1"},
        {"l2": "2 1 0.5", "l3": "2.8 0 0", "l5": "0 0 11.2"},
        {
            "l2": "2.0",
            "l3": "2.8 0 0",
            "l4": "0 2.8 0",
            "l5": "0 0 2.8",
            "l8": "C",
            "l10": "1.4 1.4 1.4",
        },
        {"l6": "Na_pv Cl"},
        {"l6": "Na_pv/1a2b3c Cl/4d5e"},
        {"l6": "Na:1 Cl"},
        {"l6": "Na Cl  # symbols", "l7": "1 1 ! counts"},
        {"l6": "Na Cl new format", "l7": "1 1 number of each"},
        {"l10": "0.5 0.5 0.5 Cl"},
        {"l10": "0.5D+00 5.0E-01 .5"},
        {"l10": "0.5 0.5 0.5\n\n 0.0 0.0 0.0\n 0.0 0.0 0.0"},
        {"l1": ""},
        {"l8": "Direct configuration=     1"},
    ],
)
def test_ways_of_writing_the_same_cell_change_nothing(one, changes):
    plain, other = one(poscar(), "POSCAR"), one(poscar(**changes), "CONTCAR")
    assert other.numbers.tolist() == plain.numbers.tolist()
    assert np.allclose(other.lattice, plain.lattice)
    assert np.allclose(other.fractional, plain.fractional)
    assert other.warnings == ()


def test_line_ends_and_suffixes_change_nothing(one):
    plain = one(poscar(), "POSCAR").digest()
    assert one(poscar().replace("\n", "\r\n"), "a.vasp").digest() == plain
    assert one(poscar(), "upload.txt").digest() == plain
    assert one(poscar(), "anything", "poscar").digest() == plain


def test_a_repeated_symbol_is_read_in_order(one):
    text = poscar(l6="Na Cl Na", l7="1 1 1", l10="0.5 0.5 0.5\n0.5 0 0")
    assert one(text, "POSCAR").numbers.tolist() == [11, 17, 11]


def test_vasp_4_without_symbols_is_refused(fault):
    error = fault(poscar(l6="1 1").replace("1 1\n1 1\n", "1 1\n"), "POSCAR")
    assert (error.code, error.place) == ("unreadable_structure", "line 6")
    assert "VASP 5" in error.hint


@pytest.mark.parametrize("comment", ["Na Cl", "Na1 Cl1", "  Na   Cl "])
def test_vasp_4_takes_the_symbols_of_a_comment_that_clearly_holds_them(one, comment):
    text = poscar(l1=comment).replace("Na Cl\n1 1\nDirect", "1 1\nDirect")
    structure = one(text, "POSCAR")
    assert structure.numbers.tolist() == [11, 17]
    assert "VASP 4" in structure.warnings[0]


@pytest.mark.parametrize("comment", ["NaCl", "Na Cl O", "Na2 Cl2", "In a cell", ""])
def test_vasp_4_does_not_guess_from_another_comment(fault, comment):
    text = poscar(l1=comment).replace("Na Cl\n1 1\nDirect", "1 1\nDirect")
    assert fault(text, "POSCAR").code == "unreadable_structure"


def test_vasp_4_takes_symbols_at_the_ends_of_the_lines(one):
    text = poscar(l9="0 0 0 Na", l10=".5 .5 .5 Cl").replace("Na Cl\n1 1\nDirect", "1 1\nDirect")
    assert one(text, "POSCAR").numbers.tolist() == [11, 17]


def version_4(*sites: str, comment: str = "", selective: bool = True) -> str:
    """A file without a line of symbols, whose sites are these lines."""
    flags = ("Selective dynamics",) if selective else ()
    return "\n".join([comment, *LINES[1:5], "1 1", *flags, "Direct", *sites]) + "\n"


@pytest.mark.parametrize(
    ("ends", "comment", "selective"),
    [
        (("F F F", "F F F"), "Mg O", True),
        (("T T F", "T T F"), "Mg O", True),
        (("F F F", "F F F"), "Mg O", False),
        (("T T F Mg", "F F F O"), "a slab", True),
        (("T T F Mg", "T T F O"), "Mg1 O1", True),
    ],
)
def test_flags_of_selective_dynamics_are_no_fluorine(one, ends, comment, selective):
    first, second = ends
    text = version_4(f"0 0 0 {first}", f".5 .5 .5 {second}", comment=comment, selective=selective)
    assert one(text, "POSCAR").numbers.tolist() == [12, 8]


@pytest.mark.parametrize(
    ("first", "second", "comment"),
    [
        ("F F F", "F F F", "a slab"),
        ("T T F", "T T F", ""),
        ("F F F F", "F F F Na", "Mg O"),
        ("F F F O", "F F F Mg", "Mg O"),
        ("F F F ! F F F", "1 F F F", ""),
    ],
)
def test_vasp_4_with_flags_alone_or_with_two_answers_is_refused(fault, first, second, comment):
    text = version_4(f"0 0 0 {first}", f".5 .5 .5 {second}", comment=comment)
    error = fault(text, "POSCAR")
    assert (error.code, error.place) == ("unreadable_structure", "line 6")


BEHIND = [
    "{}", "T T F {}", "1 {}", "{} 1", "! {}", "T T F #{}", "{}1", "{} # At rest", "{} on top",
]  # fmt: skip


@pytest.mark.parametrize("selective", [True, False])
@pytest.mark.parametrize("behind", BEHIND)
def test_vasp_4_finds_the_symbols_behind_the_coordinates(one, fault, behind, selective):
    sites = f"0 0 0 {behind.format('Mg')}", f".5 .5 .5 {behind.format('O')}"
    for comment in ("Mg O", "a slab"):
        text = version_4(*sites, comment=comment, selective=selective)
        assert one(text, "POSCAR").numbers.tolist() == [12, 8]
    text = version_4(*sites, comment="O Mg", selective=selective)
    assert "do not settle" in fault(text, "POSCAR").detail


@pytest.mark.parametrize(("first", "second"), [("Mg", ""), ("Mg O", "O"), ("! Mg, O", "! In S")])
def test_vasp_4_with_symbols_behind_some_coordinates_is_refused(fault, first, second):
    text = version_4(f"0 0 0 {first}", f".5 .5 .5 {second}")
    assert "do not settle" in fault(text, "POSCAR").detail


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"l2": "zero"}, "line 2"),
        ({"l2": "0"}, "line 2"),
        ({"l2": "1 -1 1"}, "line 2"),
        ({"l3": "5.6 0"}, "line 3"),
        ({"l4": "0 nan 0"}, "line 4"),
        ({"l6": "Na"}, "lines 6 and 7"),
        ({"l6": "Na Cl O"}, "lines 6 and 7"),
        ({"l7": "1 x"}, "lines 6 and 7"),
        ({"l7": "0 0"}, "line 7"),
        ({"l8": "0 0 0"}, "line 8"),
        ({"l10": "0.5 0.5"}, "line 10"),
        ({"l10": "0.5 0.5 inf"}, "line 10"),
        ({"l7": "1 5"}, "line 11"),
    ],
)
def test_a_broken_line_is_named(fault, changes, place):
    error = fault(poscar(**changes), "POSCAR")
    assert (error.code, error.place) == ("unreadable_structure", place)


def test_an_unknown_symbol_and_a_vacancy_are_refused(fault):
    assert fault(poscar(l6="Na Xx"), "POSCAR").code == "unknown_element"
    assert "vacancy" in fault(poscar(l6="Na Vac"), "POSCAR").detail


def test_more_coordinates_than_counts_are_told(one):
    assert "more coordinates" in one(poscar(l10=".5 .5 .5\n.5 0 0"), "POSCAR").warnings[0]


@pytest.mark.parametrize("between", ["", "rock salt\n1.0\n5.7 0 0\n0 5.7 0\n0 0 5.7\nNa Cl\n1 1\n"])
def test_further_frames_are_told(one, between):
    first = poscar(l8="Direct configuration=     1")
    second = "Direct configuration=     2\n0 0 0\n.4 .5 .5\n"
    structure = one(first + between + second, "XDATCAR")
    assert structure.fractional[1].tolist() == [0.5, 0.5, 0.5]
    assert "further frames" in structure.warnings[0]


def test_overlapping_sites_are_refused(fault):
    assert fault(poscar(l10="0 0 0.01"), "POSCAR").code == "impossible_geometry"

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from models.errors import UnknownElement
from models.structures.composition import ELECTRONEGATIVITY, NUMBERS, SYMBOLS, formula
from models.structures.symbols import of_label, of_symbol


def test_every_element_has_its_symbol_and_electronegativity():
    for number in range(1, 119):
        element = Element.from_Z(number)
        assert element.symbol == SYMBOLS[number]
        value = ELECTRONEGATIVITY[number]
        assert value == element._data.get("X", value) or math.isnan(value)


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@settings(max_examples=300)
@given(st.dictionaries(st.integers(1, 103), st.integers(1, 24), min_size=1, max_size=6))
def test_a_formula_is_written_as_pymatgen_writes_it(amounts):
    numbers = [number for number, count in amounts.items() for _ in range(count)]
    theirs = Composition({SYMBOLS[number]: count for number, count in amounts.items()})
    assert formula(numbers) == theirs.reduced_formula


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("Fe", "Fe"), ("FE", "Fe"), ("fe", "Fe"), ("Fe3+", "Fe"), ("Fe+3", "Fe"), ("O2-", "O"), ("O-2", "O"),
     ("Cval", "C"), ("Siva", "Si"), ("H", "H"), ("D", "H"), ("Na1", "Na"), ("Fe1A", "Fe"), ("O1-", "O"),
     ("Wat", "O"), ("OH", "O"), ("NH4", "N"), ("W", "W"), ("Co", "Co"), ("No", "No")],
)  # fmt: skip
def test_type_symbols(text, symbol):
    assert of_symbol(text)[0] == NUMBERS[symbol]


@pytest.mark.parametrize(
    "text", ["Xx", "T", "M1", "Q", "Si/Al", "Fe,Co", "", "12", "?", "Metal", "FeO", "R"]
)
def test_what_names_no_element(text):
    with pytest.raises(UnknownElement):
        of_symbol(text)


def test_what_is_missing_from_a_group_is_told():
    assert "2 hydrogens" in (of_symbol("Wat")[1] or "")
    assert "deuterium" in (of_label("D1")[1] or "")
